"""Writes TIFFs of every kind from NumPy arrays, so that a reader can be held against the truth."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

CODES = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}
_PILLOW = {"lzw": "tiff_lzw", "packbits": "packbits"}
_BIG_HEADER, _HEADER = 16, 8


def tiff(*pages: dict[str, Any], order: str = "<", big: bool = False) -> bytes:
    """A TIFF of `page`s in one byte order, classic or BigTIFF."""
    count, entry, word, inline = ("Q", "HHQ", "Q", 8) if big else ("H", "HHI", "I", 4)
    header = _BIG_HEADER if big else _HEADER
    body = b""
    at_next: list[int] = []
    starts = []
    for page in pages:
        tags = dict(page["tags"])
        offsets = []
        for part in page["parts"]:
            offsets.append(header + len(body))
            body += part + bytes(len(part) % 2)
        tags[324 if page["tiled"] else 273] = offsets
        tags[325 if page["tiled"] else 279] = [len(part) for part in page["parts"]]
        entries = b""
        for tag, numbers in sorted(tags.items()):
            if isinstance(numbers, bytes):
                kind, number, raw = 2, len(numbers), numbers
            else:
                numbers = [numbers] if isinstance(numbers, int) else list(numbers)
                kind, number, raw = 4, len(numbers), struct.pack(f"{order}{len(numbers)}I", *numbers)
            if len(raw) > inline:
                where = header + len(body)
                body += raw + bytes(len(raw) % 2)
                raw = struct.pack(order + word, where)
            entries += struct.pack(order + entry, tag, kind, number) + raw.ljust(inline, b"\0")
        starts.append(header + len(body))
        body += struct.pack(order + count, len(tags)) + entries
        at_next.append(len(body))
        body += struct.pack(order + word, 0)
    changed = bytearray(body)
    for at, start in zip(at_next, starts[1:], strict=False):
        changed[at : at + inline] = struct.pack(order + word, start)
    name = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, starts[0]) if big else struct.pack(order + "HI", 42, starts[0])
    return name + head + bytes(changed)


def page(
    array: np.ndarray,
    photometric: int = 1,
    *,
    order: str = "<",
    bits: int | None = None,
    extra: Sequence[int] | None = None,
    compression: str = "none",
    predictor: int = 1,
    planar: bool = False,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    more: dict[int, Any] | None = None,
) -> dict[str, Any]:
    """One page: `array` is (H, W) or (H, W, bands), of the type to be stored; `bits` packs unsigned ones closer."""
    array = array[:, :, np.newaxis] if array.ndim == 2 else array
    height, width, bands = array.shape
    kind = {"u": 1, "i": 2, "f": 3, "c": 6, "b": 1}[array.dtype.kind]
    bits = bits or array.dtype.itemsize * 8
    tags: dict[int, Any] = {256: width, 257: height, 258: [bits] * bands, 259: CODES[compression], 262: photometric}
    tags |= {277: bands, 284: 2 if planar else 1, 339: [kind] * bands, **(more or {})}
    if extra is not None:
        tags[338] = extra
    if predictor != 1:
        tags[317] = predictor
    step_y, step_x = tile or (rows or height, width)
    tags |= {322: step_x, 323: step_y} if tile else {278: step_y}
    parts = []
    for plane in [array[:, :, k : k + 1] for k in range(bands)] if planar else [array]:
        for top in range(0, height, step_y):
            for left in range(0, width, step_x):
                part = plane[top : top + step_y, left : left + step_x]
                if tile:
                    missing = ((0, step_y - part.shape[0]), (0, step_x - part.shape[1]), (0, 0))
                    part = np.pad(part, missing)
                parts.append(_packed(_rows(part, bits, order, predictor), compression))
    return {"tags": tags, "parts": parts, "tiled": tile is not None}


def file(array: np.ndarray, photometric: int = 1, *, order: str = "<", big: bool = False, **options: Any) -> bytes:
    """A TIFF of one `page`."""
    return tiff(page(array, photometric, order=order, **options), order=order, big=big)


def _rows(part: np.ndarray, bits: int, order: str, predictor: int) -> np.ndarray:
    """The bytes of every row, (H, bytes)."""
    height, width, bands = part.shape
    if bits != part.dtype.itemsize * 8:
        each = (part[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
        return np.packbits(each.astype(np.uint8).reshape(height, -1), axis=1)
    size = part.dtype.itemsize
    if predictor == 3:
        big = part.astype(part.dtype.newbyteorder(">")).reshape(height, -1)
        split = np.ascontiguousarray(big).view(np.uint8).reshape(height, -1, size).transpose(0, 2, 1)
        flat = np.ascontiguousarray(split).reshape(height, -1, bands)
        return np.diff(flat, axis=1, prepend=np.zeros((height, 1, bands), np.uint8)).reshape(height, -1)
    if predictor == 2:
        whole = np.ascontiguousarray(part).view(f"u{size}").reshape(height, width, bands)
        part = np.diff(whole, axis=1, prepend=np.zeros((height, 1, bands), whole.dtype))
    stored = part.astype(part.dtype.newbyteorder(order)).reshape(height, -1)
    return np.ascontiguousarray(stored).view(np.uint8).reshape(height, -1)


def _packed(rows: np.ndarray, compression: str) -> bytes:
    if compression == "none":
        return rows.tobytes()
    if compression == "deflate":
        return zlib.compress(rows.tobytes())
    buffer = io.BytesIO()
    Image.fromarray(rows).save(buffer, "TIFF", compression=_PILLOW[compression], tiffinfo={278: len(rows)})
    with Image.open(buffer) as image:
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        return buffer.getvalue()[tags[273][0] : tags[273][0] + tags[279][0]]
