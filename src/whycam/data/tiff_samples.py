"""Reads the samples of TIFFs that Pillow reads wrongly or not at all; Pillow still unpacks their compression.

The picture is described anew as a grey one whose pixels are the bytes of its samples. Pillow then hands these out as
they are stored, and NumPy makes numbers of them, exactly. Source: TIFF 6.0 and Adobe Photoshop TIFF Technical Note 3.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile, TiffImagePlugin

from whycam.data import tiff_tags as tag
from whycam.data.tiff_tags import Page
from whycam.errors import ImageError

Values = npt.NDArray[Any]
"""Integers or floats, of any size."""

MAX_SAMPLE_BYTES = 2**30
"""Pictures whose samples take more are refused."""
_STREAMS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions of bytes, whatever these mean."""
_WIDTHS = {"unsigned": (8, 16, 32, 64), "signed": (8, 16, 32, 64), "float": (16, 32, 64)}
_LETTERS = {"unsigned": "u", "signed": "i", "float": "f"}
_ROWS_AT_ONCE = 2**22
"""Bytes of packed samples that are spread at once."""


def can_read(page: Page) -> bool:
    """Whether the samples are stored in a way that `read_samples` understands, whatever they are."""
    return page.number(tag.COMPRESSION, 1) in _STREAMS


def read_samples(data: bytes, page: Page) -> Values:
    """The samples of one page, (H, W, bands), as they are stored: nothing is scaled, inverted or turned.

    Raises ImageError for samples or a compression that cannot be read; what Pillow raises on damaged data passes.
    """
    if not can_read(page):
        number = page.number(tag.COMPRESSION, 1)
        name = tag.COMPRESSIONS.get(number, number)
        raise ImageError(f"TIFF with {page.bits}-bit {page.kind} samples under {name} compression, which is not read")
    packed = page.kind == "unsigned" and 1 <= page.bits <= 16 and page.number(tag.PREDICTOR, 1) == 1
    if page.bits not in _WIDTHS[page.kind] and not packed:
        raise ImageError(f"TIFF with {page.bits}-bit {page.kind} samples, which are not read")
    if page.number(tag.PLANES, 1) == 2:
        parts = [_read_plane(data, page, plane) for plane in range(page.n_samples)]
        return np.concatenate(parts, axis=2)
    return _read_plane(data, page, None)


def _read_plane(data: bytes, page: Page, plane: int | None) -> Values:
    height, width = page.size_hw
    bands = page.n_samples if plane is None else 1
    tiled = tag.TILE_OFFSETS in page.tags
    tile = page.number(tag.TILE_WIDTH, 0) if tiled else width
    if tile < 1:
        raise ImageError("damaged: a TIFF of tiles without a width")
    across = -(-width // tile)
    row_bytes = (tile * bands * page.bits + 7) // 8
    if across * row_bytes * height * (page.n_samples // bands) > MAX_SAMPLE_BYTES:
        raise ImageError("its samples take more than the limit of 1 GiB")
    described = _described_anew(data, page, plane, across * row_bytes)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(described)) as image:
        if holds_a_part(image):
            raise ImageError("damaged: the file holds only a part of its picture")
        image.load()
        stored = np.asarray(image)
    # (H * across, bytes of one row of one tile)
    rows = stored.reshape(height * across, row_bytes)
    return _numbers(rows, page, tile, bands).reshape(height, across * tile, bands)[:, :width]


def holds_a_part(image: ImageFile.ImageFile) -> bool:
    """Whether the header names more pixels than the strips or tiles cover."""
    # Several planes of one picture have the same boxes.
    boxes = {part[1] for part in image.tile if part[1]}
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes if left < right and top < bottom)
    return area < image.width * image.height


