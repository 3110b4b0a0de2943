"""What files store beside plain 8-bit pixels: wide PNGs, transparency that hides all, several frames, other kinds."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from whycam.data.images import decode, decode_resized, look, read_image, resize
from whycam.data.levels import EIGHT_BIT, ImageFacts, Levels, Remark
from whycam.errors import ImageError

RNG = np.random.default_rng(11)
GREY = RNG.integers(1, 256, (22, 27), dtype=np.uint8)
RGB = RNG.integers(1, 256, (22, 27, 3), dtype=np.uint8)
WIDE = Levels(0, 65535, "full range")
IGNORED = (Remark("alpha ignored"),)
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, row step, column step of each pass."""


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values: np.ndarray, *, key: tuple[int, ...] = (), interlaced: bool = False, turn: int = 0) -> bytes:
    """A 16-bit PNG of (H, W, 1 to 4) samples, with every filter that looks to the left or up."""
    height, width, bands = values.shape
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    head = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, interlaced)
    lines = b""
    for top, left, down, right in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = np.ascontiguousarray(values[top::down, left::right].astype(">u2"))
        rows = part.view(np.uint8).reshape(len(part), -1) if part.size else np.zeros((0, 0), np.uint8)
        above = np.zeros_like(rows[:1])[0] if len(rows) else None
        for number, row in enumerate(rows):
            before = np.concatenate([np.zeros(2 * bands, np.uint8), row[: -2 * bands]])
            method = number % 3
            lines += bytes([method]) + (row - (0, before, above)[method] if method else row).tobytes()
            above = row
    parts = [chunk(b"IHDR", head)]
    if key:
        parts.append(chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    parts.append(chunk(b"IDAT", zlib.compress(lines)))
    if turn:
        exif = Image.Exif()
        exif[0x0112] = turn
        parts.append(chunk(b"eXIf", exif.tobytes()[6:]))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# ---------------------------------------------------------------- PNG of 16 bits


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("turn", [0, 6, 8])
def test_both_bytes_of_16_bit_pngs_count(bands: int, interlaced: bool, turn: int) -> None:
    values = RNG.integers(0, 65536, (22, 27, bands))
    if bands in (2, 4):
        values[:, :, -1] = 65535
    data = png(values, interlaced=interlaced, turn=turn)
    colours = values[:, :, :1] if bands < 3 else values[:, :, :3]
    # Levels so narrow that the low byte decides.
    levels = Levels(30000, 30255, "range in use")
    upright = np.rot90(colours, {0: 0, 6: -1, 8: 1}[turn])
    np.testing.assert_array_equal(decode(data, levels), np.clip(upright - 30000, 0, 255))
    assert look(data).size_hw == upright.shape[:2]


@pytest.mark.parametrize("bands", [2, 4])
def test_alpha_of_16_bits_is_laid_on_white(bands: int) -> None:
    values = RNG.integers(0, 65536, (22, 27, bands))
    share = values[:, :, -1:] / 65535
    expected = values[:, :, :-1] / 257 * share + 255 * (1 - share)
    assert np.abs(decode(png(values), WIDE) - expected).max() <= 1
    values[:, :, -1] = 0
    read = read_image(png(values), levels=WIDE)
    np.testing.assert_array_equal(read.pixels, np.rint(values[:, :, :-1] / 257))
    assert read.remarks == look(png(values)).remarks == IGNORED


def test_a_transparent_value_of_16_bits() -> None:
    values = RNG.integers(0, 65536, (22, 27, 3))
    values[3:6] = (1000, 2000, 3000)
    values[6] = (1001, 2000, 3000)
    for part, key in ((values, (1000, 2000, 3000)), (values[:, :, :1], (1000,))):
        pixels = decode(png(part, key=key), WIDE)
        assert (pixels[3:6] == 255).all()
        np.testing.assert_array_equal(pixels[6:], np.rint(part[6:] / 257))
        assert look(png(part, key=key)).alpha


def test_wide_images_are_resized_as_their_pixels_are() -> None:
    for bands in (1, 3):
        data = png(RNG.integers(0, 65536, (22, 27, bands)))
        np.testing.assert_array_equal(decode_resized(data, (9, 14), WIDE), resize(decode(data, WIDE), (9, 14)))


def test_wide_colours_that_agree_are_grey() -> None:
    values = RNG.integers(0, 65536, (22, 27, 1))
    np.testing.assert_array_equal(decode(png(values.repeat(3, axis=2)), WIDE), decode(png(values), WIDE))


# ---------------------------------------------------------------- transparency


def bmp_with_alpha(bgra: np.ndarray, version: int) -> bytes:
    size = {4: 108, 5: 124}[version]
    body = bgra[::-1].tobytes()
    height, width = bgra.shape[:2]
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return b"BM" + struct.pack("<IHHI", 14 + size + len(body), 0, 0, 14 + size) + head.ljust(size, b"\0") + body


def hidden() -> dict[str, tuple[bytes, np.ndarray]]:
    """Files in which every pixel is transparent, and the pixels under it."""
    nothing = np.zeros_like(GREY)
    rgba = np.dstack([RGB, nothing])
    palette = Image.fromarray((GREY > 127).astype(np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    painted = np.where((GREY > 127)[:, :, np.newaxis], (200, 100, 50), (10, 20, 30))
    flat = Image.new("P", (27, 22), 0)
    flat.putpalette([10, 20, 30, 200, 100, 50])
    one = np.full((22, 27, 3), (10, 20, 30))
    return {
        "PNG RGBA": (encoded(rgba, "PNG"), RGB),
        "PNG LA": (encoded(np.dstack([GREY, nothing]), "PNG"), GREY[:, :, np.newaxis]),
        "PNG palette": (encoded(palette, "PNG", transparency=b"\0\0"), painted),
        "PNG key": (encoded(Image.new("RGB", (27, 22), (10, 20, 30)), "PNG", transparency=(10, 20, 30)), one),
        "GIF": (encoded(flat, "GIF", transparency=0), one),
        "WebP": (encoded(rgba, "WEBP", lossless=True, exact=True), RGB),
        "TIFF": (encoded(rgba, "TIFF"), RGB),
        "BMP V4": (bmp_with_alpha(rgba[:, :, [2, 1, 0, 3]], 4), RGB),
        "BMP V5": (bmp_with_alpha(rgba[:, :, [2, 1, 0, 3]], 5), RGB),
    }


@pytest.mark.parametrize("name", hidden())
def test_an_alpha_that_hides_everything_is_ignored_and_spoken_of(name: str) -> None:
    data, pixels = hidden()[name]
    read = read_image(data, levels=EIGHT_BIT)
    np.testing.assert_array_equal(read.pixels, pixels)
    facts = look(data)
    assert read.remarks == facts.remarks == IGNORED and not facts.alpha


def test_nothing_under_a_transparency_is_no_picture() -> None:
    with pytest.raises(ImageError, match=r"^every pixel is transparent, and black under it: there is no picture$"):
        decode(encoded(np.zeros((5, 6, 4), np.uint8), "PNG"))


def test_one_visible_pixel_makes_it_transparency() -> None:
    rgba = np.dstack([RGB, np.zeros_like(GREY)])
    rgba[4, 5, 3] = 255
    read = read_image(encoded(rgba, "PNG"), levels=EIGHT_BIT)
    assert not read.remarks and (read.pixels == 255).all(axis=2).sum() >= GREY.size - 1
    np.testing.assert_array_equal(read.pixels[4, 5], RGB[4, 5])


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_are_refused_unless_the_first_frame_is_asked_for(kind: str) -> None:
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY[::-1])]
    data = encoded(GREY, kind, save_all=True, append_images=others, **options)
    for read in (decode, look):
        with pytest.raises(ImageError, match=r"^3 frames in one file: save each as a file of its own, or have only "):
            read(data)
    np.testing.assert_array_equal(decode(data, first_page=True)[:, :, 0], GREY)
    assert look(data, first_page=True).remarks == (Remark("first page", 3),)
    single = encoded(GREY, kind, save_all=True, **options)
    np.testing.assert_array_equal(decode(single)[:, :, 0], GREY)


def test_the_pictures_of_a_phone_are_one_photo() -> None:
    data = encoded(RGB, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::2])], quality=95)
    alone = encoded(RGB, "JPEG", quality=95)
    np.testing.assert_array_equal(decode(data), decode(alone))
    assert look(data).remarks == ()


