"""Measures a model's heatmaps: what they say about its scores, about true defects, and about what it learned.

The cost is that of forward passes. Faithfulness takes ``3 + M * (2 * 5 + 2 * 3)`` an image for M = 5 maps (the heatmap,
two random ones, the centre, edges), 83 in all: with 24 images 2,000 passes, about a minute on two cores where an image
takes 26 ms. Localisation and randomisation take one explanation an image and level; where a method takes hundreds of
passes an explanation, fewer images are looked at, and the result says so.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from scipy.special import expit

from whycam.bundle import build_network
from whycam.data.masks import Masked, read_masks
from whycam.detector import Detector
from whycam.errors import OptionError, RunError
from whycam.evaluation.comparison import Comparison, compare, mean_estimate, mean_figure
from whycam.evaluation.localisation import localise
from whycam.explain.explanation import explain
from whycam.explain.faithfulness import ROAD_SHARES, SHARES, Perturbed, area, perturb, road
from whycam.explain.methods import SLOW, Method, method_named, title_of
from whycam.explain.randomisation import LEVELS, cascade, rank_correlation, structural_similarity
from whycam.measuring.job import MAPS, N_RANDOM, Job, fewer, groups_of, some_of
from whycam.networks.device import as_input
from whycam.progress import SILENT, Progress
from whycam.report.measured import (
    Curve,
    Faithfulness,
    Level,
    Localisation,
    Measured,
    Randomisation,
)
from whycam.run_folder import MEASURED
from whycam.run_mark import check_schema
from whycam.store.pixels import PixelCache
from whycam.types import Dataset, Floats, Sample

SCHEMA = 1
N_IMAGES, N_IMAGES_SLOW = 24, 6
"""Images that are looked at where no number is asked for, and by a method that is slow."""

_FORGETFUL_IMAGES, _FORGETFUL_IMAGES_SLOW = 12, 2
_DRAWS = 2
_ADAPTER = TypeAdapter(Measured)


def measure_explanations(
    detector: Detector,
    dataset: Dataset,
    pixels: PixelCache,
    *,
    n_images: int | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Measured:
    """Measure the heatmaps of test images beside maps that know nothing of the network.

    Deletion, insertion and ROAD explain why a score is high, so they look at images whose verdict is anomalous: at most
    `n_images`, drawn at random. Localisation looks at all test images that have a mask with a defect, randomisation at
    up to 12 of the anomalous verdicts, or of all test images where there are fewer than two. A slow method looks at
    `n_images` with a mask too, and at 2 for randomisation, and `progress` hears how long that takes. Intervals are over
    images, those of one group drawn together.

    Args:
        detector: whose network is explained, by its card's method; it stays as it is.
        dataset: whose test images are looked at.
        pixels: theirs, at the model's size.
        n_images: at least 2; None for 24, or 6 where the method is slow.
        seed: of all drawings; the same seed gives the same figures.
        progress: where to report to.

    Raises:
        OptionError: `n_images` is below 2.
    """
    method = method_named(detector.card.heatmap.method)
    slow = method in SLOW
    if n_images is None:
        n_images = N_IMAGES_SLOW if slow else N_IMAGES
    if n_images < 2:
        raise OptionError(f"`n_images` must be at least 2, got {n_images} instead.")
    test = [sample for sample in dataset.samples if sample.split == "test"]
    scores = detector.score_cached(pixels, pixels.rows(test), progress=progress)
    alarms = [s for s, score in zip(test, scores, strict=True) if detector.card.threshold.verdict(score) == "anomalous"]
    job = Job(detector, pixels, seed, progress)
    masked = read_masks(test, detector.card.model.size_hw)
    some = some_of(alarms if len(alarms) >= 2 else test, _FORGETFUL_IMAGES_SLOW if slow else _FORGETFUL_IMAGES, seed)
    notes: list[str] = []
    if slow:
        masked = fewer(masked, n_images, seed)
        notes.append(_said_of_slow(method, n_images, len(some)))
        n_maps = len(masked.masks) + len(some) * (1 + _DRAWS * len(LEVELS))
        _tell_how_long(job, test[0], n_maps + (min(len(alarms), n_images) if len(alarms) >= 2 else 0))
    faithfulness = None
    if len(alarms) >= 2:
        faithfulness = _faithfulness(job, some_of(alarms, n_images, seed), n_alarms=len(alarms))
    else:
        notes.append(
            f"Deletion, insertion and ROAD were not measured: of {len(test)} test images {len(alarms)} "
            f"{'has' if len(alarms) == 1 else 'have'} the verdict anomalous, and at least 2 are needed."
        )
    return Measured(
        schema=SCHEMA,
        method=title_of(method),
        score=detector.card.model.score,
        seed=seed,
        n_random=N_RANDOM,
        resolution=job.resolution,
        faithfulness=faithfulness,
        localisation=_localisation(job, masked) if masked.masks else None,
        randomisation=_randomisation(job, some) if len(some) >= 2 else None,
        notes=(*notes, *masked.notes),
    )


def to_json(measured: Measured) -> str:
    """The text of explained.json: standard JSON (no NaN), indented, with a final newline."""
    return json.dumps(_ADAPTER.dump_python(measured, mode="json"), indent=2, allow_nan=False) + "\n"


def read_measured(run: Path) -> Measured | None:
    """What a run's explained.json says; None where there is none, RunError where it is damaged or another version's."""
    path = run / MEASURED
    remedy = "delete it, or measure again with whycam explain RUN --measure"
    try:
        content = path.read_bytes()
        check_schema(path, content, SCHEMA, remedy=remedy)
        return _ADAPTER.validate_json(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: {remedy}.") from error


def _said_of_slow(method: Method, n_images: int, n_forgetful: int) -> str:
    return (
        f"{title_of(method)} takes hundreds of passes for a heatmap, so at most {n_images} images were drawn for each "
        f"measurement, and {n_forgetful} for whether heatmaps depend on what was learned: intervals are wide."
    )


def _tell_how_long(job: Job, sample: Sample, n: int) -> None:
    """Say how long `n` heatmaps will take, going by that of one image."""
    begin = time.perf_counter()
    job.cells([sample], "timing one heatmap")
    minutes = math.ceil(n * (time.perf_counter() - begin) / 60)
    job.progress.say(
        f"{title_of(method_named(job.detector.card.heatmap.method))} is slow: measuring {n} of its heatmaps takes "
        f"about {minutes} min."
    )


def _faithfulness(job: Job, samples: Sequence[Sample], *, n_alarms: int) -> Faithfulness:
    cells = job.cells(samples, "explaining alarms")
    each: list[Perturbed] = []
    with job.progress.bar("removing pixels", len(samples)) as bar:
        for number, row in enumerate(job.pixels.rows(samples)):
            (image,) = job.pixels.read([row])
            maps = job.maps(image, cells[number], number)
            rng = np.random.default_rng([job.seed, number, 1])
            each.append(perturb(image, maps, job.logits, resolution=job.resolution, rng=rng))
            bar.advance()
    # (N, M, points)
    deletion, insertion = (np.stack([getattr(one, name) for one in each]) for name in ("deletion", "insertion"))
    most, least = (np.stack([getattr(one, name) for one in each]) for name in ("most_first", "least_first"))
    members = groups_of(samples)

    def figures(of: Callable[[Floats], Floats]) -> tuple[Comparison, ...]:
        values = {
            "deletion": area(of(deletion)),
            "insertion": area(of(insertion)),
            "road": road(of(most), of(least)),
        }
        return tuple(_compare(job, name, value, members) for name, value in values.items())

    raw = job.detector.card.model.score == "linear"
    link: Callable[[Floats], Floats] = _same if raw else expit
    return Faithfulness(
        n_images=len(samples),
        n_alarms=n_alarms,
        deleted_score=float(link(deletion[:, 0, -1]).mean()),
        blurred_score=float(link(insertion[:, 0, 0]).mean()),
        deletion=_curve(link(deletion)),
        insertion=_curve(link(insertion)),
        deletion_logit=None if raw else _curve(deletion),
        insertion_logit=None if raw else _curve(insertion),
        road_shares=ROAD_SHARES,
        figures=figures(link),
        logit_figures=() if raw else figures(_same),
    )


def _same(values: Floats) -> Floats:
    return values


def _curve(values: Floats) -> Curve:
    """The mean over images (N, M, S + 1), and over maps of one name."""
    means = values.mean(axis=0)
    of = {name: [row for row, other in enumerate(MAPS) if other == name] for name in dict.fromkeys(MAPS)}
    return Curve(tuple(SHARES.tolist()), {name: tuple(means[rows].mean(axis=0).tolist()) for name, rows in of.items()})


def _compare(job: Job, name: str, values: Floats, members: npt.NDArray[np.intp]) -> Comparison:
    figure, n_clusters = mean_figure(values, members), int(members.max()) + 1
    return compare(name, figure, MAPS, n_clusters, lower_is_better=name == "deletion", seed=job.seed)


def _localisation(job: Job, found: Masked) -> Localisation:
    cells = job.cells(found.samples, "explaining images with masks")
    rows = job.pixels.rows(found.samples)

    def maps_of(number: int) -> Floats:
        (image,) = job.pixels.read([rows[number]])
        return job.maps(image, cells[number], number)

    return Localisation(
        n_images=len(found.masks),
        area=float(np.mean([mask.mean() for mask in found.masks])),
        figures=localise(maps_of, MAPS, found.masks, groups_of(found.samples), seed=job.seed, progress=job.progress),
    )


def _randomisation(job: Job, samples: Sequence[Sample]) -> Randomisation:
    images = job.pixels.read(job.pixels.rows(samples))
    inputs, method = as_input(images, job.device), method_named(job.detector.card.heatmap.method)
    before = explain(job.network, inputs, method=method).heatmaps
    alike = np.zeros((2, len(LEVELS), len(samples)))
    with job.progress.bar("making a copy forget", _DRAWS * len(LEVELS)) as bar:
        for draw in range(_DRAWS):
            copy = build_network(job.detector.card.model).to(job.device)
            copy.load_state_dict(job.network.state_dict())
            for level, _ in enumerate(cascade(copy, inputs, seed=_DRAWS * job.seed + draw)):
                after = explain(copy, inputs, method=method).heatmaps
                alike[:, level] += [rank_correlation(before, after), structural_similarity(before, after)]
                bar.advance()
    members = groups_of(samples)
    ranks, structures = ([mean_estimate(one / _DRAWS, members, seed=job.seed) for one in kind] for kind in alike)
    return Randomisation(
        n_images=len(samples),
        n_draws=_DRAWS,
        levels=tuple(Level(*level) for level in zip(LEVELS, ranks, structures, strict=True)),
    )
