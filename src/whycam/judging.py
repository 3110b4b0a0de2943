"""The judging stage of a run: scores for every image, metrics, and the report that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from whycam import run_folder
from whycam.atomic import write_text
from whycam.card import DataCard
from whycam.data.images import decode, shrink
from whycam.data.parallel import in_order
from whycam.detector import BATCH, Detector, batches
from whycam.errors import DataError, ImageError
from whycam.evaluation.curves import curves
from whycam.evaluation.evaluate import evaluate, to_json
from whycam.evaluation.reliability import reliability
from whycam.explain.methods import SLOW, Method
from whycam.progress import Progress
from whycam.report.closeup import MOST_THUMBNAILS, choose_images, close_up, thumbnail
from whycam.report.contents import Audited, CloseUp, ReportInput, WhatIf
from whycam.report.measured import Measured
from whycam.report.page import write_report
from whycam.store.pixels import PixelCache
from whycam.types import Dataset, EpochRecord, Evaluation, Exhibit, Floats, Pixels, Predictions, Sample, Threshold

_SCALE_IMAGES, _SCALE_IMAGES_SLOW = 32, 4
_SCALE_QUANTILE = 0.75
_MISTAKES, _RIGHT = 24, 12
_PICTURE_SIDE = 384
MOST_HEATMAPS = 64
"""So many test images have a heatmap in the report: the 48 it shows at first, and right ones; each takes about as long
as scoring it."""


def heatmap_scale(
    detector: Detector, dataset: Dataset, pixels: PixelCache, scores: Floats, *, progress: Progress
) -> float:
    """The heatmap value shown as the hottest colour, one for the whole run.

    The upper quartile of the heatmaps' maxima over training images whose verdict is anomalous, so that most alarms show
    their reason below it; over those whose target is anomalous where there is no such verdict, and over all where there
    is neither. At most 32 images are looked at, evenly spread, and 4 where a method is slow. 0 where no heatmap has a
    positive cell.

    `scores` (N,) are those of all of `dataset.samples`.
    """
    train = [number for number, sample in enumerate(dataset.samples) if sample.split == "train"]
    verdicts = [number for number in train if detector.card.threshold.verdict(scores[number]) == "anomalous"]
    targets = [number for number in train if dataset.samples[number].anomalous]
    chosen = verdicts or targets or train
    at_most = _SCALE_IMAGES_SLOW if detector.card.heatmap.method in SLOW else _SCALE_IMAGES
    rows = pixels.rows([dataset.samples[number] for number in chosen[:: -(-len(chosen) // at_most)]])
    maxima: list[float] = []
    with progress.bar("setting the colour scale", len(rows)) as bar:
        for batch in batches(rows.tolist()):
            maxima += detector.explain_pixels(pixels.read(batch)).heatmaps.max(axis=(1, 2)).tolist()
            bar.advance(len(batch))
    return float(np.quantile(maxima, _SCALE_QUANTILE))


def show_by(
    detector: Detector, method: Method, dataset: Dataset, pixels: PixelCache, scores: Floats, *, progress: Progress
) -> None:
    """Make the detector's heatmaps by `method` from now on, on a colour scale of its own; scores as above."""
    detector.card = replace(detector.card, heatmap=replace(detector.card.heatmap, method=method))
    scale = heatmap_scale(detector, dataset, pixels, scores, progress=progress)
    detector.card = replace(detector.card, heatmap=replace(detector.card.heatmap, scale=scale))


def judge(
    folder: Path,
    detector: Detector,
    dataset: Dataset,
    pixels: PixelCache,
    scores: Floats,
    *,
    evaluated: DataCard | None,
    history: Sequence[EpochRecord],
    audited: Audited | None = None,
    measured: Measured | None = None,
    progress: Progress,
) -> Evaluation:
    """Write predictions.csv, metrics.json, report.html, plots and gallery into `folder`.

    `scores` (N,) are those of all of `dataset.samples`; `evaluated` describes `dataset` where it is not what the model
    was trained on; `audited` and `measured` get sections of the report.
    """
    card = detector.card
    sets: dict[str, Predictions] = {}
    for split in ("train", "test"):
        chosen = [number for number, sample in enumerate(dataset.samples) if sample.split == split]
        if chosen:
            sets[split] = _predictions([dataset.samples[number] for number in chosen], scores[chosen])
    train, test = sets.get("train"), sets["test"]
    threshold = card.threshold
    probabilities = card.model.score == "probability"
    with progress.bar("measuring", 1) as bar:
        evaluation = evaluate(train, test, threshold=threshold, probabilities=probabilities, seed=card.training.seed)
        bar.advance()
    tested = [sample for sample in dataset.samples if sample.split == "test"]
    p_values = detector.p_values_cached(pixels, pixels.rows(tested))
    pictured = _pictured(detector, tested, pixels, test, p_values, progress=progress)
    known = {} if p_values is None else dict(zip(test.files, p_values.tolist(), strict=True))
    run_folder.write_predictions(folder, sets, threshold, known)
    write_text(folder / run_folder.METRICS, to_json(evaluation))
    contents = ReportInput(
        card=card,
        evaluated=evaluated,
        evaluation=evaluation,
        history=tuple(history),
        train=train,
        test=test,
        train_curves=None if train is None else curves(train),
        test_curves=curves(test),
        reliability=reliability(test, seed=card.training.seed) if probabilities else None,
        exhibits=pictured.exhibits,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        audit=audited,
        measured=measured,
        whatif=WhatIf(
            pictured.thumbnails,
            pictured.close_ups,
            p_values=p_values,
            novel_level=None if p_values is None or card.novelty is None else card.novelty.level,
        ),
    )
    write_report(folder, contents, progress=progress)
    return evaluation


