"""AUROC and average precision of many weightings at once; sorting once is what makes their intervals affordable."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.types import Floats


class Ranking:
    """One order of images by score, from which figures follow for any weights.

    Args:
        truth: (N,) whether each image is anomalous.
        scores: (N,) finite scores; equal scores are ties and count as such.
        members: (N,) the cluster of each image, whose weight the image takes; every image its own unless given.
    """

    def __init__(
        self, truth: npt.NDArray[np.bool_], scores: Floats, *, members: npt.NDArray[np.intp] | None = None
    ) -> None:
        members = np.arange(len(scores)) if members is None else members
        order = np.argsort(scores, kind="stable")
        positive, negative = order[truth[order]], order[~truth[order]]
        self._positives = members[positive]
        self._negatives = members[negative]
        # For each anomalous image: how many images of a kind have a lower score (left), a lower or equal one (right).
        self._negatives_below = np.searchsorted(scores[negative], scores[positive], side="left")
        self._negatives_upto = np.searchsorted(scores[negative], scores[positive], side="right")
        self._positives_below = np.searchsorted(scores[positive], scores[positive], side="left")

    def auroc(self, weights: Floats) -> Floats:
        """Area under the ROC curve (Hanley and McNeil 1982): the chance that an anomalous image outscores a normal one.

        A tie counts one half. `weights` (clusters, R) >= 0; returns (R,), NaN exactly where a class has no weight.
        """
        positives, negatives = weights[self._positives], _cumulative(weights[self._negatives])
        n_pairs = positives.sum(axis=0) * negatives[-1]
        won = np.einsum("ir,ir->r", positives, negatives[self._negatives_below] + negatives[self._negatives_upto])
        return _ratio(won, 2 * n_pairs, defined=n_pairs > 0)

    def average_precision(self, weights: Floats) -> Floats:
        """Precision averaged over the anomalous images, each at its own score, without interpolation.

        It is the sum over distinct scores of (R_n - R_(n-1)) P_n, recall R and precision P, as scikit-learn has it.

        `weights` (clusters, R) >= 0; returns (R,), NaN exactly where a class has no weight.
        """
        positives, negatives = weights[self._positives], _cumulative(weights[self._negatives])
        found = _cumulative(positives)
        n_positive, n_negative = found[-1], negatives[-1]
        true = n_positive - found[self._positives_below]
        false = n_negative - negatives[self._negatives_below]
        # Where nothing is found, the image itself has weight 0 and adds nothing.
        precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
        total = np.einsum("ir,ir->r", positives, precision)
        return _ratio(total, n_positive, defined=(n_positive > 0) & (n_negative > 0))


def _cumulative(weights: Floats) -> Floats:
    """(n + 1, R) sums of the first 0, 1, ..., n rows."""
    sums = np.zeros((weights.shape[0] + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def _ratio(numerator: Floats, denominator: Floats, *, defined: npt.NDArray[np.bool_]) -> Floats:
    ratio: Floats = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=defined)
    return ratio
