"""Localisation figures against scikit-learn, hand-written loops and maps whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import auc, roc_auc_score

from whycam.evaluation.localisation import PooledPixels, localise, mass_in_mask, pixel_auroc, pointing_game
from whycam.types import Floats

SIZE = (36, 44)


def scene(seed: int, n: int = 6, *, levels: int | None = None) -> tuple[Floats, list[np.ndarray]]:
    """(N, 2, H, W) maps, one near the truth and one of noise, and masks with two defects each, of which some touch."""
    rng = np.random.default_rng(seed)
    masks, maps = [], []
    for _ in range(n):
        mask = np.zeros(SIZE, dtype=bool)
        for _ in range(2):
            row, column = rng.integers(0, 26, 2)
            mask[row : row + rng.integers(2, 9), column : column + rng.integers(2, 15)] = True
        noise = rng.random((2, *SIZE))
        near = ndimage.gaussian_filter(mask.astype(float), 2) + 0.4 * noise[0]
        both = np.stack([near, noise[1]])
        maps.append(both if levels is None else np.floor(both * levels))
        masks.append(mask)
    return np.stack(maps), masks


def pooled(maps: Floats, masks: list[np.ndarray]) -> PooledPixels:
    return PooledPixels(lambda number: maps[number], masks, np.arange(len(masks)))


def test_the_pointing_game_by_hand() -> None:
    heat, mask = np.zeros((5, 6)), np.zeros((5, 6), dtype=bool)
    heat[2, 3], mask[1:3, 2:4] = 4.0, True
    assert pointing_game(heat, mask) == 1
    assert pointing_game(heat, ~mask) == 0
    heat[4, 5] = heat[0, 0] = 4.0
    assert pointing_game(heat, mask) == pytest.approx(1 / 3)
    # Without any order a map gets what a random one gets.
    assert pointing_game(np.zeros((5, 6)), mask) == pytest.approx(4 / 30)
    assert pointing_game(heat, np.zeros((5, 6), dtype=bool), tolerance=3) == 0


@given(seed=st.integers(0, 200), tolerance=st.integers(1, 15))
def test_tolerance_is_the_distance_to_the_mask(seed: int, tolerance: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, dtype=bool)
    mask[10:13, 20:22] = True
    row, column = (int(rng.integers(0, side)) for side in SIZE)
    heat = np.zeros(SIZE)
    heat[row, column] = 1.0
    near = min((row - r) ** 2 + (column - c) ** 2 for r, c in np.argwhere(mask)) <= tolerance**2
    assert pointing_game(heat, mask, tolerance=tolerance) == near


def test_mass_in_the_mask_by_hand() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[0, :2] = True
    heat = np.ones((4, 5))
    assert mass_in_mask(heat, mask) == pytest.approx(0.1)
    heat[0, 0] = 81.0
    assert mass_in_mask(heat, mask) == pytest.approx(0.82)
    assert mass_in_mask(0 * heat, mask) == pytest.approx(0.1)


@pytest.mark.parametrize("levels", [None, 3])
def test_auroc_equals_scikit_learns(levels: int | None) -> None:
    maps, masks = scene(0, levels=levels)
    together = pooled(maps, masks).auroc(np.ones((len(masks), 1)))[:, 0]
    for which in range(2):
        for heat, mask in zip(maps[:, which], masks, strict=True):
            assert pixel_auroc(heat, mask) == pytest.approx(roc_auc_score(mask.ravel(), heat.ravel()), abs=1e-12)
        expected = roc_auc_score(np.concatenate([m.ravel() for m in masks]), maps[:, which].ravel())
        assert together[which] == pytest.approx(expected, abs=1e-3 if levels is None else 1e-9)


def test_auroc_is_undefined_without_both_kinds() -> None:
    assert np.isnan(pixel_auroc(np.ones((3, 3)), np.ones((3, 3), dtype=bool)))
    assert np.isnan(pixel_auroc(np.ones((3, 3)), np.zeros((3, 3), dtype=bool)))


def aupro_by_hand(heats: Floats, masks: list[np.ndarray]) -> float:
    """One threshold at a time, every region looked at on its own."""
    regions = []
    for heat, mask in zip(heats, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [heat[labels == number] for number in range(1, count + 1)]
    sound = np.concatenate([heat[~mask] for heat, mask in zip(heats, masks, strict=True)])
    points = [(0.0, 0.0)]
    for threshold in np.unique(heats)[::-1]:
        points.append((np.mean(sound >= threshold), np.mean([np.mean(region >= threshold) for region in regions])))
    rates, overlaps = np.array(points).T
    below = rates < 0.3
    end = np.interp(0.3, rates, overlaps)
    return auc(np.append(rates[below], 0.3), np.append(overlaps[below], end)) / 0.3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([4, 200]))
def test_aupro_equals_a_loop(seed: int, levels: int) -> None:
    maps, masks = scene(seed, n=3, levels=levels)
    masks[1] = np.zeros(SIZE, dtype=bool)  # a normal image has false alarms only
    ours = pooled(maps, masks).aupro(np.ones((3, 1)))[:, 0]
    for which in range(2):
        tolerance = 1e-3 if levels == 200 else 1e-9
        assert ours[which] == pytest.approx(aupro_by_hand(maps[:, which], masks), abs=tolerance)


def test_chance_levels() -> None:
    rng = np.random.default_rng(0)
    _, masks = scene(1, n=40)
    maps = rng.random((40, 1, *SIZE))
    found = pooled(maps, masks)
    ones = np.ones((40, 1))
    assert found.auroc(ones)[0, 0] == pytest.approx(0.5, abs=0.02)
    assert found.aupro(ones)[0, 0] == pytest.approx(0.15, abs=0.02)


def test_a_weight_is_a_repetition() -> None:
    maps, masks = scene(3, n=4, levels=20)
    weights = np.array([2.0, 0.0, 1.0, 3.0])
    again = np.repeat(np.arange(4), weights.astype(int))
    one, other = pooled(maps, masks), pooled(maps[again], [masks[n] for n in again])
    for name in ("auroc", "aupro"):
        ours = getattr(one, name)(weights[:, np.newaxis])
        np.testing.assert_allclose(ours, getattr(other, name)(np.ones((len(again), 1))), atol=1e-9)


def test_images_of_one_cluster_go_together() -> None:
    maps, masks = scene(3, n=4, levels=20)
    grouped = PooledPixels(lambda number: maps[number], masks, np.array([0, 0, 1, 1]))
    single = pooled(maps, masks)
    np.testing.assert_allclose(
        grouped.aupro(np.array([[3.0], [1.0]])), single.aupro(np.array([[3.0], [3.0], [1.0], [1.0]]))
    )


def test_the_true_map_beats_all_and_a_wrong_one_does_not() -> None:
    maps, masks = scene(5, n=16)
    names = ("heatmap", "noise")
    members = np.arange(16)
    good = localise(lambda n: maps[n], names, masks, members, seed=0)
    bad = localise(lambda n: maps[n][::-1], names, masks, members, seed=0)
    assert [one.name for one in good] == [
        "pointing_game",
        "mass_in_mask",
        "mean_pixel_auroc",
        "pooled_pixel_auroc",
        "aupro",
    ]
    assert all(one.outcome == "beats" and one.lead.low > 0 for one in good)
    assert all(one.outcome == "loses" and one.lead.high < 0 for one in bad)
    by_hand = np.mean([pixel_auroc(maps[n, 0], masks[n]) for n in range(16)])
    assert good[2].values["heatmap"].value == pytest.approx(by_hand)


def test_noise_does_not_beat_noise() -> None:
    rng = np.random.default_rng(0)
    _, masks = scene(6, n=16)
    maps = rng.random((16, 3, *SIZE))
    found = localise(lambda n: maps[n], ("heatmap", "a", "b"), masks, np.arange(16), seed=0)
    assert all(one.outcome == "open" for one in found)
