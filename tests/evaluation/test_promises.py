"""Promises kept as often as stated, over data sets whose truth is known; and limits beside an exhaustive search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from whycam.evaluation.promises import (
    binomial_p_value,
    hoeffding_bentkus_p_value,
    n_needed,
    safe_limit,
    smallest_share,
)

DRAWS = 1000

Draw = Callable[[np.random.Generator, int], np.ndarray]
Below = Callable[[float], float]


def apart(n: int) -> list[str]:
    return [str(number) for number in range(n)]


def enough(share: float, draws: int = DRAWS) -> float:
    """The smallest share of `draws` that a promise kept with probability `share` falls below once in 10,000 times."""
    return float(binom.ppf(1e-4, draws, share)) / draws


CONTINUOUS: dict[str, tuple[Draw, Below]] = {
    "beta": (lambda rng, n: rng.beta(5, 2, n), lambda v: float(beta.cdf(v, 5, 2))),
    "normal": (lambda rng, n: rng.normal(3, 20, n), lambda v: float(norm.cdf(v, 3, 20))),
    "nearly certain": (lambda rng, n: rng.beta(0.3, 0.01, n), lambda v: float(beta.cdf(v, 0.3, 0.01))),
}


@pytest.mark.parametrize("scores", CONTINUOUS)
@pytest.mark.parametrize(("n", "share", "confidence"), [(40, 0.1, 0.95), (299, 0.01, 0.95), (300, 0.05, 0.9)])
def test_independent_values_keep_the_promise_as_often_as_the_order_statistic_does(
    scores: str, n: int, share: float, confidence: float
) -> None:
    draw, below = CONTINUOUS[scores]
    rng, units = np.random.default_rng(n), apart(n)
    kept = 0
    for _ in range(DRAWS):
        limit = safe_limit(draw(rng, n), units, share=share, confidence=confidence)
        assert limit is not None
        # Strictly below; "nearly certain" has values that round to 1, where the distribution function would say 1.
        kept += below(np.nextafter(limit, -np.inf)) <= share
    # With k values below it, the limit keeps the promise exactly as often as more than k of n fall into the share.
    k = int(np.flatnonzero(binom.cdf(np.arange(n), n, share) <= 1 - confidence)[-1])
    exact = 1 - binom.cdf(k, n, share)
    assert exact >= confidence
    assert enough(exact) <= kept / DRAWS
    if scores != "nearly certain":
        assert kept / DRAWS <= binom.ppf(1 - 1e-4, DRAWS, exact) / DRAWS


@pytest.mark.parametrize("levels", [3, 11, 101])
@pytest.mark.parametrize(("n", "share"), [(60, 0.1), (400, 0.03)])
def test_tied_values_keep_the_promise(levels: int, n: int, share: float) -> None:
    rng = np.random.default_rng(levels)
    chances = rng.dirichlet(np.ones(levels))
    # (levels,): the true share strictly below each.
    below = np.concatenate([[0.0], np.cumsum(chances)[:-1]])
    kept = 0
    for _ in range(DRAWS):
        limit = safe_limit(rng.choice(levels, n, p=chances).astype(float), apart(n), share=share, confidence=0.9)
        assert limit is not None
        kept += below[int(limit)] <= share
    assert kept / DRAWS >= enough(0.9)


@pytest.mark.parametrize("spread", [0.05, 20.0])
@pytest.mark.parametrize("sizes", [(6,), (1, 2, 9)])
@pytest.mark.parametrize(("n", "share"), [(60, 0.1), (250, 0.05)])
def test_dependent_values_keep_the_promise(spread: float, sizes: tuple[int, ...], n: int, share: float) -> None:
    """Values of a unit are a value of the unit plus noise: `spread` 20 makes them all but equal, 0.05 independent."""
    rng = np.random.default_rng(n)
    sd = np.hypot(spread, 1.0)
    kept = 0
    draws = 400
    for _ in range(draws):
        size = rng.choice(sizes, n)
        units = np.repeat(np.arange(n), size)
        values = rng.normal(0, spread, n)[units] + rng.normal(0, 1, len(units))
        limit = safe_limit(values, units.tolist(), share=share, confidence=0.9)
        assert limit is not None
        kept += norm.cdf(limit, 0, sd) <= share
    assert kept / draws >= enough(0.9, draws)


def test_taking_dependent_values_as_independent_would_break_the_promise() -> None:
    """So the test above can fail."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(300):
        values = np.repeat(rng.normal(0, 20, 60), 6) + rng.normal(0, 1, 360)
        limit = safe_limit(values, apart(360), share=0.1, confidence=0.9)
        assert limit is not None
        kept += norm.cdf(limit, 0, np.hypot(20, 1)) <= 0.1
    assert kept / 300 < 0.8


