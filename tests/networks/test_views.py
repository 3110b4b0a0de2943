"""The symmetries of the square against pixels moved by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whycam.card import CellGrid
from whycam.networks.views import NAMES, turn, turn_back, turned_grid

VIEWS = range(8)
views = st.integers(0, 7)
sides = st.integers(1, 9)


def moved(row: int, column: int, view: int, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Where a pixel goes: mirrored, then a quarter counter-clockwise at a time (the right edge becomes the top)."""
    height, width = size_hw
    if view >= 4:
        column = width - 1 - column
    for _ in range(view % 4):
        row, column = width - 1 - column, row
        height, width = width, height
    return row, column


@given(view=views, height=sides, width=sides, data=st.data())
def test_every_pixel_goes_where_the_description_says(view: int, height: int, width: int, data: st.DataObject) -> None:
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    image = torch.zeros(2, 1, height, width)
    image[1, 0, row, column] = 1.0
    seen = turn(image, view)
    assert seen.shape[2:] == ((width, height) if view % 2 else (height, width))
    assert torch.nonzero(seen).tolist() == [[1, 0, *moved(row, column, view, (height, width))]]
    assert torch.equal(turn_back(seen, view), image)


def test_the_eight_views_differ_and_have_names() -> None:
    image = torch.arange(9.0).view(3, 3)
    assert len({tuple(turn(image, view).flatten().tolist()) for view in VIEWS}) == len(set(NAMES)) == 8
    assert turn(image, 1).tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]  # counter-clockwise: the right column is on top
    assert turn(image, 4).tolist() == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]


def test_gradients_go_back_the_same_way() -> None:
    for view in VIEWS:
        image = torch.rand(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, view=view: turn_back(turn(x, view) ** 2, view), image)


@given(
    view=views,
    size_hw=st.tuples(st.integers(20, 40), st.integers(20, 40)),
    stride=st.integers(1, 4),
    top=st.integers(0, 5),
    left=st.integers(0, 5),
    cells=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_a_grid_turned_back_names_the_pixels_its_cells_saw(
    view: int, size_hw: tuple[int, int], stride: int, top: int, left: int, cells: tuple[int, int]
) -> None:
    # The image holds each pixel's own number, a cell the number of the pixel that it is centred on.
    image = torch.arange(size_hw[0] * size_hw[1]).view(size_hw)
    seen = turn(image, view)
    grid = CellGrid(*cells, float(stride), float(top), float(left))
    maps = seen[top::stride, left::stride][: grid.height, : grid.width]
    back = turn_back(maps, view)
    own = turned_grid(grid, view, size_hw)
    assert back.shape == (own.height, own.width)
    for i in range(own.height):
        for j in range(own.width):
            assert back[i, j] == image[int(own.top + own.stride * i), int(own.left + own.stride * j)]


@pytest.mark.parametrize("view", [-1, 8])
def test_other_views_are_refused(view: int) -> None:
    with pytest.raises(ValueError, match="`view` must be 0 to 7"):
        turn(torch.zeros(2, 2), view)
