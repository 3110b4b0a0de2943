"""Calibration against scikit-learn and against a plain minimisation of the stated loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from whycam.training.calibration import log_loss, normal_only, platt


def logits(n: int, share: float, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    anomalous = np.arange(n) < max(1, round(n * share))
    return rng.normal(0, 2, n) + apart * anomalous, anomalous


def smoothed_fit(z: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, float]:
    """Logistic regression without penalty on Platt's targets: each image once as either class, weighted."""
    up, down = int(anomalous.sum()), int((~anomalous).sum())
    targets = np.where(anomalous, (up + 1) / (up + 2), 1 / (down + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    doubled = np.concatenate([z, z])
    model.fit(doubled, np.repeat([1, 0], len(z)), sample_weight=np.concatenate([targets, 1 - targets]))
    return model.coef_[0], float(model.intercept_[0])


@pytest.mark.parametrize(("n", "share"), [(40, 0.5), (300, 0.1), (1000, 0.8), (6, 0.4)])
def test_platt_is_logistic_regression_on_smoothed_targets(n: int, share: float) -> None:
    z, anomalous = logits(n, share, apart=3.0)
    found = platt(z[:, None], anomalous)
    slope, intercept = smoothed_fit(z[:, None], anomalous)
    # Both minimise the same loss, so the probabilities must agree; on six images it is flat.
    np.testing.assert_allclose(expit(found.logits(z[:, None])), expit(z * slope[0] + intercept), atol=2e-3)


def test_units_do_not_matter() -> None:
    z, anomalous = logits(200, 0.3, apart=2.0)
    plain, scaled = platt(z[:, None], anomalous), platt(z[:, None] * 1000 + 5, anomalous)
    np.testing.assert_allclose(plain.logits(z[:, None]), scaled.logits(z[:, None] * 1000 + 5), atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 60), share=st.floats(0.1, 0.9), apart=st.floats(-5, 5))
def test_slopes_are_never_negative_and_nothing_is_certain(seed: int, n: int, share: float, apart: float) -> None:
    z, anomalous = logits(n, share, apart, seed)
    assume(anomalous.any() and not anomalous.all())
    both = np.column_stack([z, np.random.default_rng(seed + 1).normal(size=n)])
    found = platt(both, anomalous)
    assert all(slope >= 0 for slope in found.slopes)
    probabilities = expit(found.logits(both))
    assert np.isfinite(probabilities).all() and probabilities.min() > 0 and probabilities.max() < 1


def test_perfectly_separated_images_do_not_give_certainty() -> None:
    anomalous = np.arange(6) < 3
    found = expit(platt(np.where(anomalous, 50.0, -50.0)[:, None], anomalous).logits(np.array([[50.0], [-50.0]])))
    np.testing.assert_allclose(found, [4 / 5, 1 / 5], atol=1e-3)


def test_the_pull_towards_equal_slopes_vanishes_with_many_images() -> None:
    def ratio(n: int) -> float:
        z, anomalous = logits(n, 0.5, apart=3.0)
        noise = np.random.default_rng(7).normal(size=n)
        both = np.column_stack([z, noise])
        slopes = np.array(platt(both, anomalous).slopes) * both.std(axis=0)
        return float(slopes[1] / slopes[0])

    few, many = ratio(8), ratio(5000)
    assert many < 0.1 and few > many


def test_stacking_uses_both() -> None:
    rng = np.random.default_rng(3)
    anomalous = np.arange(600) < 200
    both = rng.normal(size=(600, 2)) + 1.5 * anomalous[:, None]
    stacked = platt(both, anomalous)
    alone = min(log_loss(platt(both[:, [j]], anomalous).logits(both[:, [j]]), anomalous) for j in (0, 1))
    assert log_loss(stacked.logits(both), anomalous) < alone
    truth, _ = smoothed_fit(both, anomalous)
    np.testing.assert_allclose(stacked.slopes, truth, rtol=0.05)


def test_one_class_cannot_be_calibrated() -> None:
    for which in (True, False):
        with pytest.raises(ValueError, match="both classes are needed"):
            platt(np.zeros((3, 1)), np.full(3, which))


def test_constant_logits_give_the_share() -> None:
    anomalous = np.arange(100) < 30
    found = expit(platt(np.zeros((100, 1)), anomalous).logits(np.zeros((1, 1))))
    assert found[0] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("n", "beyond"), [(1000, 0.0), (99, 1 / 100), (113, 1 / 114), (20, 1 / 21), (2, 1 / 3)])
def test_normal_only(n: int, beyond: float) -> None:
    distances = np.random.default_rng(0).gamma(4, 1, n)
    found, false_alarms = normal_only(distances)
    assert false_alarms == pytest.approx(beyond or 10 / 1001)
    scores = expit(found.logits(distances[:, None]))
    assert (scores >= 0.5).sum() == round(false_alarms * (n + 1)) - 1
    assert found.slopes[0] == pytest.approx(1 / distances.std())


def test_normal_only_keeps_its_promise_on_new_images() -> None:
    rng = np.random.default_rng(1)
    for n in (20, 113, 500):
        rates, promised = [], 0.0
        for _ in range(400):
            found, promised = normal_only(rng.gamma(4, 1, n))
            rates.append((found.logits(rng.gamma(4, 1, (400, 1))) >= 0).mean())
        assert np.mean(rates) == pytest.approx(promised, rel=0.3)


def test_equal_distances_are_normal() -> None:
    found, _ = normal_only(np.ones(3))
    assert np.isfinite(found.intercept) and found.logits(np.ones((1, 1)))[0] < 0


def test_log_loss() -> None:
    z, anomalous = logits(50, 0.3, apart=2.0)
    assert log_loss(z, anomalous) == pytest.approx(sklearn_log_loss(anomalous, expit(z)))
    assert log_loss(np.array([1000.0, -1000.0]), np.array([True, False])) == 0
