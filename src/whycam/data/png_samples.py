"""Reads both bytes of the samples of 16-bit PNGs, of which Pillow keeps one where there are colours or an alpha."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from whycam.data.tiff_samples import Values


def png_values(data: bytes, image: Image.Image, packed: str) -> tuple[Values, npt.NDArray[np.float64] | None]:
    """A 16-bit PNG: colours (H, W, 1 or 3), alpha from 0 to 1 (H, W, 1)."""
    key = image.info.get("transparency")
    if packed.startswith("LA"):
        # Two samples of 16 bits are packed as four of 8 are: so is every filter and interlacing.
        with Image.open(io.BytesIO(_as_rgba(data)), formats=("PNG",)) as again:
            four = np.asarray(again).astype(np.uint16)
        both = four[:, :, 0::2] << 8 | four[:, :, 1::2]
        return both[:, :, :1], both[:, :, 1:] / 65535
    if packed.startswith("I"):
        values = np.asarray(image).astype(np.uint16)[:, :, np.newaxis]
        alpha = None if key is None else (values != key).astype(np.float64)
        return values, alpha
    image.load()
    high = np.asarray(image).astype(np.uint16)
    # Pillow keeps one byte of each sample: the high one, or read in the other byte order the low one.
    with Image.open(io.BytesIO(data), formats=("PNG",)) as again:
        tiles: Any = getattr(again, "tile", [])
        again.tile = [tiles[0]._replace(args=packed.replace(";16B", ";16L"))]
        low = np.asarray(again)
    values = high << 8 | low
    if values.shape[2] == 4:
        return values[:, :, :3], values[:, :, 3:] / 65535
    alpha = None if key is None else (values != np.array(key)).any(axis=2, keepdims=True).astype(np.float64)
    return values, alpha


def _as_rgba(png: bytes) -> bytes:
    # The header stands first: length, name, width, height, bits, colours (6 is RGBA), three more, checksum.
    header = png[12:24] + b"\x08\x06" + png[26:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
