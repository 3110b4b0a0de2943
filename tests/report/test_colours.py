"""Pictures are judged by invariants: what must hold for any correct drawing, whatever the colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion

from whycam.report.colours import colourise, outline, overlay
from whycam.types import Segment

HEATMAPS = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(0, 10))
HOTTEST = colourise(np.array([[1.0]]), 1.0)[0, 0]
COLDEST = colourise(np.array([[0.0]]), 1.0)[0, 0]


def luminance(colours: np.ndarray) -> np.ndarray:
    return colours @ np.array([0.2126, 0.7152, 0.0722])


def test_hotter_is_always_lighter() -> None:
    ramp = colourise(np.linspace(0, 1, 256)[np.newaxis], 1.0)[0]
    assert np.all(np.diff(luminance(ramp.astype(float))) > -0.5)
    assert luminance(HOTTEST) - luminance(COLDEST) > 200
    assert len(np.unique(ramp, axis=0)) == 256


@given(HEATMAPS, st.floats(0.1, 20))
def test_the_hottest_pixel_has_the_hottest_colour(heatmap: np.ndarray, scale: float) -> None:
    light = luminance(colourise(heatmap, scale).astype(float))
    assert light.ravel()[heatmap.argmax()] == light.max()


@given(HEATMAPS)
def test_the_scale_is_fixed(heatmap: np.ndarray) -> None:
    scale = 5.0
    colours = colourise(heatmap, scale)
    for i, j in np.ndindex(heatmap.shape):
        assert np.array_equal(colours[i, j], colourise(heatmap[i : i + 1, j : j + 1], scale)[0, 0])
    assert np.all(colours[heatmap >= scale] == HOTTEST)
    assert np.all(colours[heatmap == 0] == COLDEST)


def test_without_a_scale_everything_is_cold() -> None:
    assert np.all(colourise(np.full((3, 4), 7.0), 0.0) == COLDEST)


@given(HEATMAPS, st.integers(0, 2**32 - 1))
def test_a_cold_pixel_of_an_overlay_is_the_image_itself(heatmap: np.ndarray, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*heatmap.shape, 3), dtype=np.uint8)
    drawn = overlay(image, heatmap, scale=5.0)
    assert np.array_equal(drawn[heatmap == 0], image[heatmap == 0])
    # A quarter of the image still shows through the hottest heat.
    hot = heatmap >= 5.0
    assert np.all(np.abs(drawn[hot] - (0.25 * image[hot] + 0.75 * HOTTEST)) <= 0.5)


def test_an_overlay_moves_towards_the_heat_without_wrapping_around() -> None:
    for ground in (0, 255):
        image = np.full((1, 101, 3), ground, np.uint8)
        heat = np.linspace(0, 1, 101)[np.newaxis]
        away = np.abs(overlay(image, heat, scale=1.0).astype(int) - ground).sum(axis=2)[0]
        colour = np.abs(colourise(heat, 1.0).astype(int) - ground).sum(axis=2)[0]
        assert np.all(away <= colour)
        assert away[0] == 0
        assert away[-1] == pytest.approx(0.75 * colour[-1], abs=2)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_an_outline_surrounds_the_mask_and_is_visible_on_any_ground(ground: int) -> None:
    image = np.full((30, 40, 3), ground, np.uint8)
    mask = np.zeros((30, 40), bool)
    mask[8:20, 10:25] = True
    mask[8:14, 10:16] = False
    drawn = outline(image, [Segment(mask, (10, 8, 25, 20), 0.1, 1.0)])
    inside = binary_erosion(mask, np.ones((3, 3)))
    rim = mask & ~inside
    assert np.array_equal(drawn[inside], image[inside])
    contrast = np.abs(luminance(drawn.astype(float)) - ground)
    assert np.all(contrast[rim] > 50) or ground == 255
    # On a white ground the bright line is seen by its dark halo, on a black one by itself.
    beside = np.zeros_like(mask)
    beside[7:21, 9:26] = True
    beside &= ~mask
    assert contrast[rim].max() > 120 or contrast[beside].max() > 120
    far = np.ones_like(mask)
    far[7:21, 9:26] = False
    assert np.array_equal(drawn[far], image[far])


def test_an_outline_is_drawn_also_along_the_picture_edge() -> None:
    image = np.zeros((6, 6, 3), np.uint8)
    drawn = outline(image, [Segment(np.ones((6, 6), bool), (0, 0, 6, 6), 1.0, 1.0)])
    edge = np.ones((6, 6), bool)
    edge[1:-1, 1:-1] = False
    assert np.array_equal(drawn.any(axis=2), edge)


def test_boxes_are_drawn_with_exclusive_ends() -> None:
    mask = np.zeros((20, 20), bool)
    mask[10, 10] = True
    drawn = outline(np.full((20, 20, 3), 90, np.uint8), [Segment(mask, (4, 5, 15, 16), 0.1, 1.0)])
    white = np.all(drawn == 255, axis=2)
    assert (np.flatnonzero(white.any(axis=0)).min(), np.flatnonzero(white.any(axis=0)).max()) == (4, 14)
    assert (np.flatnonzero(white.any(axis=1)).min(), np.flatnonzero(white.any(axis=1)).max()) == (5, 15)


def test_inputs_are_left_alone_and_no_segment_draws_nothing() -> None:
    image = np.full((5, 5, 3), 9, np.uint8)
    assert np.array_equal(outline(image, []), image)
    outline(image, [Segment(np.ones((5, 5), bool), (0, 0, 5, 5), 1.0, 1.0)])
    assert np.all(image == 9)


def test_what_does_not_fit_is_refused() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="like its heatmap"):
        overlay(image, np.zeros((4, 5)), scale=1.0)
    with pytest.raises(ValueError, match="like its image"):
        outline(image, [Segment(np.ones((5, 4), bool), (0, 0, 4, 4), 1.0, 1.0)])
    for heatmap in (np.full((4, 4), np.nan), np.full((4, 4), np.inf), np.zeros(4)):
        with pytest.raises(ValueError, match="`heatmap`"):
            colourise(heatmap, 1.0)
    for scale in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="`scale`"):
            colourise(np.zeros((4, 4)), scale)
