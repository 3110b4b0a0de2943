"""A finished run looked at again: its figures, its threshold and its heatmaps, on its own or on other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from whycam import run_folder
from whycam.admission import check_present, check_unchanged, check_unseen, moved, readable
from whycam.atomic import write_text
from whycam.auditing import pictured, read_audit
from whycam.bundle import describe_data, save_card
from whycam.card import DataCard
from whycam.data.samples import open_dataset
from whycam.detector import Detector
from whycam.errors import OptionError, printable
from whycam.explain.methods import method_named
from whycam.fitting.line import Line
from whycam.fitting.plan import fingerprint
from whycam.judging import judge, show_by
from whycam.measuring import measure_explanations, read_measured, to_json
from whycam.progress import SILENT, Progress
from whycam.report.measured import Measured
from whycam.store.pixels import PixelCache, open_pixels
from whycam.types import AS_USUAL, Dataset, Floats, Reading, Threshold
from whycam.workflow.runs import Run, load


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    reading: Reading = AS_USUAL,
    threshold: str | None = None,
    unsure: str | None = None,
    method: str | None = None,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Metrics, plots and report again: on the run's own images, or on other labelled data.

    Args:
        run: a run folder.
        data: other labelled images, all taken as test images; None for the run's own. Where they are the run's own
            images in another place, the run's split is used.
        out: where to write; by default the run folder itself, or `evaluation-NAME-FINGERPRINT` in it for other data.
        reading: what names and columns of `data` mean where they are not the usual ones.
        threshold, unsure: as for `train`: draws the run's line between verdicts anew, from the scores of training
            images in its held_out.csv. Not with `data`.
        method: what makes the run's heatmaps from now on, a name of `whycam.explain.methods.METHODS`. Not with `data`.
        strict: raise where any file of `data` had to be skipped.

    Raises:
        RunError: the run's images changed or are gone since it was trained; `out` holds something else.
        DataError: the other data cannot be used, or contain images that the model was trained on.
    """
    source = Path(run)
    redrawn = threshold is not None or unsure is not None
    for option, is_given in (("threshold", redrawn), ("method", method is not None)):
        if is_given and data is not None:
            raise OptionError(f"`{option}` belongs to the run: give it without other data, which must not choose it.")
    line = Line.parse(threshold or "midpoint", unsure)
    how_shown = None if method is None else method_named(method)
    detector = load(source, device=device)
    line.check_score(detector.card.model.score)
    before = detector.card.threshold
    if redrawn:
        detector.card = replace(detector.card, threshold=line.choose(run_folder.read_held_out(source)))
    if data is None:
        judged = own_images(source, detector, progress=progress)
    else:
        judged = _other_images(source, detector, open_dataset(data, reading), data, strict=strict, progress=progress)
    target = Path(out) if out else judged.place
    if target != source:
        run_folder.check_evaluation_place(target)
    dataset, pixels, evaluated = judged.dataset, judged.pixels, judged.described
    audited = measured = None
    if evaluated is None:
        measured = read_measured(source)
        audited = pictured(read_audit(source), dataset, pixels)
    with run_folder.held(target):
        scores = detector.score_cached(pixels, pixels.rows(dataset.samples), progress=progress)
        if measured is not None and (
            how_shown or _alarms(before, dataset, scores) != _alarms(detector.card.threshold, dataset, scores)
        ):
            measured = None
            progress.say(
                f"The run's measured heatmaps are {'not by this method' if how_shown else 'of other alarms'}, so the "
                "report leaves them out: whycam explain RUN --measure measures them again."
            )
        if how_shown is not None:
            show_by(detector, how_shown, dataset, pixels, scores, progress=progress)
        evaluation = judge(
            target,
            detector,
            dataset,
            pixels,
            scores,
            evaluated=evaluated,
            history=run_folder.read_history(source),
            audited=audited,
            measured=measured,
            progress=progress,
        )
        if target == source and (redrawn or how_shown):
            if measured is None:
                (source / run_folder.MEASURED).unlink(missing_ok=True)
            save_card(source, detector.card)
    return Run(target, evaluated or detector.card.data, evaluation, detector)


def measure(
    run: str | Path, *, n_images: int | None = None, seed: int = 0, device: str = "cpu", progress: Progress = SILENT
) -> tuple[Run, Measured]:
    """How far a run's heatmaps can be trusted, beside maps that know nothing of the network; the report then says so.

    Writes explained.json into the run, and its report again.

    Args:
        run: a run folder.
        n_images: so many images at most for deletion, insertion and ROAD; at least 2; None for 24, and for 6 where the
            run's method is slow.
        seed: of all drawings.

    Raises:
        OptionError: `n_images` is below 2.
        RunError: the run's images changed or are gone since it was trained.
    """
    source = Path(run)
    detector = load(source, device=device)
    own = own_images(source, detector, progress=progress)
    measured = measure_explanations(detector, own.dataset, own.pixels, n_images=n_images, seed=seed, progress=progress)
    write_text(source / run_folder.MEASURED, to_json(measured))
    return evaluate(source, device=device, progress=progress), measured


@dataclass(frozen=True)
class Judged:
    """The images that an evaluation is about."""

    dataset: Dataset
    pixels: PixelCache
    described: DataCard | None
    """None for the run's own images."""
    place: Path
    """Where its results go unless another place is named."""


def _alarms(threshold: Threshold, dataset: Dataset, scores: Floats) -> set[str]:
    """Test images with the verdict anomalous: those that heatmaps are measured on."""
    return {
        sample.file
        for sample, value in zip(dataset.samples, scores, strict=True)
        if sample.split == "test" and threshold.verdict(value) == "anomalous"
    }


def own_images(run: Path, detector: Detector, *, progress: Progress) -> Judged:
    """The run's own images; RunError where they are gone or changed."""
    own, digests = run_folder.read_samples(run, Path(detector.card.data.facts.root))
    return _unchanged(run, own, detector, digests, progress)


def _other_images(
    run: Path, detector: Detector, given: Dataset, data: str | Path, *, strict: bool, progress: Progress
) -> Judged:
    """The run's own images in another place, or others, none of which it was trained on."""
    own, digests = run_folder.read_samples(run, Path(detector.card.data.facts.root))
    model = detector.card.model
    given = replace(given, first_page=given.first_page or model.first_page)
    found, pixels = readable(given, model.size_hw, levels=model.levels, strict=strict, progress=progress)
    if set(pixels.digests.values()) == set(digests.values()):
        return _unchanged(run, moved(own, digests, found, pixels), detector, digests, progress)
    check_unseen(found, pixels, own, digests)
    dataset = replace(found, samples=tuple(replace(sample, split="test") for sample in found.samples))
    mark = fingerprint(dataset, pixels)
    described = describe_data(dataset, fingerprint=mark, split="All images were tested on.")
    return Judged(dataset, pixels, described, run / f"evaluation-{printable(Path(data).resolve().name)}-{mark[:8]}")


def _unchanged(
    run: Path, dataset: Dataset, detector: Detector, digests: Mapping[str, str], progress: Progress
) -> Judged:
    check_present(run, dataset)
    model = detector.card.model
    pixels = open_pixels(
        dataset.samples, model.size_hw, levels=model.levels, first_page=model.first_page, progress=progress
    )
    check_unchanged(run, pixels, digests)
    return Judged(dataset, pixels, None, run)
