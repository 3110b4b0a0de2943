"""How much too good the figures of a naive split are, when it tears apart images that belong together.

Warnings about leaks are easily waved away; a figure that falls from .997 to .915 is not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whycam.audits.audit import Optimism
from whycam.audits.cheap_head import out_of_fold_logits, trained_logits
from whycam.types import Estimate, Floats, Split

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]

_RESAMPLES = 500
_CELLS = 1 << 21
_TAIL = 0.025
_FEWEST = 10
"""Images of each class that a figure on a part of the test images needs."""


def measure_optimism(
    rows: Floats,
    anomalous: _Bools,
    units: Sequence[str],
    *,
    whole: Floats | None,
    split: Sequence[Split | None] | None = None,
    seed: int,
) -> Optimism | None:
    """The AUROC of the cheap head, naive and leak-free.

    None where no unit has several images (nothing could leak), or where units are too few to be cross-validated.

    Args:
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        anomalous: (N,) labels.
        units: N names; equal names must not be divided, as `find_clusters` has them.
        whole: (N,) as `cheap_head.out_of_fold_logits` has them for `units`, None where these are too few.
        split: what the data give; None, or None anywhere, if they do not give one.
        seed: of folds and resamples.

    Raises:
        ValueError: the lengths differ.
    """
    if not len(rows) == len(anomalous) == len(units) or (split is not None and len(split) != len(units)):
        raise ValueError("`rows`, `anomalous`, `units` and `split` must be of one length.")
    if whole is None or len(set(units)) == len(units):
        return None
    naive = out_of_fold_logits(rows, anomalous, [str(index) for index in range(len(units))], seed=seed)
    if naive is None:
        return None
    members = np.unique(np.asarray(units), return_inverse=True)[1]
    estimates = _estimates(anomalous, {"naive": naive, "whole": whole}, members, seed)
    test, clean_test, n_clean = _on_given(rows, anomalous, members, split, seed)
    return Optimism(estimates["naive"], estimates["whole"], estimates["difference"], test, clean_test, n_clean)


def auroc(anomalous: _Bools, scores: Floats, weights: Floats) -> Floats:
    """(R,) area under the ROC curve (Hanley and McNeil 1982) for R weightings; a tie counts one half.

    Args:
        anomalous: (N,) labels.
        scores: (N,) finite.
        weights: (N, R) >= 0; NaN comes of a weighting that leaves nothing of a class.
    """
    values, ranks = np.unique(scores, return_inverse=True)
    order = np.argsort(ranks[~anomalous], kind="stable")
    edges = np.searchsorted(ranks[~anomalous][order], np.arange(len(values) + 1))
    below = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(weights[~anomalous][order], axis=0)])[edges]
    mine = ranks[anomalous]
    won = np.einsum("ir,ir->r", weights[anomalous], below[mine] + below[mine + 1])
    pairs = 2 * weights[anomalous].sum(axis=0) * weights[~anomalous].sum(axis=0)
    areas: Floats = np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
    return areas


def _estimates(anomalous: _Bools, scores: dict[str, Floats], members: _Ints, seed: int) -> dict[str, Estimate]:
    """The AUROC of each of the scores (N,), and, of two, the difference; whole units are resampled (Efron 1979)."""
    rng = np.random.default_rng(seed)
    n_units = int(members.max()) + 1
    drawn: dict[str, list[Floats]] = {name: [] for name in scores}
    at_once = max(1, _CELLS // len(members))
    for first in range(0, _RESAMPLES, at_once):
        width = min(at_once, _RESAMPLES - first)
        weights = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=width).T[members].astype(np.float64)
        for name, values in scores.items():
            drawn[name].append(auroc(anomalous, values, weights))
    every = np.ones((len(members), 1))
    points = {name: auroc(anomalous, values, every) for name, values in scores.items()}
    resampled = {name: np.concatenate(parts) for name, parts in drawn.items()}
    if len(scores) == 2:
        first_name, second_name = scores
        points["difference"] = points[first_name] - points[second_name]
        resampled["difference"] = resampled[first_name] - resampled[second_name]
    return {name: _estimate(float(points[name][0]), resampled[name]) for name in points}


def _estimate(value: float, resampled: Floats) -> Estimate:
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(value):
        return Estimate(None, None, None)
    if 2 * len(defined) < len(resampled):
        return Estimate(value, None, None)
    low, high = np.quantile(defined, [_TAIL, 1 - _TAIL])
    return Estimate(value, float(low), float(high))


def _on_given(
    rows: Floats, anomalous: _Bools, members: _Ints, split: Sequence[Split | None] | None, seed: int
) -> tuple[Estimate | None, Estimate | None, int]:
    """The figure on the given test part, on its clean images, and the number of these."""
    if split is None or any(side is None for side in split):
        return None, None, 0
    test = np.array([side == "test" for side in split])
    clean = test & ~np.isin(members, members[~test])
    if not (test & ~clean).any():
        return None, None, 0
    if len(set(anomalous[~test].tolist())) < 2 or len(set(anomalous[test].tolist())) < 2:
        return None, None, int(clean.sum())
    logits = np.zeros(len(anomalous))
    logits[test] = trained_logits(rows, anomalous, train=~test, judged=test)

    def figure(part: _Bools) -> Estimate:
        numbers = np.unique(members[part], return_inverse=True)[1]
        return _estimates(anomalous[part], {"": logits[part]}, numbers, seed)[""]

    enough = min(int((anomalous & clean).sum()), int((~anomalous & clean).sum())) >= _FEWEST
    return figure(test), figure(clean) if enough else None, int(clean.sum())