def _described_anew(data: bytes, page: Page, plane: int | None, row_bytes: int) -> bytes:
    """The same file with one directory, in which every byte of a row is a grey pixel."""
    order = page.order
    tags: dict[int, Sequence[int]] = {
        tag.WIDTH: (row_bytes,),
        tag.HEIGHT: (page.size_hw[0],),
        tag.BITS: (8,),
        tag.COMPRESSION: (page.number(tag.COMPRESSION, 1),),
        tag.PHOTOMETRIC: (1,),
        tag.FILL_ORDER: (page.number(tag.FILL_ORDER, 1),),
        tag.SAMPLES: (1,),
    }
    tiled = tag.TILE_OFFSETS in page.tags
    if tiled:
        tile_bytes = row_bytes // -(-page.size_hw[1] // page.number(tag.TILE_WIDTH, 1))
        tags |= {tag.TILE_WIDTH: (tile_bytes,), tag.TILE_HEIGHT: (page.number(tag.TILE_HEIGHT, 0),)}
    else:
        tags[tag.ROWS_PER_STRIP] = (min(page.number(tag.ROWS_PER_STRIP, page.size_hw[0]), page.size_hw[0]),)
    for name in (tag.TILE_OFFSETS, tag.TILE_COUNTS) if tiled else (tag.STRIP_OFFSETS, tag.STRIP_COUNTS):
        parts = page.numbers(name)
        if plane is not None:
            each = len(parts) // page.n_samples
            parts = parts[plane * each : (plane + 1) * each]
        if parts:
            tags[name] = parts
    # The directory stands in front, so that a strip that is cut short ends where the file ends.
    outside = 8 + 2 + 12 * len(tags) + 4
    shift = outside + sum(4 * len(numbers) for numbers in tags.values() if len(numbers) > 1)
    offsets = tag.TILE_OFFSETS if tiled else tag.STRIP_OFFSETS
    if offsets in tags:
        tags[offsets] = [offset + shift for offset in tags[offsets]]
    entries, tail = b"", b""
    for name, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        value = packed if len(packed) == 4 else struct.pack(order + "I", outside + len(tail))
        tail += packed if len(packed) > 4 else b""
        entries += struct.pack(order + "HHI", name, 4, len(numbers)) + value
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return b"".join((head, entries, bytes(4), tail, data))


def _numbers(rows: npt.NDArray[np.uint8], page: Page, width: int, bands: int) -> Values:
    """(rows, bytes) of one row of a tile each -> (rows, width, bands)."""
    bits, kind, predictor = page.bits, page.kind, page.number(tag.PREDICTOR, 1)
    # Only these two compressions know predictors; elsewhere the tag means nothing.
    if page.number(tag.COMPRESSION, 1) in (1, 32773):
        predictor = 1
    shape = (len(rows), width, bands)
    if bits not in _WIDTHS[kind]:
        return _unpacked(rows, bits, width * bands).reshape(shape)
    size = bits // 8
    if predictor == 3:
        summed = np.cumsum(rows.reshape(len(rows), -1, bands), axis=1, dtype=np.uint8)
        # The bytes of one significance lie together, the most significant first, whatever the file's byte order.
        together = summed.reshape(len(rows), size, width * bands).transpose(0, 2, 1)
        return np.ascontiguousarray(together).view(f">{_LETTERS[kind]}{size}").reshape(shape)
    if predictor not in (1, 2):
        raise ImageError(f"TIFF with unknown predictor {predictor}")
    numbers = np.ascontiguousarray(rows).view(f"{page.order}u{size}").reshape(shape)
    if predictor == 2:
        numbers = np.cumsum(numbers, axis=1, dtype=f"=u{size}")
    else:
        numbers = numbers.astype(f"=u{size}", copy=False)
    values: Values = numbers.view(f"={_LETTERS[kind]}{size}")
    return values


def _unpacked(rows: npt.NDArray[np.uint8], bits: int, count: int) -> npt.NDArray[np.uint16]:
    """Numbers of `bits` bits that follow one another in a row, the most significant bit first."""
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint16)
    values = np.empty((len(rows), count), dtype=np.uint16)
    step = max(1, _ROWS_AT_ONCE // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        spread = np.unpackbits(rows[start : start + step], axis=1)[:, : count * bits]
        values[start : start + step] = spread.reshape(len(spread), count, bits) @ weights
    return values
