"""Decodes every image once for all epochs and runs: pixels at the network's size, on disk, never all in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from whycam.data.images import check_size, decode_resized, digest, read_bytes
from whycam.data.parallel import in_order
from whycam.errors import DataError, ImageError, RunError, printable
from whycam.progress import SILENT, Progress
from whycam.store.folder import cache_folder, check_free
from whycam.store.rows import Rows, open_rows
from whycam.types import Pixels, Sample, Skipped

_MADE = 1
"""To be raised where the same file gives other pixels than before."""
_CHUNK_BYTES = 32 << 20
"""So many are written, and held in memory, at a time."""


@dataclass(frozen=True)
class _Source:
    """What a row is made of."""

    path: Path
    digest: str


class PixelCache:
    """The pixels of samples at one size; row i is the i-th sample that could be decoded.

    After ``dataset = dataset.without(cache.skipped)`` the rows are those of ``dataset.samples``. Memory does not grow
    with the number of images. Reading is safe from several threads and in forked processes. Pixels that another process
    deletes meanwhile, or that were damaged, are made again from the files.
    """

    def __init__(
        self,
        store: Rows,
        size_hw: tuple[int, int],
        names: Mapping[str, str],
        sources: Mapping[str, _Source],
        *,
        all_grey: bool,
        skipped: tuple[Skipped, ...],
    ) -> None:
        self.size_hw = size_hw
        self.skipped = skipped
        """Samples that could not be decoded, in the order of the samples."""
        self.digests = {file: sources[name].digest for file, name in names.items()}
        """File -> SHA-256 of its bytes, for the files that have a row, in the order of the rows."""
        self.files = tuple(names)
        self.all_grey = all_grey
        self._rows = {file: row for row, file in enumerate(self.files)}
        self.names = tuple(names.values())
        """(n,) what the pixels of each row are found by, and what is made of them may be: no two pixels have one."""
        self._sources = sources
        self._store = store

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, samples: Iterable[Sample]) -> npt.NDArray[np.intp]:
        """(n,) the rows of these samples, in their order; raises KeyError for one that has none."""
        return np.array([self._rows[sample.file] for sample in samples], dtype=np.intp)

    def read(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> Pixels:
        """The images in these rows, (n, H, W, C) uint8, a new array: C is 1 if the whole cache is grey, else 3.

        In a cache of mixed images a grey one is repeated over the three channels. Raises IndexError for a row out of
        range, DataError or RunError where pixels were lost and cannot be made again.
        """
        names = [self.names[int(row)] for row in rows]
        batch: Pixels = np.empty((len(names), *self.size_hw, 1 if self.all_grey else 3), dtype=np.uint8)
        try:
            self._store.read(names, batch)
        except (KeyError, RunError):
            lost = {name: self._sources[name] for name in self._store.missing(self.names)}
            _, reasons = _make(self._store, lost, self.size_hw, SILENT)
            for name, reason in reasons.items():
                raise DataError(f"{printable(lost[name].path)} can no longer be decoded: {reason}.") from None
            self._store.read(names, batch)
        return batch


def open_pixels(
    samples: Sequence[Sample],
    size_hw: tuple[int, int],
    *,
    levels: object | None = None,
    progress: Progress = SILENT,
    folder: Path | None = None,
) -> PixelCache:
    """The pixels of all samples at `size_hw` = (height, width), decoded now unless an earlier run has done so.

    What a file holds decides, not its name or date: pixels are found by the SHA-256 of the file, so that one changed
    photo is one decoded photo, and identical files are stored once. Files that cannot be decoded are in
    `PixelCache.skipped`. `levels` is how values of more than 8 bits are mapped to pixels, and is part of how an image
    is found only where it has such values. `folder` overrides where pixels are kept (see `cache_folder`).

    Raises DataError where two samples have the same `file`, where no image can be decoded, or where a file changes
    while it is read; RunError where the cache folder cannot be written or is full; OptionError for a bad size.
    """
    size_hw = check_size(size_hw)
    paths = {sample.file: sample.path for sample in samples}
    if len(paths) != len(samples):
        raise DataError("Two images have the same name; every `file` must be unique.")
    key = {"pixels": _MADE, "size_hw": size_hw, "pillow": PIL.__version__}
    store = open_rows(key, folder=folder or cache_folder(progress))
    names, sources, reasons = _identified(paths, levels, progress)
    absent = {name: sources[name] for name in store.missing(list(sources))}
    all_grey = all(store.shape(name)[2] == 1 for name in sources if name not in absent)
    made_grey, undecoded = _make(store, absent, size_hw, progress)
    reasons |= {file: undecoded[name] for file, name in names.items() if name in undecoded}
    skipped = tuple(Skipped(file, reasons[file]) for file in paths if file in reasons)
    names = {file: name for file, name in names.items() if file not in reasons}
    if not names:
        examples = "; ".join(f"{item.file}: {item.reason}" for item in skipped[:3])
        raise DataError(f"None of {len(skipped)} images can be decoded ({examples})." if skipped else "No image given.")
    return PixelCache(store, size_hw, names, sources, all_grey=all_grey and made_grey, skipped=skipped)


def _identified(
    paths: Mapping[str, Path], levels: object | None, progress: Progress
) -> tuple[dict[str, str], dict[str, _Source], dict[str, str]]:
    """File -> name of its row, name -> what it is made of, and file -> reason for the files that cannot be read."""

    def read(path: Path) -> tuple[str, str] | ImageError:
        try:
            data = read_bytes(path)
        except ImageError as error:
            return error
        content = digest(data)
        return _name(content, data, levels), content

    names: dict[str, str] = {}
    sources: dict[str, _Source] = {}
    reasons: dict[str, str] = {}
    with progress.bar("reading images", len(paths)) as bar, closing(in_order(read, paths.values())) as results:
        for (file, path), result in zip(paths.items(), results, strict=True):
            if isinstance(result, ImageError):
                reasons[file] = str(result)
            else:
                name, content = result
                names[file] = name
                sources.setdefault(name, _Source(path, content))
            bar.advance()
    return names, sources, reasons


def _name(content: str, data: bytes, levels: object | None) -> str:
    """What the pixels of a file are found by: its digest, and the levels where they change these pixels."""
    # The one place to wire `levels` in, with the call of `decode_resized` below.
    return content


def _make(
    store: Rows, sources: Mapping[str, _Source], size_hw: tuple[int, int], progress: Progress
) -> tuple[bool, dict[str, str]]:
    """Decodes into the store; whether all are grey, and name -> reason for the files that cannot be decoded."""

    def decoded(source: _Source) -> Pixels | ImageError:
        try:
            data = read_bytes(source.path)
        except ImageError:
            data = b""
        # A row is trusted for ever after, so its pixels must come from the very bytes that name it.
        if digest(data) != source.digest:
            raise DataError(f"{printable(source.path)} changed while it was in use: run again.")
        try:
            return decode_resized(data, size_hw)
        except ImageError as error:
            return error

    all_grey = True
    reasons: dict[str, str] = {}
    if not sources:
        return all_grey, reasons
    check_free(store.place.parent, len(sources) * size_hw[0] * size_hw[1])
    waiting: dict[str, Pixels] = {}
    with (
        progress.bar("decoding", len(sources)) as bar,
        closing(in_order(decoded, sources.values())) as results,
    ):
        for name, result in zip(sources, results, strict=True):
            if isinstance(result, ImageError):
                reasons[name] = str(result)
            else:
                waiting[name] = result
                all_grey &= result.shape[2] == 1
                if sum(pixels.nbytes for pixels in waiting.values()) >= _CHUNK_BYTES:
                    store.add(list(waiting), list(waiting.values()))
                    waiting = {}
            bar.advance()
    store.add(list(waiting), list(waiting.values()))
    return all_grey, reasons
