"""Opens an image file and finds out what it stores, or says in one phrase why it cannot; here no byte is trusted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from whycam.data import tiff_tags as tag
from whycam.data.hushed import HUSHED
from whycam.data.levels import Remark
from whycam.data.png_samples import png_values
from whycam.data.refusals import reason, why_unidentified
from whycam.data.tiff_pictures import bands_ignored, eight_bits, for_pillow, wide_values
from whycam.data.tiff_samples import Values, holds_a_part
from whycam.data.tiff_tags import Kind, Page, find_page, is_tiff
from whycam.errors import ImageError

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
MAX_PIXELS = 89_478_485
"""Larger images are refused; this is also where Pillow begins to suspect a decompression bomb."""

_ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what sets the image upright."""
_PNG_TAGS = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type")
"""One of these is in every PNG that has an orientation."""


@dataclass(frozen=True)
class Wide:
    """Samples of more than 8 bits: values (H, W, 1 or 3), set upright, white high."""

    values: Values
    alpha: npt.NDArray[np.float64] | None
    """(H, W, 1) from 0 transparent to 1 opaque."""
    bits: int
    kind: Kind
    remarks: tuple[Remark, ...]


@dataclass(frozen=True)
class Plain:
    """Samples of 8 bits or fewer: an image of mode L or RGB, set upright, transparency laid on white."""

    image: Image.Image
    alpha: bool
    """Whether there was transparency that says something."""
    remarks: tuple[Remark, ...]