def _predictions(samples: Sequence[Sample], scores: Floats) -> Predictions:
    return Predictions(
        files=tuple(sample.file for sample in samples),
        targets=np.array([sample.target for sample in samples], dtype=np.float64),
        scores=scores,
        groups=tuple(sample.group for sample in samples),
    )


@dataclass(frozen=True)
class _Pictured:
    """The test images that the report shows."""

    exhibits: tuple[Exhibit, ...]
    """Of the gallery."""
    close_ups: dict[int, CloseUp]
    """By place among the test images, as are `thumbnails`."""
    thumbnails: dict[int, bytes]


def _pictured(
    detector: Detector,
    tested: Sequence[Sample],
    pixels: PixelCache,
    test: Predictions,
    p_values: Floats | None,
    *,
    progress: Progress,
) -> _Pictured:
    drawing, threshold = detector.card.heatmap, detector.card.threshold
    gallery = choose_exhibits(tested, test.scores, threshold)
    most = len(gallery) if drawing.method in SLOW else MOST_HEATMAPS
    heated = choose_images(test, threshold, most=max(most, len(gallery)), first=gallery, p_values=p_values)
    shown = choose_images(test, threshold, most=MOST_THUMBNAILS, first=heated, p_values=p_values)
    exhibits: dict[int, Exhibit] = {}

    def heated_exhibits() -> Iterator[Exhibit]:
        rows = pixels.rows([tested[place] for place in heated])
        for first in range(0, len(heated), BATCH):
            explanation = detector.explain_pixels(pixels.read(rows[first : first + BATCH]), progress=progress)
            for at, place in enumerate(heated[first : first + BATCH]):
                sample = tested[place]
                picture = shrink(_picture(sample, pixels), _PICTURE_SIDE)
                exhibit = detector.exhibit(
                    explanation, at, picture, file=sample.file, split=sample.split or "", target=sample.target
                )
                exhibit = replace(exhibit, score=float(test.scores[place]))
                if place in in_gallery:
                    exhibits[place] = exhibit
                bar.advance()
                yield exhibit

    in_gallery = set(gallery)
    with progress.bar("drawing heatmaps", len(heated)) as bar:
        drawn = in_order(partial(close_up, scale=drawing.scale), heated_exhibits())
        close_ups = dict(zip(heated, drawn, strict=True))
    with progress.bar("making small pictures", len(shown)) as bar:
        thumbnails = {}
        for place, small in zip(shown, in_order(lambda n: thumbnail(_picture(tested[n], pixels)), shown), strict=True):
            thumbnails[place] = small
            bar.advance()
    return _Pictured(tuple(exhibits[place] for place in gallery), close_ups, thumbnails)


def _picture(sample: Sample, pixels: PixelCache) -> Pixels:
    try:
        return decode(sample.path, pixels.levels, first_page=pixels.first_page)
    except ImageError as error:
        raise DataError(f"{sample.file} was readable and no longer is: {error}.") from error


def choose_exhibits(tested: Sequence[Sample], scores: Floats, threshold: Threshold) -> list[int]:
    """Which test images the gallery shows: the worst mistakes first, then right ones spread over their scores.

    `scores` (N,) are those of the N test images; places among them are returned. Unsure verdicts are no mistakes.
    """
    verdicts = [threshold.verdict(score) for score in scores]
    told = [n for n in range(len(tested)) if verdicts[n] != "unsure"]
    mistakes = [n for n in told if tested[n].anomalous != (verdicts[n] == "anomalous")]
    mistakes.sort(key=lambda n: (-abs(scores[n] - threshold.value), tested[n].file))
    chosen = mistakes[:_MISTAKES]
    wrong = set(mistakes)
    for anomalous in (True, False):
        right = [n for n in told if tested[n].anomalous == anomalous and n not in wrong]
        right.sort(key=lambda n: (-scores[n], tested[n].file))
        spread = np.linspace(0, len(right) - 1, min(_RIGHT // 2, len(right))).round().astype(int)
        chosen += [right[at] for at in spread]
    return chosen
