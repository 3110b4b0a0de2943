"""Heat as colour: one perceptually uniform, colour-blind-safe map on one fixed scale, so that pictures compare."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_erosion, generate_binary_structure

from whycam.types import Floats, Pixels, Segment

HEAT = "inferno"
"""From black (cold) over purple and orange to pale yellow (hot); lightness only rises, so it survives grey print."""

_COLOURS: Pixels = np.round(matplotlib.colormaps[HEAT](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
_STRONGEST = 0.75
"""Opacity of the hottest heat in an overlay: a quarter of the image still shows through."""

_CONTOUR = (0, 229, 255)
_BOX = (255, 255, 255)
_HALO = (0, 0, 0)


def warmth(heatmap: Floats, scale: float) -> Floats:
    """(H, W) heat as a share of the scale, clipped to [0, 1]; all 0 where `scale` is 0.

    Raises:
        ValueError: the heatmap is not two-dimensional or not finite, or `scale` is negative or not finite.
    """
    if heatmap.ndim != 2 or not np.all(np.isfinite(heatmap)):
        raise ValueError(f"`heatmap` must be a finite (H, W) array, got shape {heatmap.shape} instead.")
    if not (np.isfinite(scale) and scale >= 0):
        raise ValueError(f"`scale` must be at least 0, got {scale} instead.")
    if scale == 0:
        return np.zeros(heatmap.shape)
    return np.clip(np.asarray(heatmap, dtype=np.float64) / scale, 0.0, 1.0)


def colourise(heatmap: Floats, scale: float) -> Pixels:
    """Heat as colour.

    Args:
        heatmap: (H, W), >= 0.
        scale: the heat shown as the hottest colour, the same for every image of a run; more is shown the same. Where it
            is 0, everything is shown in the coldest colour.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the heatmap is not two-dimensional or not finite, or `scale` is negative or not finite.
    """
    colours: Pixels = _COLOURS[np.round(warmth(heatmap, scale) * 255).astype(np.uint8)]
    return colours


def overlay(image: Pixels, heatmap: Floats, *, scale: float) -> Pixels:
    """Heat laid over the image; its opacity grows with the heat, so where nothing is hot the image is untouched.

    Args:
        image: (H, W, 3).
        heatmap: (H, W), >= 0.
        scale: the heat shown as the hottest colour.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: as `colourise`, or image and heatmap differ in size.
    """
    if image.shape != (*heatmap.shape, 3):
        raise ValueError(f"`image` must be {(*heatmap.shape, 3)} like its heatmap, got {image.shape} instead.")
    opacity = _STRONGEST * warmth(heatmap, scale)[..., np.newaxis]
    mixed = (1 - opacity) * image + opacity * colourise(heatmap, scale)
    return np.round(mixed).astype(np.uint8)


def outline(image: Pixels, segments: Sequence[Segment], *, thickness: int = 1, n_boxes: int | None = None) -> Pixels:
    """Segments drawn on a copy of the image: contours in cyan, boxes in white, both with a black halo.

    Bright line and dark halo together are visible on any ground. A contour is the rim of the mask itself, its halo the
    pixels around it; the inside stays untouched.

    Args:
        image: (H, W, 3).
        segments: with masks (H, W).
        thickness: of the contours in pixels; boxes and halos are one pixel wide.
        n_boxes: box so many segments, those with the largest share of the evidence; all unless given.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: a mask and the image differ in size.
    """
    drawn = image.copy()
    for segment in segments:
        if segment.mask.shape != image.shape[:2]:
            raise ValueError(f"A mask must be {image.shape[:2]} like its image, got {segment.mask.shape} instead.")
    boxed = sorted(segments, key=lambda segment: segment.evidence_share, reverse=True)[:n_boxes]
    # All halos lie below all lines, and boxes below contours, so that no segment hides another's line.
    boxes = [_rim(_filled(segment.box, image.shape[:2])) for segment in boxed]
    contours = [_rim(segment.mask, thickness) for segment in segments]
    for lines, colour in ((boxes, _BOX), (contours, _CONTOUR)):
        for _, halo in lines:
            drawn[halo] = _HALO
        for line, _ in lines:
            drawn[line] = colour
    return drawn


def _filled(box: tuple[int, int, int, int], size_hw: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    left, top, right, bottom = box
    mask = np.zeros(size_hw, dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def _rim(mask: npt.NDArray[np.bool_], thickness: int = 1) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The mask's outermost pixels (those at the picture's edge included) and the pixels around the mask."""
    line, halo = np.zeros_like(mask), np.zeros_like(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size:
        # A picture may have hundreds of small segments, so only the neighbourhood of each is searched.
        near = slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)
        around = generate_binary_structure(2, 2)
        line[near] = mask[near] & ~binary_erosion(mask[near], around, iterations=thickness)
        halo[near] = binary_dilation(mask[near], around) & ~mask[near]
    return line, halo