@dataclass(frozen=True)
class Stored:
    """An open file; its pixels can be read while `opened` is inside."""

    data: bytes
    image: Image.Image | None
    """None where the TIFF's samples are to be read without Pillow's understanding of them."""
    page: Page | None
    """Of a TIFF."""
    remarks: tuple[Remark, ...] = ()
    """On what is left out: pages, bands."""
    packed: str = ""
    """How a PNG's samples are packed, in Pillow's words."""

    @property
    def bits(self) -> int:
        """Of one sample."""
        if self.page is not None:
            return self.page.bits
        if self.packed.endswith(";16B"):
            return 16
        return 1 if self.image is not None and self.image.mode == "1" else 8

    @property
    def kind(self) -> Kind:
        """What a sample is."""
        return self.page.kind if self.page is not None else "unsigned"

    @property
    def wide(self) -> bool:
        """Whether a sample has more than 8 bits."""
        return self.bits > 8

    @property
    def colour(self) -> bool:
        """Whether colours are stored, which may all be grey."""
        if self.page is not None:
            return self.page.n_colours > 1 or self.page.number(tag.PHOTOMETRIC, 6) == 3
        if self.packed.startswith("LA"):
            return False
        return self.image is not None and (self.image.mode not in ("1", "L", "LA", "I;16") or "RGB" in self.packed)

    @property
    def alpha(self) -> bool:
        """Whether transparency is stored, whatever it says."""
        if self.image is None:
            return self.page is not None and self.page.alpha is not None
        return self.image.has_transparency_data or "A" in self.packed

    @property
    def inverted(self) -> bool:
        """Whether white is the lowest value."""
        return self.page is not None and self.page.number(tag.PHOTOMETRIC, 6) == 0 and self.page.n_colours == 1

    @property
    def orientation(self) -> int:
        """As EXIF numbers it; 1 once Pillow has turned the image by itself."""
        if self.image is None:
            return 1 if self.page is None else self.page.number(tag.ORIENTATION, 1)
        return _orientation(self.image)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width, upright; to be asked before the pixels."""
        # Pillow gives the size of a TIFF as it will be.
        if self.image is not None and self.page is not None:
            return self.image.height, self.image.width
        height, width = self.page.size_hw if self.page is not None else _size_of(self.image)
        # Pillow decodes a whole PNG to look for tags behind its picture.
        if self.packed and not any(sign in self.data for sign in _PNG_TAGS):
            return height, width
        return (width, height) if self.orientation in (5, 6, 7, 8) else (height, width)

    def plain(self) -> Plain:
        """The pixels of an image that is not wide."""
        if self.image is not None:
            image = self.image
            image.load()
            # Pillow takes every fourth band for an alpha.
            if self.page is not None and self.page.alpha is None and image.mode == "RGBA":
                image = image.convert("RGB")
        elif self.page is not None:
            image = eight_bits(self.data, self.page)
        remarks = self.remarks
        # After load(), as Pillow applies a TIFF's orientation itself while loading, and then drops the tag.
        orientation = self.orientation
        opaque, alpha, ignored_alpha = _on_white(image)
        final = grey_or_rgb(opaque)
        if ignored_alpha:
            remarks = (*remarks, Remark("alpha ignored"))
            if final.getbbox() is None:
                raise ImageError("every pixel is transparent, and black under it: there is no picture")
        final = final.transpose(TURNS[orientation]) if orientation in TURNS else final
        return Plain(final, alpha, remarks)

    def wide_values(self) -> Wide:
        """The samples of a wide image."""
        remarks = self.remarks
        orientation = self.orientation
        if self.page is not None:
            values, alpha = wide_values(self.data, self.page)
        elif self.image is not None:
            values, alpha = png_values(self.data, self.image, self.packed)
        if alpha is not None and not alpha.any():
            alpha, remarks = None, (*remarks, Remark("alpha ignored"))
        if alpha is not None and (alpha == 1).all():
            alpha = None
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ImageError("values that are not finite (NaN or infinite)")
        alpha = None if alpha is None else _turned(alpha, orientation)
        return Wide(_turned(values, orientation), alpha, self.bits, self.kind, remarks)


@contextmanager
def opened(data: bytes, *, first_page: bool = False) -> Iterator[Stored]:
    """The file with these bytes; raises ImageError, whose text is the reason alone, also for what fails inside."""
    if not data:
        raise ImageError("the file is empty")
    page: Page | None = None
    try:
        with HUSHED:
            page = find_page(data) if is_tiff(data) else None
            if page is not None and not for_pillow(page):
                _check_size(*page.size_hw)
                remarks = (*_pages(page.n_pages, "pages", first_page), *bands_ignored(page))
                yield Stored(data, None, page, remarks)
                return
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.height, image.width)
                if page is None:
                    remarks = _pages(_n_frames(image), "frames", first_page)
                else:
                    image.seek(page.index)
                    remarks = (*_pages(page.n_pages, "pages", first_page), *bands_ignored(page))
                # What a file does not give, Pillow leaves black without a word.
                if _holds_a_part(image):
                    raise ImageError("damaged: the file holds only a part of its picture")
                packed = str(image.tile[0][3]) if image.format == "PNG" else ""
                yield Stored(data, image, page, remarks, packed)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"far more pixels than the limit of {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(why_unidentified(data, page)) from error
    # On damaged bytes Pillow raises whatever its parsers trip over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise ImageError(reason(error, data)) from error


def _check_size(height: int, width: int) -> None:
    if min(width, height) < 1:
        raise ImageError("damaged: it has no pixels")
    if width * height > 2 * MAX_PIXELS:
        raise ImageError(f"far more pixels than the limit of {MAX_PIXELS / 1e6:.0f} megapixels")
    if width * height > MAX_PIXELS:
        limit = f"the limit of {MAX_PIXELS / 1e6:.0f} megapixels"
        raise ImageError(f"{width} x {height} pixels, more than {limit}")


def _pages(count: int, what: str, first_page: bool) -> tuple[Remark, ...]:
    if count <= 1:
        return ()
    if not first_page:
        raise ImageError(
            f"{count} {what} in one file: save each as a file of its own, or have only the first read (--first-page)"
        )
    return (Remark("first page", count),)


def _n_frames(image: Image.Image) -> int:
    # The pictures of a phone's MPO are one photo.
    if image.format not in ("GIF", "WEBP", "PNG") or not getattr(image, "is_animated", False):
        return 1
    return int(getattr(image, "n_frames", 1))


def _holds_a_part(image: Image.Image) -> bool:
    """Whether a TIFF's header names more rows than its strips hold, or a GIF's more area than its first frame."""
    # What a transparent GIF leaves out is white, as a viewer shows it.
    if image.format == "GIF" and "transparency" in image.info:
        return False
    if image.format in ("TIFF", "GIF") and holds_a_part(image):  # type: ignore[arg-type]
        return True
    # A strip that is a JPEG has its own height; where the header gives it more rows, there are strips left over.
    tags = getattr(image, "tag_v2", {})
    if image.info.get("compression") != "jpeg" or tag.STRIP_OFFSETS not in tags:
        return False
    planes = len(image.getbands()) if tags.get(tag.PLANES) == 2 else 1
    needed = -(-image.height // max(1, int(tags.get(tag.ROWS_PER_STRIP, image.height)))) * planes
    return len(tags[tag.STRIP_OFFSETS]) > needed


# ---------------------------------------------------------------- pixels of 8 bits


def _on_white(image: Image.Image) -> tuple[Image.Image, bool, bool]:
    """The image without transparency; whether it had some, and whether that was ignored as it hides every pixel."""
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="RGB") or image
    if not image.has_transparency_data:
        return image, False, False
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (0, 0):
        return rgba.convert("RGB"), False, True
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba), True, False


def grey_or_rgb(image: Image.Image) -> Image.Image:
    """The image in mode L where it has no colour, else in RGB."""
    if image.mode in ("1", "L"):
        return image.convert("L")
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb.getchannel(0) if _is_grey(rgb) else rgb


def _is_grey(rgb: Image.Image) -> bool:
    # The coarse look first: it settles nearly every coloured image without touching all pixels.
    for size in ((min(rgb.width, 64), min(rgb.height, 64)), rgb.size):
        part = np.asarray(rgb if size == rgb.size else rgb.resize(size, Image.Resampling.NEAREST))
        if not (np.array_equal(part[..., 0], part[..., 1]) and np.array_equal(part[..., 0], part[..., 2])):
            return False
    return True


def _turned(values: Any, orientation: int) -> Any:
    """An array (H, W, ...) set upright, as `TURNS` sets an image."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # Damaged metadata do not make the pixels wrong; viewers ignore them too.
    except Exception:  # noqa: BLE001
        return 1


def _size_of(image: Image.Image | None) -> tuple[int, int]:
    return (0, 0) if image is None else (image.height, image.width)
