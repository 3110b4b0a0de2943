"""Folds: what must hold for every data set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whycam.training.folds import covered, draw_folds

UNITS = st.lists(st.tuples(st.booleans(), st.integers(0, 15)), min_size=2, max_size=60)


@settings(max_examples=150, deadline=None)
@given(rows=UNITS, n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_units_are_never_torn(rows: list[tuple[bool, int]], n_folds: int, seed: int) -> None:
    anomalous, units = np.array([row[0] for row in rows]), [row[1] for row in rows]
    folds = draw_folds(anomalous, units, n_folds, seed=seed)
    assert folds.shape == (len(rows),) and set(folds.tolist()) <= set(range(n_folds))
    for unit in set(units):
        assert len(set(folds[np.array(units) == unit].tolist())) == 1
    assert np.array_equal(folds, draw_folds(anomalous, units, n_folds, seed=seed))


@settings(max_examples=150, deadline=None)
@given(n=st.integers(2, 200), m=st.integers(2, 200), n_folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_single_images_are_dealt_out_evenly(n: int, m: int, n_folds: int, seed: int) -> None:
    anomalous = np.array([False] * n + [True] * m)
    folds = draw_folds(anomalous, range(n + m), min(n_folds, n, m), seed=seed)
    for which in (False, True):
        counts = np.bincount(folds[anomalous == which], minlength=min(n_folds, n, m))
        assert counts.max() - counts.min() <= 1 and counts.min() >= 1


@settings(max_examples=150, deadline=None)
@given(
    normal=st.lists(st.integers(1, 6), min_size=2, max_size=20),
    odd=st.lists(st.integers(1, 6), min_size=2, max_size=20),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_every_fold_has_both_classes(normal: list[int], odd: list[int], n_folds: int, seed: int) -> None:
    sizes = [(False, size) for size in normal] + [(True, size) for size in odd]
    anomalous = np.array([which for which, size in sizes for _ in range(size)])
    units = [number for number, (_, size) in enumerate(sizes) for _ in range(size)]
    n_folds = min(n_folds, len(normal), len(odd))
    folds = draw_folds(anomalous, units, n_folds, seed=seed)
    for fold in range(n_folds):
        assert set(anomalous[folds == fold].tolist()) == {False, True}
        assert set(anomalous[folds != fold].tolist()) == {False, True}


def test_the_seed_decides_among_equal_units() -> None:
    anomalous = np.arange(40) % 2 == 0
    drawn = {tuple(draw_folds(anomalous, range(40), 4, seed=seed).tolist()) for seed in range(4)}
    assert len(drawn) == 4


def test_covered() -> None:
    folds = np.array([0, 0, 1, 1])
    assert covered(folds, np.array([True, False, True, False]))
    assert not covered(folds, np.array([True, True, False, False]))
    assert not covered(np.zeros(4, dtype=np.intp), np.ones(4, dtype=bool))
