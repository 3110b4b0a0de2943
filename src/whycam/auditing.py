"""The audit of a data set from end to end: pixels and features in, everything that is wrong with it out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from whycam.audits.audit import MOST_IMAGES, SCHEMA, Audit, DoubtedLabel
from whycam.audits.cheap_head import coordinates, out_of_fold_logits
from whycam.audits.cues import measure
from whycam.audits.duplicates import duplicate_findings, find_clusters
from whycam.audits.findings import Finding, Severity
from whycam.audits.fingerprints import fingerprints_of
from whycam.audits.label_groups import group_findings, group_labels
from whycam.audits.labels import check_labels, label_findings
from whycam.audits.leaks import leak_findings
from whycam.audits.optimism import measure_optimism
from whycam.audits.quality import find_quality
from whycam.audits.shortcuts import find_shortcuts
from whycam.data.images import decode, digest, shrink
from whycam.data.parallel import in_order
from whycam.errors import ImageError, RunError
from whycam.features import Features
from whycam.networks.backbone import Backbone, build_backbone
from whycam.networks.device import pick_device
from whycam.progress import Progress
from whycam.report.audit_words import from_json
from whycam.report.audited import files_shown
from whycam.report.contents import Audited
from whycam.run_folder import AUDIT
from whycam.run_mark import check_schema
from whycam.store.pixels import PixelCache
from whycam.training.recipe import DEFAULT, ClassicRecipe, Recipe
from whycam.types import Dataset, Floats, Pixels, Sample

_BATCH = 32
_PICTURE_SIDE = 256
_ORDER: tuple[Severity, ...] = ("serious", "warning", "note")


@dataclass(frozen=True)
class AuditedData:
    """An audit, and which images it found to belong together."""

    audit: Audit
    files: tuple[str, ...]
    """Those audited."""
    units: tuple[str, ...]
    """What each of `files` belongs to: a group that the data state, copies, near duplicates, or nothing but itself."""

    def kept_together(self, dataset: Dataset) -> Dataset:
        """The same samples, those that belong together in one group, so that no split and no fold divides them."""
        units = dict(zip(self.files, self.units, strict=True))
        members: dict[str, list[str | None]] = defaultdict(list)
        for sample in dataset.samples:
            if sample.file in units:
                members[units[sample.file]].append(sample.group)
        joined = {
            unit for unit, groups in members.items() if len(groups) > 1 and (len(set(groups)) > 1 or not groups[0])
        }
        samples = tuple(
            replace(sample, group=units[sample.file]) if units.get(sample.file) in joined else sample
            for sample in dataset.samples
        )
        sources = (dataset.groups_from, "copies and near duplicates" if joined else "")
        together = replace(dataset, samples=samples, groups_from=" and ".join(filter(None, sources)))
        for anomalous, name in ((False, "normal"), (True, "anomalous")):
            before, after = (
                {sample.group or sample.file for sample in data.samples if sample.anomalous == anomalous}
                for data in (dataset, together)
            )
            if len(after) < 2 <= len(before):
                note = (
                    f"All {name} images look the same, so they are divided between train and test nonetheless: "
                    "figures on the test images prove nothing."
                )
                return replace(dataset, notes=(*dataset.notes, note))
        return together


def features_of(recipe: Recipe) -> Backbone:
    """The backbone whose features a recipe's data are audited by: the recipe's own, where it has one."""
    source = DEFAULT if isinstance(recipe, ClassicRecipe) else recipe
    return build_backbone(source.backbone, source.taps, pretrained=True)


def audit_images(
    dataset: Dataset, pixels: PixelCache, backbone: Backbone, *, seed: int, device: str, progress: Progress
) -> AuditedData:
    """Look for copies, leaks, shortcuts, wrong labels and bad images among labelled samples.

    Nothing that is found changes what is trained, except that images which belong together are kept on one side.

    Args:
        dataset: whose samples all have a target, and a split or not.
        pixels: theirs, decoded.
        backbone: whose features tell likeness; those of the images as they are, computed unless they are on disk.
        seed: of all drawings.
        device: `auto`, `cpu` or `cuda`.
        progress: where to report to.
    """
    samples = dataset.samples
    if len(samples) > MOST_IMAGES:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(samples))[:MOST_IMAGES])
        samples = tuple(samples[at] for at in drawn)
    rows = pixels.rows(samples)
    features = Features(backbone, pixels, device=pick_device(device))
    features.compute((0,), rows, progress=progress)
    values: Floats = features.read((0,), rows)[0].numpy()
    prints, digests = _fingerprints(pixels, rows, progress)
    anomalous = np.array([sample.anomalous for sample in samples])
    # Work is already divided among the cores; linear algebra that divides it again loses far more time than it gains.
    with threadpool_limits(limits=1, user_api="blas"), progress.bar("auditing", 4) as bar:
        points = coordinates(values, seed=seed)
        measured = measure(samples, lambda chosen: pixels.read(rows[chosen]))
        bar.advance()
        sizes = [facts.size_hw for facts in measured.files]
        clusters = find_clusters(samples, digests, prints, points, sizes=sizes, seed=seed)
        bar.advance()
        shortcuts = find_shortcuts(measured, clusters.units, seed=seed)
        bar.advance()
        logits = out_of_fold_logits(points, anomalous, clusters.units, seed=seed)
        labels = check_labels(logits, anomalous, clusters.units)
        label_groups = group_labels(points, logits, anomalous, clusters.units)
        split = [sample.split for sample in samples]
        optimism = measure_optimism(points, anomalous, clusters.units, whole=logits, split=split, seed=seed)
        leaks = leak_findings(samples, clusters, points, optimism=optimism, seed=seed)
        bar.advance()
    findings: Sequence[Finding] = (
        *leaks,
        *_one_picture(samples, digests),
        *duplicate_findings(samples, clusters),
        *shortcuts.findings,
        *(group_findings(samples, label_groups) if label_groups is not None else ()),
        *(label_findings(samples, labels) if labels is not None else ()),
        *find_quality(measured, clusters.units),
        *_left_out(len(samples), len(dataset.samples)),
    )
    audit = Audit(
        schema=SCHEMA,
        n=len(samples),
        n_anomalous=int(anomalous.sum()),
        findings=tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity))),
        cues=shortcuts.table,
        doubted=tuple(
            DoubtedLabel(samples[suspect.index].file, suspect.anomalous, suspect.probability)
            for suspect in (labels.suspects if labels is not None else ())
        ),
        optimism=optimism,
    )
    return AuditedData(audit, tuple(sample.file for sample in samples), clusters.units)


def pictured(audit: Audit | None, dataset: Dataset, pixels: PixelCache) -> Audited | None:
    """The audit with the pictures that a page about it shows; a file that can no longer be read has none.

    `pixels` are those of the dataset, by whose levels files become pictures.
    """
    if audit is None:
        return None
    paths = {sample.file: sample.path for sample in dataset.samples}
    pictures: dict[str, Pixels] = {}
    for file in files_shown(audit):
        try:
            picture = decode(paths[file], pixels.levels, first_page=pixels.first_page)
            pictures[file] = shrink(picture, _PICTURE_SIDE)
        except (ImageError, KeyError):
            continue
    return Audited(audit, pictures, dataset.samples)


def read_audit(run: Path) -> Audit | None:
    """What a run's audit.json says; None where there is none, RunError where it is damaged or of another version."""
    path = run / AUDIT
    try:
        content = path.read_bytes()
        check_schema(path, content, SCHEMA, remedy="delete it, or train again")
        return from_json(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: delete it, or train again.") from error


def _one_picture(samples: Sequence[Sample], digests: Sequence[str]) -> Iterator[Finding]:
    """A class that is one picture over and over, from which nothing about its kind can be learned."""
    for anomalous, name in ((False, "normal"), (True, "anomalous")):
        mine = [row for row, sample in enumerate(samples) if sample.anomalous == anomalous]
        if len(mine) > 1 and len({digests[row] for row in mine}) == 1:
            files = tuple(samples[row].file for row in mine)
            sentence = (
                f"All {len(mine):,} {name} images are the same picture ({files[1]} is {files[0]}): a model can only "
                "recognise that picture, and no figure on copies of it means anything; add others."
            )
            yield Finding("one picture", "serious", sentence, files, len(files))


def _left_out(n: int, n_all: int) -> tuple[Finding, ...]:
    """What to tell of a data set too large to be looked at as a whole: nothing, or one note."""
    if n == n_all:
        return ()
    sentence = (
        f"{n:,} of {n_all:,} images, drawn at random, were audited, and nothing is known of the others: their copies "
        "and near duplicates may lie on both sides of a split. Groups that the data state stay whole all the same."
    )
    return (Finding("audited in part", "note", sentence, (), n_all - n),)


def _fingerprints(
    pixels: PixelCache, rows: npt.NDArray[np.intp], progress: Progress
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """(N, B) and N digests, as `find_clusters` wants them; of pixels, as another header makes no other picture."""

    def look(batch: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.uint8], list[str]]:
        images = pixels.read(batch)
        return fingerprints_of(images), [digest(image.tobytes()) for image in images]

    batches = [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]
    parts, digests = [], []
    with (
        progress.bar("comparing images", len(rows)) as bar,
        closing(in_order(look, batches)) as results,
    ):
        for batch, (part, its_digests) in zip(batches, results, strict=True):
            parts.append(part)
            digests += its_digests
            bar.advance(len(batch))
    return np.concatenate(parts), digests
