"""Which cues tell the classes apart so well that it must be said: the levels, with their reasons, and the trial itself.

Real defects move cues too, and a warning about an honest data set costs trust. So the levels are high, and differ by
how far the object itself can move a cue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from whycam.audits.audit import CueResult
from whycam.audits.cue_models import (
    N_FOLDS,
    auroc,
    auroc_interval,
    folds_of,
    held_out_scores,
    units_of_each_class,
)
from whycam.audits.cues import HISTOGRAM, Cue, CueKind, Measured, cues_of
from whycam.audits.findings import Severity
from whycam.audits.pixel_facts import Region
from whycam.audits.within_groups import WithinGroups, groups_of_both
from whycam.data.parallel import in_order
from whycam.progress import SILENT, Progress
from whycam.types import Estimate, Floats

_Bools = npt.NDArray[np.bool_]
_Strings = npt.NDArray[np.str_]

_GRAVEST_FIRST: tuple[Severity, ...] = ("serious", "warning", "note")

LOW_LEVEL = 0.7
"""The lower end of a cue's interval must reach this before anything is said of it. With the intervals widened for all
cues tried, 20 images of each class that are told apart without a mistake reach it, and chance does not."""

CHANCE = 0.5
"""Or only this, where groups hold both classes and the cue tells them apart within groups as well."""

LEVELS: dict[CueKind, float] = {
    # Defects do reach borders, and corners darken with the rest: those cues come to .75 on solar cells, .6 on tiles.
    "place": 0.9,
    # The way an image was stored or taken is no part of the object.
    "recording": 0.9,
    "camera": 0.9,
    # Classes are often photographed one after the other; only where they hardly overlap does it stand out.
    "time": 0.97,
    # Any defect moves light, contrast and sharpness; .8 is common, and a plain one may reach .97.
    "appearance": 0.98,
    # Only of use to see that classes come from different sources.
    "unseen": 0.98,
}
"""The AUROC itself that a cue of each kind must reach."""

FEWER_ERRORS = 0.5
"""A border or corner must leave at most so much of the ranking errors (1 - AUROC) of the best patch inside, and the
lower end of its own 95 % interval must lie above that patch's AUROC: else it only shows what the whole image shows.
Likewise of those of most pixels of the image, where a cue of appearance is beyond its level."""

BULK_LEVEL = 0.9
"""A cue of appearance that most of the pixels alone do not bring to this is what a defect of small area looks like: a
dark spot changes the ends of a histogram and leaves its quartiles. That is a note, no warning."""

SURE_LEVEL = 0.9
"""But where so many images show it that a histogram's whole interval lies above this, grey levels alone are enough,
whichever pixels they are of: then it is worth a warning."""

EVERYWHERE_LEVEL = 0.9
"""Where each border alone reaches this, a difference in appearance is in the light or the camera, not in a defect."""

SEVERITIES: dict[CueKind, Severity] = {
    "place": "serious",
    "recording": "serious",
    "camera": "warning",
    "time": "warning",
    "appearance": "warning",
    "unseen": "note",
}

IN_DOUBT: dict[CueKind, Severity] = {
    "place": "warning",
    "recording": "warning",
    "camera": "warning",
    "time": "warning",
    # Of few groups, the one class is often a little brighter or softer by chance, or by its defects.
    "appearance": "note",
    "unseen": "note",
}
"""At most, where a cue tells the classes apart within groups, and these are too few to exclude chance."""

MOST_IMAGES = 6000
"""The models are fitted on so many images at most: more would not move an AUROC by a hundredth."""


@dataclass(frozen=True)
class Tried:
    """A cue with its result, and the scores that show which images are typical of it."""

    cue: Cue
    """Of the images that were looked at."""
    scores: Floats
    """(n,) out of fold, higher = more like the anomalous images."""
    result: CueResult


@dataclass(frozen=True)
class Trials:
    """All cues that differ between images, tried on the images in `rows`."""

    rows: npt.NDArray[np.intp]
    """(n,) rows of the images that were looked at."""
    tried: tuple[Tried, ...]
    n_groups: int
    """Groups that hold both classes, where cues were compared within groups as well; else 0."""


def try_cues(measured: Measured, units: Sequence[str], *, seed: int = 0, progress: Progress = SILENT) -> Trials | None:
    """Tests every cue by itself: AUROC out of fold with its interval, and whether it is beyond the level of its kind.

    None where a class is spread over too few units: fewer than five, or than two where units hold both classes.

    Args:
        measured: N labelled images.
        units: N names; images of one name belong together, are held out together and count once.
        seed: of the folds, and of the choice of images where there are more than `MOST_IMAGES`.
        progress: hears how far it is.
    """
    names, truth = np.array(units), np.array([sample.anomalous for sample in measured.samples])
    rows = _chosen(truth, names, seed)
    names, truth = names[rows], truth[rows]
    both = groups_of_both(truth, names)
    folds = folds_of(truth, names, seed=seed, fewest=2 if both else N_FOLDS)
    if folds is None:
        return None
    cues = [_part(cue, rows) for cue in cues_of(measured)]
    within = None if both is None else WithinGroups(*both, truth[both[0]], folds[both[0]], len(cues))
    trial = _Trial(truth, folds, units_of_each_class(truth, names), len(cues), within)
    tried = []
    with progress.bar("looking for shortcuts", len(cues)) as bar, closing(in_order(trial.of, cues)) as results:
        for item in results:
            tried.append(item)
            bar.advance()
    return Trials(rows, tuple(_seen_together(tried)), within.n_groups if within else 0)


def sides(region: Region | None) -> frozenset[str]:
    """The sides of the image that a region lies on: one for a border, two for a corner, none for the whole image."""
    if region is None:
        return frozenset()
    left, top, right, bottom = region
    touched = {"left": left <= 0, "top": top <= 0, "right": right >= 1, "bottom": bottom >= 1}
    return frozenset(side for side, touches in touched.items() if touches)


@dataclass(frozen=True)
class _Trial:
    truth: _Bools
    folds: npt.NDArray[np.intp]
    n_units: tuple[int, int]
    tries: int
    within: WithinGroups | None

    def of(self, cue: Cue) -> Tried:
        scores = held_out_scores(cue.numbers, cue.shares, self.truth, self.folds)
        area = auroc(scores, self.truth)
        result = CueResult(cue.name, cue.kind, self._interval(area), region=cue.region)
        if area >= LEVELS[cue.kind]:
            if self._low(area) >= LOW_LEVEL:
                severity, beside = self._severity(cue, area, self._area)
                if cue.rivals and self._low(area, tries=1) <= (beside or 0.0):
                    severity = None
                return Tried(cue, scores, replace(result, beside=beside, severity=severity))
            result = replace(result, in_doubt=True)
        return Tried(cue, scores, result if self.within is None else self._compared_within(cue, result, self.within))

    def _compared_within(self, cue: Cue, result: CueResult, within: WithinGroups) -> CueResult:
        """What is said of a cue that says nothing across groups, or not surely."""
        told = within.told(cue.numbers, cue.shares)
        if told.area < LEVELS[cue.kind] or not told.by_images:
            return result
        severity, beside = self._severity(
            cue, told.area, lambda numbers: within.told(numbers, _no_shares(numbers)).area
        )
        if severity is None:
            return replace(result, beside=beside, in_doubt=False)
        across = result.auroc.value or 0.0
        sure = across >= LEVELS[cue.kind] and self._low(across) >= CHANCE
        if cue.rivals:
            sure = sure and self._low(across, tries=1) > (beside or 0.0)
        in_doubt = not (sure or told.by_groups)
        if in_doubt:
            severity = max(severity, IN_DOUBT[cue.kind], key=_GRAVEST_FIRST.index)
        return replace(result, beside=beside, severity=severity, within=told.area, in_doubt=in_doubt)

    def _severity(
        self, cue: Cue, area: float, area_of: Callable[[Floats], float]
    ) -> tuple[Severity | None, float | None]:
        if cue.rivals:
            beside = max(area_of(rival) for rival in cue.rivals)
            return SEVERITIES[cue.kind] if _stands_out(area, beside) else None, beside
        if cue.bulk is not None:
            beside = area_of(cue.bulk)
            alone = cue.name == HISTOGRAM and self._low(area) >= SURE_LEVEL
            return SEVERITIES[cue.kind] if beside >= BULK_LEVEL or alone else "note", beside
        return SEVERITIES[cue.kind], None

    def _area(self, numbers: Floats) -> float:
        return auroc(held_out_scores(numbers, _no_shares(numbers), self.truth, self.folds), self.truth)

    def _interval(self, area: float, *, tries: int | None = None) -> Estimate:
        return auroc_interval(area, *self.n_units, tries=tries or self.tries)

    def _low(self, area: float, *, tries: int | None = None) -> float:
        return self._interval(area, tries=tries).low or 0.0


def _seen_together(tried: Sequence[Tried]) -> list[Tried]:
    """What cues say of each other: a difference of most pixels is none of a border, and graver if borders show it."""
    least = _least_border(tried)
    together = []
    for item in tried:
        result = item.result
        if item.cue.kind == "appearance" and result.severity == "warning" and least >= EVERYWHERE_LEVEL:
            result = replace(result, severity="serious")
        if item.cue.kind == "place" and result.severity is not None and not _stands_out(_area(item), _of_most(tried)):
            result = replace(result, severity=None, in_doubt=False)
        together.append(replace(item, result=result))
    return together


def _stands_out(area: float, beside: float) -> bool:
    return area > beside and 1 - area <= FEWER_ERRORS * (1 - beside)


def _of_most(tried: Sequence[Tried]) -> float:
    """The best that most of the pixels do, where they tell the classes apart at all."""
    warned = (item.result for item in tried if item.cue.kind == "appearance" and item.result.warned)
    return max((result.beside or 0.0 for result in warned), default=0.0)


def _least_border(tried: Sequence[Tried]) -> float:
    """The AUROC of the border that tells least; 0 where one never changes."""
    best = dict.fromkeys(("left", "top", "right", "bottom"), 0.0)
    for item in tried:
        mine = sides(item.cue.region)
        for side in mine if len(mine) == 1 else ():
            best[side] = max(best[side], _area(item))
    return min(best.values())


def _area(item: Tried) -> float:
    return item.result.auroc.value or 0.0


def _chosen(anomalous: _Bools, units: _Strings, seed: int) -> npt.NDArray[np.intp]:
    """Rows to look at, whole units: all of them, or up to `MOST_IMAGES`, the rarer class first."""
    if len(units) <= MOST_IMAGES:
        return np.arange(len(units))
    rare = bool(anomalous.mean() < 0.5)
    names, inverse = np.unique(units, return_inverse=True)
    has_rare = np.zeros(len(names), dtype=np.bool_)
    has_rare[inverse[anomalous == rare]] = True
    taken = np.zeros(len(names), dtype=np.bool_)
    rng, room = np.random.default_rng(seed), MOST_IMAGES
    sizes = np.bincount(inverse)
    for group, share in ((has_rare, MOST_IMAGES // 2), (~has_rare, MOST_IMAGES)):
        order = rng.permutation(np.flatnonzero(group))
        fitting = order[np.cumsum(sizes[order]) <= min(room, share)]
        taken[fitting] = True
        room -= int(sizes[fitting].sum())
    return np.flatnonzero(taken[inverse])


def _part(cue: Cue, rows: npt.NDArray[np.intp]) -> Cue:
    return replace(
        cue,
        numbers=cue.numbers[rows],
        shares=cue.shares[rows],
        words=tuple(cue.words[row] for row in rows) if cue.words else (),
        rivals=tuple(rival[rows] for rival in cue.rivals),
        bulk=None if cue.bulk is None else cue.bulk[rows],
    )


def _no_shares(numbers: Floats) -> Floats:
    return np.zeros((len(numbers), 0))
