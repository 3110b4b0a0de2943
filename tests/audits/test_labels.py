"""Labels: confident learning against a loop that follows the paper, and flipped labels found among hard images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from whycam.audits.cheap_head import coordinates, out_of_fold_logits
from whycam.audits.labels import LabelCheck, Suspect, check_labels, confident_joint, label_findings, prune
from whycam.types import Sample


def data(n: int, separation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 60) and true labels, a third of them anomalous."""
    rng = np.random.default_rng(seed)
    anomalous = rng.random(n) < 1 / 3
    features = 3 + rng.normal(size=(n, 60))
    features[:, :10] += separation * anomalous[:, np.newaxis]
    return features.astype(np.float32), anomalous


def names(n: int) -> list[str]:
    return [f"{row}.png" for row in range(n)]


def checked(features: np.ndarray, anomalous: np.ndarray, units: list[str], *, seed: int) -> LabelCheck | None:
    logits = out_of_fold_logits(coordinates(features, seed=seed), anomalous, units, seed=seed)
    return check_labels(logits, anomalous, units)


def samples_of(anomalous: np.ndarray) -> list[Sample]:
    return [
        Sample(name, Path(name), target=float(bad)) for name, bad in zip(names(len(anomalous)), anomalous, strict=True)
    ]


def flipped(anomalous: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which labels to turn around."""
    n = len(anomalous)
    wrong = np.zeros(n, dtype=bool)
    wrong[np.random.default_rng(100 + seed).permutation(n)[: round(share * n)]] = True
    return wrong


@pytest.mark.parametrize("seed", range(5))
def test_the_confident_joint_is_that_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, given = rng.beta(0.7, 0.7, 300), rng.random(300) < 0.4
    both = [(1 - p, p) for p in probabilities]
    t = [sum(row[j] for row, g in zip(both, given, strict=True) if g == j) / sum(given == j) for j in (0, 1)]
    joint = [[0, 0], [0, 0]]
    for row, label in zip(both, given, strict=True):
        above = [j for j in (0, 1) if row[j] >= t[j]]
        if above:
            joint[int(label)][max(above, key=lambda j: row[j])] += 1
    found = confident_joint(probabilities, given)
    assert found.tolist() == joint
    believed = np.where(given, probabilities, 1 - probabilities)
    pruned = prune(found, believed, given)
    for label in (0, 1):
        mine = [row for row in range(300) if given[row] == label]
        n_wrong = round(len(mine) * joint[label][1 - label] / sum(joint[label]))
        margins = {row: both[row][1 - label] - both[row][label] for row in mine}
        worst = sorted(mine, key=lambda row: -margins[row])[:n_wrong]
        assert {row for row in pruned if given[row] == label} == set(worst)
    assert (np.diff(believed[pruned]) >= 0).all()


def test_nothing_confident_prunes_nothing() -> None:
    assert prune(np.zeros((2, 2), np.intp), np.full(4, 0.5), np.array([True, False, True, False])).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_flipped_labels_come_first(seed: int) -> None:
    features, truth = data(1500, 1.2, seed)
    wrong = flipped(truth, 0.03, seed)
    check = checked(features, truth ^ wrong, names(1500), seed=seed)
    assert check is not None
    rows = [suspect.index for suspect in check.suspects]
    assert wrong[rows[:20]].mean() >= 0.8
    assert wrong[rows].sum() >= 0.8 * wrong.sum()
    assert len(rows) < 4 * wrong.sum()
    for suspect in check.suspects:
        assert suspect.anomalous == (truth ^ wrong)[suspect.index]
        assert suspect.probability == check.probabilities[suspect.index]
    believed = [s.probability if s.anomalous else 1 - s.probability for s in check.suspects]
    assert believed == sorted(believed)


def test_probabilities_are_calibrated_and_from_out_of_fold() -> None:
    features, truth = data(3000, 0.6, seed=7)
    check = checked(features, truth, names(3000), seed=0)
    assert check is not None
    edges = np.quantile(check.probabilities, np.linspace(0, 1, 7))
    for low, high in pairwise(edges):
        here = (check.probabilities >= low) & (check.probabilities <= high)
        assert truth[here].mean() == pytest.approx(check.probabilities[here].mean(), abs=0.07)


@pytest.mark.parametrize("seed", range(4))
def test_a_head_that_knows_nothing_doubts_nothing(seed: int) -> None:
    """Seen images would be told apart at once: 400 directions hold 300 of them."""
    noise = np.random.default_rng(seed).normal(size=(300, 400)).astype(np.float32)
    assert checked(noise, np.arange(300) % 2 == 0, names(300), seed=seed) is None


@pytest.mark.parametrize("separation", [0.5, 0.7, 1.2, 3.0])
def test_right_labels_of_hard_images_are_no_excess(separation: float) -> None:
    for seed in range(4):
        features, truth = data(900, separation, seed)
        check = checked(features, truth, names(900), seed=seed)
        assert check is not None and not check.in_excess
        assert all(finding.severity == "note" for finding in label_findings(samples_of(truth), check))


def test_many_wrong_labels_are_told() -> None:
    told = 0
    for seed in range(4):
        features, truth = data(2000, 1.0, seed)
        wrong = flipped(truth, 0.02, seed)
        check = checked(features, truth ^ wrong, names(2000), seed=seed)
        assert check is not None
        told += check.in_excess
    assert told == 4


def test_photos_of_one_part_do_not_judge_each_other() -> None:
    rng = np.random.default_rng(9)
    unit = np.repeat(np.arange(100), 6)
    label = rng.random(100) < 0.4
    features = (3 + 2 * rng.normal(size=(100, 300))[unit] + rng.normal(size=(600, 300))).astype(np.float32)
    # Looks belong to the part, and tell nothing of its label to who has not seen the part.
    assert checked(features, label[unit], [f"u{number}" for number in unit], seed=0) is None
    other = checked(features, label[unit], names(600), seed=0)
    assert other is not None
    assert np.corrcoef(other.probabilities, label[unit])[0, 1] > 0.9


def test_too_few_to_be_judged() -> None:
    features, truth = data(30, 1.0, seed=0)
    assert checked(features, truth, ["same"] * 30, seed=0) is None
    assert checked(features, np.zeros(30, bool), names(30), seed=0) is None


def check_of(*suspects: Suspect, n_sure: int, expected: float) -> LabelCheck:
    return LabelCheck(suspects, ((5, 1), (1, 5)), np.zeros(12), n_sure, expected)


def test_what_is_told() -> None:
    samples = samples_of(np.arange(12) % 2 == 1)
    first, second = Suspect(4, False, 0.9996), Suspect(3, True, 0.0314)
    assert label_findings(samples, check_of(n_sure=0, expected=0.1)) == ()
    (note,) = label_findings(samples, check_of(second, n_sure=1, expected=0.9))
    assert (note.severity, note.kind, note.files, note.n_files) == ("note", "label", ("3.png",), 1)
    assert note.sentence == (
        "1 label of 12 disagrees with a quick model that had not seen them, first of all that of 3.png: anomalous, to "
        "which the model gives 3.1 %. They may be wrong, or the images hard to tell: look at the first few."
    )
    (warning,) = label_findings(samples, check_of(first, second, n_sure=8, expected=0.7))
    assert (warning.severity, warning.files) == ("warning", ("4.png", "3.png"))
    assert "first of all that of 4.png: normal, to which the model gives less than 0.1 %. " in warning.sentence
    assert "8 images have a label that it gives less than 2 %, where hard images account for about 0.7, so " in (
        warning.sentence
    )


@pytest.mark.parametrize(
    ("n_sure", "expected", "excess"), [(2, 0.0, False), (3, 0.0, True), (8, 2.0, False), (9, 2.0, True)]
)
def test_an_excess_is_beyond_chance(n_sure: int, expected: float, excess: bool) -> None:
    assert check_of(n_sure=n_sure, expected=expected).in_excess == excess
