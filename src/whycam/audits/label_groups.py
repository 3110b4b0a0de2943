"""Clear groups of images that the labels follow only in part, as they do where many labels are mixed up.

A model that is trained on such labels doubts all of them a little and none of them firmly, so that a list of doubted
labels says nothing. The images do: where they fall into two groups with hardly anything between, and nothing but the
group tells anything of a label, the labels that go against their group are many mistakes, or the groups are not what
the labels speak of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from whycam.audits.cheap_head import draw_folds
from whycam.audits.cue_models import auroc, auroc_interval, units_of_each_class
from whycam.audits.findings import Finding, Severity
from whycam.data.words import counted, estimate, share
from whycam.types import Estimate, Floats, Sample

_Bools = npt.NDArray[np.bool_]

_CLEAR = 3.6
"""Distance of the groups' means in their spreads (Ashman, Bird and Zepf 1994, Astronomical Journal 108:2348, who call 2
a clean separation of fitted components). Here groups are cut apart, which leaves 2.65 of one normal distribution and
3.46 of a uniform one."""
_VERY_CLEAR = 4.0
"""Of groups that labels do not follow at all."""
_SMALLEST = 0.05
_FEWEST = 10
"""Images of a group, and units of a class."""
_AXES = 4
_DIRECTIONS = (5, 10, 20)
"""Principal directions among which the one along which labels differ the most is sought."""
_ROUNDS = 3
"""Of that search: the groups found along one direction are the labels of the next."""
_STANDARD_ERRORS = 2.5
_FOLLOWED, _FEW_MISTAKES = 0.93, 0.85
"""Shares of labels that follow the groups from which on single labels are doubted instead, or a warning will do."""
_UNTOLD = 0.6
_BY_CHANCE = 2.5
"""AUROC within groups up to which, or standard errors above chance, nothing but the group tells anything of a label."""
MIXED = "mixed labels"
"""The kind of the finding."""
_HARDLY = 0.7
"""AUROC of the quick head below which labels cannot be checked one by one."""


@dataclass(frozen=True)
class LabelGroups:
    """How labels go with the two clearest groups of images."""

    auroc: Estimate
    """Of the quick head, out of fold, with its 95 % interval."""
    sizes: tuple[int, int]
    """Images of the groups, that with more normal labels first; (0, 0) where there are no clear ones."""
    followed: float
    """Share of the labels that are those of their group; 0.5 where they do not follow groups, or there are none."""
    against: tuple[int, ...]
    """Images whose labels go against their group, those that lie deepest in it first; empty where labels do not follow
    the groups."""


def group_labels(rows: Floats, logits: Floats | None, anomalous: _Bools, units: Sequence[str]) -> LabelGroups | None:
    """Two groups of images, and how labels go with them.

    None where a class has too few units, and where labels are as they should be: a head tells them, or groups do.

    Args:
        rows: (N, K) coordinates, as `cheap_head.coordinates` has them.
        logits: (N,) as `cheap_head.out_of_fold_logits` has them for `units`, None where these are too few.
        anomalous: (N,) labels.
        units: N names; images of one unit are one piece of evidence.
    """
    n_units = units_of_each_class(anomalous, np.array(units))
    if logits is None or min(n_units) < _FEWEST:
        return None
    figure = auroc_interval(auroc(logits, anomalous), *n_units)
    members = np.unique(np.asarray(units), return_inverse=True)[1]
    best, clear, clearest = None, None, 0.0
    for scores in _directions(rows, anomalous, units):
        distance, high = cut(scores)
        if distance < _CLEAR or min(high.sum(), (~high).sum()) < _FEWEST:
            continue
        if distance >= _VERY_CLEAR:
            clear = clear or LabelGroups(figure, (int((~high).sum()), int(high.sum())), 0.5, ())
        if anomalous[high].mean() < anomalous[~high].mean():
            high = ~high
        if not anomalous[~high].mean() < 0.5 < anomalous[high].mean():
            continue
        agrees = high == anomalous
        if not _beyond_chance(agrees, members) or _tells_within(logits, anomalous, high):
            continue
        if distance > clearest:
            clearest = distance
            # The border lies about halfway between the groups.
            depth = np.abs(scores - (scores[high].mean() + scores[~high].mean()) / 2)
            against = tuple(int(row) for row in np.argsort(-depth, kind="stable") if not agrees[row])
            best = LabelGroups(figure, (int((~high).sum()), int(high.sum())), float(agrees.mean()), against)
    if best is not None:
        return best if best.followed < _FOLLOWED else None
    if (figure.value or 0.0) >= _HARDLY:
        return None
    by_chance = (figure.low or 0.0) <= 0.5
    return clear if clear is not None and by_chance else LabelGroups(figure, (0, 0), 0.5, ())


def cut(scores: Floats) -> tuple[float, _Bools]:
    """The two groups that explain most of the variance (Otsu 1979), how many spreads they lie apart, and the upper one.

    Args:
        scores: (N,) finite; neither group has less than a twentieth of them.
    """
    values = np.sort(scores.astype(np.float64))
    n = len(values)
    sums = np.cumsum(values)
    sizes = np.arange(1, n)
    gap = sums[:-1] / sizes - (sums[-1] - sums[:-1]) / (n - sizes)
    between = sizes * (n - sizes) * gap**2
    fewest = max(1, int(_SMALLEST * n))
    place = int(between[fewest - 1 : n - fewest].argmax()) + fewest - 1
    high = scores > (values[place] + values[place + 1]) / 2
    if not high.any() or high.all():
        return 0.0, high
    spread = np.sqrt((scores[high].var() + scores[~high].var()) / 2)
    return float((scores[high].mean() - scores[~high].mean()) / max(float(spread), 1e-12)), high


def _directions(rows: Floats, anomalous: _Bools, units: Sequence[str]) -> Iterator[Floats]:
    """(N,) scores: along the first principal directions, and out of fold along those in which labels differ."""
    yield from rows[:, :_AXES].T.astype(np.float64)
    folds = draw_folds(anomalous, units, seed=0)
    if folds is None:
        return
    for width in _DIRECTIONS:
        part, labels = rows[:, :width].astype(np.float64), anomalous
        for _ in range(_ROUNDS):
            scores = _held_out(part, labels, folds)
            yield scores
            labels = cut(scores)[1]


def _held_out(rows: Floats, labels: _Bools, folds: npt.NDArray[np.intp]) -> Floats:
    """(N,) scores by a linear discriminant (Fisher 1936), whose direction mistaken labels shorten but do not turn."""
    scores = np.zeros(len(rows))
    for fold in np.unique(folds):
        held = folds == fold
        n_high = int(labels[~held].sum())
        if min(n_high, int((~held).sum()) - n_high) > 1:
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
            scores[held] = model.fit(rows[~held], labels[~held]).decision_function(rows[held])
    return scores


def _beyond_chance(agrees: _Bools, members: npt.NDArray[np.intp]) -> bool:
    """Whether more labels than half agree by 2.5 standard errors; images of a unit are one piece of evidence."""
    shares = np.bincount(members, weights=agrees) / np.bincount(members)
    error = float(shares.std()) / np.sqrt(len(shares))
    return bool(shares.mean() - 0.5 > _STANDARD_ERRORS * error)


def _tells_within(logits: Floats, anomalous: _Bools, high: _Bools) -> bool:
    """Whether a head tells labels apart within the groups, so that they are of something else than the groups.

    A group counts as much as it can show (weights of inverse variance): where one has hardly any labels of one class,
    the other must be heard.
    """
    areas, weights = [], []
    for part in (high, ~high):
        n_anomalous, n = int(anomalous[part].sum()), int(part.sum())
        if 0 < n_anomalous < n:
            areas.append(auroc(logits[part], anomalous[part]))
            weights.append(12 * n_anomalous * (n - n_anomalous) / (n + 1))
    if not areas:
        return False
    area, error = float(np.average(areas, weights=weights)), float(1 / np.sqrt(sum(weights)))
    return area > max(_UNTOLD, 0.5 + _BY_CHANCE * error)


def group_findings(samples: Sequence[Sample], found: LabelGroups) -> tuple[Finding, ...]:
    """What to tell of it: one finding, whose files are those whose labels go against their group."""
    small, large = sorted(found.sizes)
    groups = f"The images fall into two clear groups ({large:,} and {small:,})"
    if found.against:
        n = len(found.against)
        files = tuple(samples[row].file for row in found.against)
        sentence = (
            f"{groups}, but only {share(found.followed)} % of the labels follow them, and nothing else tells the "
            f"others: {counted(n, 'label')} may be mixed up ({files[0]}, for example), or the groups are something "
            "else, such as two cameras or products. Either way, figures on these labels prove little: look at the "
            "first ones."
        )
        severity: Severity = "serious" if found.followed <= _FEW_MISTAKES else "warning"
        return (Finding(MIXED, severity, sentence, files, n),)
    hardly = f"A quick model hardly tells the classes apart (AUROC {estimate(found.auroc)})"
    if small:
        sentence = (
            f"{hardly}: labels look no better than noise. {groups}, which they do not follow: they may be mixed up, "
            "or the groups are something else, such as two cameras or products. Look whether labels and files still "
            "belong together."
        )
        return (Finding(MIXED, "warning", sentence),)
    sentence = (
        f"{hardly}, so labels could not be checked: the difference may be too fine for it, or labels are mixed up. If "
        "you see the difference at once, look whether labels and files still belong together."
    )
    return (Finding(MIXED, "note", sentence),)