# ---------------------------------------------------------------- facts, and other kinds


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (encoded(GREY, "JPEG"), ImageFacts((22, 27), 8, "unsigned", False, False)),
        (encoded(RGB, "JPEG"), ImageFacts((22, 27), 8, "unsigned", True, False)),
        (encoded(RGB, "WEBP"), ImageFacts((22, 27), 8, "unsigned", True, False)),
        (encoded(np.dstack([RGB, GREY]), "PNG"), ImageFacts((22, 27), 8, "unsigned", True, True)),
        (encoded(GREY > 99, "PNG"), ImageFacts((22, 27), 1, "unsigned", False, False)),
        (encoded(GREY > 99, "TIFF"), ImageFacts((22, 27), 1, "unsigned", False, False)),
        (encoded(Image.fromarray(RGB).quantize(9), "TIFF"), ImageFacts((22, 27), 8, "unsigned", True, False)),
    ],
)
def test_look_says_what_a_file_stores(data: bytes, facts: ImageFacts) -> None:
    assert look(data) == facts


def test_grey_with_transparency_in_16_bits_is_no_colour() -> None:
    grey = np.full((4, 5, 2), 700)
    grey[0, 0, 1] = 9
    found = look(png(grey))
    assert (found.bits, found.colour, found.alpha) == (16, False, True)
    assert look(png(np.full((4, 5, 3), 700))).colour


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_look_gives_the_upright_size(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(RGB, kind, exif=exif)
    assert look(data).size_hw == decode(data).shape[:2] == (27, 22)


JPEG = encoded(RGB, "JPEG")
FRAME = JPEG.index(b"\xff\xc0")
OTHERS = {
    "HEIC": (
        b"\0\0\0\x18ftypheic\0\0\0\0" + bytes(99),
        "a file in HEIC format, which is not read: convert it to ",
    ),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0" + bytes(99), "a file in AVIF format"),
    "DICOM": (bytes(128) + b"DICM" + bytes(99), "a file in DICOM format"),
    "NumPy": (b"\x93NUMPY\x01\0" + bytes(99), "a file in NumPy format"),
    "12-bit JPEG": (
        JPEG[: FRAME + 4] + b"\x0c" + JPEG[FRAME + 5 :],
        "a JPEG with 12 bits a sample, which is not read: convert it to 16-bit PNG or TIFF",
    ),
    "lossless JPEG": (JPEG[: FRAME + 1] + b"\xc3" + JPEG[FRAME + 2 :], "a lossless JPEG, which is not read"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_of_file_are_named(name: str) -> None:
    data, reason = OTHERS[name]
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value).startswith(reason)


STARTS = [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF", b"\xff\xd8\xff", b""]
SEEDS = [png(np.full((5, 6, bands), 999)) for bands in (1, 2, 3, 4)] + [hidden()[name][0] for name in hidden()]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_no_bytes_raise_anything_but_image_errors(start: bytes, rest: bytes) -> None:
    for read in (decode, look):
        try:
            read(start + rest)
        except ImageError as error:
            assert str(error) and "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_files_raise_nothing_but_image_errors(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=6)):
        changed[at] = value
    for read in (decode, look):
        try:
            read(bytes(changed[: data.draw(st.integers(0, len(whole)))]))
        except ImageError as error:
            assert str(error) and "\n" not in str(error)
