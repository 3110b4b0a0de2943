"""The judging stage of a run: scores for every image, metrics, and the report that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from whycam import run_folder
from whycam.atomic import write_text
from whycam.card import DataCard
from whycam.data.cache import PixelCache
from whycam.data.images import decode, shrink
from whycam.detector import BATCH, Detector, batches
from whycam.errors import DataError, ImageError
from whycam.evaluation.curves import curves
from whycam.evaluation.evaluate import evaluate, to_json
from whycam.evaluation.reliability import reliability
from whycam.progress import Progress
from whycam.report.contents import ReportInput
from whycam.report.page import write_report
from whycam.types import Dataset, EpochRecord, Evaluation, Exhibit, Floats, Pixels, Predictions, Sample, Threshold

_SCALE_IMAGES = 64
_SCALE_QUANTILE = 0.75
_MISTAKES, _RIGHT = 24, 12
_PICTURE_SIDE = 384


def heatmap_scale(
    detector: Detector, dataset: Dataset, pixels: PixelCache, scores: Floats, *, progress: Progress
) -> float:
    """The heatmap value shown as the hottest colour, one for the whole run.

    The upper quartile of the heatmaps' maxima over training images whose verdict is anomalous, so that most alarms show
    their reason below it; over those whose target is anomalous where there is no such verdict, and over all where there
    is neither. At most 64 images are looked at, evenly spread. 0 where no heatmap has a positive cell.

    `scores` (N,) are those of all of `dataset.samples`.
    """
    train = [number for number, sample in enumerate(dataset.samples) if sample.split == "train"]
    verdicts = [number for number in train if detector.card.threshold.verdict(scores[number]) == "anomalous"]
    targets = [number for number in train if dataset.samples[number].anomalous]
    chosen = verdicts or targets or train
    rows = pixels.rows([dataset.samples[number] for number in chosen[:: -(-len(chosen) // _SCALE_IMAGES)]])
    maxima: list[float] = []
    with progress.bar("setting the colour scale", len(rows)) as bar:
        for batch in batches(rows.tolist()):
            maxima += detector.explain_pixels(pixels.read(batch)).heatmaps.max(axis=(1, 2)).tolist()
            bar.advance(len(batch))
    return float(np.quantile(maxima, _SCALE_QUANTILE))


def judge(
    folder: Path,
    detector: Detector,
    dataset: Dataset,
    pixels: PixelCache,
    scores: Floats,
    *,
    evaluated: DataCard | None,
    history: Sequence[EpochRecord],
    progress: Progress,
) -> Evaluation:
    """Write predictions.csv, metrics.json, report.html, plots and gallery into `folder`.

    `scores` (N,) are those of all of `dataset.samples`; `evaluated` describes `dataset` where it is not what the model
    was trained on.
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
    exhibits = _exhibits(detector, dataset, pixels, scores, progress=progress)
    run_folder.write_predictions(folder, sets, threshold)
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
        exhibits=exhibits,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
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


def _exhibits(
    detector: Detector, dataset: Dataset, pixels: PixelCache, scores: Floats, *, progress: Progress
) -> tuple[Exhibit, ...]:
    chosen = choose_exhibits(dataset.samples, scores, detector.card.threshold)
    rows = pixels.rows([dataset.samples[number] for number in chosen])
    exhibits = []
    with progress.bar("drawing heatmaps", len(chosen)) as bar:
        for first in range(0, len(chosen), BATCH):
            explanation = detector.explain_pixels(pixels.read(rows[first : first + BATCH]))
            for at, number in enumerate(chosen[first : first + BATCH]):
                sample = dataset.samples[number]
                picture = shrink(_picture(sample), _PICTURE_SIDE)
                exhibit = detector.exhibit(
                    explanation, at, picture, file=sample.file, split=sample.split or "", target=sample.target
                )
                exhibits.append(replace(exhibit, score=float(scores[number])))
                bar.advance()
    return tuple(exhibits)


def _picture(sample: Sample) -> Pixels:
    try:
        return decode(sample.path)
    except ImageError as error:
        raise DataError(f"{sample.file} was readable and no longer is: {error}.") from error


def choose_exhibits(samples: Sequence[Sample], scores: Floats, threshold: Threshold) -> list[int]:
    """Which test images the gallery shows: the worst mistakes first, then right ones spread over their scores."""
    test = [number for number, sample in enumerate(samples) if sample.split == "test"]
    mistakes = [n for n in test if samples[n].anomalous != (threshold.verdict(scores[n]) == "anomalous")]
    mistakes.sort(key=lambda n: (-abs(scores[n] - threshold.value), samples[n].file))
    chosen = mistakes[:_MISTAKES]
    wrong = set(mistakes)
    for anomalous in (True, False):
        right = [n for n in test if samples[n].anomalous == anomalous and n not in wrong]
        right.sort(key=lambda n: (-scores[n], samples[n].file))
        spread = np.linspace(0, len(right) - 1, min(_RIGHT // 2, len(right))).round().astype(int)
        chosen += [right[at] for at in spread]
    return chosen
