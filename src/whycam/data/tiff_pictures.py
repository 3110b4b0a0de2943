"""What the samples of a TIFF mean: which bands are colours, whether white is high, and what is no picture for us."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from whycam.data import tiff_tags as tag
from whycam.data.levels import Remark
from whycam.data.tiff_samples import Values, can_read, read_samples
from whycam.data.tiff_tags import Page
from whycam.errors import ImageError


def for_pillow(page: Page) -> bool:
    """Whether Pillow reads this TIFF rightly; raises ImageError where neither it nor `read_samples` can."""
    compression, photometric = page.number(tag.COMPRESSION, 1), page.number(tag.PHOTOMETRIC, 6)
    if compression not in tag.COMPRESSIONS:
        raise ImageError(f"TIFF under a compression that is not read (number {compression})")
    bits, kind, n_extra = page.bits, page.kind, page.n_samples - page.n_colours
    name = tag.PHOTOMETRICS[photometric]
    if photometric in (0, 1) and n_extra > 1:
        raise ImageError(f"TIFF of {page.n_samples} bands that its tags do not call colours: grey or RGB is expected")
    if photometric == 5 and page.number(tag.INK_SET, 1) != 1:
        raise ImageError("TIFF of inks other than CMYK")
    grey_rgb_cmyk = photometric in (0, 1, 2, 5)
    if not grey_rgb_cmyk and (photometric not in (3, 6, 8) or bits > 8 or kind != "unsigned"):
        raise ImageError(f"TIFF of {bits}-bit {name} samples, which are not read: save it as grey or RGB")
    if photometric == 5 and (kind != "unsigned" or bits not in (8, 16)):
        raise ImageError(f"TIFF of {bits}-bit {kind} CMYK samples, which are not read: save it as grey or RGB")
    if photometric == 3 and bits < 8 and page.number(tag.PLANES, 1) == 2:
        raise ImageError(f"TIFF of {bits}-bit palette samples in planes, which are not read: save it as RGB")
    # Pillow misreads samples of less than a byte where their tags speak of planes.
    understood = kind == "unsigned" and (bits == 8 or (bits in (1, 2, 4) and not can_read(page)))
    # Pillow takes an unnamed band for an alpha, and a BigTIFF of this byte order for a damaged file.
    misread = (n_extra > 0 and can_read(page)) or (page.order == ">" and not page.classic)
    return not grey_rgb_cmyk or (understood and not misread)


def bands_ignored(page: Page) -> tuple[Remark, ...]:
    """What must be said of bands that are neither colours nor an alpha."""
    ignored = page.n_samples - page.n_colours - (page.alpha is not None)
    return (Remark("bands ignored", ignored),) if ignored else ()


def _tiff_samples(data: bytes, page: Page) -> tuple[Values, Values | None]:
    """Colours with white high, and alpha as stored; still to be turned."""
    samples = read_samples(data, page)
    colours = samples[:, :, : page.n_colours]
    alpha = None if page.alpha is None else samples[:, :, page.alpha[0], np.newaxis]
    if page.number(tag.PHOTOMETRIC, 1) == 0:
        if colours.dtype.kind == "f":
            colours = 1 - colours
        elif page.kind == "signed":
            colours = ~colours
        else:
            colours = np.array(2**page.bits - 1, dtype=colours.dtype) - colours
    return colours, alpha


def eight_bits(data: bytes, page: Page) -> Image.Image:
    """A TIFF of 8 bits or fewer, read without Pillow's understanding."""
    colours, alpha = _tiff_samples(data, page)
    if page.kind == "signed":
        colours = colours.view(np.uint8) ^ np.uint8(0x80)
    # Colours multiplied by nothing say nothing of what they were.
    multiplied = page.alpha is not None and page.alpha[1] and alpha is not None and bool(alpha.any())
    pixels = colours if alpha is None else np.concatenate([colours, alpha], axis=2)
    if page.bits < 8:
        pixels = np.rint(pixels * (255 / (2**page.bits - 1)))
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[page.n_colours]
    if alpha is not None:
        mode += "a" if multiplied else "A"
    height, width = page.size_hw
    image = Image.frombytes(mode, (width, height), pixels.astype(np.uint8).tobytes())
    return image.convert(mode.upper()) if multiplied else image


def wide_values(data: bytes, page: Page) -> tuple[Values, npt.NDArray[np.float64] | None]:
    """A wide TIFF: colours (H, W, 1 or 3), alpha from 0 to 1 (H, W, 1)."""
    colours, stored = _tiff_samples(data, page)
    alpha = None
    if stored is not None:
        full = 1.0 if page.kind == "float" else 2.0 ** (page.bits - (page.kind == "signed")) - 1
        alpha = np.nan_to_num(np.clip(stored.astype(np.float64) / full, 0, 1))
        if page.alpha is not None and page.alpha[1] and alpha.any():
            colours = colours / np.where(alpha > 0, alpha, 1)
    if page.n_colours == 4:
        paper = 2.0**page.bits - 1
        lit = (paper - colours[:, :, :3].astype(np.float64)) * (paper - colours[:, :, 3:]) / paper
        colours = np.rint(lit).astype(np.uint16)
    return colours, alpha
