"""What a training chose on training images alone, in sentences for the card, the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from whycam.evaluation.metrics import measure
from whycam.evaluation.threshold import midpoint
from whycam.networks.views import NAMES
from whycam.report.words import estimate, images, number
from whycam.types import Floats, Predictions, Sample

_FEW = 30


def views_sentence(losses: Mapping[tuple[int, ...], float], chosen: tuple[int, ...]) -> str:
    """Which views of an image are judged, and what the others would have cost."""
    text = f"Views: {_listed(chosen)}"
    others = [f"{number(loss)} with {_listed(views)}" for views, loss in losses.items() if views != chosen]
    if others:
        text += f"; log loss on held-out training images {number(losses[chosen])}, against {', '.join(others)}"
    return f"{text}."


def calibration_sentence(n: int) -> str:
    """How scores became probabilities."""
    return f"Scores are calibrated (Platt scaling) on {images(n, 'training')}, each judged by a head not trained on it."


def auroc_sentence(logits: Floats, samples: Sequence[Sample], *, seed: int) -> str:
    """How well held-out training images are told apart, and how sure that is."""
    predictions = Predictions(
        files=tuple(sample.file for sample in samples),
        targets=np.array([sample.target for sample in samples], dtype=np.float64),
        scores=expit(logits),
        groups=tuple(sample.group for sample in samples),
    )
    metrics = measure(predictions, midpoint(), probabilities=True, seed=seed)
    n = metrics.n_anomalous
    caution = f" Only {images(n, 'anomalous')} to learn from: take the interval seriously." if n < _FEW else ""
    return f"Cross-validated on the training images: AUROC {estimate(metrics.auroc)}.{caution}"


def few_sentence(n: int) -> str:
    """What was done with hardly any anomaly."""
    found = images(n, "anomalous") if n else "no anomalous image"
    return (
        f"With {found} to learn from, the model knows normal images only: a score says how far an image lies from "
        "them and is no calibrated probability. At 0.5, about 1 % of held-out normal training images would be called "
        "anomalous."
    )


def _listed(views: tuple[int, ...]) -> str:
    return ", ".join(NAMES[view] for view in views)
