"""Turns image files into uint8 pixels, or says in one plain phrase why it cannot; here no byte is trusted."""

from __future__ import annotations

import hashlib
import io
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from whycam.data.hushed import HUSHED
from whycam.errors import ImageError, OptionError
from whycam.types import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
MAX_PIXELS = 89_478_485
"""Larger images are refused; this is also where Pillow begins to suspect a decompression bomb."""
MAX_BYTES = 2**30
"""Larger files are refused unread; 89 megapixels of uncompressed 16-bit RGBA take 0.7 of it."""

_BITS_PER_SAMPLE, _STRIP_OFFSETS, _ROWS_PER_STRIP, _PLANES = 258, 273, 278, 284  # TIFF tags
_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what sets the image upright."""


def decode(source: Path | bytes) -> Pixels:
    """The pixels of one image: uint8 (H, W, 1) if it is grey, else (H, W, 3) RGB.

    Reads JPEG, PNG, BMP, WebP, TIFF and GIF (of several pages or frames the first), told apart by content, not by
    suffix. EXIF orientation is applied. Transparency is laid on white, as a viewer shows it. A colour file whose three
    channels agree everywhere is grey. Brightness is never stretched to the image's own range, as it may be the signal:
    grey values of 16 bits are divided by 257 and rounded, of 12 bits likewise by their full range, floats within
    [0, 1] are multiplied by 255; colours of 16 bits keep their high byte. Colour profiles are not applied.

    Raises ImageError, whose text is the reason alone: missing, empty, not an image, truncated, damaged, of more than 89
    megapixels, or black in every pixel (what a damaged file or a covered lens looks like).
    """
    return _as_array(_decoded(source))


def decode_resized(source: Path | bytes, size_hw: tuple[int, int]) -> Pixels:
    """`resize(decode(source), size_hw)`, but faster, as the full image never becomes an array; raises as these do."""
    height, width = check_size(size_hw)
    return _as_array(_decoded(source).resize((width, height), Image.Resampling.BILINEAR))


def read_bytes(path: Path) -> bytes:
    """The content of one file; raises ImageError where it is missing, no plain file, unreadable or beyond MAX_BYTES."""
    try:
        found = path.stat()
        # Opening a pipe would wait for ever.
        if not stat.S_ISREG(found.st_mode):
            raise ImageError("not a file")
        if found.st_size > MAX_BYTES:
            raise ImageError(f"the file has {found.st_size / 2**30:.1f} GiB, more than the limit of 1 GiB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("file not found") from error
    except PermissionError as error:
        raise ImageError("no permission to read it") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def digest(data: bytes) -> str:
    """The hexadecimal SHA-256 of a file's bytes, by which identical files are known."""
    return hashlib.sha256(data).hexdigest()


def as_pixels(array: npt.ArrayLike) -> Pixels:
    """An array of the Python API as pixels: uint8 (H, W, 3) RGB or (H, W, 1) grey; (H, W) becomes (H, W, 1).

    Raises OptionError for another shape, another type than uint8, or no pixels.
    """
    pixels = np.asarray(array)
    if pixels.dtype != np.uint8:
        raise OptionError(f"`image` must be an array of uint8 (0 to 255), got {pixels.dtype} instead.")
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        shape = np.shape(array)
        raise OptionError(f"`image` must be of shape (H, W, 3), (H, W, 1) or (H, W), got {shape} instead.")
    if pixels.size == 0:
        raise OptionError(f"`image` must have at least one pixel, got {np.shape(array)} instead.")
    return np.ascontiguousarray(pixels)


def resize(pixels: Pixels, size_hw: tuple[int, int]) -> Pixels:
    """The image (H, W, C) stretched to `size_hw` = (height, width), antialiased; C stays 1 or 3.

    Bilinear, with the filter widened to the step when shrinking. Raises OptionError where a side is not a positive
    whole number.
    """
    height, width = check_size(size_hw)
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return _as_array(image.resize((width, height), Image.Resampling.BILINEAR))


def shrink(pixels: Pixels, longest: int) -> Pixels:
    """The image (H, W, C) in its own proportions with no side above `longest` pixels; as it is where none is."""
    height, width = pixels.shape[:2]
    factor = longest / max(height, width)
    return pixels if factor >= 1 else resize(pixels, (max(1, round(height * factor)), max(1, round(width * factor))))


def check_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """`size_hw` as two plain ints; raises OptionError unless it is a pair of positive whole numbers."""
    sides = tuple(size_hw)
    if len(sides) != 2 or any(not isinstance(side, int | np.integer) or side < 1 for side in sides):
        raise OptionError(f"`size_hw` must be two positive whole numbers, got {size_hw!r} instead.")
    return int(sides[0]), int(sides[1])


