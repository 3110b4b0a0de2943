"""From the cells of a feature map to the pixels of a picture, each cell where its receptive field really is.

Stretching the map over the picture, as is usual, shifts it: unpadded convolutions put the classic network's first cell
at pixel 8.5 of 325, where stretching would put it at 1.6.
"""

from __future__ import annotations

import numpy as np

from whycam.card import CellGrid
from whycam.types import Floats


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
    rows = _interpolation(grid.height, grid, model_hw[0], picture_hw[0])
    columns = _interpolation(grid.width, grid, model_hw[1], picture_hw[1])
    placed: Floats = rows @ np.asarray(maps, dtype=np.float64) @ columns.T
    return placed


def spread(maps: Floats, grid: CellGrid, *, model_hw: tuple[int, int], picture_hw: tuple[int, int]) -> Floats:
    """Maps divided evenly among the pixels nearest to each cell, so that every map keeps its sum.

    Arguments and result as for `place`.
    """
    rows = _shares(grid.height, grid, model_hw[0], picture_hw[0])
    columns = _shares(grid.width, grid, model_hw[1], picture_hw[1])
    result: Floats = rows @ np.asarray(maps, dtype=np.float64) @ columns.T
    return result


def _cell_coordinates(grid: CellGrid, model_side: int, picture_side: int) -> Floats:
    """The (fractional) cell index of each of the picture's pixels along one side."""
    pixels = (np.arange(picture_side) + 0.5) * (model_side / picture_side) - 0.5
    coordinates: Floats = (pixels - grid.offset) / grid.stride
    return coordinates


def _interpolation(cells: int, grid: CellGrid, model_side: int, picture_side: int) -> Floats:
    """(pixels, cells) weights whose rows sum to 1."""
    at = np.clip(_cell_coordinates(grid, model_side, picture_side), 0, cells - 1)
    weights: Floats = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(cells)[None, :]))
    return weights


def _shares(cells: int, grid: CellGrid, model_side: int, picture_side: int) -> Floats:
    """(pixels, cells) shares whose columns sum to 1."""
    at = _cell_coordinates(grid, model_side, picture_side)
    nearest = np.clip(np.round(at), 0, cells - 1).astype(int)
    shares = np.zeros((picture_side, cells))
    shares[np.arange(picture_side), nearest] = 1.0
    for cell in np.flatnonzero(shares.sum(axis=0) == 0):  # a picture with fewer pixels than the map has cells
        shares[np.abs(at - cell).argmin(), cell] = 1.0
    divided: Floats = shares / shares.sum(axis=0)
    return divided
