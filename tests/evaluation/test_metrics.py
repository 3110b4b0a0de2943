"""Every figure against scikit-learn, every interval against resampling in a plain loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from whycam.errors import OptionError, WhyCAMError
from whycam.evaluation.bootstrap import clusters, resampling_weights
from whycam.evaluation.metrics import measure
from whycam.types import Estimate, Metrics, Predictions, Threshold

THRESHOLD = Threshold(0.5, "test")
UNDEFINED = Estimate(None, None, None)
GRADES = st.sampled_from([0.0, 0.33, 0.5, 0.67, 1.0])
TIED = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
FIGURES = [field.name for field in dataclasses.fields(Metrics) if field.type == "Estimate"]


def reference(targets: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """All figures of one set, one scikit-learn call each; None where it would warn, invent or raise."""
    truth, called = targets > 0.5, scores >= 0.5
    both = truth.any() and not truth.all()
    return {
        "mae": sk.mean_absolute_error(targets, scores),
        "rmse": sk.root_mean_squared_error(targets, scores),
        "accuracy": sk.accuracy_score(truth, called),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called) if both else None,
        "f1": sk.f1_score(truth, called) if (truth | called).any() else None,
        "precision": sk.precision_score(truth, called) if called.any() else None,
        "recall": sk.recall_score(truth, called) if truth.any() else None,
        "auroc": sk.roc_auc_score(truth, scores) if both else None,
        "average_precision": sk.average_precision_score(truth, scores) if both else None,
        "brier": float(np.mean((targets - scores) ** 2)),
    }


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.tuples(GRADES, TIED), min_size=1, max_size=40))
def test_every_figure_agrees_with_scikit_learn(
    predict: Callable[..., Predictions], rows: list[tuple[float, float]]
) -> None:
    targets, scores = np.array(rows).T
    metrics = measure(predict(targets, scores), THRESHOLD, probabilities=True, resamples=20)
    for name, expected in reference(targets, scores).items():
        value = getattr(metrics, name).value
        assert (value is None) == (expected is None), name
        if expected is not None:
            assert value == pytest.approx(expected, abs=1e-12), name
    expected_matrix = sk.confusion_matrix(targets > 0.5, scores >= 0.5, labels=[False, True])
    assert metrics.confusion_matrix == tuple(map(tuple, expected_matrix.tolist()))
    assert (metrics.n, metrics.n_anomalous) == (len(rows), int((targets > 0.5).sum()))


@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(st.tuples(GRADES, TIED, st.sampled_from([None, "a", "b"])), min_size=1, max_size=25),
    seed=st.integers(0, 5),
)
def test_intervals_are_ordered_finite_and_come_with_a_value(
    predict: Callable[..., Predictions], rows: list[tuple[float, float, str | None]], seed: int
) -> None:
    targets, scores, groups = zip(*rows, strict=True)
    predictions = predict(targets, scores, groups)
    metrics = measure(predictions, THRESHOLD, probabilities=True, seed=seed, resamples=50)
    for name in FIGURES:
        estimate: Estimate = getattr(metrics, name)
        assert (estimate.low is None) == (estimate.high is None), name
        if estimate.value is None:
            assert estimate == UNDEFINED
        else:
            assert np.isfinite(estimate.value)
        if estimate.low is not None and estimate.high is not None:
            assert np.isfinite([estimate.low, estimate.high]).all()
            assert estimate.low <= estimate.high


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_agree_with_resampling_in_a_loop(predict: Callable[..., Predictions], grouped: bool) -> None:
    rng = np.random.default_rng(1)
    targets = rng.choice([0.0, 0.33, 0.67, 1.0], 30)
    scores = np.clip(0.4 * targets + 0.6 * rng.random(30), 0, 1).round(1)
    groups = [None if i % 3 == 0 else f"part {i // 4}" for i in range(30)] if grouped else None
    predictions = predict(targets, scores, groups)
    metrics = measure(predictions, THRESHOLD, probabilities=True, seed=7, resamples=60)

    members = clusters(predictions.groups)
    (weights,) = resampling_weights(members.max() + 1, 60, seed=7)
    resampled: dict[str, list[float]] = {name: [] for name in FIGURES}
    for draw in weights.T.astype(int):
        images = np.concatenate([np.tile(np.flatnonzero(members == c), times) for c, times in enumerate(draw)])
        for name, value in reference(targets[images], scores[images]).items():
            if value is not None:
                resampled[name].append(value)
    for name in FIGURES:
        low, high = np.quantile(resampled[name], [0.025, 0.975])
        assert getattr(metrics, name).low == pytest.approx(low, abs=1e-12), name
        assert getattr(metrics, name).high == pytest.approx(high, abs=1e-12), name


def test_intervals_cover_the_truth_about_as_often_as_they_say(predict: Callable[..., Predictions]) -> None:
    # Normal scores N(0, 1), anomalous N(1, 1): the true AUROC is Phi(1 / sqrt 2), the accuracy at 0.5 is Phi(0.5).
    truth = {"auroc": 0.76025, "accuracy": 0.69146}
    covered = dict.fromkeys(truth, 0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        targets = np.arange(100) % 2
        metrics = measure(
            predict(targets, rng.normal(targets)), THRESHOLD, probabilities=False, seed=seed, resamples=300
        )
        for name, value in truth.items():
            estimate: Estimate = getattr(metrics, name)
            covered[name] += estimate.low <= value <= estimate.high
    for name, count in covered.items():
        assert 0.90 <= count / 200 <= 0.98, name


def test_copies_of_an_image_are_no_further_evidence(predict: Callable[..., Predictions]) -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(60) % 2
    scores = np.clip(rng.normal(0.3 + 0.3 * targets, 0.3), 0, 1)
    once = predict(targets, scores)
    copies = (np.repeat(targets, 6), np.repeat(scores, 6))
    naive = predict(*copies)
    grouped = predict(*copies, [f"tile {i // 6}" for i in range(360)])
    first, wrong, right = (measure(p, THRESHOLD, probabilities=True, seed=0) for p in (once, naive, grouped))

    def width(metrics: Metrics, name: str) -> float:
        estimate: Estimate = getattr(metrics, name)
        return estimate.high - estimate.low

    for name in FIGURES:
        assert getattr(right, name).value == pytest.approx(getattr(first, name).value)
        assert width(right, name) == pytest.approx(width(first, name))
        assert width(right, name) > 1.8 * width(wrong, name)


def test_one_image_has_figures_and_no_interval(predict: Callable[..., Predictions]) -> None:
    metrics = measure(predict([1.0], [0.75]), THRESHOLD, probabilities=True)
    assert metrics.mae == Estimate(0.25, None, None)
    assert metrics.accuracy == Estimate(1.0, None, None)
    assert metrics.auroc == metrics.average_precision == metrics.balanced_accuracy == UNDEFINED
    assert not metrics.beats_constant


def test_one_group_has_figures_and_no_interval(predict: Callable[..., Predictions]) -> None:
    metrics = measure(predict([0, 1, 1], [0.1, 0.8, 0.9], ["a"] * 3), THRESHOLD, probabilities=True)
    assert metrics.auroc == Estimate(1.0, None, None)
    assert not metrics.beats_constant


def test_resamples_without_the_figure_are_left_out(predict: Callable[..., Predictions]) -> None:
    # The one anomalous image stands in 1 - 1/e = 63 % of the resamples; only there is a recall.
    metrics = measure(predict([1] + [0] * 30, [0.9] + [0.1] * 30), THRESHOLD, probabilities=True)
    assert metrics.recall == Estimate(1.0, 1.0, 1.0)


def test_a_figure_undefined_in_most_resamples_has_no_interval(predict: Callable[..., Predictions]) -> None:
    # Of two images a resample has both with probability one half, so the seed decides on which side of it we are.
    found = set()
    for seed in range(10):
        (weights,) = resampling_weights(2, 101, seed=seed)
        mostly = np.mean(np.all(weights == 1, axis=0)) >= 0.5
        metrics = measure(predict([1, 0], [0.9, 0.1]), THRESHOLD, probabilities=True, seed=seed, resamples=101)
        assert metrics.auroc == (Estimate(1.0, 1.0, 1.0) if mostly else Estimate(1.0, None, None))
        found.add(mostly)
    assert found == {True, False}


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_missing_class_leaves_its_figures_undefined(predict: Callable[..., Predictions], target: float) -> None:
    metrics = measure(predict([target] * 9, np.linspace(0.05, 0.85, 9)), THRESHOLD, probabilities=True)
    assert metrics.auroc == metrics.average_precision == metrics.balanced_accuracy == UNDEFINED
    assert (metrics.recall == UNDEFINED) == (target == 0)
    assert metrics.precision.value == target
    assert metrics.constant.accuracy == 1.0
    assert not metrics.beats_constant


def test_no_brier_score_for_raw_scores(predict: Callable[..., Predictions]) -> None:
    metrics = measure(predict([0, 1, 0, 1], [-3.0, 40.0, 0.2, 0.4]), THRESHOLD, probabilities=False)
    assert metrics.brier == UNDEFINED
    assert metrics.mae.value == pytest.approx((3 + 39 + 0.2 + 0.6) / 4)


def test_huge_raw_scores_stay_finite(predict: Callable[..., Predictions]) -> None:
    metrics = measure(predict([0, 1, 0, 1], [-3e38, 3e38, 0.2, 0.4]), THRESHOLD, probabilities=False)
    assert metrics.rmse.value == pytest.approx(3e38 / np.sqrt(2))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_by_name(predict: Callable[..., Predictions], broken: float) -> None:
    with pytest.raises(WhyCAMError, match=r"1 of 3 scores .*1\.png has -?(nan|inf)"):
        measure(predict([0, 1, 1], [0.2, broken, 0.9]), THRESHOLD, probabilities=True)


def test_input_that_makes_no_sense_is_refused(predict: Callable[..., Predictions]) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        measure(predict([], []), THRESHOLD, probabilities=True)
    with pytest.raises(ValueError, match="one length"):
        measure(dataclasses.replace(predict([0, 1], [0, 1]), groups=(None,)), THRESHOLD, probabilities=True)
    for target in (2.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="targets"):
            measure(predict([0, target], [0, 1]), THRESHOLD, probabilities=True)
    with pytest.raises(ValueError, match="probabilities"):
        measure(predict([0, 1], [0, 1.5]), THRESHOLD, probabilities=True)
    with pytest.raises(OptionError, match="`resamples`"):
        measure(predict([0, 1], [0, 1]), THRESHOLD, probabilities=True, resamples=0)


def test_the_same_seed_gives_the_same_intervals(predict: Callable[..., Predictions]) -> None:
    rng = np.random.default_rng(0)
    predictions = predict(np.arange(40) % 2, rng.random(40))
    first, again, other = (measure(predictions, THRESHOLD, probabilities=True, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.mae.value == other.mae.value
    assert first.mae != other.mae
