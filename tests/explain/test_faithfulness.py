"""Deletion, insertion and ROAD on scores whose reason is known, and against loops written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from whycam.explain.baselines import centre_map, edge_map, random_maps
from whycam.explain.faithfulness import ROAD_SHARES, SHARES, STEPS, area, perturb, road
from whycam.explain.imputation import impute
from whycam.types import Floats, Pixels

SIDE = 48
PATCH = (slice(4, 14), slice(30, 42))
RESOLUTION = 4.0


def bright_patch(images: Pixels) -> Floats:
    """A score that rests on one patch and nothing else."""
    return (images[:, PATCH[0], PATCH[1]].mean(axis=(1, 2, 3)) - 90) / 60


def picture(seed: int, channels: int = 1) -> Pixels:
    """A faint patch that matters, and stripes with sharp edges that do not."""
    rng = np.random.default_rng(seed)
    image = rng.normal(90, 5, (SIDE, SIDE, channels))
    image[PATCH] += 60
    image[32:, ::8] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def known_map(where: tuple[slice, slice]) -> Floats:
    heat = np.zeros((SIDE, SIDE))
    heat[where] = 1.0
    return ndimage.gaussian_filter(heat, 2.0)


def figures(seed: int) -> dict[str, Floats]:
    """Of the true map, a wrong one, centre, edges and a random one, in this order."""
    image, rng = picture(seed), np.random.default_rng(seed)
    wrong = known_map((slice(30, 40), slice(4, 16)))
    maps = [known_map(PATCH), wrong, centre_map((SIDE, SIDE)), edge_map(image, resolution=RESOLUTION)]
    maps += list(random_maps(1, (SIDE, SIDE), resolution=RESOLUTION, rng=rng))
    found = perturb(image, np.stack(maps), bright_patch, resolution=RESOLUTION, rng=rng)
    return {
        "deletion": -area(found.deletion),
        "insertion": area(found.insertion),
        "road": road(found.most_first, found.least_first),
    }


def test_the_true_map_is_the_best_in_every_figure() -> None:
    for seed in range(5):
        for values in figures(seed).values():
            true, wrong, *baselines = values
            assert true > max(baselines) + 0.01
            assert true > wrong + 0.05


def test_random_maps_are_about_chance_and_a_wrong_one_is_worse() -> None:
    each = [figures(seed) for seed in range(10)]
    means = {name: np.mean([values[name] for values in each], axis=0) for name in each[0]}
    assert abs(means["road"][4]) < 0.07
    assert means["road"][0] > 0.4
    for values in means.values():
        assert values[1] < values[4] - 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_the_perturbed_images_are_those_of_a_loop(channels: int) -> None:
    image = picture(3, channels)
    heat = np.random.default_rng(1).permutation(SIDE * SIDE).reshape(SIDE, SIDE).astype(float)
    seen: list[Pixels] = []

    def record(images: Pixels) -> Floats:
        seen.extend(images)
        return np.arange(len(images), dtype=float)

    found = perturb(image, heat[None], record, resolution=RESOLUTION, rng=np.random.default_rng(0))
    order = np.argsort(-heat, axis=None)
    mean = [round(float(image[..., channel].mean())) for channel in range(channels)]
    soft = np.stack(
        [
            ndimage.gaussian_filter(image[..., channel].astype(float), 5 / 224 * SIDE, truncate=4)
            for channel in range(channels)
        ],
        axis=2,
    )
    for step, share in enumerate(SHARES):
        deleted, inserted = image.copy().reshape(-1, channels), np.round(soft).reshape(-1, channels)
        n_hot = int(np.ceil(share * heat.size - 1e-9))
        deleted[order[:n_hot]] = mean
        inserted[order[:n_hot]] = image.reshape(-1, channels)[order[:n_hot]]
        # Scores are the images' numbers, so they say which image stands for which step.
        np.testing.assert_array_equal(seen[int(found.deletion[0, step])], deleted.reshape(image.shape))
        difference = seen[int(found.insertion[0, step])].astype(float) - inserted.reshape(image.shape)
        assert np.abs(difference).max() <= 1  # rounded from single precision
    for step, share in enumerate(ROAD_SHARES):
        hottest = order[: int(np.ceil(share * heat.size - 1e-9))]
        coldest = order[::-1][: int(np.floor(share * heat.size + 1e-9))]
        for curve, gone in ((found.most_first, hottest), (found.least_first, coldest)):
            result = seen[int(curve[0, step])].reshape(-1, channels)
            kept = np.setdiff1d(order, gone)
            np.testing.assert_array_equal(result[kept], image.reshape(-1, channels)[kept])
            missing = np.zeros((1, heat.size), dtype=bool)
            missing[0, gone] = True
            smooth = impute(image[None].astype(float), missing.reshape(1, SIDE, SIDE)).reshape(-1, channels)[gone]
            noise = result[gone] - np.clip(smooth, 0, 255)
            assert abs(noise.std() - 2.55) < 0.3
    assert len(seen) == 3 + 2 * (STEPS - 1) + 2 * len(ROAD_SHARES)


def test_a_map_without_heat_is_a_random_one() -> None:
    image = picture(0)
    (order,) = random_maps(1, (SIDE, SIDE), resolution=RESOLUTION, rng=np.random.default_rng(5))
    maps = np.stack([np.zeros((SIDE, SIDE)), order, np.where(order > 0.5, order, 0.0)])
    found = perturb(image, maps, bright_patch, resolution=RESOLUTION, rng=np.random.default_rng(5))
    for curves in (found.deletion, found.insertion):
        np.testing.assert_array_equal(curves[0], curves[1])
        np.testing.assert_array_equal(curves[2], curves[1])


def test_the_area_is_that_under_the_curve() -> None:
    steps = np.linspace(0, 1, 100_001)
    curves = np.random.default_rng(0).normal(size=(2, 3, STEPS + 1))
    fine = np.stack([[np.interp(steps, SHARES, one).mean() for one in row] for row in curves])
    np.testing.assert_allclose(area(curves), fine, atol=1e-4)
    assert area(np.full(STEPS + 1, 0.25)) == pytest.approx(0.25)


def test_road_is_half_the_gap() -> None:
    assert road(np.array([0.0, 0.5, 0.2]), np.array([1.0, 0.5, 0.8])) == pytest.approx(1.6 / 6)


# ---------------------------------------------------------------- imputation


def dense_solution(image: Floats, missing: np.ndarray) -> Floats:
    """One equation a missing pixel, one neighbour at a time: (H, W)."""
    height, width = missing.shape
    number = {tuple(place): n for n, place in enumerate(np.argwhere(missing))}
    matrix, right = np.zeros((len(number), len(number))), np.zeros(len(number))
    for (row, column), n in number.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                other = (row + down, column + across)
                if (down, across) == (0, 0) or not (0 <= other[0] < height and 0 <= other[1] < width):
                    continue
                weight = 1 / 12 if down and across else 1 / 6
                matrix[n, n] += weight
                if other in number:
                    matrix[n, number[other]] -= weight
                else:
                    right[n] += weight * image[other]
    filled = image.copy()
    filled[missing] = np.linalg.solve(matrix, right)
    return filled


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(3, 17),
    width=st.integers(3, 17),
    share=st.sampled_from([0.02, 0.3, 0.7, 0.97]),
    spread=st.sampled_from([0.0, 3.0]),
)
def test_imputation_solves_the_equations(seed: int, height: int, width: int, share: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 255, (2, height, width, 3))
    order = ndimage.gaussian_filter(rng.random((2, height, width)), (0, spread, spread))
    missing = order < np.quantile(order, share, axis=(1, 2), keepdims=True)
    filled = impute(images, missing, tolerance=1e-4)
    for n in range(2):
        for channel in range(3):
            expected = dense_solution(images[n, ..., channel], missing[n])
            np.testing.assert_allclose(filled[n, ..., channel], expected, atol=0.02)
            np.testing.assert_allclose(impute(images, missing)[n, ..., channel], expected, atol=2.0)


def test_imputation_leaves_what_is_there_and_needs_something() -> None:
    images = np.random.default_rng(0).uniform(0, 255, (1, 8, 9, 1)).astype(np.float32)
    np.testing.assert_array_equal(impute(images, np.zeros((1, 8, 9), dtype=bool)), images)
    with pytest.raises(ValueError, match="at least one pixel"):
        impute(images, np.ones((1, 8, 9), dtype=bool))


def test_a_plane_is_filled_in_exactly_and_a_hole_becomes_smooth() -> None:
    rows, columns = np.mgrid[0:40, 0:40].astype(float)
    plane = 2 * rows + 3 * columns
    missing = np.zeros((40, 40), dtype=bool)
    missing[5:30, 8:35] = True
    filled = impute(np.where(missing, 0, plane)[None, ..., None], missing[None], tolerance=1e-3)[0, ..., 0]
    np.testing.assert_allclose(filled, plane, atol=0.05)
