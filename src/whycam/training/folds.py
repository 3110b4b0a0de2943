"""Cross-validation folds of training images: what belongs together never stands on both sides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.intp]


def draw_folds(anomalous: npt.NDArray[np.bool_], units: Sequence[Hashable], n_folds: int, *, seed: int) -> Ints:
    """The number of the fold that each image is held out in, (N,).

    Images of one unit (a group, or copies of one file) share a fold. Units are dealt out in random order, biggest
    first, each to the fold that has the fewest images of its rarer class so far.

    Args:
        anomalous: (N,).
        units: N names; equal names belong together.
        n_folds: at least 2.
        seed: of the order in which units of equal size are dealt.
    """
    rng = np.random.default_rng(seed)
    members: dict[Hashable, list[int]] = {}
    for index, unit in enumerate(units):
        members.setdefault(unit, []).append(index)
    counts = {unit: np.bincount(anomalous[rows].astype(int), minlength=2) for unit, rows in members.items()}
    names = list(members)
    order = sorted(rng.permutation(len(members)).tolist(), key=lambda number: -len(members[names[number]]))
    have = np.zeros((n_folds, 2))
    totals = np.maximum(np.bincount(anomalous.astype(int), minlength=2), 1)
    folds = np.zeros(len(anomalous), dtype=np.intp)
    for number in order:
        unit = names[number]
        # Shares of each class, so that the rarer one weighs as much as the commoner.
        after = ((have + counts[unit]) / totals) ** 2 - (have / totals) ** 2
        fold = int(after.sum(axis=1).argmin())
        have[fold] += counts[unit]
        folds[members[unit]] = fold
    return folds


def covered(folds: Ints, chosen: npt.NDArray[np.bool_]) -> bool:
    """Whether, whichever fold is held out, some of the chosen images (N,) are left."""
    return all(bool((chosen & (folds != fold)).any()) for fold in np.unique(folds))
