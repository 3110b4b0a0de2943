"""Where the line between normal and anomalous is drawn, and in words why there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whycam.types import Floats, Threshold

_MARGIN = 1e-6
"""Beyond the outermost score there is no neighbour to be halfway to: this share of the score instead."""


def midpoint() -> Threshold:
    """The threshold 0.5: a rule fixed before any score is seen, so no image has helped to choose it."""
    return Threshold(0.5, rule="midpoint: halfway between the targets 0 and 1, not chosen from data")


def just_below(limit: float, scores: Floats) -> float:
    """Halfway from `limit` down to the next of the `scores` (N,): a little noise changes no verdict on any of them."""
    lower = scores[scores < limit]
    return _between(float(lower.max()) if lower.size else limit - _margin(limit), limit)


def just_above(limit: float, scores: Floats) -> float:
    """Halfway from `limit` up to the next of the `scores` (N,), and in any case above `limit`."""
    higher = scores[scores > limit]
    return _between(limit, float(higher.min()) if higher.size else limit + _margin(limit))


@dataclass(frozen=True)
class Cuts:
    """All ways in which a threshold can part N scores, the lowest threshold first: M different scores have M + 1."""

    scores: Floats
    """(M,) different ones, ascending; a threshold of cut j lies above score j - 1 and not above score j."""
    misses: npt.NDArray[np.intp]
    """(M + 1,) anomalous images below the threshold."""
    false_alarms: npt.NDArray[np.intp]
    """(M + 1,) normal images at or above it."""

    @classmethod
    def of(cls, anomalous: npt.NDArray[np.bool_], scores: Floats) -> Cuts:
        """The cuts of scores (N,), N >= 1, of images that are anomalous or not (N,)."""
        different, where = np.unique(scores, return_inverse=True)

        def below(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
            counts = np.bincount(where[chosen], minlength=len(different))
            return np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)

        return cls(different, below(anomalous), int(np.count_nonzero(~anomalous)) - below(~anomalous))

    def best(self, gain: Floats) -> float:
        """The threshold where `gain` (M + 1,) is largest; of neighbouring cuts that share it, the middle.

        Where such neighbours are found in several places, it is the place that spans the widest range of scores.
        """
        # Sums of costs that are equal but for rounding are ties.
        best = gain >= gain.max() - 1e-12 * np.abs(gain).max()
        edges = np.flatnonzero(np.diff(np.concatenate([[False], best, [False]]).astype(np.int8)))
        ends = self._ends()
        runs = [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
        first, last = max(runs, key=lambda run: ends[run[1]] - ends[run[0]])
        cut = self._cut(_between(float(ends[first]), float(ends[last])))
        return _between(float(ends[cut]), float(ends[cut + 1]))

    def at(self, value: float) -> tuple[int, int]:
        """Misses and false alarms at the threshold `value`."""
        cut = self._cut(value)
        return int(self.misses[cut]), int(self.false_alarms[cut])

    def _cut(self, value: float) -> int:
        return int(np.searchsorted(self.scores, value))

    def _ends(self) -> Floats:
        """(M + 2,): cut j reaches from end j to end j + 1."""
        lowest, highest = float(self.scores[0]), float(self.scores[-1])
        return np.concatenate([[lowest - _margin(lowest)], self.scores, [highest + _margin(highest)]])


def _between(lower: float, upper: float) -> float:
    """Halfway, and above `lower` even where no number lies between the two."""
    halfway = lower / 2 + upper / 2
    return halfway if halfway > lower else upper


def _margin(score: float) -> float:
    return _MARGIN * max(abs(score), _MARGIN)
