"""Lays one thumbnail on another of which it may be a crop, so that a few pixels cut off an edge hide no copy."""

from __future__ import annotations

import numpy as np

from whycam.types import Floats

_STEPS = 3
_FIRST_SCALE = 0.97
_LEAST_SCALE = 0.88
_LONGEST_STEP = 0.05
_RIDGE = 1e-3


def laid_on(target: Floats, source: Floats) -> Floats:
    """(P, S, S): the crop of each `source` that fits its `target` best, resized to its size.

    Each crop keeps at least 88 % of either side. Position and scales are found by three steps of Gauss and Newton on
    the grey values (Lucas and Kanade 1981), both images brought to mean 0 and length 1, from the middle 97 %.

    Args:
        target: (P, S, S) grey values.
        source: (P, S, S) grey values.
    """
    size = target.shape[1]
    grid = _grid(size)
    wanted = _normalised(target).reshape(len(target), -1)
    scale = np.full((len(target), 2), _FIRST_SCALE, dtype=np.float32)
    shift = np.zeros((len(target), 2), dtype=np.float32)
    for _ in range(_STEPS):
        now = _normalised(cropped(source, scale, shift))
        down, right = (np.gradient(now, axis=axis) * (size / 2) for axis in (1, 2))
        slopes = np.stack([down, right, down * grid[:, np.newaxis], right * grid], axis=1).reshape(len(now), 4, -1)
        normal = slopes @ slopes.transpose(0, 2, 1)
        # A thumbnail without structure in some direction says nothing about it.
        normal += (_RIDGE * np.trace(normal, axis1=1, axis2=2)[:, np.newaxis, np.newaxis] + 1e-9) * np.eye(4)
        error = wanted - now.reshape(len(now), -1)
        step = np.linalg.solve(normal, slopes @ error[:, :, np.newaxis])[:, :, 0]
        step = np.clip(step, -_LONGEST_STEP, _LONGEST_STEP).astype(np.float32)
        scale = np.clip(scale + step[:, 2:], _LEAST_SCALE, 1)
        shift = np.clip(shift + step[:, :2], scale - 1, 1 - scale)
    return cropped(source, scale, shift)


def _normalised(images: Floats) -> Floats:
    """Mean 0 and length 1; an even image stays 0."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((centred * centred).sum(axis=(1, 2), keepdims=True))
    normalised: Floats = centred / np.maximum(lengths, 1e-6)
    return normalised


def cropped(images: Floats, scale: Floats, shift: Floats) -> Floats:
    """(P, S, S) crops at full size, by linear interpolation.

    Args:
        images: (P, S, S).
        scale: (P, 2) the share of height and of width that each crop keeps.
        shift: (P, 2) how far its middle lies below and to the right of the image's, in halves of height and of width.
    """
    rows, columns = (_weights(scale[:, axis], shift[:, axis], images.shape[1]) for axis in (0, 1))
    crops: Floats = rows @ images @ columns.transpose(0, 2, 1)
    return crops


def _grid(size: int) -> Floats:
    """(S,) the middles of pixels, where the whole image spans [-1, 1]."""
    grid: Floats = (2 * np.arange(size, dtype=np.float32) + 1) / size - 1
    return grid


def _weights(scale: Floats, shift: Floats, size: int) -> Floats:
    """(P, S, S) what each pixel (last axis) adds to each place along one axis."""
    places = (scale[:, np.newaxis] * _grid(size) + shift[:, np.newaxis] + 1) * (size / 2) - 0.5
    places = np.clip(places, 0, size - 1)
    weights: Floats = np.maximum(0, 1 - np.abs(places[:, :, np.newaxis] - np.arange(size, dtype=np.float32)))
    return weights
