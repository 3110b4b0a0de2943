"""Optimism: figures against scikit-learn's, and a leak of known size found, none made up."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from whycam.audits.audit import Optimism
from whycam.audits.cheap_head import coordinates, draw_folds, out_of_fold_logits, trained_logits
from whycam.audits.folds import deal
from whycam.audits.optimism import auroc, measure_optimism
from whycam.report.audit_words import optimism_sentence
from whycam.report.words import estimate
from whycam.types import Estimate, Split


def data(
    n_units: int, each: int, *, own: float, seed: int, separation: float = 0.5
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features, labels and units: all images of a unit have its label and, by `own`, its looks."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_units) % 3 == 0
    looks = own * rng.normal(size=(n_units, 300))
    looks[:, :5] += separation * label[:, np.newaxis]
    unit = np.repeat(np.arange(n_units), each)
    features = 3 + looks[unit] + rng.normal(size=(n_units * each, 300))
    order = rng.permutation(len(unit))
    return features[order].astype(np.float32), label[unit][order], [f"u{number}" for number in unit[order]]


def measured(
    features: np.ndarray,
    anomalous: np.ndarray,
    units: list[str],
    *,
    split: list[Split] | list[Split | None] | None = None,
    seed: int,
) -> Optimism | None:
    rows = coordinates(features, seed=seed)
    whole = out_of_fold_logits(rows, anomalous, units, seed=seed)
    return measure_optimism(rows, anomalous, units, whole=whole, split=split, seed=seed)


# ---------------------------------------------------------------- the head


@pytest.mark.parametrize(("n", "d"), [(80, 30), (40, 90), (3000, 20)])
def test_coordinates_are_those_of_a_pca(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    features = (
        rng.normal(size=(n, d)) @ (rng.normal(size=(d, d)) * np.geomspace(1, 0.1, d))
        + 3
        + 0.5 * rng.normal(size=(n, d))
    ).astype(np.float32)
    rows = coordinates(features, seed=0)
    standard = (features - features.mean(axis=0)) / (features.std(axis=0) + 0.01) / np.sqrt(d)
    if n <= 1000:
        truth = PCA(min(n - 1, d)).fit_transform(standard)[:, :8]
        assert np.abs(np.abs(rows[:, :8]) - np.abs(truth)).max() < 1e-3
    # Nothing is lost, whichever rows the directions come from.
    assert rows.shape[1] == min(n - 1, d)
    np.testing.assert_allclose((rows**2).sum(axis=1), (standard**2).sum(axis=1), rtol=1e-3)


def test_equal_images_have_coordinates() -> None:
    assert np.isfinite(coordinates(np.full((5, 7), 1.5, np.float32), seed=0)).all()


def test_logits_are_those_of_scikit_learn_and_of_unseen_units() -> None:
    features, anomalous, units = data(40, 3, own=1, seed=0)
    rows = coordinates(features, seed=0)
    folds = draw_folds(anomalous, units, seed=4)
    assert folds is not None and len(np.unique(folds)) == 5
    assert all(len(set(folds[np.array(units) == unit])) == 1 for unit in set(units))
    assert all(abs(anomalous[folds == fold].mean() - anomalous.mean()) < 0.2 for fold in range(5))
    logits = out_of_fold_logits(rows, anomalous, units, seed=4)
    assert logits is not None
    # Fitted in float32, scikit-learn's solver stops some 1e-3 from the optimum.
    exact = rows.astype(np.float64)
    for fold in range(5):
        held = folds == fold
        weights = np.where(anomalous, 0.5 / anomalous[~held].mean(), 0.5 / (1 - anomalous[~held].mean()))
        model = LogisticRegression(C=10, tol=1e-10, max_iter=20_000)
        model.fit(exact[~held], anomalous[~held], sample_weight=weights[~held])
        np.testing.assert_allclose(logits[held], model.decision_function(exact[held]), rtol=0, atol=1e-4)
        part = trained_logits(rows, anomalous, train=~held, judged=held)
        np.testing.assert_allclose(part, logits[held], rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_folds_are_those_that_scikit_learn_deals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 600))
    anomalous = rng.random(n) < rng.uniform(0.2, 0.7)
    units = rng.integers(0, max(15, int(n * rng.uniform(0.1, 0.9))), n)
    for names, splitter in ((units, StratifiedGroupKFold), (np.arange(n), StratifiedKFold)):
        truth = np.zeros(n, int)
        groups = units if splitter is StratifiedGroupKFold else None
        for fold, (_, held) in enumerate(splitter(5, shuffle=True, random_state=seed).split(names, anomalous, groups)):
            truth[held] = fold
        assert np.array_equal(deal(anomalous, names, 5, seed=seed), truth)


def test_too_few_units_have_no_folds() -> None:
    anomalous = np.arange(30) < 10
    assert draw_folds(anomalous, ["same" if bad else str(row) for row, bad in enumerate(anomalous)], seed=0) is None
    assert draw_folds(anomalous, ["same"] * 30, seed=0) is None
    assert draw_folds(np.zeros(30, bool), [str(row) for row in range(30)], seed=0) is None
    three = draw_folds(anomalous, [str(row % 3) if bad else str(row) for row, bad in enumerate(anomalous)], seed=0)
    assert three is not None and len(np.unique(three)) == 3


# ---------------------------------------------------------------- figures


def test_auroc_is_that_of_scikit_learn_for_any_weights() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 9, 200):
        truth = np.arange(n) % 2 == 0
        for scores in (rng.normal(size=n), rng.integers(0, 3, n).astype(float)):
            weights = rng.integers(0, 4, (n, 6)).astype(float)
            weights[:2] += 1
            expected = [roc_auc_score(truth, scores, sample_weight=column) for column in weights.T]
            np.testing.assert_allclose(auroc(truth, scores, weights), expected, atol=1e-12)
    assert np.isnan(auroc(np.array([True, False]), np.zeros(2), np.array([[1.0], [0.0]]))).all()


def test_a_leak_is_measured() -> None:
    features, anomalous, units = data(60, 6, own=1.5, seed=1)
    found = measured(features, anomalous, units, seed=0)
    assert found is not None and found.misleads
    naive, leak_free = found.naive, found.leak_free
    assert naive.value > 0.98 and leak_free.value < 0.85
    assert found.difference.value == pytest.approx(naive.value - leak_free.value)
    assert found.difference.low > 0.1
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in (naive, leak_free, found.difference))
    said = optimism_sentence(found)
    assert said.startswith(f"AUROC {estimate(naive)} naive, {estimate(leak_free)} leak-free") and "flatter" in said
    assert (found.test, found.clean_test, found.n_clean) == (None, None, 0)


@pytest.mark.parametrize("seed", range(6))
def test_units_that_have_nothing_in_common_do_not_mislead(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anomalous = np.arange(300) % 3 == 0
    features = (3 + rng.normal(size=(300, 60)) + 0.5 * anomalous[:, None]).astype(np.float32)
    found = measured(features, anomalous, [f"u{row // 2}" for row in range(300)], seed=seed)
    assert found is not None and not found.misleads and "no clear difference" in optimism_sentence(found)


def test_intervals_know_that_a_unit_is_one_piece_of_evidence() -> None:
    features, anomalous, units = data(150, 2, own=0.0, seed=2)
    first = measured(features, anomalous, units, seed=0)
    six = np.repeat(features, 6, axis=0)
    found = measured(six, np.repeat(anomalous, 6), [unit for unit in units for _ in range(6)], seed=0)
    assert first is not None and found is not None
    width = [estimate.high - estimate.low for estimate in (first.leak_free, found.leak_free)]
    assert width[1] == pytest.approx(width[0], rel=0.35)


def test_a_given_split_that_leaks_is_measured_where_it_does_not() -> None:
    features, anomalous, units = data(120, 4, own=1.5, seed=3)
    number = np.array([int(unit[1:]) for unit in units])
    rng = np.random.default_rng(0)
    # Of 60 units none is in train; the others are on both sides.
    in_test = (number < 60) | (rng.random(len(units)) < 0.3)
    split: list[Split] = ["test" if held else "train" for held in in_test]
    found = measured(features, anomalous, units, split=split, seed=0)
    assert found is not None and found.test is not None and found.clean_test is not None
    sides = {unit: {side for side, name in zip(split, units, strict=True) if name == unit} for unit in set(units)}
    clean = np.array([sides[unit] == {"test"} for unit in units])
    assert found.n_clean == int(clean.sum())
    rows = coordinates(features, seed=0)
    logits = trained_logits(rows, anomalous, train=~in_test, judged=in_test)
    assert found.test.value == pytest.approx(roc_auc_score(anomalous[in_test], logits))
    assert found.clean_test.value == pytest.approx(roc_auc_score(anomalous[clean], logits[clean[in_test]]))
    assert found.test.value > found.clean_test.value + 0.05
    assert f"on the {clean.sum()} of them that have nothing in train" in optimism_sentence(found)


def test_a_given_split_without_leaks_or_clean_images() -> None:
    features, anomalous, units = data(60, 4, own=1, seed=4)
    number = np.array([int(unit[1:]) for unit in units])
    whole: list[Split] = ["test" if each < 20 else "train" for each in number]
    found = measured(features, anomalous, units, split=whole, seed=0)
    assert found is not None and found.test is None
    torn: list[Split] = ["test" if row % 4 == 0 else "train" for row in range(240)]
    found = measured(features, anomalous, units, split=torn, seed=0)
    assert found is not None and found.test is not None and found.clean_test is None
    partly: list[Split | None] = [None, *torn[1:]]
    found = measured(features, anomalous, units, split=partly, seed=0)
    assert found is not None and found.test is None


def test_nothing_to_measure() -> None:
    features, anomalous, units = data(60, 2, own=1, seed=5)
    assert measured(features, anomalous, [str(row) for row in range(120)], seed=0) is None
    assert measured(features, anomalous, ["a" if bad else "b" for bad in anomalous], seed=0) is None
    assert measured(features, np.zeros(120, bool), units, seed=0) is None
    with pytest.raises(ValueError, match="of one length"):
        measure_optimism(features, anomalous, units[1:], whole=None, seed=0)


def test_the_same_seed_measures_the_same() -> None:
    features, anomalous, units = data(40, 3, own=1, seed=6)
    assert measured(features, anomalous, units, seed=3) == measured(features, anomalous, units, seed=3)


def test_what_is_no_news() -> None:
    some = Estimate(0.9, 0.8, 1.0)
    assert not Optimism(some, some, Estimate(0.004, 0.001, 0.007), None, None, 0).misleads
    assert Optimism(some, some, Estimate(0.006, 0.001, 0.011), None, None, 0).misleads
    assert "AUROC 0.900 (0.800 to 1.00) naive" in optimism_sentence(Optimism(some, some, some, None, None, 0))
