"""Levels: one mapping for a set that keeps its grey levels, and that no odd image and no odd pixel moves."""

from __future__ import annotations

import dataclasses
import io
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydantic import TypeAdapter

from tests.data.tiffs import file
from whycam.data.images import decode, look, read_image
from whycam.data.levels import (
    EIGHT_BIT,
    ImageFacts,
    Levels,
    Remark,
    RemarkCode,
    ValueRange,
    find_levels,
    sentence,
    summarise,
)
from whycam.errors import ImageError


def part(seed: int, brighter: int = 0) -> np.ndarray:
    """A textured picture of (40, 40) uint8, from 5 to 250."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:40, 0:40] / 40
    picture = 110 + brighter + 60 * np.sin(7 * x + rng.normal()) * np.cos(6 * y) + rng.normal(0, 12, (40, 40))
    return np.clip(picture, 5, 250).astype(np.uint8)


def encoded(array: np.ndarray) -> bytes:
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        return file(array)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def of(images: list[np.ndarray]) -> Levels:
    return find_levels(look(encoded(image)) for image in images)


SET = [part(seed, 6 * (seed % 8)) for seed in range(30)]
STORED: dict[str, tuple[Any, str]] = {
    "12 bits in 16": (lambda a: a.astype(np.uint16) * 16 + 5, "bits in use"),
    "10 bits in 16": (lambda a: a.astype(np.uint16) * 4 + 1, "bits in use"),
    "16 bits": (lambda a: a.astype(np.uint16) * 257, "bits in use"),
    "8 bits in 16": (lambda a: a.astype(np.uint16), "bits in use"),
    "few counts": (lambda a: a.astype(np.uint16) // 2, "bits in use"),
    "counts in floats": (lambda a: a.astype(np.float32), "bits in use"),
    "counts in 32 bits": (lambda a: a.astype(np.int32) * 1000, "bits in use"),
    "narrow": (lambda a: a.astype(np.uint16) * 4 + 51200, "range in use"),
    "narrower than 8 bits": (lambda a: a.astype(np.uint16) // 4 + 40000, "range in use"),
    "just above a power of two": (lambda a: a.astype(np.uint16) * 64 + 20000, "range in use"),
    "signed": (lambda a: a.astype(np.int16) * 10 - 1000, "range in use"),
    "unit floats": (lambda a: a / 255, "unit range"),
    "large floats": (lambda a: a * 1e6 + 3e8 + 0.5, "range in use"),
    "tiny floats": (lambda a: a * 1e-9, "range in use"),
    "negative floats": (lambda a: (a / 128 - 1).astype(np.float32), "range in use"),
}


@pytest.mark.parametrize("name", STORED)
def test_a_set_keeps_its_grey_levels_whatever_it_is_stored_in(name: str) -> None:
    stored, rule = STORED[name]
    images = [stored(image) for image in SET]
    levels = of(images)
    assert levels.found == rule and not levels.mixed
    for image, values in zip(SET, images, strict=True):
        read = read_image(encoded(values), levels=levels)
        assert not read.remarks
        assert len(np.unique(read.pixels)) >= 0.95 * len(np.unique(values))
        # Neither order nor proportions are lost: it is one straight line but for rounding, and what is clipped.
        truth = image if "counts" not in name and "narrower" not in name else values
        assert np.corrcoef(truth.ravel(), read.pixels.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("name", STORED)
def test_brightness_between_images_is_kept(name: str) -> None:
    images = [STORED[name][0](image) for image in SET]
    levels = of(images)
    means = [read_image(encoded(values), levels=levels).pixels.mean() for values in images]
    assert np.corrcoef(means, [image.mean() for image in SET])[0, 1] > 0.999
    assert max(means) - min(means) > 20


@pytest.mark.parametrize("name", ["12 bits in 16", "narrow", "signed", "large floats", "unit floats", "few counts"])
@pytest.mark.parametrize("odd", ["black frame", "white frame", "hot pixels", "dead pixels"])
def test_odd_images_and_odd_pixels_move_nothing(name: str, odd: str) -> None:
    images = [STORED[name][0](image) for image in SET]
    levels = of(images)
    far = 2**15 - 1 if images[0].dtype.kind in "ui" else 1e12
    value = 0 if odd in ("black frame", "dead pixels") else far
    if "frame" in odd:
        images[7] = np.full_like(images[7], value)
    else:
        images = [image.copy() for image in images]
        for image in images:
            image[3, 4] = value
    moved = of(images)
    assert moved.found == levels.found
    assert abs(moved.low - levels.low) + abs(moved.high - levels.high) < 0.1 * (levels.high - levels.low)


def test_a_twentieth_of_the_images_is_not_odd() -> None:
    images = [image.astype(np.uint16) * 4 + 30000 for image in SET]
    bright = [image + 9000 for image in images[:2]]
    levels = of([*images, *bright])
    assert levels.high > bright[0].max() and not read_image(encoded(bright[0]), levels=levels).remarks


def test_a_set_without_wide_images() -> None:
    assert of(SET) == find_levels([]) == EIGHT_BIT
    assert find_levels([ImageFacts((3, 4), 8, "unsigned", True, True)]) == EIGHT_BIT


def test_a_mixed_set() -> None:
    wide = [image.astype(np.uint16) * 16 for image in SET]
    levels = of([*wide, SET[0]])
    assert levels == Levels(0, 4095, "bits in use", mixed=True)
    read = read_image(encoded(SET[0]), levels=levels)
    np.testing.assert_array_equal(read.pixels[:, :, 0], SET[0])
    assert not read.remarks


@pytest.mark.parametrize("name", STORED)
def test_one_image_is_a_set_of_its_own(name: str) -> None:
    values = STORED[name][0](SET[0])
    data = encoded(values)
    np.testing.assert_array_equal(decode(data), decode(data, find_levels([look(data)])))


def test_an_image_far_outside_is_spoken_of() -> None:
    images = [image.astype(np.uint16) * 4 + 51200 for image in SET]
    levels = of(images)
    (above,) = read_image(encoded(images[0] + 2000), levels=levels).remarks
    assert above.code == "above levels" and above.number > 0.9
    half = images[0].copy()
    half[:20] = 100
    assert read_image(encoded(half), levels=levels).remarks == (Remark("below levels", 0.5),)
    with pytest.raises(ImageError, match=r"^no value is above \d+(\.\d+)?, which is black in these images: a dam"):
        read_image(encoded(images[0] - 9000), levels=levels)


def test_another_depth_than_in_training_is_spoken_of() -> None:
    wide = SET[0].astype(np.uint16) * 257
    read = read_image(encoded(wide), levels=EIGHT_BIT)
    np.testing.assert_array_equal(read.pixels[:, :, 0], SET[0])
    assert read.remarks == (Remark("wide", 16),)
    read = read_image(encoded(SET[0]), levels=of([wide]))
    np.testing.assert_array_equal(read.pixels[:, :, 0], SET[0])
    assert read.remarks == (Remark("eight bits"),)


@pytest.mark.parametrize(
    ("bits", "kind", "ends"),
    [
        (12, "unsigned", (0, 4095)),
        (16, "unsigned", (0, 65535)),
        (16, "signed", (-32768, 32767)),
        (32, "unsigned", (0, 2**32 - 1)),
        (64, "float", (0, 1)),
    ],
)
def test_the_full_range_is_that_of_the_type(bits: int, kind: Any, ends: tuple[float, float]) -> None:
    found = EIGHT_BIT.of(bits, kind)
    assert (found.low, found.high) == ends
    other = Levels(3, 9, "range in use")
    assert other.of(bits, kind) is other


@pytest.mark.parametrize("value", [0, 1, 7, 300, 65535, -5, 0.25, 3.5, -2.5, 1e300])
def test_images_of_one_value_have_levels(value: float) -> None:
    kind = np.float64 if isinstance(value, float) else np.int32
    levels = of([np.full((4, 5), value, dtype=kind)] * 3)
    assert levels.low < levels.high or value == 0
    assert levels.low <= value <= levels.high


VALUES = st.one_of(
    arrays(np.uint16, (4, 5)),
    arrays(np.int16, (4, 5)),
    arrays(np.int64, (4, 5)),
    arrays(np.float32, (4, 5), elements=st.floats(allow_nan=False, allow_infinity=False, width=32)),
    arrays(np.float64, (4, 5), elements=st.floats(-1e300, 1e300)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_any_set_has_levels_that_keep_the_order(images: list[np.ndarray]) -> None:
    facts = [ImageFacts((4, 5), 16, "unsigned", False, False, summarise(image)) for image in images]
    levels = find_levels(facts)
    assert np.isfinite([levels.low, levels.high]).all() and levels.low < levels.high
    for image in images:
        mapped = levels.apply(image)
        exact = np.clip((image.astype(float) - levels.low) / (levels.high - levels.low), 0, 1) * 255
        assert np.abs(mapped - exact).max() <= 0.5 + 1e-6
        order = np.argsort(image.ravel(), kind="stable")
        assert (np.diff(mapped.ravel()[order].astype(int)) >= 0).all()


def test_a_summary_of_many_values() -> None:
    values = np.arange(3_000_000).reshape(1000, 3000)
    found = summarise(values)
    assert (found.lowest, found.highest, found.whole) == (0, 2_999_999, True)
    assert abs(found.low - 3000) < 10 and abs(found.high - 2_997_000) < 10
    assert not summarise(values + 0.5).whole


FACTS = [
    ImageFacts((22, 27), 8, "unsigned", True, False),
    ImageFacts((3, 4), 16, "signed", False, True, ValueRange(-5, -4, 9.5, 1e300, False), (Remark("first page", 3),)),
]


@pytest.mark.parametrize("value", [*FACTS, EIGHT_BIT, Levels(-1.5, 3e38, "range in use"), Remark("wide", 16)])
def test_all_values_go_through_json(value: Any) -> None:
    adapter = TypeAdapter(type(value))
    assert adapter.validate_json(adapter.dump_json(value)) == value
    assert dataclasses.is_dataclass(value)


@pytest.mark.parametrize("code", get_args(RemarkCode))
def test_every_remark_is_one_sentence(code: RemarkCode) -> None:
    for number in (0.02, 0.5, 1, 3, 16):
        text = sentence(Remark(code, number))
        assert text[0].isupper() or text[0].isdigit()
        assert text.endswith(".") and "\n" not in text
