"""Maps land where the network looked, and spreading evidence loses none of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whycam.card import CellGrid
from whycam.explain.placement import place, spread
from whycam.networks.classic import ClassicNetwork

GRID = CellGrid(height=5, width=7, stride=4.0, offset=8.5)
MODEL = (40, 48)


@given(
    picture=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 1000),
)
def test_spreading_keeps_the_sum_on_any_picture(picture: tuple[int, int], seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(3, 5, 7))
    result = spread(maps, GRID, model_hw=MODEL, picture_hw=picture)
    assert result.shape == (3, *picture)
    np.testing.assert_allclose(result.sum((1, 2)), maps.sum((1, 2)), atol=1e-9)


def test_cell_values_stand_at_cell_centres() -> None:
    grid = CellGrid(height=5, width=7, stride=4.0, offset=8.0)
    values = np.random.default_rng(0).random((5, 7))
    placed = place(values, grid, model_hw=MODEL, picture_hw=MODEL)
    np.testing.assert_allclose(placed[8:25:4, 8:33:4], values, atol=1e-12)
    # Halfway between two cells is halfway between their values, and the rim continues the outermost cells.
    np.testing.assert_allclose(placed[10, 8], (values[0, 0] + values[1, 0]) / 2)
    np.testing.assert_allclose(placed[0, 0], values[0, 0])
    np.testing.assert_allclose(placed[-1, -1], values[-1, -1])


def test_placing_stays_within_the_values() -> None:
    values = np.random.default_rng(0).random((5, 7))
    placed = place(values, GRID, model_hw=MODEL, picture_hw=(123, 77))
    assert placed.min() >= values.min() - 1e-12
    assert placed.max() <= values.max() + 1e-12


@pytest.mark.parametrize("scale", [1, 3])
def test_a_bright_spot_is_found_where_it_is(scale: int) -> None:
    # Weights of one sign make the features follow brightness, so the placed map must peak on the spot.
    network = ClassicNetwork((101, 101)).double()
    for parameter in network.parameters():
        parameter.data.fill_(0.05)
    (grid,) = network.grids((101, 101))
    for row, column in ((20, 70), (50, 50), (80, 25)):
        image = torch.zeros(1, 1, 101, 101, dtype=torch.float64)
        image[0, 0, row - 3 : row + 4, column - 3 : column + 4] = 1.0
        features = network.stages(image)[0][0].mean(0).detach().numpy()
        placed = place(features, grid, model_hw=(101, 101), picture_hw=(101 * scale, 101 * scale))
        rows, columns = np.nonzero(placed >= 0.999 * placed.max())
        assert abs(rows.mean() / scale - row) <= 2.5
        assert abs(columns.mean() / scale - column) <= 2.5
