"""One file of rows: written once, whole or absent, and checked where it is read for the first time.

It is the length and checksum of its header, the header (whose rows, their types and shapes, one checksum each), and the
rows one after another.
"""

from __future__ import annotations

import json
import os
import struct
import time
import weakref
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whycam.errors import RunError, printable
from whycam.store.folder import CAP_VARIABLE

Array = npt.NDArray[Any]
Layout = tuple[np.dtype[Any], tuple[int, ...]]
"""Type and shape of one row."""

ENDING = ".rows"
KINDS = "biufc"
"""Kinds of numbers that a row may hold, as numpy names them."""
_PREFIX = struct.Struct("<8sII")
"""Magic, length of the header in bytes, CRC-32 of the header."""
_MAGIC = b"whycamrw"
_MOST_OPEN = 128
"""Files held open by one process; systems allow 256 or more."""
_TOUCH_EVERY_S = 60.0


@dataclass(eq=False)
class Chunk:
    """A file of rows whose header has been read."""

    path: Path
    digests: tuple[str, ...]
    layouts: tuple[Layout, ...]
    kinds: tuple[int, ...]
    """(n,) which of `layouts` each row has."""
    starts: npt.NDArray[np.int64]
    """(n,) the byte at which each row begins."""
    checks: tuple[int, ...]
    """CRC-32 of each row."""
    checked: bytearray = field(init=False)
    """1 for the rows whose checksum this process has compared, else 0."""
    touched: float = -_TOUCH_EVERY_S

    def __post_init__(self) -> None:
        self.checked = bytearray(len(self.digests))

    def layout(self, row: int) -> Layout:
        """Type and shape of one row."""
        return self.layouts[self.kinds[row]]

    def read(self, first: int, end: int, data: memoryview) -> None:
        """Fill `data`, bytes, with the rows from `first` to before `end`, which are of one type and shape.

        Raises RunError where they were damaged, and the file is removed, or where it is gone.
        """
        try:
            n = _read_at(self.path, int(self.starts[first]), data)
        except FileNotFoundError as error:
            raise RunError(
                f"The cache {printable(self.path.parent)} was deleted while in use: run again, "
                f"with a larger {CAP_VARIABLE} if this returns."
            ) from error
        except OSError as error:
            raise RunError(f"The cache {printable(self.path)} cannot be read: {error.strerror or error}.") from error
        if n != len(data) or not self._whole(first, end, data):
            remove(self.path)
            raise RunError(f"The cache {printable(self.path)} was damaged and has been removed: run again.")

    def touch(self) -> None:
        """Let all processes know that the file is in use, and so the last to be pruned."""
        if time.monotonic() - self.touched >= _TOUCH_EVERY_S:
            self.touched = time.monotonic()
            with suppress(OSError):
                os.utime(self.path)

    def _whole(self, first: int, end: int, data: memoryview) -> bool:
        if 0 in self.checked[first:end]:
            length = len(data) // (end - first)
            for row, check in enumerate(self.checks[first:end]):
                if zlib.crc32(data[row * length : (row + 1) * length]) != check:
                    return False
            self.checked[first:end] = b"\1" * (end - first)
        return True


def framed(of: str, digests: Sequence[str], rows: Sequence[Array]) -> list[bytes | memoryview]:
    """The content of a file that holds these contiguous rows, in pieces; `of` is the name of its folder."""
    layouts = {layout: kind for kind, layout in enumerate(dict.fromkeys((row.dtype.str, row.shape) for row in rows))}
    content = {
        "of": of,
        "digests": list(digests),
        "layouts": list(layouts),
        "kinds": [layouts[row.dtype.str, row.shape] for row in rows],
        "checks": [zlib.crc32(bytes_of(row)) for row in rows],
    }
    header = json.dumps(content, separators=(",", ":")).encode()
    prefix = _PREFIX.pack(_MAGIC, len(header), zlib.crc32(header))
    return [prefix, header, *map(bytes_of, rows)]


def open_chunk(path: Path) -> Chunk | None:
    """The chunk in this file; None where it is gone, or where it is damaged or of another folder and so removed."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            magic, length, check = _PREFIX.unpack(file.read(_PREFIX.size))
            header = file.read(length) if length <= size else b""
        if magic == _MAGIC and len(header) == length and zlib.crc32(header) == check:
            content = json.loads(header)
            layouts = tuple((_dtype(text), tuple(shape)) for text, shape in content["layouts"])
            lengths = np.array([dtype.itemsize * int(np.prod(shape)) for dtype, shape in layouts], dtype=np.int64)
            kinds = tuple(content["kinds"])
            lengths = lengths[list(kinds)]
            ends = _PREFIX.size + length + np.cumsum(lengths)
            chunk = Chunk(path, tuple(content["digests"]), layouts, kinds, ends - lengths, tuple(content["checks"]))
            n = {len(chunk.digests), len(kinds), len(chunk.checks)}
            if content["of"] == path.parent.name and len(n) == 1 and len(kinds) and size == ends[-1]:
                return chunk
    except FileNotFoundError:
        return None
    except (struct.error, ValueError, TypeError, KeyError, IndexError):
        pass
    # A chunk appears whole or not at all, so what is damaged now will stay so.
    remove(path)
    return None


def remove(path: Path) -> None:
    """Delete the file if that is possible."""
    with suppress(OSError):
        path.unlink()


def bytes_of(rows: Array) -> memoryview:
    """The memory of a contiguous array."""
    return rows.reshape(-1).view(np.uint8).data


def _dtype(text: str) -> np.dtype[Any]:
    dtype = np.dtype(text)
    if dtype.kind not in KINDS:
        raise ValueError("not a number")
    return dtype


class _Handle:
    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)


@lru_cache(maxsize=_MOST_OPEN)
def _held(path: Path) -> _Handle:
    # Held open, rows outlive a pruning by another process. One that is no longer held closes after the last read of it.
    return _Handle(path)


def _read_at(path: Path, start: int, data: memoryview) -> int:
    """Fills `data`; how many bytes there were."""
    if not hasattr(os, "preadv"):
        # On Windows, which has none, no other process could delete a file that is held open.
        with FileIO(path) as file:
            file.seek(start)
            return file.readinto(data) or 0
    # By position, so that threads and forked processes share a handle.
    handle = _held(path)
    done = os.preadv(handle.number, [data], start)
    while done < len(data) and (n := os.preadv(handle.number, [data[done:]], start + done)):
        done += n
    return done
