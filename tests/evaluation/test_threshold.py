"""Where thresholds lie between scores: halfway, on the promised side, and with ties in the middle."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from whycam.evaluation.threshold import Cuts, just_above, just_below


def test_halfway_to_the_neighbour() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    assert just_below(0.4, scores) == 0.25
    assert just_above(0.4, scores) == pytest.approx(0.6)


@pytest.mark.parametrize("outermost", [-3000.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 3e38])
def test_beyond_the_outermost_score_is_a_little_room(outermost: float) -> None:
    scores = np.array([outermost])
    below, above = just_below(outermost, scores), just_above(outermost, scores)
    assert below < outermost < above
    assert above - below <= max(1.1e-6 * abs(outermost), 1.1e-12)
    # A probability's threshold stays one.
    assert outermost <= 0 or below > 0


@pytest.mark.parametrize("score", [0.3, -7.0, 1e-300, 1e300])
def test_neighbours_without_a_number_between_them_stay_apart(score: float) -> None:
    upper = float(np.nextafter(score, np.inf))
    scores = np.array([score, upper])
    assert score < just_below(upper, scores) <= upper
    assert score < just_above(score, scores) <= upper


@pytest.mark.parametrize("digits", [1, 17])
@pytest.mark.parametrize("seed", range(4))
def test_cuts_count_as_a_loop_does(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.normal(size=30).round(digits), rng.random(30) < 0.4
    cuts = Cuts.of(truth, scores)
    levels = sorted(set(scores.tolist()))
    thresholds = [levels[0] - 1, *((a + b) / 2 for a, b in pairwise(levels)), levels[-1] + 1]
    assert len(thresholds) == len(cuts.misses) == len(cuts.false_alarms)
    for value, misses, alarms in zip(thresholds, cuts.misses, cuts.false_alarms, strict=True):
        assert misses == sum(t and s < value for t, s in zip(truth, scores, strict=True))
        assert alarms == sum(not t and s >= value for t, s in zip(truth, scores, strict=True))
        assert cuts.at(value) == (misses, alarms)
    for level in levels:
        # A score at the threshold itself is anomalous.
        assert cuts.at(level) == (sum(truth & (scores < level)), sum(~truth & (scores >= level)))


@pytest.mark.parametrize(
    ("gain", "value"),
    [
        # Cuts: up to 0; 0 to 1; 1 to 2; 2 to 6; 6 to 7; beyond 7.
        ([0, 0, 1, 0, 0, 0], 1.5),
        ([0, 1, 1, 0, 0, 0], 0.5),
        ([0, 0, 1, 1, 0, 0], 4.0),
        ([0, 1, 1, 1, 0, 0], 4.0),
        ([0, 1, 0, 1, 0, 0], 4.0),
        ([0, 1, 0, 0, 1, 0], 0.5),
        ([-2, -1, -1 - 1e-15, -9, -9, -1], 0.5),
    ],
)
def test_the_middle_of_the_best(gain: list[float], value: float) -> None:
    scores = np.array([0.0, 1.0, 2.0, 6.0, 7.0])
    cuts = Cuts.of(np.array([False, False, True, True, True]), scores)
    assert cuts.best(np.array(gain, dtype=float)) == pytest.approx(value)


def test_the_best_may_lie_beyond_all_scores() -> None:
    cuts = Cuts.of(np.array([True, False]), np.array([0.2, 0.9]))
    assert 0.2 - 1e-6 < cuts.best(np.array([1.0, 0.0, 0.0])) < 0.2
    assert 0.9 < cuts.best(np.array([0.0, 0.0, 1.0])) < 0.9 + 1e-6
