"""From raw logits to probabilities, on logits of images that the model was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from whycam.types import Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """``probability = sigmoid(sum_j slopes_j * z_j + intercept)`` for raw logits z of one model, or of several."""

    slopes: tuple[float, ...]
    intercept: float

    def logits(self, raw: Floats) -> Floats:
        """Calibrated logits (N,) of raw ones (N, J)."""
        result: Floats = raw @ np.array(self.slopes) + self.intercept
        return result


def normal_only(distances: Floats, *, level: float = 0.01) -> tuple[Calibration, float]:
    """Without anomalies: 0.5 lies just beyond all but `level` of the distances of held-out normal images.

    Of n distances that is the k-th smallest with ``k = ceil((n + 1) (1 - level))``, so that a new normal image lies
    beyond it with a chance of ``1 - k / (n + 1)`` (Vovk, Gammerman and Shafer 2005), or beyond the largest, with one of
    ``1 / (n + 1)``, where n is too small for `level`. Logits are in units of the distances' spread.

    Args:
        distances: (N,) finite, by models that had not seen the images.
        level: the share of new normal images that may be called anomalous, in (0, 1).

    Returns:
        The calibration, and the chance that a new normal image is called anomalous at 0.5.
    """
    n = len(distances)
    k = min(n, math.ceil((n + 1) * (1 - level) - 1e-9))
    # Beyond, not at: the image at the limit is one of those that are called normal.
    limit = np.nextafter(float(np.sort(distances)[k - 1]), np.inf)
    slope = 1 / (float(distances.std()) + 1e-12)
    return Calibration((slope,), -slope * float(limit)), 1 - k / (n + 1)


def platt(raw: Floats, anomalous: npt.NDArray[np.bool_]) -> Calibration:
    """Platt scaling (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2), of one or more z.

    Logistic regression with Platt's smoothed targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that few images never
    give certainty; slopes are not negative. With several z it is stacking (Wolpert 1992, Neural Networks 5:241), with
    a pull towards equal slopes, in units of each z's spread, that vanishes as images of the rarer class grow many.

    Args:
        raw: (N, J) logits of images that the models were not trained on.
        anomalous: (N,), both classes present.
    """
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    if not n_anomalous or not n_normal:
        raise ValueError("both classes are needed")
    targets = np.where(anomalous, (n_anomalous + 1) / (n_anomalous + 2), 1 / (n_normal + 2))
    # In units of their own spread, so that the optimiser sees slopes of one size.
    spread = raw.std(axis=0) + 1e-12
    middle = raw.mean(axis=0)
    x = np.column_stack([(raw - middle) / spread, np.ones(len(raw))])

    def loss(weights: Floats) -> tuple[float, Floats]:
        z = x @ weights
        apart = weights[:-1] - weights[:-1].mean()
        value = float(np.mean(np.logaddexp(0.0, z) - targets * z)) + pull * float(apart @ apart)
        gradient: Floats = x.T @ (expit(z) - targets) / len(z)
        gradient[:-1] += 2 * pull * apart
        return value, gradient

    columns = raw.shape[1]
    pull = 1 / (n_anomalous + n_normal)
    start = np.append(np.full(columns, 1 / columns), np.log(n_anomalous / n_normal))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * columns + [(None, None)])
    slopes = found.x[:-1] / spread
    return Calibration(tuple(slopes.tolist()), float(found.x[-1] - slopes @ middle))


def log_loss(logits: Floats, anomalous: npt.NDArray[np.bool_]) -> float:
    """Mean cross-entropy of calibrated logits (N,), in nats: the smaller, the better the probabilities."""
    return float(log_losses(logits, anomalous).mean())


def log_losses(logits: Floats, anomalous: npt.NDArray[np.bool_]) -> Floats:
    """Cross-entropy (N,) of each."""
    losses: Floats = np.logaddexp(0.0, logits) - anomalous * logits
    return losses
