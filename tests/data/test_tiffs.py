"""TIFFs of every kind against the arrays they were made of: the right pixels, or a refusal with the true reason."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.tiffs import file, page, tiff
from whycam.data.images import decode, look, read_image
from whycam.data.levels import EIGHT_BIT, Levels, Remark
from whycam.errors import ImageError

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (21, 19)).astype(np.uint8)
RGB = RNG.integers(0, 256, (21, 19, 3)).astype(np.uint8)
FOUR = np.dstack([RGB, GREY])


def as_type(image: np.ndarray, kind: str) -> tuple[np.ndarray, Levels]:
    """8-bit pixels as samples of a type, and the levels that give the pixels back exactly."""
    if kind[0] == "f":
        return (image * 0.5 - 3).astype(kind), Levels(-3.0, 124.5, "range in use")
    size = np.dtype(kind).itemsize
    # Every byte of a sample counts, and they differ between samples.
    repeated = image.astype(object) * int("01" * size, 16)
    low = -(2 ** (8 * size - 1)) if kind[0] == "i" else 0
    return (repeated + low).astype(kind), Levels(float(low), float(low + 2 ** (8 * size) - 1), "range in use")


def shown(data: bytes, levels: Levels) -> np.ndarray:
    return read_image(data, levels=levels).pixels


KINDS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"rows": 4},
    {"tile": (16, 16)},
    {"planar": True, "rows": 8},
    {"planar": True, "tile": (16, 32)},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_order_and_compression(kind: str, compression: str, order: str) -> None:
    for (image, photometric), layout, big in itertools.product(((GREY, 1), (RGB, 2)), LAYOUTS, (False, True)):
        values, levels = as_type(image, kind)
        data = file(values, photometric, order=order, compression=compression, big=big, **layout)
        np.testing.assert_array_equal(shown(data, levels), image.reshape(21, 19, -1), f"{layout} {big}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_predictors(kind: str, order: str) -> None:
    for predictor in (2, 3) if kind[0] == "f" else (2,):
        for (image, photometric), layout in itertools.product(((GREY, 1), (RGB, 2)), LAYOUTS):
            values, levels = as_type(image, kind)
            data = file(values, photometric, order=order, compression="deflate", predictor=predictor, **layout)
            np.testing.assert_array_equal(shown(data, levels), image.reshape(21, 19, -1), f"{predictor} {layout}")


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
def test_packed_bits(bits: int, compression: str) -> None:
    full = 2**bits - 1
    for shape, photometric in (((21, 19), 1), ((21, 19, 3), 2)):
        values = RNG.integers(0, full + 1, shape).astype(np.uint16)
        expected = np.rint(values * (255 / full)).reshape(21, 19, -1)
        for layout in LAYOUTS:
            data = file(values, photometric, bits=bits, compression=compression, order=">", **layout)
            np.testing.assert_array_equal(shown(data, Levels(0, full, "bits in use")), expected, str(layout))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4"])
def test_white_as_the_lowest_value(kind: str, order: str) -> None:
    values, levels = as_type(GREY, kind)
    for compression in ("none", "lzw"):
        data = file(~values, 0, order=order, compression=compression)
        np.testing.assert_array_equal(shown(data, levels)[:, :, 0], GREY)
        assert look(data).remarks == (Remark("inverted"),)
    packed = (GREY.astype(np.uint16) * 16 + 7) // 1
    data = file(4095 - packed, 0, bits=12)
    np.testing.assert_array_equal(decode(data)[:, :, 0], np.rint(packed / 4095 * 255))


def test_white_as_the_lowest_float() -> None:
    np.testing.assert_array_equal(decode(file(1 - GREY / 255, 0))[:, :, 0], GREY)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_extra_bands_are_an_alpha_only_where_tags_say_so(kind: str) -> None:
    for image, photometric in ((GREY[:, :, np.newaxis], 1), (RGB, 2)):
        values, levels = as_type(image, kind)
        spare = as_type(RNG.integers(0, 256, (21, 19, 1)).astype(np.uint8), kind)[0]
        bands = np.concatenate([values, spare], axis=2)
        for extra in (None, [0]):
            read = read_image(file(bands, photometric, extra=extra), levels=levels)
            np.testing.assert_array_equal(read.pixels, image)
            assert Remark("bands ignored", 1) in read.remarks
    values, levels = as_type(np.dstack([RGB, FOUR]), kind)
    read = read_image(file(values, 2, extra=[0, 0, 0, 0]), levels=levels)
    np.testing.assert_array_equal(read.pixels, RGB)
    assert Remark("bands ignored", 4) in read.remarks


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("layout", [{}, {"planar": True}])
def test_alpha_is_laid_on_white(order: str, wide: bool, layout: dict[str, Any]) -> None:
    scale = 257 if wide else 1
    kind = np.uint16 if wide else np.uint8
    alpha = RNG.integers(1, 256, (21, 19, 1))
    for image, photometric in ((GREY[:, :, np.newaxis], 1), (RGB, 2)):
        expected = image * (alpha / 255) + 255 * (1 - alpha / 255)
        for extra, colours in ((2, image), (1, image * (alpha / 255))):
            stored = np.rint(np.concatenate([colours, alpha], axis=2) * scale).astype(kind)
            pixels = decode(
                file(stored, photometric, order=order, extra=[extra], **layout), Levels(0, 65535, "full range")
            )
            # Multiplied colours of 8 bits have lost some of theirs.
            assert np.abs(pixels - expected).max() <= (1 if extra == 2 or wide else 2)


@pytest.mark.parametrize("extra", [1, 2])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_an_alpha_that_hides_everything_is_ignored(kind: str, extra: int) -> None:
    for image, photometric in ((GREY[:, :, np.newaxis], 1), (RGB, 2)):
        values, levels = as_type(image, kind)
        data = file(np.concatenate([values, np.zeros_like(values[:, :, :1])], axis=2), photometric, extra=[extra])
        read = read_image(data, levels=levels)
        np.testing.assert_array_equal(read.pixels, image)
        assert Remark("alpha ignored") in read.remarks and Remark("alpha ignored") in look(data).remarks
        assert not look(data).alpha


def test_inks() -> None:
    inks = RNG.integers(0, 256, (21, 19, 4))
    paper = (255 - inks[:, :, :3]) * (255 - inks[:, :, 3:]) / 255
    for scale, kind in ((1, np.uint8), (257, np.uint16)):
        for layout in ({}, {"compression": "lzw"}, {"planar": True, "order": ">"}):
            pixels = decode(file((inks * scale).astype(kind), 5, **layout), Levels(0, 65535, "full range"))
            assert np.abs(pixels - paper).max() <= 1
    with pytest.raises(ImageError, match=r"^TIFF of inks other than CMYK$"):
        decode(file(inks.astype(np.uint8), 5, more={332: 2}))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_wide_images_are_set_upright_as_narrow_ones_are(orientation: int) -> None:
    for image, photometric in ((GREY, 1), (RGB, 2)):
        narrow = file(image, photometric, more={274: orientation})
        wide = file(image.astype(np.uint16) * 257, photometric, more={274: orientation})
        levels = Levels(0, 65535, "full range")
        np.testing.assert_array_equal(decode(wide, levels), decode(narrow))
        assert look(wide).size_hw == look(narrow).size_hw == decode(narrow).shape[:2]


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "f4"])
def test_bits_in_reverse(compression: str, kind: str) -> None:
    values, levels = as_type(RGB, kind)
    turned = page(values, 2, compression=compression, rows=8, more={266: 2})
    reverse = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    turned["parts"] = [part.translate(reverse) for part in turned["parts"]]
    np.testing.assert_array_equal(shown(tiff(turned), levels), RGB)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "raw"])
def test_fax(compression: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY > 99).save(buffer, "TIFF", compression=compression)
    np.testing.assert_array_equal(decode(buffer.getvalue())[:, :, 0], (GREY > 99) * 255)


REFUSED: dict[str, tuple[bytes, str]] = {
    "five bands": (file(np.dstack([FOUR, GREY])), r"^TIFF of 5 bands that its tags do not call colours"),
    "three grey bands": (file(RGB), r"^TIFF of 3 bands that its tags do not call colours"),
    "complex": (file(GREY.astype(np.complex64)), r"^TIFF of complex numbers$"),
    "24 bits": (file(GREY, more={258: 24}), r"^TIFF with 24-bit unsigned samples, which are not read$"),
    "mixed bits": (file(RGB, 2, more={258: [5, 6, 5]}), r"^TIFF with several sizes of sample \(5, 6, 5 bits\)$"),
    "mixed kinds": (file(RGB, 2, more={339: [1, 1, 3]}), r"^TIFF with several kinds of sample \(1, 1, 3\)$"),
    "wide palette": (file(GREY.astype(np.uint16), 3), r"^TIFF of 16-bit palette samples, which are not read"),
    "wide Lab": (file(RGB.astype(np.uint16), 8), r"^TIFF of 16-bit CIELab samples, which are not read"),
    "wide YCbCr": (file(RGB.astype(np.uint16), 6), r"^TIFF of 16-bit YCbCr samples, which are not read"),
    "raw camera": (file(GREY.astype(np.uint16), 32803), r"^TIFF of 16-bit raw camera samples, which are not read"),
    "unknown colours": (file(GREY, 77), r"^TIFF of an unknown kind of colour \(PhotometricInterpretation 77\)$"),
    "compression": (file(GREY, more={259: 33003}), r"^TIFF under a compression that is not read \(number 33003\)$"),
    "wide JPEG": (file(GREY.astype(np.uint16), more={259: 7}), r"^TIFF with 16-bit unsigned samples under JPEG compr"),
    "predictor": (file(GREY.astype(np.uint16), compression="deflate", predictor=9), r"^TIFF with unknown predictor 9$"),
    "NaN": (
        file(np.where(GREY[3, 3] == GREY, np.nan, GREY / 255)),
        r"^values that are not finite \(NaN or infinite\)$",
    ),
    "black": (file(GREY.astype(np.uint16) * 0), r"^every pixel is black: a damaged file or a covered lens$"),
    "preview alone": (file(GREY, more={254: 1, 330: 8}), r"^TIFF \(perhaps a camera's raw file\)"),
    "bands missing": (file(GREY, 2), r"^damaged: a TIFF of RGB pixels with 1 bands$"),
    "too large": (
        file(GREY.astype(np.uint16), more={256: 99_999, 257: 9_999}),
        r"^far more pixels than the limit of 89",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_true_reason(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- pages


def test_pages_are_refused_unless_the_first_is_asked_for() -> None:
    for image in (GREY, GREY.astype(np.uint16) * 257):
        data = tiff(page(image), page(image[::-1]), page(image[:4]))
        for read in (decode, look):
            with pytest.raises(ImageError, match=r"^3 pages in one file: save each as a file of its own, or"):
                read(data)
        np.testing.assert_array_equal(decode(data, Levels(0, 65535, "full range"), first_page=True)[:, :, 0], GREY)
        assert look(data, first_page=True).remarks == (Remark("first page", 3),)


@pytest.mark.parametrize("secondary", [{254: 1}, {254: 4}, {254: 5}, {255: 2}])
def test_previews_and_masks_are_no_pages(secondary: dict[int, int]) -> None:
    for image in (GREY, GREY.astype(np.uint16) * 257):
        small = page(np.zeros((4, 4), np.uint8), more=secondary)
        for data in (tiff(page(image), small, small), tiff(small, page(image))):
            np.testing.assert_array_equal(decode(data, Levels(0, 65535, "full range"))[:, :, 0], GREY)
            assert look(data).size_hw == GREY.shape


def test_a_stack_behind_one_directory_counts_its_pictures() -> None:
    with pytest.raises(ImageError, match=r"^5 pages in one file"):
        decode(file(GREY, more={270: b"ImageJ=1.54f\nimages=5\nslices=5\n\0"}))
    assert decode(file(GREY, more={270: b"ImageJ=1.54f\nimages=1\n\0"})).shape == (21, 19, 1)


def test_a_page_outside_the_file_is_damage() -> None:
    data = tiff(page(GREY), page(GREY))
    with pytest.raises(ImageError, match=r"^truncated"):
        decode(data[:-40])


# ---------------------------------------------------------------- damage


WHOLE = [
    file(image, photometric, **options)
    for image, photometric, options in (
        (GREY.astype(np.uint16) * 257, 1, {}),
        (RGB.astype(np.uint16) * 257, 2, {"compression": "lzw", "rows": 6, "order": ">"}),
        ((RGB / 255).astype(np.float32), 2, {"compression": "deflate", "predictor": 3, "tile": (16, 16)}),
        (GREY.astype(np.int16), 1, {"compression": "packbits", "big": True}),
        (FOUR, 2, {"planar": True, "rows": 9}),
        (GREY.astype(np.uint16) * 16, 1, {"bits": 12}),
    )
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_damaged_bytes_raise_nothing_but_image_errors(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6)):
        changed[at] = value
    for read in (decode, look):
        try:
            read(bytes(changed[: data.draw(st.integers(0, len(whole)))]))
        except ImageError as error:
            assert str(error) and "\n" not in str(error)


def test_a_truncated_tiff_is_read_whole_or_refused() -> None:
    for whole in WHOLE:
        expected = decode(whole, EIGHT_BIT)
        for length in range(0, len(whole), 7):
            try:
                pixels = decode(whole[:length], EIGHT_BIT)
            except ImageError:
                continue
            np.testing.assert_array_equal(pixels, expected)
