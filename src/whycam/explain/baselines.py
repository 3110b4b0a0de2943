"""Heatmaps that know nothing of the network: what a real one must beat before it says anything about a score.

All have the resolution that heatmaps of the network can have. A map with finer detail would remove other pixels for
that reason alone, and the comparison would be one of resolutions.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from whycam.types import Floats, Pixels

_CENTRE_SPREAD = 0.25


def blurred(values: Floats, *, resolution: float) -> Floats:
    """Maps (..., H, W) as they would be on cells `resolution` pixels apart, interpolated linearly: (..., H, W).

    The mean over a cell has variance s^2 / 12 along each side, linear interpolation between cells s^2 / 6, together
    those of a Gaussian of s / 2.
    """
    sides = (*(0.0 for _ in values.shape[:-2]), resolution / 2, resolution / 2)
    result: Floats = ndimage.gaussian_filter(np.asarray(values, dtype=np.float64), sides, mode="nearest")
    return result


def random_maps(n: int, size_hw: tuple[int, int], *, resolution: float, rng: np.random.Generator) -> Floats:
    """Uniform noise at the given resolution, in pixels: (n, H, W), > 0."""
    return blurred(rng.random((n, *size_hw)), resolution=resolution)


def centre_map(size_hw: tuple[int, int]) -> Floats:
    """A Gaussian in the middle, its standard deviation a quarter of either side: (H, W) in (0, 1].

    Photographers put what matters in the middle, so this map is often hard to beat.
    """
    rows, columns = (((np.arange(side) + 0.5) / side - 0.5) / _CENTRE_SPREAD for side in size_hw)
    result: Floats = np.exp(-(rows[:, np.newaxis] ** 2 + columns[np.newaxis, :] ** 2) / 2)
    return result


def edge_map(image: Pixels, *, resolution: float) -> Floats:
    """The magnitude of the image's Sobel gradient at the given resolution: (H, W), >= 0.

    Many explanations resemble the edges of the image whatever the network has learned (Adebayo et al. 2018, arXiv
    1810.03292, section 4).

    Args:
        image: (H, W, C), C 1 or 3; colours are averaged.
        resolution: in pixels.
    """
    grey = image.mean(axis=2)
    return blurred(np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1)), resolution=resolution)
