"""Augmented copies: found however they were turned, mirrored, moved and lit; look-alikes are not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from scipy.ndimage import gaussian_filter

from tests.audits.made_parts import features_of, fingerprints_of
from tests.audits.test_duplicates import clusters, near, sample
from whycam.audits.alignment import Aligner, warped
from whycam.audits.augmented import augmented_pairs
from whycam.audits.augmented_names import augmented_name_findings, says_augmented
from whycam.audits.cheap_head import coordinates
from whycam.audits.duplicates import duplicate_findings, find_clusters
from whycam.audits.fingerprints import thumbnails_of
from whycam.audits.leaks import leak_findings
from whycam.audits.near import NearPairs
from whycam.audits.textures import Textures
from whycam.types import Sample

SIDE = 128


def source(rng: np.random.Generator, high: int = SIDE, wide: int = SIDE) -> Image.Image:
    """A part with a ring that all have somewhere, stripes of its own and a grain of its own."""
    y, x = np.mgrid[:high, :wide] / SIDE
    grain = gaussian_filter(rng.normal(size=(high, wide)), rng.uniform(2, 4))
    image = 110 + 18 * grain / grain.std() + 8 * np.sin(2 * np.pi * rng.uniform(3, 8) * (x + rng.uniform() * y))
    image += 40 * (abs(np.hypot(y - rng.uniform(0.4, 0.6), x - rng.uniform(0.4, 0.6)) - 0.25) < 0.03)
    return Image.fromarray(np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8))


def augmented(image: Image.Image, rng: np.random.Generator, *, most: float) -> Image.Image:
    """Mirrored or not, turned by up to `most` degrees with black corners, moved, zoomed, lit and sometimes blurred."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    moved = tuple(int(value) for value in rng.integers(-6, 7, 2))
    image = image.rotate(rng.uniform(-most, most), Image.Resampling.BILINEAR, translate=moved)
    cut = int(rng.integers(0, 8))
    image = image.crop((cut, cut, image.width - cut, image.height - cut)).resize(image.size)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.25))
    return image.filter(ImageFilter.GaussianBlur(1)) if rng.random() < 0.3 else image


