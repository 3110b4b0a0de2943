"""Decodes every image once for all epochs and runs: pixels at the network's size, on disk, never all in memory."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from whycam.data.images import check_size, decode_resized, digest, read_bytes
from whycam.data.pack import (
    Index,
    building,
    cache_folder,
    cap_bytes,
    explained,
    open_pack,
    pack_name,
    pixels_path,
    prune,
)
from whycam.data.parallel import in_order
from whycam.errors import DataError, ImageError, RunError, printable
from whycam.progress import SILENT, Progress
from whycam.types import Pixels, Sample, Skipped

_State = tuple[int, int, int]
"""Inode, length and time of change: what differs when a file was written in between."""
_Source = tuple[Path, _State | None]


class PixelCache:
    """The pixels of samples at one size; row i is the i-th sample that could be decoded.

    After ``dataset = dataset.without(cache.skipped)`` the rows are those of ``dataset.samples``. Memory does not grow
    with the number of images. Reading is safe from several threads and in forked processes.
    """

    def __init__(self, place: Path, index: Index, digests: dict[str, str], skipped: tuple[Skipped, ...]) -> None:
        self.size_hw = index.size_hw
        self.skipped = skipped
        """Samples that could not be decoded, in the order of the samples."""
        self.digests = digests
        """File -> SHA-256 of its bytes, for the files that have a row, in the order of the rows."""
        self.files = tuple(digests)
        self._rows = {file: row for row, file in enumerate(self.files)}
        self._spans = [(*index.images[digests[file]], index.length(digests[file])) for file in self.files]
        self.all_grey = all(channels == 1 for _, channels, _ in self._spans)
        self._path = pixels_path(place)
        # Held open, the pixels outlive a pruning of the cache by another process.
        with explained(place.parent):
            self._handle = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, _close, self._handle)

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, samples: Iterable[Sample]) -> npt.NDArray[np.intp]:
        """(n,) the rows of these samples, in their order; raises KeyError for one that has none."""
        return np.array([self._rows[sample.file] for sample in samples], dtype=np.intp)

    def read(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> Pixels:
        """The images in these rows, (n, H, W, C) uint8, a new array: C is 1 if the whole cache is grey, else 3.

        In a cache of mixed images a grey one is repeated over the three channels. Raises IndexError for a row out of
        range, RunError where the cache is closed or was damaged while in use.
        """
        channels = 1 if self.all_grey else 3
        batch = np.empty((len(rows), *self.size_hw, channels), dtype=np.uint8)
        for image, row in zip(batch, rows, strict=True):
            offset, stored, length = self._spans[int(row)]
            data = np.frombuffer(self._read_at(offset, length), dtype=np.uint8)
            image[...] = data.reshape(*self.size_hw, stored)
        return batch

    def close(self) -> None:
        """Gives the file handle back; happens by itself when the cache is no longer used."""
        self._close()

    def _read_at(self, offset: int, length: int) -> bytes:
        # The number of a closed handle may belong to another file by now.
        if not self._close.alive:
            raise RunError(f"The pixel cache {printable(self._path)} is closed.")
        try:
            if hasattr(os, "pread"):
                data = os.pread(self._handle, length, offset)
            # Windows has no pread, and there no other process can delete a file that is held open.
            else:
                with self._path.open("rb", buffering=0) as file:
                    file.seek(offset)
                    data = file.read(length)
        except OSError as error:
            raise RunError(
                f"The pixel cache {printable(self._path)} cannot be read: {error.strerror or error}."
            ) from error
        if len(data) != length:
            raise RunError(
                f"The pixel cache {printable(self._path)} was cut short while in use: run again to rebuild it."
            )
        return data


def open_pixels(
    samples: Sequence[Sample],
    size_hw: tuple[int, int],
    *,
    progress: Progress = SILENT,
    folder: Path | None = None,
) -> PixelCache:
    """The pixels of all samples at `size_hw` = (height, width), decoded now unless an earlier run has done so.

    What a file holds decides, not its name or date: a pack is found by the SHA-256 of all files, and identical files
    are stored once. Files that cannot be decoded are in `PixelCache.skipped`, also when an earlier run met them.
    `folder` overrides where packs are kept (see `cache_folder`).

    Raises DataError where two samples have the same `file`, where no image can be decoded, or where a file changes
    while it is read; RunError where the cache folder cannot be written or is full; OptionError for a bad size.
    """
    size_hw = check_size(size_hw)
    cap_bytes()  # a bad variable is told before an hour of decoding
    paths = {sample.file: sample.path for sample in samples}
    if len(paths) != len(samples):
        raise DataError("Two images have the same name; every `file` must be unique.")
    found, states, reasons = _digests(paths, progress)
    place = (folder or cache_folder()) / pack_name(set(found.values()), size_hw)
    index = Index(size_hw)
    if found:
        sources: dict[str, _Source] = {}
        for file, key in found.items():
            sources.setdefault(key, (paths[file], states[file]))
        index = open_pack(place, set(sources), size_hw) or _build(place, sources, size_hw, progress)
    reasons |= {file: index.failed[key] for file, key in found.items() if key in index.failed}
    skipped = tuple(Skipped(file, reasons[file]) for file in paths if file in reasons)
    digests = {file: key for file, key in found.items() if file not in reasons}
    if not digests:
        examples = "; ".join(f"{item.file}: {item.reason}" for item in skipped[:3])
        raise DataError(f"None of {len(skipped)} images can be decoded ({examples})." if skipped else "No image given.")
    return PixelCache(place, index, digests, skipped)


def _digests(
    paths: dict[str, Path], progress: Progress
) -> tuple[dict[str, str], dict[str, _State | None], dict[str, str]]:
    """File -> digest, file -> state, and file -> reason for the files that cannot be read."""

    def read(path: Path) -> tuple[str | None, _State | None, str]:
        try:
            state = _state(path)
            return digest(read_bytes(path)), state, ""
        except ImageError as error:
            return None, None, str(error)

    found: dict[str, str] = {}
    states: dict[str, _State | None] = {}
    reasons: dict[str, str] = {}
    with progress.bar("reading images", len(paths)) as bar, closing(in_order(read, paths.values())) as results:
        for file, (key, state, reason) in zip(paths, results, strict=True):
            if key is None:
                reasons[file] = reason
            else:
                found[file], states[file] = key, state
            bar.advance()
    return found, states, reasons


def _build(place: Path, sources: dict[str, _Source], size_hw: tuple[int, int], progress: Progress) -> Index:
    """Decodes the file of every digest, in order, into the pack at `place`."""

    def decoded(source: _Source) -> Pixels | str:
        path, state = source
        result: Pixels | str
        try:
            result = decode_resized(path, size_hw)
        except ImageError as error:
            result = str(error)
        # The pack is trusted for ever after, so its pixels must come from the very bytes that name it.
        if state is None or _state(path) != state:
            raise DataError(f"{printable(path)} changed while it was read: run again.")
        return result

    with (
        building(place, size_hw, len(sources)) as writer,
        progress.bar("decoding", len(sources)) as bar,
        closing(in_order(decoded, sources.values())) as results,
    ):
        for key, result in zip(sources, results, strict=True):
            if isinstance(result, str):
                writer.add_failure(key, result)
            else:
                writer.add(key, result)
            bar.advance()
    with explained(place.parent):
        prune(place.parent, place)
    return writer.index


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _close(handle: int) -> None:
    with suppress(OSError):
        os.close(handle)
