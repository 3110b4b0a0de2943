"""Decoding: the right pixels from every format and mode, and one plain reason for everything else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from whycam.data.images import MAX_PIXELS, as_pixels, decode, decode_resized, resize, shrink
from whycam.errors import ImageError, OptionError

RNG = np.random.default_rng(7)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
SMOOTH = np.stack(np.meshgrid(np.linspace(20, 230, 30), np.linspace(30, 200, 20)), axis=2).mean(axis=2).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_tag(tiff: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with one number in its directory replaced."""
    start = int.from_bytes(tiff[4:8], "little")
    for at in range(start + 2, len(tiff) - 11, 12):
        if int.from_bytes(tiff[at : at + 2], "little") == tag:
            return tiff[: at + 8] + value.to_bytes(4, "little") + tiff[at + 12 :]
    raise LookupError(tag)


LOSSLESS = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("WEBP", {"lossless": True}),
]


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_colour_is_exact(kind: str, options: dict[str, Any]) -> None:
    pixels = decode(encoded(RGB, kind, **options))
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, RGB)


@pytest.mark.parametrize(("kind", "options"), [*LOSSLESS, ("GIF", {})])
def test_lossless_grey_is_exact_and_one_channel(kind: str, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(decode(encoded(GREY, kind, **options)), GREY[:, :, np.newaxis])


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_grey_is_close(kind: str) -> None:
    pixels = decode(encoded(SMOOTH, kind, quality=95))
    assert pixels.shape[:2] == SMOOTH.shape
    assert np.abs(pixels.mean(axis=2) - SMOOTH).max() < 8


def test_jpeg_colour_is_what_pillow_says() -> None:
    data = encoded(RGB, "JPEG", quality=90)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_grey_stored_as_colour_is_grey() -> None:
    np.testing.assert_array_equal(decode(encoded(np.dstack([GREY] * 3), "PNG")), GREY[:, :, np.newaxis])


def test_one_coloured_pixel_makes_it_colour() -> None:
    nearly = np.dstack([np.full((300, 300), 90, dtype=np.uint8)] * 3)
    nearly[151, 203, 2] = 91
    np.testing.assert_array_equal(decode(encoded(nearly, "PNG")), nearly)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_one_bit(kind: str) -> None:
    bits = GREY > 100
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(bits), kind))[:, :, 0], bits * np.uint8(255))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_palette(kind: str) -> None:
    image = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(decode(encoded(image, kind)), np.asarray(image.convert("RGB")))


def test_16_bits_in_full_use_are_divided_by_257_and_rounded() -> None:
    wide = np.array([[0, 1, 128, 129, 385, 386], [257, 1000, 20000, 32768, 65534, 65535]], dtype=np.uint16)
    expected = np.rint(wide / 257).astype(np.uint8)
    for data in (encoded(wide, "PNG"), encoded(wide, "TIFF"), encoded(wide.astype(np.int32), "TIFF")):
        np.testing.assert_array_equal(decode(data)[:, :, 0], expected)


def test_big_endian_16_bit_tiff() -> None:
    wide = np.arange(0, 60000, 500, dtype=">u2").reshape(10, 12)
    image = Image.frombytes("I;16B", (12, 10), wide.tobytes())
    np.testing.assert_array_equal(decode(encoded(image, "TIFF"))[:, :, 0], np.rint(wide / 257).astype(np.uint8))


def test_12_bits_fill_the_range() -> None:
    # Two 12-bit values in three bytes; written by hand because Pillow cannot write them.
    values = np.array([4095, 0, 2048, 1], dtype=np.uint16)
    packed = bytes([0xFF, 0xF0, 0x00, 0x80, 0x00, 0x01])
    plain = encoded(np.zeros((1, 6), dtype=np.uint8) + 7, "TIFF")
    with Image.open(io.BytesIO(plain)) as image:
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        offset = tags[273][0]
    plain = plain[:offset] + packed + plain[offset + 6 :]
    plain = with_tag(with_tag(plain, 256, 4), 258, 12)
    np.testing.assert_array_equal(decode(plain)[0, :, 0], np.rint(values / 4095 * 255))


