"""Decodes every image once for all epochs and runs: pixels at the network's size, on disk, never all in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from pydantic import TypeAdapter

from whycam.data.images import DECODING, check_size, decode_resized, digest, look, read_bytes
from whycam.data.levels import ImageFacts, Levels, find_levels
from whycam.data.parallel import in_order
from whycam.errors import DataError, ImageError, RunError, printable
from whycam.progress import SILENT, Progress
from whycam.store.folder import cache_folder, check_free
from whycam.store.rows import Rows, open_rows
from whycam.types import Pixels, Sample, Skipped

_FACTS = TypeAdapter(ImageFacts)
_MOST_REASONS = 3
_CHUNK_BYTES = 32 << 20
"""So many are written, and held in memory, at a time."""


@dataclass(frozen=True)
class _Source:
    """What a row is made of."""

    path: Path
    digest: str
    facts: ImageFacts

    def name(self, levels: Levels) -> str:
        """What its pixels are found by: the digest, and the levels where they change these pixels."""
        if not self.facts.wide:
            return self.digest
        used = levels.of(self.facts.bits, self.facts.kind)
        return f"{self.digest} {used.low:g} {used.high:g}"


@dataclass(frozen=True)
class _How:
    """How files become pixels."""

    files: tuple[str, ...]
    """All that were given, in their order."""
    size_hw: tuple[int, int]
    levels: Levels
    first_page: bool


class PixelCache:
    """The pixels of samples at one size; row i is the i-th sample that could be decoded.

    After ``dataset = dataset.without(cache.skipped)`` the rows are those of ``dataset.samples``. Memory does not grow
    with the number of images. Reading is safe from several threads and in forked processes. Pixels that another process
    deletes meanwhile, or that were damaged, are made again from the files.
    """

    def __init__(self, store: Rows, sources: Mapping[str, _Source], how: _How, skipped: Sequence[Skipped]) -> None:
        """Of the samples in `sources`, by file, whose pixels are in the store; see `open_pixels`."""
        self.size_hw = how.size_hw
        self.levels = how.levels
        """By which values of more than 8 bits became pixels."""
        self.first_page = how.first_page
        self.skipped = tuple(skipped)
        """Samples that could not be decoded, in the order of the samples."""
        self.files = tuple(sources)
        self.digests = {file: source.digest for file, source in sources.items()}
        """File -> SHA-256 of its bytes, for the files that have a row, in the order of the rows."""
        self.facts = {file: source.facts for file, source in sources.items()}
        """File -> what it stores, likewise."""
        self.names = tuple(source.name(how.levels) for source in sources.values())
        """(n,) what the pixels of each row are found by, and what is made of them may be: no two pixels have one."""
        self.all_grey = all(store.shape(name)[2] == 1 for name in set(self.names))
        self._rows = {file: row for row, file in enumerate(self.files)}
        self._sources, self._how, self._store = sources, how, store

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, samples: Iterable[Sample]) -> npt.NDArray[np.intp]:
        """(n,) the rows of these samples, in their order; raises KeyError for one that has none."""
        return np.array([self._rows[sample.file] for sample in samples], dtype=np.intp)

    def at_levels(self, levels: Levels, *, progress: Progress = SILENT) -> PixelCache:
        """The same images by other levels; only those that these change are decoded again. Raises as `open_pixels`."""
        if levels == self.levels:
            return self
        return _opened(self._store, self._sources, replace(self._how, levels=levels), self.skipped, progress)

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
            absent = set(self._store.missing(self.names))
            lost = {name: s for name, s in zip(self.names, self._sources.values(), strict=True) if name in absent}
            for name, reason in _make(self._store, lost, self._how, SILENT).items():
                raise DataError(f"{printable(lost[name].path)} can no longer be decoded: {reason}.") from None
            self._store.read(names, batch)
        return batch


def open_pixels(
    samples: Sequence[Sample],
    size_hw: tuple[int, int],
    *,
    levels: Levels | None = None,
    first_page: bool = False,
    progress: Progress = SILENT,
    folder: Path | None = None,
) -> PixelCache:
    """The pixels of all samples at `size_hw` = (height, width), decoded now unless an earlier run has done so.

    What a file holds decides, not its name or date: pixels are found by the SHA-256 of the file, so that one changed
    photo is one decoded photo, and identical files are stored once. Files that cannot be decoded are in
    `PixelCache.skipped`.

    Args:
        samples: with unique `file`s.
        size_hw: of the pixels.
        levels: by which values of more than 8 bits become pixels; those of the samples themselves where it is None.
        first_page: whether a file of several pages or frames is read by its first; else it is skipped.
        progress: hears how far it is.
        folder: where pixels are kept; see `cache_folder`.

    Raises:
        DataError: two samples have the same `file`, no image can be decoded, or a file changes while it is read.
        RunError: the cache folder cannot be written or is full.
        OptionError: a bad size.
    """
    size_hw = check_size(size_hw)
    paths = {sample.file: sample.path for sample in samples}
    if len(paths) != len(samples):
        raise DataError("Two images have the same name; every `file` must be unique.")
    root = folder or cache_folder(progress)
    known = open_rows({"facts": DECODING, "pillow": PIL.__version__}, folder=root)
    sources, skipped = _identified(paths, known, first_page, progress)
    store = open_rows({"pixels": DECODING, "size_hw": size_hw, "pillow": PIL.__version__}, folder=root)
    found = find_levels(source.facts for source in sources.values()) if levels is None else levels
    return _opened(store, sources, _How(tuple(paths), size_hw, found, first_page), skipped, progress)


def _opened(
    store: Rows, sources: Mapping[str, _Source], how: _How, skipped: Sequence[Skipped], progress: Progress
) -> PixelCache:
    """The cache of these sources, those decoded that are not in the store."""
    by_name: dict[str, _Source] = {}
    for source in sources.values():
        by_name.setdefault(source.name(how.levels), source)
    absent = {name: by_name[name] for name in store.missing(list(by_name))}
    undecoded = _make(store, absent, how, progress)
    reasons = {item.file: item.reason for item in skipped}
    kept: dict[str, _Source] = {}
    for file, source in sources.items():
        name = source.name(how.levels)
        if name in undecoded:
            reasons[file] = undecoded[name]
        else:
            kept[file] = source
    left_out = [Skipped(file, reasons[file]) for file in how.files if file in reasons]
    if not kept:
        raise DataError(_why_none(left_out) if left_out else "No image given.")
    return PixelCache(store, kept, how, left_out)


def _identified(
    paths: Mapping[str, Path], known: Rows, first_page: bool, progress: Progress
) -> tuple[dict[str, _Source], list[Skipped]]:
    """What each file holds, and those that cannot be read, in the order of the files."""

    def read(path: Path) -> tuple[str, ImageFacts, bool] | ImageError:
        try:
            data = read_bytes(path)
            content = digest(data)
            facts = _remembered(known, content)
            if facts is None or (facts.n_pages > 1 and not first_page):
                return content, look(data, first_page=first_page), True
        except ImageError as error:
            return error
        return content, facts, False

    sources: dict[str, _Source] = {}
    skipped: list[Skipped] = []
    fresh: dict[str, npt.NDArray[np.uint8]] = {}
    with progress.bar("reading images", len(paths)) as bar, closing(in_order(read, paths.values())) as results:
        for (file, path), result in zip(paths.items(), results, strict=True):
            if isinstance(result, ImageError):
                skipped.append(Skipped(file, str(result)))
            else:
                content, facts, is_new = result
                sources[file] = _Source(path, content, facts)
                # What the header says is as soon read as remembered.
                if is_new and (facts.wide or facts.alpha or facts.remarks):
                    fresh[content] = np.frombuffer(_FACTS.dump_json(facts), dtype=np.uint8)
            bar.advance()
    if fresh:
        known.add(list(fresh), list(fresh.values()))
    return sources, skipped


def _remembered(known: Rows, content: str) -> ImageFacts | None:
    """What is known of a file from an earlier look; None where nothing is."""
    try:
        _ = known.shape(content)
        return _FACTS.validate_json(known.read([content])[0].tobytes())
    except (KeyError, RunError, ValueError):
        return None


def _make(store: Rows, sources: Mapping[str, _Source], how: _How, progress: Progress) -> dict[str, str]:
    """Decodes into the store; name -> reason for the files that cannot be decoded."""

    def decoded(source: _Source) -> Pixels | ImageError:
        try:
            data = read_bytes(source.path)
        except ImageError:
            data = b""
        # A row is trusted for ever after, so its pixels must come from the very bytes that name it.
        if digest(data) != source.digest:
            raise DataError(f"{printable(source.path)} changed while it was in use: run again.")
        try:
            return decode_resized(data, how.size_hw, how.levels, first_page=how.first_page)
        except ImageError as error:
            return error

    reasons: dict[str, str] = {}
    if not sources:
        return reasons
    check_free(store.place.parent, len(sources) * how.size_hw[0] * how.size_hw[1])
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
                if sum(pixels.nbytes for pixels in waiting.values()) >= _CHUNK_BYTES:
                    store.add(list(waiting), list(waiting.values()))
                    waiting = {}
            bar.advance()
    store.add(list(waiting), list(waiting.values()))
    return reasons


def _why_none(left_out: Sequence[Skipped]) -> str:
    """That no image can be read, with the commonest reasons and an example of each."""
    first = {item.reason: item.file for item in reversed(left_out)}
    commonest = Counter(item.reason for item in left_out).most_common(_MOST_REASONS)
    said = "; ".join(f"{n:,} such as {first[reason]}, {reason}" for reason, n in commonest)
    return f"None of {len(left_out):,} images can be read: {said}."
