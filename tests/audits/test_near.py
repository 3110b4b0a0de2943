"""Near duplicates: copies are found however they were changed, look-alikes are not."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from tests.audits.made_parts import CHANGES, changed, features_of, fingerprints_of, parts
from whycam.audits.cheap_head import coordinates
from whycam.audits.fingerprints import fingerprints_of as prints_of
from whycam.audits.fingerprints import hashes_of, thumbnails_of, turned
from whycam.audits.near import NearPairs, Neighbourhoods, near_pairs
from whycam.audits.registration import cropped, laid_on
from whycam.audits.residuals import Residuals, plain

N = 120


@pytest.fixture(scope="module")
def originals() -> np.ndarray:
    return parts(N, seed=1)


def pairs_among(images: np.ndarray, features: np.ndarray | None = None, *, seed: int = 0) -> NearPairs:
    features = features_of(images) if features is None else features
    return near_pairs(fingerprints_of(images), coordinates(features, seed=seed), seed=seed)


def pairs_of(images: np.ndarray) -> set[tuple[int, int]]:
    found = pairs_among(images)
    assert (found.rows[:, 0] < found.rows[:, 1]).all() and (np.diff(found.distances) >= 0).all()
    return {(first, second) for first, second in found.rows.tolist()}


def test_different_parts_are_no_duplicates(originals: np.ndarray) -> None:
    assert pairs_of(originals) == set()


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found_and_nothing_else(originals: np.ndarray, change: str) -> None:
    chosen = np.arange(0, N, 8)
    copies = changed(originals[chosen], change)
    assert pairs_of(np.concatenate([originals, copies])) == {(row, N + place) for place, row in enumerate(chosen)}


def test_many_copies_of_few() -> None:
    few = parts(8, seed=2)
    names = ["stored as JPEG", "10 % brighter", "noisier", "80 % of the size"]
    images = np.concatenate([few, *(changed(few, name) for name in names)])
    found = pairs_of(images)
    assert found == {(a, b) for a in range(40) for b in range(a + 1, 40) if a % 8 == b % 8}


def discs(n: int, seed: int) -> np.ndarray:
    """Parts that differ in nothing but where they lie."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :160] / 160
    drawn = [
        60 + 120 / (1 + np.exp(400 * ((x - across) ** 2 + (y - down) ** 2 - 0.1))) + rng.normal(0, 2, x.shape)
        for across, down in rng.normal(0.5, 0.05, (n, 2))
    ]
    return np.clip(drawn, 0, 255).astype(np.uint8)


def test_images_that_differ_in_few_ways_come_near_by_chance() -> None:
    images = discs(100, seed=3)
    rows = plain(thumbnails_of(fingerprints_of(images)))
    residuals = Residuals(rows, seed=0)
    near = 0
    for view in range(8):
        distances = 1 - residuals.of(rows) @ residuals.of(rows, view=view).T
        near += int((np.triu(distances, 1) + np.tril(np.ones_like(distances)) <= 0.05).sum())
    found = pairs_among(images)
    assert near > 200 and len(found.rows) < near / 8


def test_even_images_are_alike() -> None:
    images = np.concatenate(
        [parts(40, seed=4), np.full((2, 160, 160), 90, np.uint8), np.full((1, 160, 160), 7, np.uint8)]
    )
    assert pairs_of(images) == {(40, 41), (40, 42), (41, 42)}


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_hardly_any_images(n: int) -> None:
    images = parts(3, seed=5)[:n]
    prints = fingerprints_of(images)
    assert prints.shape == (n, 4160) and len(near_pairs(prints, np.zeros((n, 20), np.float32)).rows) == 0


def test_features_that_contradict_keep_a_doubtful_pair_apart() -> None:
    originals = discs(60, seed=6)
    images = np.concatenate([originals, changed(originals[:1], "noisier")])
    alike = features_of(images)
    contradicting = alike.copy()
    contradicting[-1] = 2 * alike.mean(axis=0) - alike[-1]
    together, apart = (pairs_among(images, features).rows.tolist() for features in (alike, contradicting))
    assert [0, 60] in together and [0, 60] not in apart


def test_the_same_seed_finds_the_same(originals: np.ndarray) -> None:
    images = np.concatenate([originals, changed(originals[:9], "3 % cut off")])
    first, second = (pairs_among(images, seed=7) for _ in range(2))
    assert np.array_equal(first.rows, second.rows) and np.array_equal(first.distances, second.distances)


