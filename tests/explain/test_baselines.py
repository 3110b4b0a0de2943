"""What the maps that know nothing look like, and that none of them is finer than a heatmap."""

from __future__ import annotations

import numpy as np
import pytest

from whycam.card import CellGrid
from whycam.explain.baselines import blurred, centre_map, edge_map, random_maps
from whycam.explain.placement import place


def test_the_centre_map_is_hottest_in_the_middle_and_symmetric() -> None:
    heat = centre_map((41, 61))
    assert np.unravel_index(heat.argmax(), heat.shape) == (20, 30)
    np.testing.assert_allclose(heat, heat[::-1, ::-1])
    # One standard deviation, a quarter of the side, from the middle.
    assert centre_map((400, 8))[299, 4] / centre_map((400, 8))[200, 4] == pytest.approx(np.exp(-0.5), rel=0.02)


def test_edges_are_hot_and_a_flat_image_has_none() -> None:
    image = np.zeros((40, 50, 3), dtype=np.uint8)
    image[:, 30:] = 200
    heat = edge_map(image, resolution=4.0)
    assert set(heat.argmax(axis=1)) <= {29, 30}
    assert heat[:, :10].max() < 1e-3 * heat.max()
    np.testing.assert_allclose(edge_map(image.transpose(1, 0, 2), resolution=4.0), heat.T)
    assert not edge_map(np.full((40, 50, 1), 90, dtype=np.uint8), resolution=4.0).any()


@pytest.mark.parametrize("stride", [4, 8])
def test_blurring_is_what_cells_and_interpolation_do(stride: int) -> None:
    side = 40 * stride
    noise = np.random.default_rng(0).normal(size=(4, side, side))
    cells = noise.reshape(4, 40, stride, 40, stride).mean(axis=(2, 4))
    grid = CellGrid(40, 40, float(stride), top=(stride - 1) / 2, left=(stride - 1) / 2)
    placed = place(cells, grid, model_hw=(side, side), picture_hw=(side, side))
    soft = blurred(noise, resolution=stride)

    def correlation(maps: np.ndarray, distance: int) -> float:
        a, b = maps[:, :, :-distance].ravel(), maps[:, :, distance:].ravel()
        return float(np.corrcoef(a, b)[0, 1])

    assert soft.std() == pytest.approx(placed.std(), rel=0.2)
    for distance in (stride // 2, stride, 2 * stride):
        assert correlation(soft, distance) == pytest.approx(correlation(placed, distance), abs=0.15)


def test_random_maps_are_seeded_and_all_different() -> None:
    one, other = (random_maps(3, (20, 30), resolution=4.0, rng=np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (3, 20, 30)
    assert (one > 0).all()
    assert abs(np.corrcoef(one[0].ravel(), one[1].ravel())[0, 1]) < 0.5
