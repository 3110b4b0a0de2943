from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whycam.evaluation import bootstrap
from whycam.evaluation.bootstrap import clusters, interval, resampling_weights


@given(st.lists(st.one_of(st.none(), st.sampled_from("abc"))))
def test_clusters_join_equal_groups_and_nothing_else(groups: list[str | None]) -> None:
    members = clusters(groups)
    for i, first in enumerate(groups):
        for j, second in enumerate(groups):
            assert (members[i] == members[j]) == (i == j or (first is not None and first == second))
    assert sorted(set(members)) == list(range(len(set(members))))


def test_weights_are_multinomial_draws() -> None:
    weights = np.concatenate(list(resampling_weights(50, 4000, seed=3)), axis=1)
    assert weights.shape == (50, 4000)
    assert np.all(weights.sum(axis=0) == 50)
    assert weights.mean() == 1
    # A multinomial count has variance n p (1 - p) and covariance -n p p.
    assert weights.var(axis=1).mean() == pytest.approx(0.98, abs=0.01)
    assert np.cov(weights)[np.triu_indices(50, 1)].mean() == pytest.approx(-0.02, abs=0.001)


def test_draws_do_not_depend_on_how_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(resampling_weights(30, 100, seed=5))
    monkeypatch.setattr(bootstrap, "_CELLS", 30 * 7)
    cut = list(resampling_weights(30, 100, seed=5))
    assert len(whole) == 1
    assert len(cut) == 15
    assert np.array_equal(np.concatenate(cut, axis=1), whole[0])


def test_memory_is_bounded_by_the_images_not_only_by_the_clusters() -> None:
    block = next(resampling_weights(10, 1000, seed=0, n_images=50_000))
    assert block.shape == (10, bootstrap._CELLS // 50_000)


def test_seed_zero_is_a_seed() -> None:
    first, again, other = (next(resampling_weights(20, 10, seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_interval_is_the_middle_95_percent_of_the_defined_values() -> None:
    values = np.concatenate([np.arange(1001.0), np.full(900, np.nan)])
    assert interval(values, 10) == pytest.approx((25, 975))


@pytest.mark.parametrize(
    ("values", "n_clusters"),
    [([1.0, np.nan, np.nan], 10), ([np.nan, np.nan], 10), ([1.0, 2.0], 1)],
    ids=["mostly undefined", "undefined", "one cluster"],
)
def test_no_interval_is_invented(values: list[float], n_clusters: int) -> None:
    assert interval(np.array(values), n_clusters) == (None, None)


def test_half_of_the_resamples_is_enough() -> None:
    assert interval(np.array([1.0, np.nan]), 2) == (1.0, 1.0)
