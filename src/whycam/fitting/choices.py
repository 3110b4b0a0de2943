"""What a training chose on training images alone, in sentences for the card, the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from whycam.evaluation.metrics import measure
from whycam.evaluation.threshold import midpoint
from whycam.networks.views import NAMES
from whycam.report.words import estimate, images, number, share
from whycam.types import Estimate, Floats, Predictions, Sample

_FEW = 30


def views_sentence(losses: Mapping[tuple[int, ...], float], chosen: tuple[int, ...]) -> str:
    """Which views of an image are judged, and what the others would have cost."""
    text = f"Views: {_listed(chosen)}"
    others = [f"{number(loss)} with {_listed(views)}" for views, loss in losses.items() if views != chosen]
    if others:
        text += (
            f"; in short trials log loss on held-out training images {number(losses[chosen])}, "
            f"against {', '.join(others)}"
        )
    return f"{text}."


def time_sentence(done: int, planned: int) -> str:
    """That the budget ended a training early."""
    return f"The time was up after {done} of {planned} epochs."


def torn_sentence() -> str:
    """That what belongs together could not be kept on one side of a fold."""
    return (
        "All training images of a class are copies or one group, so cross-validation divides them: "
        "its figures and the calibration are too optimistic."
    )


def calibration_sentence(n: int) -> str:
    """How scores became probabilities."""
    return f"Scores are calibrated (Platt scaling) on {images(n, 'training')}, each judged by a head not trained on it."


def auroc_sentence(logits: Floats, samples: Sequence[Sample], *, seed: int) -> str:
    """How well held-out training images are told apart, and how sure that is."""
    auroc, n = _auroc(logits, samples, seed)
    caution = f" Only {images(n, 'anomalous')} to learn from: take the interval seriously." if n < _FEW else ""
    return f"Cross-validated on the training images: AUROC {estimate(auroc)}.{caution}"


def _auroc(logits: Floats, samples: Sequence[Sample], seed: int) -> tuple[Estimate, int]:
    """AUROC and number of anomalous images."""
    predictions = Predictions(
        files=tuple(sample.file for sample in samples),
        targets=np.array([sample.target for sample in samples], dtype=np.float64),
        scores=expit(logits),
        groups=tuple(sample.group for sample in samples),
    )
    metrics = measure(predictions, midpoint(), probabilities=True, seed=seed)
    return metrics.auroc, metrics.n_anomalous


def few_sentence(n: int, false_alarms: float) -> str:
    """What was done with hardly any anomaly, and the chance that a new normal image is called anomalous at 0.5."""
    found = images(n, "anomalous") if n else "no anomalous image"
    return (
        f"With {found} to learn from, the model knows normal images only: a score says how far an image lies from "
        "them and is no calibrated probability. At 0.5, about "
        f"{share(false_alarms)} % of new normal images are called anomalous."
    )


def _listed(views: tuple[int, ...]) -> str:
    return f"the image {', '.join(NAMES[view] for view in views)}"


def tuning_sentence(before: float, after: float, error: float, *, clear: float, tuned: bool) -> str:
    """Whether fine-tuning made the network better, by log loss: `clear` standard errors of the difference are asked."""
    text = (
        f"Fine-tuning: log loss on held-out training images {number(after)}, against {number(before)} with the network "
        f"as it was (standard error of the difference {number(error)})"
    )
    if tuned:
        return f"{text}: better by more than {clear:g} of these, so the fine-tuned network is taken."
    return f"{text}: not better by {clear:g} of these, so the network stays as it was, as in the recipe default."


def weights_sentence(losses: Mapping[float, float], chosen: float) -> str:
    """How far the weights went from the pretrained to the fine-tuned ones, and what other distances would have cost."""
    others = ", ".join(f"{number(loss)} at {share(way)} %" for way, loss in losses.items() if way != chosen)
    return (
        f"Weights: {share(chosen)} % of the way from the pretrained to the fine-tuned ones; log loss on held-out "
        f"training images {number(losses[chosen])}, against {others}."
    )


def validation_sentences(logits: Floats, samples: Sequence[Sample], *, seed: int) -> tuple[str, str]:
    """How scores became probabilities, and how well the images that this was done on are told apart."""
    auroc, n = _auroc(logits, samples, seed)
    caution = f" They have only {images(n, 'anomalous')}: take the interval seriously." if n < _FEW else ""
    kept = images(len(samples), "training")
    return (
        f"Scores are calibrated (Platt scaling) on {kept} that were kept out of the training.",
        f"These also chose the weights; on them AUROC {estimate(auroc)}.{caution}",
    )
