"""Image files in, uint8 pixels out, and what must be said about them; arrays of the Python API likewise."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from whycam.data.levels import EIGHT_BIT, OUTSIDE, ImageFacts, Levels, Remark, find_levels, summarise
from whycam.data.stored import FORMATS as FORMATS
from whycam.data.stored import MAX_PIXELS as MAX_PIXELS
from whycam.data.stored import Wide, grey_or_rgb, opened
from whycam.data.tiff_samples import Values
from whycam.errors import ImageError, OptionError
from whycam.types import Pixels

DECODING = 3
"""Rises where the same file gives other pixels than before, so that pixels kept from then are not taken for these."""
MAX_BYTES = 2**30
"""Larger files are refused unread; 89 megapixels of uncompressed 16-bit RGBA take 0.7 of it."""


@dataclass(frozen=True)
class Decoded:
    """The pixels of one image and what must be said about them."""

    pixels: Pixels
    """(H, W, 1) if it is grey, else (H, W, 3) RGB."""
    remarks: tuple[Remark, ...]


def look(source: Path | bytes, *, first_page: bool = False) -> ImageFacts:
    """What a file stores; pixels are decoded only where samples have more than 8 bits or there is transparency.

    Raises ImageError as `decode` does, except for damage that only the pixels show.
    """
    with opened(_bytes_of(source), first_page=first_page) as stored:
        size_hw, remarks, colour, alpha = stored.size_hw, stored.remarks, stored.colour, stored.alpha
        bits, kind, inverted = stored.bits, stored.kind, stored.inverted
        wide = stored.wide_values() if stored.wide else None
        plain = stored.plain() if alpha and wide is None else None
    values = None if wide is None else summarise(_visible(wide))
    if plain is not None:
        remarks, alpha = plain.remarks, plain.alpha
    if wide is not None:
        remarks, alpha = wide.remarks, wide.alpha is not None
    if inverted:
        remarks = (*remarks, Remark("inverted"))
    return ImageFacts(size_hw, bits, kind, colour, alpha, values, remarks)


def decode(source: Path | bytes, levels: Levels | None = None, *, first_page: bool = False) -> Pixels:
    """The pixels of one image: uint8 (H, W, 1) if it is grey, else (H, W, 3) RGB.

    Reads JPEG, PNG, BMP, WebP, TIFF and GIF, told apart by content, not by suffix. EXIF orientation is applied.
    Transparency is laid on white, as a viewer shows it; one that hides every pixel is ignored. A colour file whose
    three channels agree everywhere is grey. Samples of more than 8 bits go through the `levels` of their data set;
    without any the image is a set of its own. Colour profiles are not applied.

    Raises ImageError, whose text is the reason alone: missing, empty, not an image, truncated, damaged, of more than 89
    megapixels, of several pages or frames unless `first_page`, or black in every pixel (what a damaged file or a
    covered lens looks like).
    """
    return _read(source, levels, None, first_page=first_page).pixels


def decode_resized(
    source: Path | bytes, size_hw: tuple[int, int], levels: Levels | None = None, *, first_page: bool = False
) -> Pixels:
    """`resize(decode(source), size_hw)`, but faster, as the full image never becomes an array; raises as these do."""
    return _read(source, levels, size_hw, first_page=first_page).pixels


def read_image(
    source: Path | bytes, *, levels: Levels, size_hw: tuple[int, int] | None = None, first_page: bool = False
) -> Decoded:
    """The pixels of one image under the levels of a data set, and how it fits them; raises as `decode` does."""
    return _read(source, levels, size_hw, first_page=first_page)


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


def _bytes_of(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else read_bytes(source)


def _read(source: Path | bytes, levels: Levels | None, size_hw: tuple[int, int] | None, *, first_page: bool) -> Decoded:
    size = None if size_hw is None else check_size(size_hw)
    with opened(_bytes_of(source), first_page=first_page) as stored:
        found = stored.wide_values() if stored.wide else stored.plain()
    try:
        if isinstance(found, Wide):
            image, remarks = _mapped(found, levels)
        else:
            image, remarks = found.image, found.remarks
            if levels is not None and not levels.mixed:
                remarks = (*remarks, Remark("eight bits"))
            if image.getbbox() is None:
                raise ImageError(_BLACK)
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return Decoded(_as_array(image), remarks)
    except MemoryError as error:
        raise ImageError("not enough memory to decode it") from error


_BLACK = "every pixel is black: a damaged file or a covered lens"


def _mapped(wide: Wide, levels: Levels | None) -> tuple[Image.Image, tuple[Remark, ...]]:
    """A wide image as one of mode L or RGB."""
    visible = _visible(wide)
    remarks = wide.remarks
    if levels is None:
        used = find_levels([ImageFacts((1, 1), wide.bits, wide.kind, False, False, summarise(visible))])
    else:
        used = levels.of(wide.bits, wide.kind)
        if levels == EIGHT_BIT:
            remarks = (*remarks, Remark("wide", wide.bits))
        below, above = used.outside(visible)
        if below > OUTSIDE:
            remarks = (*remarks, Remark("below levels", below))
        if above > OUTSIDE:
            remarks = (*remarks, Remark("above levels", above))
    pixels = used.apply(wide.values)
    if wide.alpha is not None:
        pixels = np.rint(pixels * wide.alpha + 255 * (1 - wide.alpha)).astype(np.uint8)
    if not pixels.any():
        low = f"no value is above {used.low:g}, which is black in these images"
        raise ImageError(f"{low}: a damaged file or a covered lens" if visible.any() else _BLACK)
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    return grey_or_rgb(image), remarks


def _visible(wide: Wide) -> Values:
    return wide.values if wide.alpha is None else wide.values[wide.alpha[:, :, 0] > 0]


def _as_array(image: Image.Image) -> Pixels:
    # A copy, because an array over Pillow's own memory is read-only, which torch warns about.
    pixels: Pixels = np.array(image)
    return pixels.reshape(image.height, image.width, -1)