def _as_array(image: Image.Image) -> Pixels:
    # A copy, because an array over Pillow's own memory is read-only, which torch warns about.
    pixels: Pixels = np.array(image)
    return pixels.reshape(image.height, image.width, -1)


def _decoded(source: Path | bytes) -> Image.Image:
    """The image in mode L or RGB, upright and not all black."""
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise ImageError("the file is empty")
    try:
        with HUSHED, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            final = _decode_open(image)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"far more pixels than the limit of {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError("not a readable JPEG, PNG, BMP, WebP, TIFF or GIF image") from error
    # On damaged bytes Pillow raises whatever its parsers trip over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise ImageError(_reason(error)) from error
    if final.getbbox() is None:
        raise ImageError("every pixel is black: a damaged file or a covered lens")
    return final


def _decode_open(image: Image.Image) -> Image.Image:
    width, height = image.size
    if min(width, height) < 1:
        raise ImageError("damaged: it has no pixels")
    if width * height > MAX_PIXELS:
        limit = f"the limit of {MAX_PIXELS / 1e6:.0f} megapixels"
        raise ImageError(f"{width} x {height} pixels, more than {limit}")
    # What a file does not give, Pillow leaves black without a word.
    if _holds_a_part(image):
        raise ImageError("damaged: the file holds only a part of its picture")
    image.load()
    # After load(), as Pillow applies a TIFF's orientation itself while loading, and then drops the tag.
    orientation = _orientation(image)
    final = _grey_or_rgb(image)
    return final.transpose(_TURNS[orientation]) if orientation in _TURNS else final


def _holds_a_part(image: Image.Image) -> bool:
    """Whether a TIFF's header names more rows than its strips hold, or a GIF's more area than its first frame."""
    # What a transparent GIF leaves out is white, as a viewer shows it.
    if image.format == "GIF" and "transparency" in image.info:
        return False
    if image.format in ("TIFF", "GIF") and _tiled_area(image) < image.width * image.height:
        return True
    # A strip that is a JPEG has its own height; where the header gives it more rows, there are strips left over.
    tags = getattr(image, "tag_v2", {})
    if image.info.get("compression") != "jpeg" or _STRIP_OFFSETS not in tags:
        return False
    planes = len(image.getbands()) if tags.get(_PLANES) == 2 else 1
    needed = -(-image.height // max(1, int(tags.get(_ROWS_PER_STRIP, image.height)))) * planes
    return len(tags[_STRIP_OFFSETS]) > needed


def _tiled_area(image: Image.Image) -> int:
    # Several planes of one picture have the same boxes.
    boxes = {tuple(tile[1]) for tile in getattr(image, "tile", ())}
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image), _full_range(image))
    if image.mode == "I":
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ImageError(f"32-bit values from {low} to {high}, expected 0 to 65535")
        return _scaled(values, 65535)
    if image.mode == "F":
        floats = np.asarray(image)
        if not np.isfinite(floats).all():
            raise ImageError("floating-point values that are not finite, expected 0 to 1")
        if floats.min() < 0 or floats.max() > 1:
            raise ImageError(f"floating-point values from {floats.min():.3g} to {floats.max():.3g}, expected 0 to 1")
        return Image.fromarray(np.rint(floats * 255).astype(np.uint8))
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="RGB") or image
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return image.convert("L")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb.getchannel(0) if _is_grey(rgb) else rgb


def _full_range(image: Image.Image) -> int:
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))
    return 4095 if tuple(bits) == (12,) else 65535


def _scaled(values: npt.NDArray[np.integer], full: int) -> Image.Image:
    # By a table, as arithmetic on a large image would hold several wide copies of it.
    table = ((np.arange(full + 1) * 255 + full // 2) // full).astype(np.uint8)
    return Image.fromarray(table[values])


def _is_grey(rgb: Image.Image) -> bool:
    # The coarse look first: it settles nearly every coloured image without touching all pixels.
    for size in ((min(rgb.width, 64), min(rgb.height, 64)), rgb.size):
        part = np.asarray(rgb if size == rgb.size else rgb.resize(size, Image.Resampling.NEAREST))
        if not (np.array_equal(part[..., 0], part[..., 1]) and np.array_equal(part[..., 0], part[..., 2])):
            return False
    return True


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # Damaged metadata do not make the pixels wrong; viewers ignore them too.
    except Exception:  # noqa: BLE001
        return 1


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if "truncated" in text.lower():
        return "truncated: the file ends before the picture does"
    return f"damaged: {text or type(error).__name__}"
