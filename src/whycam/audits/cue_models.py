"""How well a cue alone tells the classes apart: a small cross-validated model, and an interval that stays honest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm, rankdata
from sklearn.linear_model import LogisticRegression

from whycam.audits.folds import deal
from whycam.data.hushed import HUSHED_SOLVERS
from whycam.types import Estimate, Floats

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]

N_FOLDS = 5
_KNOTS = 5
_INVERSE_PENALTY = 1.0
"""Of the squared weights (scikit-learn's C); columns lie in [0, 1]."""


def folds_of(anomalous: _Bools, units: npt.NDArray[np.str_], *, seed: int, fewest: int = N_FOLDS) -> _Ints | None:
    """(N,) the fold that each image is held out in, classes in equal shares and units whole.

    None where a class is spread over fewer units than `fewest`, 2 to 5, so that nothing can be said; where over fewer
    than five, there are as many folds as units.
    """
    n_units = min(units_of_each_class(anomalous, units))
    return None if n_units < fewest else deal(anomalous, units, min(n_units, N_FOLDS), seed=seed)


def units_of_each_class(anomalous: _Bools, units: npt.NDArray[np.str_]) -> tuple[int, int]:
    """How many units have a normal image, and how many an anomalous one."""
    return len(set(units[~anomalous].tolist())), len(set(units[anomalous].tolist()))


def held_out_scores(numbers: Floats, shares: Floats, anomalous: _Bools, folds: _Ints) -> Floats:
    """(N,) score of each image by a logistic regression that was fitted without its fold.

    Every number is replaced by its rank among the images fitted on, and that by five hat functions (a linear spline),
    so that scale and outliers do not matter and a relation that is not monotone is found; an unknown number has none.

    Args:
        numbers: (N, a), NaN where unknown.
        shares: (N, b) in [0, 1], taken as they are.
        anomalous: (N,).
        folds: (N,) the fold that each image is held out in.
    """
    scores = np.zeros(len(anomalous))
    for fold in np.unique(folds):
        out = folds == fold
        if anomalous[~out].all() or not anomalous[~out].any():
            continue
        # A column that never changes among the images fitted on could only shift the intercept.
        columns = [_hats(number[~out], number) for number in numbers.T if np.ptp(number[~out]) != 0]
        inputs = np.concatenate([*columns, shares], axis=1)
        if not inputs.shape[1]:
            continue
        model = LogisticRegression(C=_INVERSE_PENALTY, solver="newton-cholesky", max_iter=100)
        # Where the first step finds nothing to gain, Newton's method hands over to a slower one, and says so.
        with HUSHED_SOLVERS:
            model.fit(inputs[~out], anomalous[~out])
        scores[out] = model.decision_function(inputs[out])
    return scores


def auroc(scores: Floats, anomalous: _Bools) -> float:
    """Area under the ROC curve (Hanley and McNeil 1982, Radiology 143:29): ties count one half; both classes needed."""
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    won = rankdata(scores)[anomalous].sum() - n_anomalous * (n_anomalous + 1) / 2
    return float(won / (n_anomalous * n_normal))


def auroc_interval(area: float, n_normal: int, n_anomalous: int, *, tries: int = 1) -> Estimate:
    """An AUROC with its 95 % interval, also where it is 1 or images are few.

    Newcombe 2006 (Statistics in Medicine 25:559), method 5: both ends solve ``|area - t| = z sqrt(V(t))`` with Hanley
    and McNeil's variance taken at the end t itself, not at the estimate, where it would be 0 for an area of 1. With
    ``tries`` > 1 the intervals of so many AUROCs hold all at once (Bonferroni).

    Args:
        area: the AUROC, in [0, 1].
        n_normal: independent normal images: units, where several images are of one thing; at least 1.
        n_anomalous: likewise.
        tries: how many AUROCs were looked at.
    """
    z = float(norm.isf(0.025 / tries))

    def excess(end: float) -> float:
        spare = ((n_normal + n_anomalous) / 2 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
        return float((area - end) ** 2 - z**2 * end * (1 - end) * (1 + spare) / (n_normal * n_anomalous))

    # At 0 and at 1 the variance is 0, so the ends are bracketed; between area and the end it is the other sign.
    low = 0.0 if area == 0 else float(brentq(excess, 0.0, min(area, 1 - 1e-12)))
    high = 1.0 if area == 1 else float(brentq(excess, max(area, 1e-12), 1.0))
    return Estimate(area, low, high)


def _hats(fitted_on: Floats, number: Floats) -> Floats:
    """(N, 5) how near each number's rank among `fitted_on` is to the five knots; rows add up to 1, or 0 where NaN."""
    known = np.sort(fitted_on[~np.isnan(fitted_on)])
    if not len(known):
        return np.zeros((len(number), _KNOTS))
    # Both sides, so that ties take their middle rank.
    rank = (np.searchsorted(known, number, side="left") + np.searchsorted(known, number, side="right")) / 2
    place = rank / len(known) * (_KNOTS - 1)
    hats: Floats = np.clip(1 - np.abs(place[:, np.newaxis] - np.arange(_KNOTS)), 0, None)
    hats[np.isnan(number)] = 0
    return hats