def test_a_few_copies_keep_the_promise_and_cost_little() -> None:
    rng = np.random.default_rng(5)
    kept, limits, without = 0, [], []
    units = [*apart(400), "0", "1", "2", "2"]
    for _ in range(DRAWS):
        values = rng.normal(size=400)
        limit = safe_limit(np.append(values, values[[0, 1, 2, 2]]), units, share=0.05, confidence=0.95)
        assert limit is not None
        kept += norm.cdf(limit) <= 0.05
        limits.append(limit)
        without.append(safe_limit(values, apart(400), share=0.05, confidence=0.95))
    assert kept / DRAWS >= enough(0.95)
    assert limits == without


def brute_force(values: np.ndarray, units: list[str], share: float, confidence: float) -> float | None:
    """The largest value such that for it and for all smaller ones the p-value, written out, is small enough."""
    names = sorted(set(units))
    best = None
    for limit in sorted(set(values.tolist())):
        losses = [np.mean([v < limit for v, u in zip(values, units, strict=True) if u == name]) for name in names]
        n, r = len(names), min(float(np.mean(losses)), share)
        if len(names) == len(units):
            p = float(binom.cdf(round(sum(losses)), n, share))
        else:
            h = (1 - r) * np.log((1 - r) / (1 - share)) + (r * np.log(r / share) if r else 0)
            p = min(float(np.exp(-n * h)), float(np.e * binom.cdf(np.ceil(round(sum(losses), 6)), n, share)))
        if p > 1 - confidence:
            return best
        best = limit
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("digits", [1, 17])
def test_the_limit_is_that_of_an_exhaustive_search(seed: int, size: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random(90).round(digits)
    units = [str(number // size) for number in range(90)]
    for share in (0.05, 0.1, 0.3):
        expected = brute_force(values, units, share, 0.9)
        assert safe_limit(values, units, share=share, confidence=0.9) == expected
        order = rng.permutation(90)
        shuffled = [units[at] for at in order]
        assert safe_limit(values[order], shuffled, share=share, confidence=0.9) == expected


def test_p_values_are_those_of_their_formulas() -> None:
    assert binomial_p_value(np.array([0.0, 3.0]), 50, 0.1) == pytest.approx(binom.cdf([0, 3], 50, 0.1))
    # Nothing lost: both bounds are (1 - share)^n, the second e times as much.
    assert hoeffding_bentkus_p_value(np.zeros(1), 50, 0.1)[0] == pytest.approx(0.9**50)
    # As much lost as allowed, or more: nothing is ruled out.
    assert hoeffding_bentkus_p_value(np.array([5.0, 40.0]), 50, 0.1) == pytest.approx([1, 1])
    # Sums of thirds that rounding has pushed above a whole number.
    above = np.array([3 + 1e-12])
    assert hoeffding_bentkus_p_value(above, 400, 0.05) == pytest.approx(
        hoeffding_bentkus_p_value(np.array([3.0]), 400, 0.05), rel=1e-9
    )


@pytest.mark.parametrize(
    ("share", "confidence", "n"), [(0.01, 0.95, 299), (0.1, 0.95, 29), (0.05, 0.9, 45), (0.5, 0.75, 2), (0.9, 0.5, 1)]
)
def test_how_many_are_needed(share: float, confidence: float, n: int) -> None:
    assert n_needed(share, confidence) == n
    for size in (1, 2):
        units = [str(number // size) for number in range(n * size)]
        assert safe_limit(np.arange(n * size, dtype=float), units, share=share, confidence=confidence) == 0.0
        if n > 1:
            fewer = units[: (n - 1) * size]
            assert safe_limit(np.arange(len(fewer)), fewer, share=share, confidence=confidence) is None
    assert smallest_share(n, confidence) <= share * (1 + 1e-9)
    assert n == 1 or smallest_share(n - 1, confidence) > share


def test_no_values_have_no_limit() -> None:
    assert safe_limit(np.empty(0), [], share=0.5, confidence=0.5) is None
