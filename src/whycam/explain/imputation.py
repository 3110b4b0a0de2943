"""Missing pixels filled in from their surroundings, so that what was removed leaves no trace of having been there.

The hole is a linear system with as many unknowns as pixels. Conjugate gradients with a multigrid preconditioner solve
it in about ten steps whatever the hole's size; a sparse factorisation of a large one takes a second and more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.data.parallel import in_order
from whycam.types import Floats

NOISE = 0.01
"""Standard deviation of the noise on filled pixels, as a share of the value range: that of the method's authors."""

_TOLERANCE = 0.25
"""The last step of the solver in grey levels of 255; the result is within about one, well below the noise."""
_MOST_STEPS = 500
_DAMPING = 0.8
_COARSEST_SIDE = 4
_COARSEST_STEPS = 6
_AT_CORNER = 1 / 12
"""Weight of the neighbours at a pixel's corners in the mean; those beside it weigh twice as much."""
# Linear interpolation between cell centres when the cells are halved.
_LINEAR = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0]))[None, None] / 16


class _Level(NamedTuple):
    """The system on one grid: unknown cells (1, 1, h, w) of 0 and 1, and the weights' sum at each cell."""

    unknown: Tensor
    total: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return self.unknown * (self.total * x - _mean(x))


def impute(images: Floats, missing: npt.NDArray[np.bool_], *, tolerance: float = _TOLERANCE) -> Floats:
    """Every missing pixel as the weighted mean of its eight neighbours, missing ones included (Rong et al. 2022, arXiv
    2202.00449, section 4: noisy linear imputation, here still without its noise).

    Args:
        images: (N, H, W, C) in grey levels, 0 to 255.
        missing: (N, H, W).
        tolerance: the size of the solver's last step in grey levels.

    Returns:
        (N, H, W, C) float32, the same as `images` where nothing is missing.

    Raises:
        ValueError: an image has no pixel left to fill in from.
    """
    if missing.all(axis=(1, 2)).any():
        raise ValueError("`missing` must leave at least one pixel of every image.")

    def fill(number: int) -> Floats:
        values = torch.from_numpy(np.moveaxis(images[number], 2, 0).astype(np.float32))[:, None]
        unknown = torch.from_numpy(missing[number].astype(np.float32))[None, None]
        return np.moveaxis(_solve(values, unknown, tolerance)[:, 0].numpy(), 0, 2)

    # One by one, as larger arrays would not stay in the processor's cache.
    return np.stack(list(in_order(fill, range(len(images)))))


def _solve(values: Tensor, unknown: Tensor, tolerance: float) -> Tensor:
    """Preconditioned conjugate gradients (Hestenes and Stiefel 1952) for the channels (C, 1, H, W) of one image.

    The operator is symmetric, and positive definite as long as every hole borders on a known pixel.
    """
    levels = _levels(unknown)
    operator = levels[0].apply
    known = 1 - unknown
    mean = (values * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
    x = values * known + mean * unknown
    residual = unknown * (_mean(x) - levels[0].total * x)
    step = direction = _preconditioned(residual, levels)
    power = _dot(residual, step)
    for _ in range(_MOST_STEPS):
        if step.abs().max() < tolerance:
            break
        image = operator(direction)
        length = power / _dot(direction, image).clamp_min(torch.finfo(x.dtype).tiny)
        x = x + length * direction
        residual = residual - length * image
        step = _preconditioned(residual, levels)
        before, power = power, _dot(residual, step)
        direction = step + power / before.clamp_min(torch.finfo(x.dtype).tiny) * direction
    return x


def _levels(unknown: Tensor) -> list[_Level]:
    """Grids of halved sides, down to a few cells; a coarse cell is unknown where all its pixels are."""
    levels = [_Level(unknown, _mean(torch.ones_like(unknown[:1])))]
    while min(unknown.shape[2:]) > _COARSEST_SIDE:
        # Ceil mode pads with nothing, so that a cell on the rim counts those pixels that it has.
        unknown = -F.max_pool2d(-unknown, 2, ceil_mode=True)
        levels.append(_Level(unknown, _mean(torch.ones_like(unknown[:1]))))
    return levels


def _preconditioned(residual: Tensor, levels: list[_Level]) -> Tensor:
    """One V-cycle (Briggs, Henson and McCormick 2000, chapter 3) from zero: damped Jacobi steps on every grid.

    Restriction is the transpose of interpolation and the same step is taken before and after, so that the whole is
    symmetric, as conjugate gradients need.
    """
    level, *coarser = levels
    x = _DAMPING * residual / level.total
    if not coarser:
        for _ in range(_COARSEST_STEPS):
            x = x + _DAMPING * (residual - level.apply(x)) / level.total
        return x
    height, width = x.shape[2:]
    rest = F.pad(residual - level.apply(x), (0, width % 2, 0, height % 2))
    coarse = _preconditioned(coarser[0].unknown * F.conv2d(rest, _LINEAR, stride=2, padding=1), coarser)
    finer = F.conv_transpose2d(coarse, _LINEAR, stride=2, padding=1)[..., :height, :width]
    x = x + level.unknown * finer
    return x + _DAMPING * (residual - level.apply(x)) / level.total


def _mean(x: Tensor) -> Tensor:
    """The weighted sum over each cell's neighbours within the grid."""
    # [1, 2, 1] along both sides, less the cell itself; a convolution with one channel takes three times as long.
    wide = F.pad(x, (1, 1, 1, 1))
    rows = wide[..., :-2, :] + wide[..., 2:, :] + 2 * wide[..., 1:-1, :]
    both = rows[..., :-2] + rows[..., 2:] + 2 * rows[..., 1:-1]
    return (both - 4 * x) * _AT_CORNER


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
