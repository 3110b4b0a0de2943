"""Reliability beside scikit-learn's calibration curve, scipy's Wilson interval, and a case worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from whycam.errors import WhyCAMError
from whycam.evaluation.reliability import reliability, wilson
from whycam.types import Predictions

Predict = Callable[..., Predictions]


@pytest.mark.parametrize("n", [100, 137, 1000])
@pytest.mark.parametrize("digits", [1, 2, 17])
def test_bins_are_scikit_learns_quantile_bins(predict: Predict, n: int, digits: int) -> None:
    rng = np.random.default_rng(n)
    scores = rng.beta(0.5, 0.9, n).round(digits)
    targets = (rng.random(n) < scores**2).astype(float)
    found = reliability(predict(targets, scores))
    shares, said = calibration_curve(targets, scores, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([one.share for one in found.bins], shares)
    np.testing.assert_allclose([one.score for one in found.bins], said)
    assert sum(one.n for one in found.bins) == n
    if digits == 17:
        assert max(one.n for one in found.bins) - min(one.n for one in found.bins) <= 1


def test_a_case_by_hand(predict: Predict) -> None:
    # Two bins of ten: 0.1 said and 3 of 10 true; 0.8 said and 6 of 10 true. Both lie 0.2 apart.
    scores = [0.1] * 10 + [0.8] * 10
    targets = [1.0] * 3 + [0.0] * 7 + [1.0] * 6 + [0.0] * 4
    found = reliability(predict(targets, scores))
    assert [(one.n, one.share) for one in found.bins] == [(10, 0.3), (10, 0.6)]
    assert [one.score for one in found.bins] == pytest.approx([0.1, 0.8])
    assert found.error == pytest.approx(0.2)
    # Binomial mean absolute deviations, 0.0775 and 0.0966 (10 drawings with 0.1, with 0.8), averaged.
    assert found.error_by_chance == pytest.approx(0.087, abs=0.012)


def test_neither_order_nor_ties_matter(predict: Predict) -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.random(200).round(1), (rng.random(200) < 0.4).astype(float)
    order = rng.permutation(200)
    one, other = reliability(predict(targets, scores)), reliability(predict(targets[order], scores[order]))
    assert [each.n for each in one.bins] == [each.n for each in other.bins]
    assert one.error == pytest.approx(other.error)


def test_graded_targets_count_as_anomalous_above_one_half(predict: Predict) -> None:
    graded = [0.0, 0.33, 0.5, 0.51, 0.67, 1.0] * 4
    scores = np.linspace(0, 1, 24)
    assert reliability(predict(graded, scores)) == reliability(predict(np.array(graded) > 0.5, scores))
    assert np.mean([one.share for one in reliability(predict(graded, scores)).bins]) == pytest.approx(0.5)


def test_a_calibrated_model_errs_as_much_as_chance_explains(predict: Predict) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        scores = rng.beta(0.6, 1.2, 400)
        found.append(reliability(predict((rng.random(400) < scores).astype(float), scores)))
    assert np.mean([one.error for one in found]) == pytest.approx(np.mean([one.error_by_chance for one in found]), 0.1)
    # About 95 % of the intervals hold what was said.
    held = [one.low <= one.score <= one.high for each in found for one in each.bins]
    assert 0.9 < np.mean(held) <= 1.0
    too_sure = reliability(predict((rng.random(400) < 0.5).astype(float), rng.random(400)))
    assert too_sure.error > 3 * too_sure.error_by_chance


@pytest.mark.parametrize(("n", "bins"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (5000, 10)])
def test_few_images_have_few_bins(predict: Predict, n: int, bins: int) -> None:
    scores = np.random.default_rng(0).random(n)
    assert len(reliability(predict(scores > 0.5, scores)).bins) == bins


def test_one_score_for_all_is_one_bin(predict: Predict) -> None:
    (only,) = reliability(predict([0.0] * 150 + [1.0] * 50, [0.25] * 200)).bins
    assert (only.n, only.score, only.share) == (200, 0.25, 0.25)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (66, 66), (1, 100_000)])
def test_wilson_is_scipys(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(k / n, n)[0] <= k / n <= wilson(k / n, n)[1]


def test_only_probabilities_can_be_reliable(predict: Predict) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        reliability(predict([0, 1], [-0.1, 0.5]))
    with pytest.raises(WhyCAMError, match="not finite"):
        reliability(predict([0, 1], [np.nan, 0.5]))
