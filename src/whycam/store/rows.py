"""Rows of numbers that are computed once for all runs, on disk, found by the content of the image that they are of.

A folder holds the rows that were made in one way, in files that are written under another name, then renamed, and never
changed: any number of processes may add and read at once without locks, and nobody ever sees half a file.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whycam.atomic import write_bytes
from whycam.store.chunk import ENDING, KINDS, Array, Chunk, Layout, bytes_of, framed, open_chunk
from whycam.store.folder import ROWS, cache_folder, cap_bytes, explained, prune

_FORMAT = 1
_LONGEST_READ = 8 << 20


class _Shelf:
    """All chunks seen so far; replaced as a whole, so that a thread that reads keeps a consistent one."""

    def __init__(self, chunks: Sequence[Chunk] = ()) -> None:
        self.chunks = tuple(chunks)
        self.by_name = {chunk.path.name: chunk for chunk in chunks}
        lengths = [len(chunk.digests) for chunk in chunks]
        self.numbers = np.repeat(np.arange(len(chunks)), lengths)
        """(n,) the chunk of each row."""
        self.inside = np.concatenate([np.arange(0), *map(np.arange, lengths)])
        """(n,) which row of its chunk it is."""
        pieces = np.concatenate([np.arange(0), *(chunk.starts // _LONGEST_READ for chunk in chunks)])
        kinds = np.concatenate([np.arange(0), *(chunk.kinds for chunk in chunks)])
        changes = [np.diff(values, prepend=0) != 0 for values in (self.numbers, pieces, kinds)]
        self.stretches = np.cumsum(np.logical_or.reduce(changes))
        """(n,) the same for neighbours that may be read in one go: of one layout, and of bounded length together."""
        self.rows: dict[str, int] = {}
        """Digest -> its row, counted through all chunks; the oldest chunk that has it."""
        row = 0
        for chunk in chunks:
            for digest in chunk.digests:
                self.rows.setdefault(digest, row)
                row += 1

    def places(self, digests: Iterable[str]) -> npt.NDArray[np.intp]:
        return np.fromiter((self.rows[digest] for digest in digests), dtype=np.intp)

    def layout(self, place: int) -> Layout:
        """Type and shape of one row."""
        chunk: Chunk = self.chunks[self.numbers[place]]
        return chunk.layout(int(self.inside[place]))


class Rows:
    """The rows that were made in one way; see `open_rows`.

    A row is an array of numbers, and rows may differ in type and shape. Several processes may read and add at once, and
    several threads may read. No row stays in memory.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._shelf = _Shelf()
        self._used: set[Path] = set()
        self._refresh()

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Those of `digests` that have no row yet, each once, in their order; sees what other processes added."""
        self._refresh()
        rows = self._shelf.rows
        for number in np.unique(self._shelf.numbers[self._shelf.places(filter(rows.__contains__, digests))]):
            self._in_use(self._shelf, int(number))
        return [digest for digest in dict.fromkeys(digests) if digest not in rows]

    def add(self, digests: Sequence[str], rows: Sequence[Array] | Array) -> None:
        """Store one row for each of these images; all or, if killed, none of them.

        An image that has a row keeps it. Hand over some megabytes at a time: every call forces a file to the disk.
        Raises ValueError for rows that are not as many as images or no numbers, RunError where the folder cannot be
        written or is full.
        """
        if len(rows) != len(digests) or any(row.dtype.kind not in KINDS for row in rows):
            raise ValueError(f"`rows` must be {len(digests)} arrays of numbers.")
        absent = set(self.missing(digests))
        first = {digest: row for row, digest in reversed(list(enumerate(digests))) if digest in absent}
        if not first:
            return
        chosen = sorted(first.values())
        self._write([digests[row] for row in chosen], [np.asarray(rows[row], order="C") for row in chosen])
        with explained(self.place.parent):
            prune(self.place.parent, self._used)
        self._refresh()

    def shape(self, digest: str) -> tuple[int, ...]:
        """The shape of one row; raises KeyError where there is none."""
        return self._shelf.layout(self._shelf.rows[digest])[1]

    def read(self, digests: Sequence[str], out: Array | None = None) -> Array:
        """The rows of these images in their order, stacked: (n, *shape), a new array, or `out`.

        Without `out` all must have one type and shape. With it, (n, *shape), each is broadcast into its place.

        Raises KeyError for an image that has no row, ValueError for rows that do not fit together or into `out`,
        RunError where rows were damaged (they are `missing` from then on) or deleted in the meantime.
        """
        if not all(digest in self._shelf.rows for digest in digests):
            self._refresh()
        shelf = self._shelf
        places = shelf.places(digests)
        order = np.argsort(places, kind="stable")
        places = places[order]
        stretches = shelf.stretches[places]
        breaks = (places[1:] - places[:-1] > 1) | (stretches[1:] != stretches[:-1])
        edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), order.size] if order.size else [0]
        if out is None:
            layouts = {shelf.layout(int(places[start])) for start in edges[:-1]}
            if len(layouts) > 1:
                raise ValueError("The rows differ in type or shape: read them one by one, or into an array.")
            dtype, shape = layouts.pop() if layouts else (np.dtype(np.float32), ())
            out = np.empty((len(digests), *shape), dtype=dtype)
        runs = np.array(edges, dtype=np.intp)
        firsts = places[runs[:-1]]
        lengths = places[runs[1:] - 1] - firsts + 1
        columns = (order[runs[:-1]], lengths, shelf.numbers[firsts], shelf.inside[firsts])
        where = zip(*(column.tolist() for column in columns), strict=True)
        data = bytes_of(out) if out.flags.c_contiguous else None
        layout, size = (out.dtype, out.shape[1:]), out.nbytes // max(1, len(out))
        for (start, stop), (at, n, number, first) in zip(pairwise(edges), where, strict=True):
            chunk = self._in_use(shelf, number)
            straight = n == stop - start and (n == 1 or bool((np.diff(order[start:stop]) == 1).all()))
            if data and straight and chunk.layout(first) == layout:
                chunk.read(first, first + n, data[at * size : (at + n) * size])
            else:
                dtype, shape = chunk.layout(first)
                rows = np.empty((n, *shape), dtype=dtype)
                chunk.read(first, first + n, bytes_of(rows))
                out[order[start:stop]] = rows[places[start:stop] - places[start]]
        return out

    def _in_use(self, shelf: _Shelf, number: int) -> Chunk:
        chunk = shelf.chunks[number]
        chunk.touch()
        self._used.add(chunk.path)
        return chunk

    def _write(self, digests: list[str], rows: list[Array]) -> None:
        # By the clock, so that all processes prefer the oldest where two have added the same image.
        path = self.place / f"{time.time_ns():020}-{secrets.token_hex(4)}{ENDING}"
        with explained(self.place.parent):
            for attempt in range(3):
                try:
                    self.place.mkdir(parents=True, exist_ok=True)
                    write_bytes(path, *framed(self.place.name, digests, rows))
                    break
                # Another process may prune this folder at any moment.
                except FileNotFoundError:
                    if attempt == 2:
                        raise
        self._used.add(path)

    def _refresh(self) -> None:
        """Takes notice of the chunks that appeared and vanished."""
        with explained(self.place.parent):
            names: list[str] = []
            with suppress(FileNotFoundError):
                names = sorted(path.name for path in self.place.iterdir() if path.name.endswith(ENDING))
            known = self._shelf.by_name
            if names != list(known):
                found = [known.get(name) or open_chunk(self.place / name) for name in names]
                self._shelf = _Shelf([chunk for chunk in found if chunk is not None])


def open_rows(key: Mapping[str, object], *, folder: Path | None = None) -> Rows:
    """The rows that `key` describes, none where no run has made any.

    `key` is what JSON can hold, and must name everything that the numbers depend on but the image: what they are, the
    weights, the view, the size, the versions. Another key is another folder. `folder` overrides where folders are kept
    (see `cache_folder`).

    Raises RunError where the folder cannot be made, OptionError for a bad WHYCAM_CACHE_GB, and TypeError or ValueError
    for a key that is not JSON.
    """
    cap_bytes()  # a bad variable is told before an hour of computing
    content = json.dumps({"format": _FORMAT, "key": dict(key)}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    root = folder or cache_folder()
    place = root / (ROWS + hashlib.sha256(content.encode()).hexdigest())
    with explained(root):
        place.mkdir(parents=True, exist_ok=True)
    return Rows(place)
