"""Cues in groups that hold both classes: a perfect one is never called none, and chance is not taken for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, rankdata

from tests.audits.pictures import measured, samples_of
from whycam.audits.audit import SCHEMA, Audit
from whycam.audits.cue_models import auroc_interval, folds_of
from whycam.audits.cue_trials import CHANCE, LEVELS, _Trial
from whycam.audits.cues import Cue
from whycam.audits.shortcuts import Shortcuts, find_shortcuts
from whycam.audits.within_groups import WithinGroups, groups_of_both
from whycam.report.audit_words import verdict

Design = tuple[np.ndarray, np.ndarray]
"""(N,) truth and names of groups."""


def design(n_groups: int, each: int = 12) -> Design:
    """`each` normal and `each` anomalous images of each group."""
    truth = np.tile(np.repeat([False, True], each), n_groups)
    return truth, np.repeat([f"line{group}" for group in range(n_groups)], 2 * each)


def trial_of(made: Design, tries: int = 30) -> _Trial:
    truth, names = made
    both = groups_of_both(truth, names)
    folds = folds_of(truth, names, seed=0, fewest=2)
    assert both is not None and folds is not None
    within = WithinGroups(*both, truth[both[0]], folds[both[0]], tries)
    return _Trial(truth, folds, (within.n_groups, within.n_groups), tries, within)


def recorded(numbers: np.ndarray) -> Cue:
    return Cue("JPEG compression", "recording", numbers[:, np.newaxis], np.zeros((len(numbers), 0)))


@pytest.mark.parametrize(("n_groups", "severity"), [(2, "warning"), (3, "warning"), (5, "warning"), (8, "serious"),
                                                    (20, "serious")])  # fmt: skip
def test_a_perfect_cue_is_said_however_few_the_groups(n_groups: int, severity: str) -> None:
    made = design(n_groups)
    result = trial_of(made).of(recorded(np.where(made[0], 60.0, 92.0))).result
    assert result.severity == severity
    assert result.auroc.value == 1
    assert result.in_doubt == (severity == "warning")


@pytest.mark.parametrize(("n_groups", "severity"), [(4, "warning"), (8, "warning"), (12, "serious")])
def test_a_cue_that_differs_between_groups_is_found_within_them(n_groups: int, severity: str) -> None:
    """Every line has a compression of its own, and its anomalous images were stored in a worse one."""
    made = design(n_groups)
    group = np.unique(made[1], return_inverse=True)[1]
    result = trial_of(made).of(recorded(95.0 - 2 * group - 3.0 * made[0])).result
    assert (result.auroc.value or 0) < LEVELS["recording"]
    assert (result.severity, result.within, result.in_doubt) == (severity, 1.0, severity == "warning")


def test_lines_that_differ_are_no_cue_within_them() -> None:
    truth, names = design(8)
    lines = np.unique(names, return_inverse=True)[1]
    result = trial_of((truth, names)).of(recorded(lines.astype(float))).result
    assert (result.severity, result.within, result.in_doubt) == (None, None, False)


@pytest.mark.parametrize("n_groups", [3, 8])
def test_images_that_differ_by_chance_are_no_cue(n_groups: int) -> None:
    """Images of one group and class alike or not at all: what is drawn has nothing to do with classes."""
    rng = np.random.default_rng(n_groups)
    trial = trial_of(design(n_groups, each=6))
    n = len(trial.truth)
    results = [trial.of(recorded(rng.normal(size=n))).result for _ in range(40)]
    assert all(result.severity is None and not result.in_doubt for result in results)


def alarms(shape: tuple[int, int, int], *, group: float, session: float, seed: int) -> np.ndarray:
    """(R,) whether any of K cues that tell nothing would be taken for sure, of R made-up sets of G groups.

    Each cue is as of a group, of one class in it (all images of which are alike: the worst case), and nothing else.
    The AUROC is that of the cue itself, in whichever direction is the better.
    """
    n_sets, n_cues, n_groups = shape
    rng = np.random.default_rng(seed)
    of_group = group * rng.normal(size=(n_sets, n_cues, n_groups, 1))
    values = of_group + session * rng.normal(size=(n_sets, n_cues, n_groups, 2))
    ranks = rankdata(values.reshape(n_sets, n_cues, -1), axis=2).reshape(values.shape)
    won = ranks[..., 1].sum(axis=2) - n_groups * (n_groups + 1) / 2
    areas = np.maximum(won, n_groups**2 - won) / n_groups**2
    right = (values[..., 1] > values[..., 0]).mean(axis=2)
    within = np.maximum(right, 1 - right)
    low = {area: auroc_interval(area, n_groups, n_groups, tries=n_cues).low or 0.0 for area in np.unique(areas)}
    lows = np.vectorize(low.__getitem__)(areas)
    level = LEVELS["recording"]
    across = (areas >= level) & (lows >= CHANCE) & (within >= level)
    chance = 2 * binom.sf(np.round(within * n_groups) - 1, n_groups, 0.5) * n_cues
    return np.asarray((across | ((within >= level) & (chance < 0.05))).any(axis=1))


@pytest.mark.parametrize(("group", "session"), [(0, 1), (1, 1), (3, 1)])
@pytest.mark.parametrize("n_groups", [3, 5, 8, 12, 20])
def test_chance_is_a_sure_cue_in_one_set_of_twenty_at_most(n_groups: int, group: float, session: float) -> None:
    found = alarms((2000, 30, n_groups), group=group, session=session, seed=n_groups)
    # 2,000 sets at a rate of .05 give up to .065 (three standard deviations).
    assert found.mean() <= 0.065


def test_the_sign_test_and_the_stratified_test_are_those_of_the_books() -> None:
    made = design(5, each=4)
    within = trial_of(made).within
    assert within is not None
    # Of 5 groups that are all right, 2 in 32 are by chance.
    assert within._by_groups(np.full(5, 1.0)) is False
    assert WithinGroups(within.rows, within.groups, within.truth, within.folds, 1)._by_groups(np.full(5, 1.0)) is False
    assert within._by_groups(np.zeros(12)) is False
    assert within._by_groups(np.ones(12)) is True
    # The variance of a Mann-Whitney AUROC of 4 against 4 is 9 / 192 (Mann and Whitney 1947).
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(4000):
        ranks = rng.permutation(8) + 1
        areas.append((ranks[:4].sum() - 10) / 16)
    assert np.var(areas) == pytest.approx(9 / 192, rel=0.1)


def test_which_groups_count() -> None:
    truth, names = design(3, each=2)
    found = groups_of_both(truth, names)
    assert found is not None
    assert found[0].tolist() == list(range(12)) and found[1].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert groups_of_both(truth, np.arange(12).astype(str)) is None
    assert groups_of_both(truth, np.full(12, "one")) is None
    # Two copies with different labels among many images of their own are no design.
    pairs = np.array([f"{row}" for row in range(40)])
    pairs[[0, 20]], pairs[[1, 21]] = "a", "b"
    assert groups_of_both(np.arange(40) >= 20, pairs) is None


# ---------------------------------------------------------------- findings


def cameras(anomalous: bool, number: int) -> dict[int, str]:
    return {271: "Maker", 272: f"Model {'B' if anomalous else 'A'}"}


def found_in(folder: Path, n_groups: int, *, of_one_class: bool) -> Shortcuts:
    """What is found where the camera tells 24 images of each class apart, of so many groups."""
    samples = samples_of(folder, n=(24, 24), exif=cameras)
    units = [f"line{row % n_groups}" + f"-{sample.target}" * of_one_class for row, sample in enumerate(samples)]
    return find_shortcuts(measured(samples), units)


def said_of(found: Shortcuts) -> str:
    return verdict(Audit(SCHEMA, 48, 24, found.findings, found.table, (), None))


@pytest.mark.parametrize(("n_groups", "kind"), [(3, "possible shortcut"), (8, "shortcut")])
def test_groups_of_both_classes_name_the_cue(tmp_path: Path, n_groups: int, kind: str) -> None:
    found = found_in(tmp_path, n_groups, of_one_class=False)
    (first,) = [finding for finding in found.findings if finding.severity != "note"]
    assert (first.kind, first.about, first.severity, len(first.files)) == (kind, "camera", "warning", 4)
    assert f"the {n_groups} groups that hold both classes" in first.sentence
    assert "typically Maker Model A in normal images, Maker Model B in anomalous ones" in first.sentence
    assert ("So few groups cannot show that this is more than chance" in first.sentence) == (n_groups == 3)
    assert said_of(found).startswith("A shortcut cannot be ruled out (1 warning)")


def test_too_few_groups_of_one_class_are_said_not_to_be_tested(tmp_path: Path) -> None:
    found = found_in(tmp_path, 4, of_one_class=True)
    (finding,) = found.findings
    assert found.table == ()
    assert (finding.kind, finding.severity) == ("shortcuts not looked for", "note")
    assert "the 24 normal images come from only 4 groups" in finding.sentence
