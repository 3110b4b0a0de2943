"""From the cells of feature maps to the pixels of a picture, each cell where its receptive field really is.

Stretching the map over the picture, as is usual, shifts it: unpadded convolutions put the classic network's first cell
at pixel 8.5 of 325, where stretching would put it at 1.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from whycam.card import CellGrid
from whycam.types import Floats

_COMBINED_STRIDE = 8
"""Fine enough for a small defect, and coarse enough for every layer that is worth explaining."""


def place(maps: Floats, grid: CellGrid, *, model_hw: tuple[int, int], picture_hw: tuple[int, int]) -> Floats:
    """Maps interpolated linearly between cell centres, constant beyond the outermost.

    Args:
        maps: (..., h, w) on the cells of `grid`.
        grid: where the cells lie on the model's input.
        model_hw: size of the model's input in pixels.
        picture_hw: size of the picture that the model's input was resized from, or of any copy of it.

    Returns:
        (..., H, W) float64 with (H, W) = `picture_hw`.
    """
    rows = _interpolation(_rows(grid), model_hw[0], picture_hw[0])
    columns = _interpolation(_columns(grid), model_hw[1], picture_hw[1])
    placed: Floats = rows @ np.asarray(maps, dtype=np.float64) @ columns.T
    return placed


def spread(maps: Floats, grid: CellGrid, *, model_hw: tuple[int, int], picture_hw: tuple[int, int]) -> Floats:
    """Maps divided evenly among the pixels nearest to each cell, so that every map keeps its sum.

    Arguments and result as for `place`.
    """
    rows = _shares(_rows(grid), model_hw[0], picture_hw[0])
    columns = _shares(_columns(grid), model_hw[1], picture_hw[1])
    result: Floats = rows @ np.asarray(maps, dtype=np.float64) @ columns.T
    return result


def combined_grid(grids: Sequence[CellGrid], size_hw: tuple[int, int]) -> CellGrid:
    """The cells on which all of a network's feature maps are shown together.

    Args:
        grids: of each feature map.
        size_hw: size of the model's input in pixels.

    Returns:
        The map's own grid where there is only one, otherwise 8 x 8 pixels a cell, over the whole input.
    """
    if len(grids) == 1:
        return grids[0]
    height, width = (math.ceil(side / _COMBINED_STRIDE) for side in size_hw)
    centre = (_COMBINED_STRIDE - 1) / 2
    return CellGrid(height, width, stride=float(_COMBINED_STRIDE), top=centre, left=centre)


def merge(maps: Sequence[Floats], grids: Sequence[CellGrid], onto: CellGrid) -> Floats:
    """Several maps as one on other cells: each value divided among the cells around its own, then added up.

    A value's share falls linearly with the distance between the centres, to nothing at the larger of the two strides;
    where no centre is that near, the nearest cell takes it all. So the sum over all maps and cells is kept.

    Args:
        maps: one or more (N, h, w), each on the cells of its grid.
        grids: as many.
        onto: where the result's cells lie.

    Returns:
        (N, H, W) float64 on the cells of `onto`; a single map that lies there already, as it is.
    """
    if len(maps) == 1 and grids[0] == onto:
        return maps[0]
    total: Floats = np.zeros((len(maps[0]), onto.height, onto.width))
    for values, grid in zip(maps, grids, strict=True):
        rows, columns = _division(_rows(grid), _rows(onto)), _division(_columns(grid), _columns(onto))
        total += rows @ np.asarray(values, dtype=np.float64) @ columns.T
    return total


class _Cells(NamedTuple):
    """The cells along one side of the model's input."""

    number: int
    stride: float
    first: float


def _rows(grid: CellGrid) -> _Cells:
    return _Cells(grid.height, grid.stride, grid.top)


def _columns(grid: CellGrid) -> _Cells:
    return _Cells(grid.width, grid.stride, grid.left)


def _cell_coordinates(cells: _Cells, model_side: int, picture_side: int) -> Floats:
    """The (fractional) cell index of each of the picture's pixels along one side."""
    pixels = (np.arange(picture_side) + 0.5) * (model_side / picture_side) - 0.5
    coordinates: Floats = (pixels - cells.first) / cells.stride
    return coordinates


def _interpolation(cells: _Cells, model_side: int, picture_side: int) -> Floats:
    """(pixels, cells) weights whose rows sum to 1."""
    at = np.clip(_cell_coordinates(cells, model_side, picture_side), 0, cells.number - 1)
    weights: Floats = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(cells.number)[None, :]))
    return weights


def _shares(cells: _Cells, model_side: int, picture_side: int) -> Floats:
    """(pixels, cells) shares whose columns sum to 1."""
    at = _cell_coordinates(cells, model_side, picture_side)
    nearest = np.clip(np.round(at), 0, cells.number - 1).astype(int)
    shares = np.zeros((picture_side, cells.number))
    shares[np.arange(picture_side), nearest] = 1.0
    for cell in np.flatnonzero(shares.sum(axis=0) == 0):  # a picture with fewer pixels than the map has cells
        shares[np.abs(at - cell).argmin(), cell] = 1.0
    divided: Floats = shares / shares.sum(axis=0)
    return divided


@lru_cache(maxsize=256)
def _division(source: _Cells, target: _Cells) -> Floats:
    """(target cells, source cells) shares whose columns sum to 1; read only."""
    centres, towards = (cells.first + cells.stride * np.arange(cells.number) for cells in (target, source))
    distances = np.abs(centres[:, None] - towards[None, :])
    shares = np.maximum(0.0, 1.0 - distances / max(source.stride, target.stride))
    for cell in np.flatnonzero(shares.sum(axis=0) == 0):
        shares[distances[:, cell].argmin(), cell] = 1.0
    divided: Floats = shares / shares.sum(axis=0)
    divided.flags.writeable = False
    return divided
