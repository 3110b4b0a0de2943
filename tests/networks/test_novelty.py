"""Distances beside scikit-learn's neighbours, p-values beside their definition, and who borrows from whom."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.neighbors import NearestNeighbors

from whycam.networks.novelty import (
    Neighbourhood,
    NoveltyModel,
    coordinates,
    extended_p_value,
    fewest,
    p_value,
    tail_index,
)


def neighbourhood(rng: np.random.Generator, *, n: int = 60, d: int = 30, k: int = 4) -> Neighbourhood:
    basis = np.linalg.qr(rng.normal(size=(d, k)))[0].T.astype(np.float32)
    return Neighbourhood(
        shift=rng.normal(size=d).astype(np.float32),
        scale=rng.uniform(0.5, 2, d).astype(np.float32),
        basis=basis,
        references=rng.normal(size=(n, k + 1)).astype(np.float32),
        spacings=rng.uniform(0.1, 3, n).astype(np.float32),
    )


def model(rng: np.random.Generator, *, sizes: tuple[int, int], level: float = 0.1) -> NoveltyModel:
    """Anomalous images lie twice as far from others, and twice as far as any reference is from another."""
    n_normal, n_anomalous = sizes
    return NoveltyModel(
        level,
        neighbourhood(rng),
        normal=rng.gamma(3, 0.3, n_normal),
        anomalous=2 * rng.gamma(3, 0.3, n_anomalous),
    )


def test_coordinates_are_the_projection_and_the_length_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    near = neighbourhood(rng)
    pooled = rng.normal(size=(7, 30)).astype(np.float32)
    x = (pooled - near.shift) * near.scale
    c = x @ near.basis.T
    found = coordinates(pooled, near.shift, near.scale, near.basis)
    np.testing.assert_allclose(found[:, :-1], c, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, -1], np.linalg.norm(x - c @ near.basis, axis=1), rtol=1e-4)
    # Inside the span nothing is left, which rounding must not turn into the root of a negative number.
    inside = (np.eye(4, dtype=np.float32) @ near.basis) / near.scale + near.shift
    np.testing.assert_allclose(coordinates(inside, near.shift, near.scale, near.basis)[:, -1], 0, atol=2e-3)


@pytest.mark.parametrize("n", [0, 1, 2500])
def test_distances_are_those_of_scikit_learns_neighbours(n: int) -> None:
    rng = np.random.default_rng(1)
    near = neighbourhood(rng)
    pooled = (near.shift + rng.normal(size=(n, 30)) / near.scale).astype(np.float32)
    found = near.distances(pooled)
    assert found.shape == (n,)
    if n:
        search = NearestNeighbors(n_neighbors=5).fit(near.references.astype(float))
        apart, nearest = search.kneighbors(coordinates(pooled, near.shift, near.scale, near.basis).astype(float))
        spacing = near.spacings[nearest].mean(axis=1) + np.median(near.spacings)
        np.testing.assert_allclose(found, apart.mean(axis=1) / spacing, rtol=1e-6)


def test_p_values_count_whatever_lies_as_far() -> None:
    known = np.array([3.0, 1.0, 2.0, 2.0])
    assert p_value(known, np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 9.0])) == pytest.approx(
        np.array([5, 5, 4, 4, 2, 2, 1]) / 5
    )


def test_p_values_of_images_of_the_kind_are_no_smaller_than_chance_has_it() -> None:
    rng = np.random.default_rng(2)
    found = np.concatenate([p_value(*np.split(rng.gamma(2, size=199 + 40), [199])) for _ in range(100)])
    for level in (0.01, 0.05, 0.3):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.25 * level)


@pytest.mark.parametrize(("level", "n"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.003, 333)])
def test_the_smallest_p_value_reaches_the_level(level: float, n: int) -> None:
    assert fewest(level) == n
    assert p_value(np.zeros(n), np.ones(1))[0] <= level
    if n > 1:
        assert p_value(np.zeros(n - 1), np.ones(1))[0] > level


def test_the_tail_index_is_that_of_a_power_law() -> None:
    rng = np.random.default_rng(3)
    for index in (0.1, 0.4, 1.0):
        known = 2 * (1 - rng.random(20_000)) ** -index
        assert tail_index(known) == pytest.approx(index, rel=0.1)
        # The p-value of a small part of them, extended, is right far beyond its largest distance.
        few = [rng.permutation(known)[:20] for _ in range(500)]
        flagged = [float(np.mean(extended_p_value(part, known[:4000], index) <= 0.01)) for part in few]
        assert 0.004 < np.mean(flagged) < 0.03
        assert np.mean([np.mean(known[:4000] > part.max()) for part in few]) > 0.04


def test_the_extended_p_value_goes_on_where_the_other_ends() -> None:
    known = np.array([1.0, 4.0, 2.0])
    distances = np.array([0.5, 2.0, 4.0, 8.0])
    found = extended_p_value(known, distances, 0.5)
    np.testing.assert_allclose(found, [1, 3 / 4, 2 / 4, 1 / 4 / 4])
    np.testing.assert_array_equal(found[:3], p_value(known, distances)[:3])


def expected(found: NoveltyModel, distances: np.ndarray) -> np.ndarray:
    """The docstring's rule for level 0.1, which needs nine images, case by case."""
    normal, anomalous = found.normal, found.anomalous
    enough = len(normal) >= 9, len(anomalous) >= 9
    if all(enough):
        return np.maximum(p_value(normal, distances), p_value(anomalous, distances))
    if any(enough):
        base, other = (normal, anomalous) if enough[0] else (anomalous, normal)
        one = p_value(base, distances)
        return np.maximum(one, extended_p_value(other, distances, tail_index(base))) if len(other) else one
    both = np.concatenate([normal, anomalous])
    parts = [extended_p_value(known, distances, tail_index(both)) for known in (normal, anomalous)]
    return np.max([p_value(both, distances), *parts], axis=0)


@pytest.mark.parametrize("sizes", [(200, 50), (200, 9), (200, 8), (200, 1), (200, 0), (3, 40), (0, 40), (7, 8)])
def test_every_class_counts(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    found = model(rng, sizes=sizes)
    near = found.neighbourhood
    pooled = near.shift + rng.normal(0, np.linspace(0.1, 20, 300)[:, None], (300, 30)) / near.scale
    p = found.p_values(pooled.astype(np.float32))
    distances = near.distances(pooled.astype(np.float32))
    np.testing.assert_allclose(p, expected(found, distances))
    assert 0 < p.min() <= found.level and p.max() > 0.5
    np.testing.assert_array_equal(found.novel(pooled.astype(np.float32)), p <= found.level)
    assert ("with only" in found.statement) == (min(sizes) < 9)
    # Nothing that lies nearer than an image of a small class is novel.
    for known in (found.normal, found.anomalous):
        if 0 < len(known) < 9:
            assert not np.any(p[distances < known.max()] <= found.level)


def test_stored_and_read_again_it_says_the_same() -> None:
    rng = np.random.default_rng(5)
    found = model(rng, sizes=(200, 12))
    again = NoveltyModel.from_tensors(load(save(found.tensors())))
    assert again.level == 0.1 and again.statement == found.statement
    pooled = rng.normal(size=(50, 30)).astype(np.float32)
    np.testing.assert_array_equal(again.p_values(pooled), found.p_values(pooled))