def test_floats_from_0_to_1() -> None:
    floats = np.array([[0.0, 0.25, 0.5, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(decode(encoded(floats, "TIFF"))[0, :, 0], [0, 64, 128, 255])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_laid_on_white(kind: str) -> None:
    alpha = np.zeros((20, 30), dtype=np.uint8)
    alpha[:, 10:] = 128
    alpha[:, 20:] = 255
    rgba = np.dstack([RGB, alpha])
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode(encoded(rgba, kind, **options)).astype(float)
    share = alpha[:, :, np.newaxis] / 255
    assert np.abs(pixels - (RGB * share + 255 * (1 - share))).max() <= 1
    assert (pixels[:, :10] == 255).all()
    np.testing.assert_array_equal(pixels[:, 20:], RGB[:, 20:])


def test_grey_with_alpha_stays_grey() -> None:
    alpha = np.full_like(GREY, 255)
    alpha[0] = 0
    pixels = decode(encoded(Image.fromarray(np.dstack([GREY, alpha])), "PNG"))
    assert pixels.shape == (20, 30, 1)
    assert (pixels[0] == 255).all()
    np.testing.assert_array_equal(pixels[1:, :, 0], GREY[1:])


def test_transparent_palette_colour_is_white() -> None:
    image = Image.fromarray((GREY > 127).astype(np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    for kind in ("PNG", "GIF"):
        pixels = decode(encoded(image, kind, transparency=0))
        assert (pixels[GREY <= 127] == 255).all()
        assert (pixels[GREY > 127] == (200, 100, 50)).all()


def test_cmyk() -> None:
    colours = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255]]], dtype=np.uint8)
    blocks = colours.repeat(16, axis=0).repeat(16, axis=1)
    expected = np.array([[255, 255, 255], [0, 255, 255], [255, 0, 255], [0, 0, 0]])
    for kind in ("TIFF", "JPEG"):
        pixels = decode(encoded(Image.fromarray(blocks, "CMYK"), kind))
        assert np.abs(pixels[8, 8::16].astype(int) - expected).max() <= 3


def test_ycbcr_and_lab_tiff() -> None:
    flat = np.full((8, 8, 3), (200, 60, 40), dtype=np.uint8)
    ycbcr = decode(encoded(Image.fromarray(flat).convert("YCbCr"), "TIFF"))
    assert np.abs(ycbcr.astype(int) - flat).max() <= 2
    # L* = 53.2, a* = 80.1, b* = 67.2 is pure red in sRGB; stored as L * 2.55, a and b as signed bytes.
    lab = Image.frombytes("LAB", (4, 4), bytes([136, 80, 67]) * 16)
    assert np.abs(decode(encoded(lab, "TIFF"))[0, 0].astype(int) - (255, 0, 0)).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    upright = np.zeros((24, 40), dtype=np.uint8) + 20
    upright[:8, :8] = 250
    upright[16:, :8] = 130
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(np.ascontiguousarray(undo[orientation](upright)), kind, exif=exif, **options)
    pixels = decode(data)
    assert pixels.shape == (24, 40, 1)
    assert np.abs(pixels[:, :, 0].astype(int) - upright).max() <= (12 if kind == "JPEG" else 0)


def test_tiff_orientation_under_compression() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    data = encoded(np.rot90(GREY), "TIFF", compression="tiff_lzw", tiffinfo=tags)
    np.testing.assert_array_equal(decode(data)[:, :, 0], GREY)


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "Kopie von Ä 照片.JPG"
    path.write_bytes(encoded(RGB, "PNG"))
    np.testing.assert_array_equal(decode(path), RGB)


def test_corrupt_exif_leaves_the_pixels(tmp_path: Path) -> None:
    data = encoded(RGB, "PNG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    np.testing.assert_array_equal(decode(data), RGB)


# ---------------------------------------------------------------- refusals


REFUSED = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, world" * 20, "not a readable JPEG, PNG, BMP, WebP, TIFF or GIF image"),
    "another format": (encoded(RGB, "PPM"), "not a readable JPEG, PNG, BMP, WebP, TIFF or GIF image"),
    "black": (
        encoded(np.zeros((5, 5, 3), dtype=np.uint8), "PNG"),
        "every pixel is black: a damaged file or a covered lens",
    ),
    "black 16 bit": (
        encoded(np.zeros((5, 5), dtype=np.uint16), "PNG"),
        "every pixel is black: a damaged file or a covered lens",
    ),
    "truncated": (encoded(RGB, "JPEG")[:700], "truncated: the file ends before the picture does"),
    "large": (
        encoded(Image.new("1", (12000, 12000), 1), "PNG"),
        "12000 x 12000 pixels, more than the limit of 89 megap",
    ),
    "bomb": (encoded(Image.new("1", (14000, 14000), 1), "PNG"), "far more pixels than the limit of 89 megapixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_why(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_half_a_file_is_refused(kind: str) -> None:
    data = encoded(RGB, kind)
    with pytest.raises(ImageError, match=r"truncated|damaged|not a readable"):
        decode(data[: len(data) // 2])


def test_a_tiff_with_fewer_rows_than_it_claims_is_refused() -> None:
    for image in (GREY, RGB, GREY.astype(np.uint16) * 257):
        data = encoded(image, "TIFF")
        assert decode(with_tag(data, 257, 20)).shape[0] == 20
        with pytest.raises(ImageError, match=r"^(damaged: the file holds only a part of its picture|truncated: .*)$"):
            decode(with_tag(data, 257, 4000))


def test_a_gif_whose_codes_end_early_is_refused() -> None:
    # Three codes of three bits (clear, colour 1, end) for 600 pixels, whole in every other respect.
    data = encoded(Image.fromarray(GREY > 100), "GIF")
    start = data.index(b",\0\0\0\0") + 10
    ended = data[:start] + bytes([2, 2, 4 | 1 << 3 | (5 & 3) << 6, 5 >> 2, 0]) + b";"
    with pytest.raises(ImageError, match=r"^truncated: "):
        decode(ended)


def test_a_gif_frame_smaller_than_its_picture_is_refused() -> None:
    data = encoded(GREY, "GIF")
    wider = data[:6] + (300).to_bytes(2, "little") + data[8:]
    with pytest.raises(ImageError, match=r"^damaged: the file holds only a part of its picture$"):
        decode(wider)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_damaged_strips_are_never_black_rows(compression: str | None) -> None:
    options = {"compression": compression} if compression else {}
    data = encoded(RGB, "TIFF", tiffinfo={278: 8}, **options)
    refused = 0
    for tag in (257, 273, 278, 279):
        for value in (0, 1, 7, 16, 21, 30, 1000, 60_000):
            try:
                pixels = decode(with_tag(data, tag, value))
            except ImageError:
                refused += 1
                continue
            # One row beyond the last JPEG strip, which libtiff reports to nobody.
            assert black_rows(pixels) <= 1, (tag, value)
    assert refused > 8


def test_nothing_is_printed_about_a_damaged_file() -> None:
    # In a process of its own, because Python prints log lines only where nobody has set up logging.
    text = textwrap.dedent("""
        import sys
        from whycam.data.images import decode
        try:
            decode(sys.stdin.buffer.read())
        except Exception as error:
            print(type(error).__name__)
    """)
    data = with_tag(encoded(RGB, "TIFF"), 277, 40)
    done = subprocess.run([sys.executable, "-c", text], input=data, capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"ImageError"] and done.stderr == b""


def test_the_limit_itself_is_allowed() -> None:
    side = int(MAX_PIXELS**0.5)
    assert decode(encoded(Image.new("1", (side, side), 1), "PNG")).shape == (side, side, 1)


def test_paths_that_are_no_readable_file(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone.png", "file not found"), (tmp_path, "not a file")):
        with pytest.raises(ImageError, match=f"^{reason}$"):
            decode(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(ImageError, match=r"^not a file$"):
            decode(tmp_path / "pipe.png")


def test_an_enormous_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)
    with pytest.raises(ImageError, match=r"^the file has 5\.0 GiB, more than the limit of 1 GiB$"):
        decode(path)


def mutation(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    match rng.integers(6):
        case 0:
            return data[: rng.integers(len(data))]
        case 1:
            for at in rng.integers(len(data), size=rng.integers(1, 20)):
                changed[at] ^= 1 << rng.integers(8)
        case 2:
            start, length = int(rng.integers(len(data))), int(rng.integers(1, 300))
            changed[start : start + length] = bytes(len(changed[start : start + length]))
        case 3:
            length = rng.integers(4, 64)
            changed[:length] = others[rng.integers(len(others))][:length]
        case 4:
            for at in rng.integers(min(200, len(data)), size=rng.integers(1, 8)):
                changed[at] = rng.integers(256)
        case _:
            return rng.bytes(rng.integers(0, 400))
    return bytes(changed)


def originals() -> list[tuple[str, bytes]]:
    """(format, file) of every format and mode, none with a black row."""
    image = Image.fromarray(RGB)
    return [
        (kind if options.get("compression") else f"{kind} {mode}", encoded(image.convert(mode), kind, **options))
        for kind, modes, variants in (
            ("JPEG", ("RGB", "L", "CMYK"), ({}, {"progressive": True})),
            ("PNG", ("RGB", "L", "P", "RGBA", "LA", "1"), ({},)),
            ("BMP", ("RGB", "L", "P", "1"), ({},)),
            ("GIF", ("RGB", "L", "P", "1"), ({},)),
            ("TIFF", ("RGB", "L", "RGBA"), ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"})),
            ("WEBP", ("RGB", "RGBA"), ({}, {"lossless": True})),
        )
        for mode in modes
        for options in variants
        if not (mode == "RGBA" and options.get("compression") == "jpeg")
    ]


def black_rows(pixels: np.ndarray) -> int:
    return int((pixels == 0).all(axis=(1, 2)).sum())


def test_a_truncated_file_is_read_whole_or_refused() -> None:
    accepted = 0
    for _, data in originals():
        whole = decode(data)
        for length in range(max(0, len(data) - 80), len(data)):
            try:
                pixels = decode(data[:length])
            except ImageError:
                continue
            accepted += 1
            np.testing.assert_array_equal(pixels, whole)
    assert accepted > 50


def test_mutated_files_are_read_or_refused_but_nothing_is_filled_with_black() -> None:
    files = originals()
    rng = np.random.default_rng(2024)
    accepted = refused = 0
    for number in range(1500):
        kind, original = files[number % len(files)]
        data = mutation(original, [data for _, data in files], rng)
        try:
            pixels = decode(data)
        except ImageError as error:
            refused += 1
            assert str(error) and "\n" not in str(error) and len(str(error)) < 200
        else:
            accepted += 1
            assert pixels.shape[2] in (1, 3)
            # A zero byte is black only where bytes are pixels: then it blackens its own pixels and no more.
            width = {"BMP 1": 4, "BMP L": 30, "BMP P": 30, "TIFF L": 30, "BMP RGB": 90, "TIFF RGB": 90, "TIFF": 30}
            zeros = sum(old != new == 0 for old, new in zip(original, data, strict=False))
            paint = zeros / width[kind] if kind in width else 0
            assert black_rows(pixels) <= 0.1 * len(pixels) + paint, (number, kind)
    assert accepted > 100 and refused > 500


def test_pillows_warnings_never_come_out_of_any_thread() -> None:
    bomb = encoded(Image.new("1", (9600, 9600), 1), "PNG")
    fine = encoded(RGB, "PNG")
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def work(number: int) -> str:
        start.wait(timeout=20)
        texts = []
        for turn in range(30):
            try:
                decode(bomb if (turn + number) % 2 else fine)
            except ImageError as error:
                texts.append(str(error))
        return "|".join(sorted(set(texts)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inner = list(warnings.filters)
        with ThreadPoolExecutor(4) as pool:
            texts = list(pool.map(work, range(4)))
        assert list(warnings.filters) == inner
    assert set(texts) == {"9600 x 9600 pixels, more than the limit of 89 megapixels"}
    assert not caught
    assert list(warnings.filters) == before


def test_callers_own_pillow_filters_survive() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        before = list(warnings.filters)
        decode(encoded(RGB, "PNG"))
        assert list(warnings.filters) == before


# ---------------------------------------------------------------- arrays and resizing


def test_as_pixels_takes_the_three_shapes() -> None:
    np.testing.assert_array_equal(as_pixels(RGB), RGB)
    np.testing.assert_array_equal(as_pixels(GREY), GREY[:, :, np.newaxis])
    np.testing.assert_array_equal(as_pixels(GREY[:, :, np.newaxis]), GREY[:, :, np.newaxis])
    assert as_pixels(RGB[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (RGB / 255, "`image` must be an array of uint8 (0 to 255), got float64 instead."),
        (RGB.astype(np.int64), "`image` must be an array of uint8 (0 to 255), got int64 instead."),
        (np.dstack([RGB, GREY]), "`image` must be of shape (H, W, 3), (H, W, 1) or (H, W), got (20, 30, 4) instead."),
        (RGB[np.newaxis], "`image` must be of shape (H, W, 3), (H, W, 1) or (H, W), got (1, 20, 30, 3) instead."),
        (RGB[:0], "`image` must have at least one pixel, got (0, 30, 3) instead."),
    ],
)
def test_as_pixels_names_what_is_wrong(array: np.ndarray, text: str) -> None:
    with pytest.raises(OptionError) as caught:
        as_pixels(array)
    assert str(caught.value) == text


def test_resize_averages_when_shrinking() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, np.newaxis]
    small = resize(checks, (8, 8))
    assert small.shape == (8, 8, 1)
    assert np.abs(small.astype(int) - 127.5).max() < 4


def test_resize_keeps_channels_stretches_and_places_things_right() -> None:
    image = np.zeros((40, 80, 3), dtype=np.uint8)
    image[:20, :40, 0] = 200
    image[20:, 40:, 2] = 100
    out = resize(image, (30, 20))
    assert out.shape == (30, 20, 3) and out.flags.writeable
    assert tuple(out[5, 3]) == (200, 0, 0) and tuple(out[25, 15]) == (0, 0, 100) and not out[25, 3].any()
    same = resize(image, (40, 80))
    assert same is not image
    np.testing.assert_array_equal(same, image)


def test_shrink_keeps_the_proportions() -> None:
    image = np.zeros((40, 80, 3), dtype=np.uint8)
    assert shrink(image, 20).shape == (10, 20, 3)
    assert shrink(image, 80) is image
    assert shrink(np.zeros((1, 900, 1), dtype=np.uint8), 90).shape == (1, 90, 1)


@pytest.mark.parametrize("size", [(0, 5), (5,), (5, -1), (5.0, 5), (5, 5, 3)])
def test_resize_refuses_a_bad_size(size: Any) -> None:
    with pytest.raises(OptionError, match="`size_hw` must be two positive whole numbers, got"):
        resize(RGB, size)


@pytest.mark.parametrize("array", [RGB, GREY, np.dstack([RGB, GREY]), np.rot90(GREY).astype(np.uint16) * 200])
def test_decode_resized_is_decode_then_resize(array: np.ndarray) -> None:
    data = encoded(array, "PNG")
    for size in ((7, 9), (20, 30), (50, 41)):
        np.testing.assert_array_equal(decode_resized(data, size), resize(decode(data), size))
