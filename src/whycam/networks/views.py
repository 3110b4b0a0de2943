"""The eight symmetries of the square: an image seen from all sides, and what is found brought back to where it was.

View v flips horizontally where v >= 4, then rotates by 90 degrees (v % 4) times counter-clockwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from whycam.card import CellGrid

NAMES = (
    "as it is",
    "turned left",
    "upside down",
    "turned right",
    "mirrored",
    "mirrored, turned left",
    "mirrored, upside down",
    "mirrored, turned right",
)
"""Of the views 0 to 7, for people."""


def turn(images: Tensor, view: int) -> Tensor:
    """The view of images (..., H, W): the same size, or (..., W, H) where `view` is odd."""
    flips, quarters = _parts(view)
    return torch.rot90(images.flip(-1) if flips else images, quarters, (-2, -1))


def turn_back(maps: Tensor, view: int) -> Tensor:
    """The inverse of `turn`, for maps (..., h, w) that were computed on a view."""
    flips, quarters = _parts(view)
    maps = torch.rot90(maps, -quarters, (-2, -1))
    return maps.flip(-1) if flips else maps


def turned_grid(grid: CellGrid, view: int, size_hw: tuple[int, int]) -> CellGrid:
    """Where the cells of maps that were computed on a view, then turned back, lie on the original image.

    Args:
        grid: where the cells lie on the view, an image of size (W, H) where `view` is odd.
        view: 0 to 7.
        size_hw: size of the original image in pixels.
    """
    flips, quarters = _parts(view)
    height, width = size_hw if quarters % 2 == 0 else size_hw[::-1]
    for _ in range(quarters):  # a quarter clockwise: columns become rows, rows from the last become columns
        left = height - 1 - (grid.top + grid.stride * (grid.height - 1))
        grid = CellGrid(grid.width, grid.height, grid.stride, top=grid.left, left=left)
        height, width = width, height
    if flips:
        left = width - 1 - (grid.left + grid.stride * (grid.width - 1))
        grid = CellGrid(grid.height, grid.width, grid.stride, top=grid.top, left=left)
    return grid


def _parts(view: int) -> tuple[bool, int]:
    if view not in range(len(NAMES)):
        raise ValueError(f"`view` must be 0 to 7, got {view!r} instead.")
    return view >= 4, view % 4
