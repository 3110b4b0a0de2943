from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whycam.evaluation.constant import beats_constant, best_constant
from whycam.evaluation.metrics import measure
from whycam.types import Estimate, Metrics, Predictions, Threshold

Predict = Callable[..., Predictions]


def measured(predictions: Predictions, *, seed: int = 0, resamples: int = 1000) -> Metrics:
    return measure(predictions, Threshold(0.5, "test"), probabilities=False, seed=seed, resamples=resamples)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(-1, 2))
def test_no_other_constant_is_better(targets: list[float], other: float) -> None:
    values = np.array(targets)
    constant = best_constant(values)
    assert constant.mae <= np.abs(values - other).mean() + 1e-12
    assert constant.accuracy == max(np.mean(values > 0.5), np.mean(values <= 0.5))
    assert constant.brier <= ((values - other) ** 2).mean() + 1e-12


def test_the_constant_of_a_known_set(predict: Predict) -> None:
    metrics = measured(predict([0, 0, 0, 0.33, 1], [0.5] * 5))
    assert metrics.constant.mae == pytest.approx(1.33 / 5)
    assert metrics.constant.accuracy == 0.8
    assert metrics.constant.brier == pytest.approx(np.var([0, 0, 0, 0.33, 1]))
    assert best_constant(np.array([1.0] + [0.0] * 9)).brier == pytest.approx(0.1 * 0.9)


@pytest.mark.parametrize("score", [0.0, 0.25, 0.5, 0.499, 1.0, 7.0])
@pytest.mark.parametrize("n_anomalous", [10, 50, 90])
def test_a_network_that_sits_on_a_constant_does_not_beat_it(predict: Predict, score: float, n_anomalous: int) -> None:
    targets = (np.arange(100) < n_anomalous).astype(float)
    assert not measured(predict(targets, np.full(100, score))).beats_constant


def test_noise_does_not_beat_the_constant(predict: Predict) -> None:
    passed = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        targets = (rng.random(60) < 0.4).astype(float)
        passed += measured(predict(targets, rng.random(60)), seed=seed, resamples=200).beats_constant
    assert passed <= 5


def test_a_good_model_beats_the_constant(predict: Predict) -> None:
    rng = np.random.default_rng(0)
    targets = np.arange(100) % 2
    assert measured(predict(targets, np.clip(rng.normal(0.2 + 0.6 * targets, 0.2), 0, 1))).beats_constant


def test_honest_probabilities_of_a_rare_anomaly_beat_the_constant_by_their_brier_score(predict: Predict) -> None:
    # 4 % are anomalous; of what gets 0.4, two in five are. No verdict changes, and `never` errs less on average.
    scores = np.repeat([0.4, 0.0], [100, 900])
    targets = (np.arange(1000) < 40).astype(float)
    shown = predict(targets, scores)
    assert not measured(shown).beats_constant
    metrics = measure(shown, Threshold(0.5, "test"), probabilities=True)
    assert metrics.mae.value > metrics.constant.mae
    assert metrics.accuracy.value == metrics.constant.accuracy
    assert metrics.brier.value < metrics.constant.brier
    assert metrics.beats_constant


def test_a_good_ranking_with_useless_scores_and_verdicts_does_not(predict: Predict) -> None:
    targets = (np.arange(100) < 30).astype(float)
    metrics = measured(predict(targets, 5 + targets))
    assert metrics.auroc.value == 1.0
    assert not metrics.beats_constant


def test_graded_targets_of_one_class_can_be_learned(predict: Predict) -> None:
    targets = np.tile([0.0, 0.25, 0.5], 20)
    assert measured(predict(targets, targets + 0.01)).beats_constant
    assert not measured(predict(targets, np.full(60, 0.25))).beats_constant


@pytest.mark.parametrize(
    ("mae_low", "accuracy_low", "auroc", "expected"),
    [
        (0.01, -0.1, Estimate(0.8, 0.7, 0.9), True),
        (-0.1, 0.01, Estimate(0.8, 0.7, 0.9), True),
        (0.0, 0.0, Estimate(0.8, 0.7, 0.9), False),
        (0.1, 0.1, Estimate(0.6, 0.5, 0.7), False),
        (0.1, 0.1, Estimate(0.6, None, None), False),
        (0.1, 0.1, Estimate(None, None, None), True),
        (None, None, Estimate(0.8, 0.7, 0.9), False),
    ],
)
def test_the_rule_as_documented(
    mae_low: float | None, accuracy_low: float | None, auroc: Estimate, expected: bool
) -> None:
    lead = (Estimate(0.1, low, None if low is None else 0.2) for low in (mae_low, accuracy_low))
    assert beats_constant(*lead, auroc=auroc) is expected
