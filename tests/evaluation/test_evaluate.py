"""Curves, threshold, and metrics.json as text and back."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import TypeAdapter
from sklearn.metrics import auc, roc_auc_score

from whycam.errors import WhyCAMError
from whycam.evaluation.curves import curves
from whycam.evaluation.evaluate import evaluate, to_json
from whycam.evaluation.threshold import midpoint
from whycam.types import Evaluation, Predictions

Predict = Callable[..., Predictions]


@pytest.fixture
def test_set(predict: Predict) -> Predictions:
    rng = np.random.default_rng(0)
    return predict(np.arange(40) % 2, rng.random(40).round(1))


def test_the_curve_encloses_the_auroc(test_set: Predictions) -> None:
    points = curves(test_set)
    area = auc(points.false_positive_rate, points.true_positive_rate)
    assert area == pytest.approx(roc_auc_score(test_set.targets, test_set.scores))
    assert points.recall.shape == points.precision.shape
    assert (points.recall[0], points.recall[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("target", [0.0, 0.4, 1.0])
def test_no_curve_without_both_classes(predict: Predict, target: float) -> None:
    points = curves(predict([target] * 3, [0.1, 0.5, 0.9]))
    assert [len(values) for values in vars(points).values()] == [0, 0, 0, 0]


def test_no_curve_through_broken_scores(predict: Predict) -> None:
    with pytest.raises(WhyCAMError, match="nan"):
        curves(predict([0, 1], [0.1, np.nan]))


def test_the_midpoint_says_yes_at_one_half() -> None:
    assert midpoint().value == 0.5
    assert midpoint().rule == "midpoint: halfway between the targets 0 and 1, not chosen from data"
    assert (midpoint().verdict(0.5), midpoint().verdict(0.4999)) == ("anomalous", "normal")


def test_metrics_json_has_the_documented_shape(test_set: Predictions) -> None:
    found = json.loads(to_json(evaluate(test_set, test_set, threshold=midpoint(), probabilities=True)))
    figure = {"value", "low", "high"}
    assert list(found) == ["schema", "train", "test", "threshold"]
    assert found["schema"] == 1
    assert found["train"] == found["test"]
    assert set(found["threshold"]) == {"value", "rule", "band"}
    assert list(found["test"]) == [
        *("n", "n_anomalous", "mae", "rmse", "accuracy", "balanced_accuracy", "f1", "precision", "recall", "auroc"),
        *("average_precision", "brier", "confusion_matrix", "constant", "beats_constant", "undefined"),
    ]
    assert {frozenset(found["test"][name]) for name in ("mae", "f1", "auroc", "brier")} == {frozenset(figure)}
    assert np.array(found["test"]["confusion_matrix"]).sum() == 40
    assert set(found["test"]["constant"]) == {"mae", "accuracy", "brier"}
    assert found["test"]["beats_constant"] is False


def test_undefined_is_null(predict: Predict) -> None:
    text = to_json(evaluate(None, predict([0.0], [0.2]), threshold=midpoint(), probabilities=False))
    assert "NaN" not in text
    found = json.loads(text)
    assert found["train"] is None
    assert found["test"]["auroc"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(("target", "missing"), [(0.0, "no anomalous image"), (1.0, "no normal image")])
def test_what_is_undefined_says_why(predict: Predict, target: float, missing: str) -> None:
    evaluation = evaluate(None, predict([target] * 3, [0.1, 0.2, 0.7]), threshold=midpoint(), probabilities=True)
    found = json.loads(to_json(evaluation))["test"]
    assert {name for name in found if found[name] == {"value": None, "low": None, "high": None}} == set(
        found["undefined"]
    )
    assert found["undefined"]["auroc"] == found["undefined"]["balanced_accuracy"] == missing


def test_nothing_is_lost_in_writing(test_set: Predictions) -> None:
    for train in (None, test_set):
        evaluation = evaluate(train, test_set, threshold=midpoint(), probabilities=True, seed=3)
        assert TypeAdapter(Evaluation).validate_json(to_json(evaluation)) == evaluation
