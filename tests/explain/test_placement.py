"""Maps land where the network looked, and spreading evidence loses none of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whycam.card import CellGrid
from whycam.explain.placement import combined_grid, merge, place, spread
from whycam.networks.classic import ClassicNetwork

GRID = CellGrid(height=5, width=7, stride=4.0, top=8.5, left=8.5)
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
    grid = CellGrid(height=5, width=7, stride=4.0, top=8.0, left=10.0)
    values = np.random.default_rng(0).random((5, 7))
    placed = place(values, grid, model_hw=MODEL, picture_hw=MODEL)
    np.testing.assert_allclose(placed[8:25:4, 10:35:4], values, atol=1e-12)
    # Halfway between two cells is halfway between their values, and the rim continues the outermost cells.
    np.testing.assert_allclose(placed[10, 10], (values[0, 0] + values[1, 0]) / 2)
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


sides = st.integers(1, 12)
grids = st.builds(
    CellGrid,
    height=sides,
    width=sides,
    stride=st.sampled_from([1.0, 4.0, 8.0, 12.5, 16.0, 32.0]),
    top=st.floats(-20, 60),
    left=st.floats(-20, 60),
)


@given(sources=st.lists(grids, min_size=1, max_size=4), onto=grids, seed=st.integers(0, 1000))
def test_merging_keeps_the_sum_on_any_cells(sources: list[CellGrid], onto: CellGrid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.normal(size=(3, grid.height, grid.width)) for grid in sources]
    merged = merge(maps, sources, onto)
    assert merged.shape == (3, onto.height, onto.width)
    np.testing.assert_allclose(merged.sum((1, 2)), sum(values.sum((1, 2)) for values in maps), atol=1e-9)


@given(source=grids, onto=grids)
def test_merging_divides_each_value_among_the_cells_around_its_own(source: CellGrid, onto: CellGrid) -> None:
    def shares(at: float, first: float, number: int, reach: float) -> np.ndarray:
        weights = np.array([max(0.0, 1 - abs(first + onto.stride * cell - at) / reach) for cell in range(number)])
        if not weights.any():
            weights[np.argmin([abs(first + onto.stride * cell - at) for cell in range(number)])] = 1.0
        return weights / weights.sum()

    values = np.random.default_rng(0).normal(size=(2, source.height, source.width))
    expected = np.zeros((2, onto.height, onto.width))
    reach = max(source.stride, onto.stride)
    for row in range(source.height):
        for column in range(source.width):
            down = shares(source.top + source.stride * row, onto.top, onto.height, reach)
            across = shares(source.left + source.stride * column, onto.left, onto.width, reach)
            expected += values[:, row, column, None, None] * np.outer(down, across)
    np.testing.assert_allclose(merge([values], [source], onto), expected, atol=1e-9)


@pytest.mark.parametrize("stride", [2.0, 4.0, 8.0, 11.0, 16.0, 32.0])
def test_a_hot_cell_stays_where_it_is(stride: float) -> None:
    source = CellGrid(height=9, width=11, stride=stride, top=5.5, left=2.0)
    onto = combined_grid([source, source], (int(9 * stride) + 20, int(11 * stride) + 20))
    rows, columns = onto.top + onto.stride * np.arange(onto.height), onto.left + onto.stride * np.arange(onto.width)
    for row, column in ((4, 5), (3, 7), (5, 4)):
        values = np.zeros((1, 9, 11))
        values[0, row, column] = 2.0
        (merged,) = merge([values], [source], onto)
        assert (merged >= 0).all()
        centre = (merged.sum(1) @ rows / 2, merged.sum(0) @ columns / 2)
        assert abs(centre[0] - (source.top + stride * row)) <= onto.stride / 2
        assert abs(centre[1] - (source.left + stride * column)) <= onto.stride / 2


def test_out_of_reach_goes_to_the_nearest_cell() -> None:
    source, onto = CellGrid(1, 1, 4.0, top=100.0, left=-50.0), CellGrid(3, 2, 8.0, top=3.5, left=3.5)
    merged = merge([np.full((1, 1, 1), 7.0)], [source], onto)
    assert merged.tolist() == [[[0, 0], [0, 0], [7.0, 0]]]


def test_a_map_that_lies_there_already_stays_as_it_is() -> None:
    values = np.random.default_rng(0).random((2, 5, 7)).astype(np.float32)
    assert merge([values], [GRID], GRID) is values
    np.testing.assert_allclose(merge([values, values], [GRID, GRID], GRID), 2.0 * values, atol=1e-6)


def test_many_maps_are_shown_on_cells_of_eight_pixels() -> None:
    assert combined_grid([GRID], (40, 48)) is GRID
    assert combined_grid([GRID, GRID], (41, 48)) == CellGrid(height=6, width=6, stride=8.0, top=3.5, left=3.5)