@cache
def planted(
    n_sources: int, n_copies: int, *, most: float = 180, seed: int = 0, wide: int = SIDE
) -> tuple[np.ndarray, np.ndarray]:
    """Images as they are fingerprinted, squeezed into squares, and the source of each."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n_sources):
        first = source(rng, wide=wide)
        images += [first, *(augmented(first, rng, most=most) for _ in range(n_copies - 1))]
    squares = np.stack([np.asarray(image.resize((160, 160))) for image in images])
    return squares, np.repeat(np.arange(n_sources), n_copies)


def pairs_among(images: np.ndarray, *, wide: int = SIDE) -> NearPairs:
    rows = coordinates(features_of(images), seed=0)
    return augmented_pairs(fingerprints_of(images), rows, np.tile([float(SIDE), float(wide)], (len(images), 1)))


def share_whole(units: np.ndarray, sources: np.ndarray) -> float:
    """The share of images that are with most of their source."""
    with_most = [np.unique(units[sources == number], return_counts=True)[1].max() for number in np.unique(sources)]
    return float(np.sum(with_most) / len(sources))


def units_of(images: np.ndarray) -> np.ndarray:
    samples = [sample(f"{row:03}.png") for row in range(len(images))]
    rows = coordinates(features_of(images), seed=0)
    found = find_clusters(samples, [str(row) for row in range(len(images))], fingerprints_of(images), rows)
    return np.array(found.units)


@pytest.mark.parametrize("most", [25, 180])
def test_copies_turned_by_any_angle_are_in_one_unit_with_their_source(most: float) -> None:
    images, sources = planted(30, 4, most=most)
    units = units_of(images)
    assert share_whole(units, sources) >= 0.95
    assert all(len(set(sources[units == unit])) == 1 for unit in set(units))


def test_copies_of_an_oblong_image_are_found_by_its_true_shape() -> None:
    images, sources = planted(25, 4, most=60, seed=1, wide=int(1.5 * SIDE))
    found = pairs_among(images, wide=int(1.5 * SIDE))
    assert (sources[found.rows[:, 0]] == sources[found.rows[:, 1]]).all()
    linked = {frozenset(pair) for pair in found.rows.tolist()}
    assert len({row for pair in linked for row in pair}) >= 0.9 * len(images)
    assert len(pairs_among(images).rows) < len(found.rows)


@pytest.mark.parametrize("seed", range(3))
def test_different_sources_are_not_linked(seed: int) -> None:
    images, _ = planted(120, 1, seed=10 + seed)
    assert len(pairs_among(images).rows) == 0


def test_look_alikes_are_not_linked() -> None:
    rng = np.random.default_rng(2)
    (first,) = (np.asarray(source(rng).resize((160, 160)), np.float32) for _ in range(1))
    images = np.clip(first + rng.normal(0, 5, (80, 160, 160)), 0, 255).astype(np.uint8)
    assert len(pairs_among(images).rows) == 0


def test_few_or_even_images_are_no_copies() -> None:
    assert len(pairs_among(planted(10, 4)[0]).rows) == 0
    assert len(pairs_among(np.full((60, 160, 160), 90, np.uint8)).rows) == 0


def test_the_map_that_is_found_lays_the_second_image_on_the_first() -> None:
    images, _ = planted(6, 2, most=180, seed=4)
    prints = thumbnails_of(fingerprints_of(images))
    textures = Textures(prints, np.ones((len(images), 2)))
    aligner = Aligner(textures)
    pairs = np.arange(12).reshape(6, 2)
    laid = aligner.laid(pairs)
    assert (aligner.agreement(pairs, laid) > 0.75).sum() >= 5
    inside = warped(np.ones((6, 64, 64), np.float32), laid.maps, laid.shifts) > 0.5
    moved = warped(prints[pairs[:, 1]].astype(np.float32), laid.maps, laid.shifts)
    alike = [
        np.corrcoef(prints[first][here], image[here])[0, 1]
        for first, image, here in zip(pairs[:, 0], moved, inside & textures.valid[pairs[:, 0]], strict=True)
    ]
    assert np.median(alike) > 0.8


def test_a_split_that_tears_copies_is_serious() -> None:
    samples = [
        Sample(f"{row}", Path(f"{row}"), target=0.0, split="test" if row >= 50 else "train") for row in range(100)
    ]
    found = replace(
        clusters(100, pairs=near((0, 60), (1, 61), distance=0.2)), pairs=near(), augmented=near((0, 60), (1, 61))
    )
    (leak,) = leak_findings(samples, found, np.zeros((100, 4), np.float32))
    assert (leak.kind, leak.severity, leak.n_files) == ("leak-near", "serious", 2)


@pytest.mark.parametrize(("n", "severity"), [(6, "warning"), (20, "note")])
def test_what_is_told_of_copies(n: int, severity: str) -> None:
    copies = near((0, 1), (2, 3), distance=0.2)
    found = replace(clusters(n, pairs=copies), pairs=near(), augmented=copies)
    (told,) = duplicate_findings([sample(f"{row}.png") for row in range(n)], found)
    assert (told.kind, told.severity, told.n_files) == ("augmented-copies", severity, 4)
    assert told.files == ("0.png", "1.png", "2.png", "3.png") and f"4 of {n} images" in told.sentence
    assert "in 2 clusters of up to" in told.sentence and "`--split safe`" in told.sentence


@pytest.mark.parametrize(
    "name",
    ["a/aug_12_345.jpg", "img_0012_rot90.png", "x_flip.png", "part copy (3).jpg", "1_hflip_0.jpg", "_0_1234.jpeg",
     "scan_rotated.png", "7-Copy.png", "flip_lr_3.png", "img_aug2.png"],
)  # fmt: skip
def test_names_that_say_augmented(name: str) -> None:
    assert says_augmented(name)


@pytest.mark.parametrize(
    "name", ["august_12.jpg", "apple_rot_01.png", "flipper_3.png", "img_12_345.jpg", "copyright.png", "aug/part_1.png"]
)
def test_names_that_do_not(name: str) -> None:
    assert not says_augmented(name)


def test_names_are_told_as_a_hint() -> None:
    names = [f"part_{row}.png" for row in range(30)]
    assert augmented_name_findings([sample(name) for name in [*names, "aug_1.png"]]) == ()
    some, most = (
        augmented_name_findings([sample(name) for name in [*names, *(f"aug_{row}.png" for row in range(n))]])
        for n in (8, 40)
    )
    assert (some[0].severity, most[0].severity) == ("note", "warning")
    assert "The names of 8 of 38 images say " in some[0].sentence and "aug_0.png" in some[0].sentence
