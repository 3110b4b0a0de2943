"""Folds that keep units whole and classes even, dealt as scikit-learn deals them, in a fraction of the time.

Its StratifiedGroupKFold takes a second for every few thousand units, which is longer than the models that are fitted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_random_state

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]


def deal(anomalous: _Bools, units: npt.NDArray[np.generic], n_folds: int, *, seed: int) -> _Ints:
    """(N,) the fold that each image is held out in: images of one unit share it, and classes have equal shares of all.

    The same folds as by scikit-learn's StratifiedKFold where every unit is one image, else by its StratifiedGroupKFold:
    units that are most unlike the whole come first, and each goes where it leaves the folds' shares of the classes the
    most even (Wasikowski, stratified group k-fold), of equal folds to the one with the fewest images.

    Args:
        anomalous: (N,) labels, of both classes, each with at least `n_folds` units.
        units: (N,) equal values belong together.
        n_folds: at least 2.
        seed: of the order of units.
    """
    _, members = np.unique(units, return_inverse=True)
    n_units = int(members.max()) + 1
    if n_units == len(units):
        return _dealt_singly(anomalous, n_folds, seed)
    order = np.arange(n_units)
    check_random_state(seed).shuffle(order)
    counts = np.zeros((n_units, 2))
    np.add.at(counts, (members, anomalous.astype(np.intp)), 1)
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    totals = counts.sum(axis=0)
    held = np.zeros((n_folds, 2))
    proposals = np.eye(n_folds)[:, :, np.newaxis]
    fold_of = np.zeros(n_units, dtype=np.intp)
    for unit in order.tolist():
        shares = (held + proposals * counts[unit]) / totals
        # (proposal,) how uneven the folds would be.
        spread = np.sqrt(np.square(shares - shares.mean(axis=1, keepdims=True)).mean(axis=1)).mean(axis=1)
        best = _least(spread.tolist(), held.sum(axis=1).tolist())
        held[best] += counts[unit]
        fold_of[unit] = best
    folds: _Ints = fold_of[members]
    return folds


def _dealt_singly(anomalous: _Bools, n_folds: int, seed: int) -> _Ints:
    folds = np.zeros(len(anomalous), dtype=np.intp)
    parts = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros((len(folds), 1)), anomalous)
    for fold, (_, out) in enumerate(parts):
        folds[out] = fold
    return folds


def _least(spread: list[float], sizes: list[float]) -> int:
    """The place of the least spread; of nearly equal ones that with the least size."""
    best = 0
    for fold in range(1, len(spread)):
        close = abs(spread[fold] - spread[best]) <= 1e-8 + 1e-5 * abs(spread[best])
        if spread[fold] < spread[best] or (close and sizes[fold] < sizes[best]):
            best = fold
    return best
