"""Computes the features of an image once for all runs: float32 vectors on disk, found by the content of the image.

A folder holds the features that were computed in one way, in chunks that are written once and never changed. A chunk
is its header's length and checksum, the header (whose features, one checksum a row), and the rows. It is written under
another name and then renamed, so that any number of processes may add at once and nobody ever sees half a chunk.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whycam.atomic import write_bytes
from whycam.data.pack import CAP_VARIABLE, FEATURES, cache_folder, cap_bytes, explained, prune
from whycam.errors import RunError, printable

Features = npt.NDArray[np.float32]

_FORMAT = 1
_ENDING = ".rows"
_PREFIX = struct.Struct("<8sII")
"""Magic, length of the header in bytes, CRC-32 of the header."""
_MAGIC = b"whycamfc"
_ROW = np.dtype("<f4")
_LONGEST_READ = 8 << 20
_TOUCH_EVERY_S = 60.0
_WHAT = "feature cache"


@dataclass(frozen=True)
class _Chunk:
    path: Path
    digests: tuple[str, ...]
    checks: tuple[int, ...]
    """CRC-32 of each row."""
    start: int
    """Bytes before the first row."""


class _Shelf:
    """All chunks seen so far; replaced as a whole, so that a thread that reads keeps a consistent one."""

    def __init__(self, chunks: Sequence[_Chunk] = ()) -> None:
        self.chunks = {chunk.path.name: chunk for chunk in chunks}
        self.by_number = tuple(chunks)
        lengths = np.array([len(chunk.digests) for chunk in chunks], dtype=np.intp)
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.rows: dict[str, int] = {}
        """Digest -> its row, counted through all chunks; the oldest chunk that has it."""
        row = 0
        for chunk in chunks:
            for digest in chunk.digests:
                self.rows.setdefault(digest, row)
                row += 1


class FeatureCache:
    """The feature vectors of images that were computed in one way; see `open_features`.

    Several processes may read and add at once, and several threads may read. No file is held open, and no row stays in
    memory.
    """

    def __init__(self, place: Path, width: int) -> None:
        self.place = place
        self.width = width
        self._shelf = _Shelf()
        self._touched = -_TOUCH_EVERY_S
        self._refresh()

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Those of `digests` that have no row yet, each once, in their order; sees what other processes added."""
        self._refresh()
        return [digest for digest in dict.fromkeys(digests) if digest not in self._shelf.rows]

    def add(self, digests: Sequence[str], values: Features) -> None:
        """Stores `values` (n, width) float32 as the features of these n images; all or, if killed, none of them.

        An image that has a row keeps it. Hand over some hundred rows at a time: every call forces a file to the disk.
        Raises ValueError for another shape or type, RunError for a value that is not finite, or where the folder cannot
        be written or is full.
        """
        if values.shape != (len(digests), self.width) or values.dtype != np.float32:
            raise ValueError(
                f"`values` must be {(len(digests), self.width)} float32, got {values.shape} {values.dtype} instead."
            )
        if not (finite := np.isfinite(values).all(axis=1)).all():
            raise RunError(f"The features of image {printable(digests[int(finite.argmin())])} are not all finite.")
        absent = set(self.missing(digests))
        first = {digest: row for row, digest in reversed(list(enumerate(digests))) if digest in absent}
        chosen = sorted(first.values())
        if not chosen:
            return
        rows = np.ascontiguousarray(values[chosen], dtype=_ROW)
        self._write(self._framed([digests[row] for row in chosen], rows))
        with explained(self.place.parent, _WHAT):
            prune(self.place.parent, self.place)
        self._refresh()

    def read(self, digests: Sequence[str]) -> Features:
        """The features of these images in their order, (n, width) float32, a new array.

        Raises KeyError for an image that has no row, RunError where rows were damaged (they are `missing` from then on)
        or deleted in the meantime.
        """
        if not all(digest in self._shelf.rows for digest in digests):
            self._refresh()
        shelf = self._shelf
        places = np.fromiter((shelf.rows[digest] for digest in digests), dtype=np.intp, count=len(digests))
        values = np.empty((len(digests), self.width), dtype=np.float32)
        order = np.argsort(places, kind="stable")
        numbers = np.searchsorted(shelf.ends, places[order], side="right")
        self._touch()
        # Neighbours are read in one go, in pieces of bounded length.
        longest = max(1, _LONGEST_READ // (_ROW.itemsize * self.width))
        rows = places[order] - shelf.starts[numbers]
        breaks = (np.diff(numbers) > 0) | (np.diff(rows) > 1) | (np.diff(rows // longest) > 0)
        for number, runs in groupby(_split(order.size, breaks), key=lambda run: int(numbers[run.start])):
            chunk = shelf.by_number[number]
            # A handle of its own for every call: nothing to lock between threads, to count, or to keep Windows from
            # deleting.
            with self._reading(), FileIO(chunk.path) as file:
                for run in runs:
                    first, last = int(rows[run.start]), int(rows[run.stop - 1])
                    values[order[run]] = self._read_rows(file, chunk, first, last + 1)[rows[run] - first]
        return values

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise RunError(
                f"The feature cache {printable(self.place)} was deleted while in use: run again, "
                f"with a larger {CAP_VARIABLE} if this returns."
            ) from error
        except OSError as error:
            raise RunError(
                f"The feature cache {printable(self.place)} cannot be read: {error.strerror or error}."
            ) from error

    def _read_rows(self, file: FileIO, chunk: _Chunk, first: int, end: int) -> Features:
        length = _ROW.itemsize * self.width
        file.seek(chunk.start + first * length)
        data = memoryview(file.read((end - first) * length))
        whole = len(data) == (end - first) * length and all(
            zlib.crc32(data[row * length : (row + 1) * length]) == chunk.checks[first + row]
            for row in range(end - first)
        )
        values: Features = np.frombuffer(data if whole else b"", dtype=_ROW).reshape(-1, self.width)
        if not whole or not np.isfinite(values).all():
            file.close()
            _remove(chunk.path)
            raise RunError(
                f"The feature cache {printable(chunk.path)} was damaged and has been removed: run again to compute "
                "its features anew."
            )
        return values

    def _framed(self, digests: list[str], rows: npt.NDArray[np.float32]) -> bytes:
        content = {"of": self.place.name, "digests": digests, "checks": [zlib.crc32(row) for row in rows]}
        header = json.dumps(content, separators=(",", ":")).encode()
        return b"".join([_PREFIX.pack(_MAGIC, len(header), zlib.crc32(header)), header, rows.view(np.uint8).data])

    def _write(self, content: bytes) -> None:
        # By the clock, so that all processes prefer the oldest where two have added the same image.
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}{_ENDING}"
        with explained(self.place.parent, _WHAT):
            for attempt in range(3):
                try:
                    self.place.mkdir(parents=True, exist_ok=True)
                    write_bytes(self.place / name, content)
                    return
                # Another process may prune this folder at any moment.
                except FileNotFoundError:
                    if attempt == 2:
                        raise

    def _refresh(self) -> None:
        """Takes notice of the chunks that appeared and vanished."""
        with explained(self.place.parent, _WHAT):
            names: list[str] = []
            with suppress(FileNotFoundError):
                names = sorted(path.name for path in self.place.iterdir() if path.name.endswith(_ENDING))
            known = self._shelf.chunks
            if names != list(known):
                found = [known.get(name) or _open_chunk(self.place / name, self.width) for name in names]
                self._shelf = _Shelf([chunk for chunk in found if chunk is not None])

    def _touch(self) -> None:
        # A folder that a long training reads from is in use, and so the last that another process prunes.
        if time.monotonic() - self._touched >= _TOUCH_EVERY_S:
            self._touched = time.monotonic()
            with suppress(OSError):
                os.utime(self.place)


def open_features(key: Mapping[str, object], width: int, *, folder: Path | None = None) -> FeatureCache:
    """The cache of the features of `width` numbers that `key` describes, empty where no run has computed any.

    `key` is what JSON can hold, and must name everything that the numbers depend on but the image: the weights, the
    layers, the view, the size, the versions. Another key is another folder. `folder` overrides where folders are kept
    (see `cache_folder`).

    Raises RunError where the folder cannot be made, OptionError for a bad WHYCAM_CACHE_GB, and TypeError or ValueError
    for a key that is not JSON or a width below 1.
    """
    if width < 1:
        raise ValueError(f"`width` must be at least 1, got {width} instead.")
    cap_bytes()  # a bad variable is told before an hour of computing
    content = json.dumps(
        {"format": _FORMAT, "width": width, "key": dict(key)}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    root = folder or cache_folder()
    place = root / (FEATURES + hashlib.sha256(content.encode()).hexdigest())
    with explained(root, _WHAT):
        place.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a cache that others may only read
            os.utime(place)
    return FeatureCache(place, width)


def _open_chunk(path: Path, width: int) -> _Chunk | None:
    """The chunk in this file; None, and the file removed, where it is damaged or of another folder."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            magic, length, check = _PREFIX.unpack(file.read(_PREFIX.size))
            header = file.read(length) if length <= size else b""
        if magic == _MAGIC and len(header) == length and zlib.crc32(header) == check:
            content = json.loads(header)
            chunk = _Chunk(path, tuple(content["digests"]), tuple(content["checks"]), _PREFIX.size + length)
            whole = size == chunk.start + len(chunk.digests) * width * _ROW.itemsize
            if whole and content["of"] == path.parent.name and len(chunk.digests) == len(chunk.checks):
                return chunk
    except FileNotFoundError:
        return None
    except (struct.error, ValueError, TypeError, KeyError):
        pass
    # A chunk appears whole or not at all, so what is damaged now will stay so.
    _remove(path)
    return None


def _split(n: int, breaks: npt.NDArray[np.bool]) -> list[slice]:
    """Slices that cover range(n), with an end after each i where `breaks[i]`."""
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), n]
    return [slice(start, stop) for start, stop in pairwise(edges) if start < stop]


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
