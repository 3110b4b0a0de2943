"""Cues compared within groups that hold both classes, where few groups say little of images compared across them.

A line, a patient or a day of which there are normal and anomalous images is its own control: whatever differs between
groups is the same for both of its classes. But images of one class in one group may share more than that (a session, a
lamp), so that it is groups that count as evidence, not images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata

from whycam.audits.cue_models import auroc, held_out_scores
from whycam.types import Floats

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]
_Strings = npt.NDArray[np.str_]

_FEWEST = 2
_SHARE = 0.5
"""Groups that hold both classes must have so many of the images of either: a few copies with different labels are no
design."""
_BY_GROUPS, _BY_IMAGES = 0.05, 0.01
"""Chances at which a cue that tells nothing would be taken for one, of all cues tried together."""


@dataclass(frozen=True)
class Told:
    """How well a cue tells the classes apart within groups."""

    area: float
    """Mean AUROC within a group, out of fold: every group weighs the same."""
    by_images: bool
    """Whether that is beyond chance if images of a group could be exchanged."""
    by_groups: bool
    """Whether it is if all images of one class in one group are a single piece of evidence."""


@dataclass(frozen=True)
class WithinGroups:
    """The images of groups that hold both classes."""

    rows: _Ints
    """(n,) of all images."""
    groups: _Ints
    """(n,) numbers 0 ... G - 1."""
    truth: _Bools
    folds: _Ints
    """(n,) the fold that each image is held out in; groups are whole."""
    tries: int
    """How many cues are tried."""

    @property
    def n_groups(self) -> int:
        """G."""
        return int(self.groups.max()) + 1

    def told(self, numbers: Floats, shares: Floats) -> Told:
        """How well these columns of all images, (N, a) and (N, b), tell the classes apart within groups.

        A model is fitted on ranks within groups, and judges groups that it has not seen. By groups: the sign test (of
        those in which the AUROC is not 0.5). By images: the stratified Wilcoxon-Mann-Whitney test (van Elteren 1960,
        Bulletin of the International Statistical Institute 37:351) with equal weights. Both with Bonferroni's factor.
        """
        ranks = np.zeros((len(self.rows), numbers.shape[1]))
        for place, column in enumerate(numbers.T):
            ranks[:, place] = self._ranks(column[self.rows])
        scores = held_out_scores(ranks, shares[self.rows], self.truth, self.folds)
        areas, variances = np.zeros(self.n_groups), np.zeros(self.n_groups)
        for group in range(self.n_groups):
            mine = self.groups == group
            areas[group] = auroc(scores[mine], self.truth[mine])
            n_anomalous = int(self.truth[mine].sum())
            variances[group] = (mine.sum() + 1) / (12 * n_anomalous * (mine.sum() - n_anomalous))
        return Told(float(areas.mean()), self._by_images(areas, variances), self._by_groups(areas))

    def _by_images(self, areas: Floats, variances: Floats) -> bool:
        z = float((areas - 0.5).sum() / np.sqrt(variances.sum()))
        return 2 * float(norm.sf(abs(z))) * self.tries < _BY_IMAGES

    def _by_groups(self, areas: Floats) -> bool:
        n_right, n_wrong = int((areas > 0.5).sum()), int((areas < 0.5).sum())
        if n_right <= n_wrong:
            return False
        return float(binomtest(n_right, n_right + n_wrong).pvalue) * self.tries < _BY_GROUPS

    def _ranks(self, column: Floats) -> Floats:
        """(n,) in (0, 1) within each group; NaN where unknown."""
        ranks = np.full(len(column), np.nan)
        for group in range(self.n_groups):
            known = np.flatnonzero((self.groups == group) & ~np.isnan(column))
            ranks[known] = (rankdata(column[known]) - 0.5) / max(len(known), 1)
        return ranks


def groups_of_both(truth: _Bools, units: _Strings) -> tuple[_Ints, _Ints] | None:
    """Rows of the images whose unit holds both classes, and the numbers of these units, 0 ... G - 1, for each row.

    None where there are fewer than two, or where they hold less than half of the images of a class.
    """
    names, members = np.unique(units, return_inverse=True)
    counts = np.zeros((len(names), 2), dtype=np.intp)
    np.add.at(counts, (members, truth.astype(np.intp)), 1)
    both = counts.min(axis=1) > 0
    if both.sum() < _FEWEST or (counts[both].sum(axis=0) < _SHARE * counts.sum(axis=0)).any():
        return None
    rows = np.flatnonzero(both[members])
    return rows, np.unique(members[rows], return_inverse=True)[1]