@pytest.mark.parametrize("dimensions", [3, 8])
def test_what_chance_brings_near(dimensions: int) -> None:
    x = np.random.default_rng(dimensions).normal(size=(1200, dimensions + 1)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    around = Neighbourhoods(x, seed=0)
    distances = 1 - x @ x.T
    np.fill_diagonal(distances, np.inf)
    if dimensions == 8:
        assert np.median(around.dimensions) == pytest.approx(8, rel=0.25)
    near = float(np.median(around.distances)) * 0.8
    pairs = np.column_stack([np.arange(1200), np.arange(1200)])
    expected = around.by_chance(pairs, np.full(1200, near))
    real = (distances < near).sum(axis=1).mean()
    assert real / 3 < expected.mean() < real * 3


def views_of(image: np.ndarray) -> list[Image.Image]:
    turns = [Image.fromarray(image).rotate(90 * quarter, expand=True) for quarter in range(4)]
    return [*turns, *(turn.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for turn in turns)]


def test_fingerprints_hold_the_hashes_of_all_views() -> None:
    rng = np.random.default_rng(8)
    noise = rng.integers(0, 256, (6, 97, 131), dtype=np.uint8)
    for images in (parts(6, seed=8), noise):
        prints = prints_of(images[..., np.newaxis])
        for row, image in enumerate(images):
            small = thumbnails_of(prints)[row]
            assert np.array_equal(small, np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.LANCZOS)))
            for view, picture in enumerate(views_of(small)):
                assert np.array_equal(turned(small, view), np.asarray(picture))
                assert np.array_equal(hashes_of(prints, view)[row], imagehash.phash(picture).hash.ravel())


def test_a_symmetric_image_has_the_same_hash_mirrored() -> None:
    (image,) = parts(1, seed=8)
    symmetric = np.concatenate([image, image[:, ::-1]], axis=1)
    prints = prints_of(symmetric[np.newaxis, :, :, np.newaxis])
    assert np.array_equal(hashes_of(prints, 0), hashes_of(prints, 4))
    assert not np.array_equal(hashes_of(prints, 0), hashes_of(prints, 1))


def test_colours_are_seen_in_grey() -> None:
    images = parts(2, seed=9)[..., np.newaxis]
    assert np.array_equal(prints_of(np.repeat(images, 3, axis=3)), prints_of(images))


@pytest.mark.parametrize("view", range(8))
def test_a_view_of_residuals_is_that_of_turned_images(view: int) -> None:
    thumbnails = thumbnails_of(fingerprints_of(parts(30, seed=13)))
    residuals = Residuals(plain(thumbnails), seed=0)
    np.testing.assert_allclose(
        residuals.of(plain(thumbnails), view=view), residuals.of(plain(turned(thumbnails, view))), atol=1e-4
    )


def blots(n: int, seed: int) -> np.ndarray:
    """Noise, and a bright blot wherever it falls on the first eight."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:160, :160] / 160
    images = rng.normal(100, 12, (n, 160, 160))
    for image in images[:8]:
        across, down = rng.uniform(0.2, 0.8, 2)
        image += 110 * ((x - across) ** 2 + (y - down) ** 2 < 0.01)
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
def test_few_images_are_near_duplicates_by_plain_evidence_only(seed: int) -> None:
    images = blots(24, seed)
    found, bits = pairs_among(images), hashes_of(fingerprints_of(images), 0)
    same_hash = (bits[found.rows[:, 0]] != bits[found.rows[:, 1]]).sum(axis=1) <= 12
    assert len(found.rows) <= 1 and (same_hash | (found.distances <= 0.003)).all()
    copies = np.concatenate([images, changed(images[:3], "stored as JPEG")])
    assert {(0, 24), (1, 25), (2, 26)} <= pairs_of(copies)


def test_crops_are_those_of_pillow() -> None:
    images = parts(2, seed=10)[:, :64, :64].astype(np.float32)
    scale, shift = np.array([[0.9, 0.95], [1, 1]], np.float32), np.array([[0.02, -0.04], [0, 0]], np.float32)
    crops = cropped(images, scale, shift)
    np.testing.assert_allclose(crops[1], images[1], atol=1e-3)
    top, left = 32 * (1 + 0.02 - 0.9), 32 * (1 - 0.04 - 0.95)
    box = (left, top, left + 64 * 0.95, top + 64 * 0.9)
    truth = np.asarray(Image.fromarray(images[0]).resize((64, 64), Image.Resampling.BILINEAR, box=box))
    # Pillow goes on in straight lines beyond the middles of the outermost pixels, which a crop inside does not need.
    np.testing.assert_allclose(crops[0][2:-2, 2:-2], truth[2:-2, 2:-2], atol=0.02)


def test_a_crop_is_laid_where_it_was_cut() -> None:
    sources = np.stack([turned(thumbnails_of(fingerprints_of(parts(1, seed=11)))[0], view) for view in range(4)])
    sources = sources.astype(np.float32)
    scale = np.array([[0.96, 0.97], [0.94, 0.95], [0.99, 0.97], [0.95, 0.98]], np.float32)
    shift = np.array([[0.02, -0.01], [-0.03, 0.03], [0.0, 0.02], [0.04, -0.02]], np.float32)
    targets = 1.2 * cropped(sources, scale, shift) + 10
    laid = laid_on(targets, sources)
    for target, source, found in zip(targets, sources, laid, strict=True):
        before, after = (np.corrcoef(target.ravel(), image.ravel())[0, 1] for image in (source, found))
        assert after > 0.999 and 1 - after < (1 - before) / 20


def test_an_even_image_can_be_laid_on() -> None:
    flat, image = np.full((1, 64, 64), 5, np.float32), parts(1, seed=12)[:, :64, :64].astype(np.float32)
    assert np.isfinite(laid_on(flat, image)).all() and np.allclose(laid_on(image, flat), 5)
