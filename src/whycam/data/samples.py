"""The one door to data: a folder or a table in, samples out, in the form that training and scoring expect."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from whycam.data.facts import used_folders
from whycam.data.folders import all_of, read_folders
from whycam.data.listing import find_images, why_unreachable
from whycam.data.mask_names import masks_apart
from whycam.data.table import read_table
from whycam.data.words import counted
from whycam.errors import DataError, printable
from whycam.types import AS_USUAL, Dataset, Fewest, Reading, Sample

MANIFEST = "manifest.csv"
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})


def open_dataset(path: str | Path, reading: Reading = AS_USUAL) -> Dataset:
    """Labelled images: from a CSV table, a folder that holds `manifest.csv`, or class folders.

    Raises DataError, which holds every mistake found.
    """
    path = Path(path)
    table = _table_of(path)
    if table is None:
        return replace(read_folders(path, reading), first_page=reading.first_page)
    return replace(read_table(table, reading), first_page=reading.first_page)


def open_unlabelled(paths: str | Path | Sequence[str | Path], *, first_page: bool = False) -> Dataset:
    """Images to score, from one path or any mix of image files, folders and tables; targets are kept where given.

    Names are relative to the folder or table where one such path is given, and as given otherwise; a file that is
    reached twice counts once. A file given by itself is taken whatever its suffix, as the decoder judges it later.
    Masks, told by their folder or name as in `read_folders`, are no images to score.
    Raises DataError for paths that do not exist (all at once) and where no image is found at all.
    """
    given = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    missing = [problem for path in given if (problem := why_unreachable(path))]
    if missing or not given:
        raise DataError(*(missing or ["No image, folder or table was given."]))
    parts = [_open_any(path) for path in given]
    if len(parts) > 1:
        parts = [_renamed(part, path) for part, path in zip(parts, given, strict=True)]
    samples: dict[str, Sample] = {}
    for part in parts:
        for sample in part.samples:
            # Not Path.resolve(), which raises on a link to itself.
            samples.setdefault(os.path.realpath(sample.path), sample)
    if not samples:
        where = printable(given[0]) if len(given) == 1 else f"the {len(given)} paths given"
        raise DataError(f"No image found in {where}.")
    return Dataset(
        root=parts[0].root if len(parts) == 1 else Path(),
        layout=parts[0].layout if len(parts) == 1 else f"{len(parts)} paths",
        samples=tuple(_unique_names(samples.values())),
        skipped=tuple(item for part in parts for item in part.skipped),
        folders=tuple(folder for part in parts for folder in part.folders),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        first_page=first_page,
    )


def check_classes(dataset: Dataset, fewest: Fewest) -> None:
    """Raises DataError unless both classes have enough images; the text names class, count and what to do."""
    n_anomalous = sum(sample.anomalous for sample in dataset.samples)
    counts = {
        "normal": (len(dataset.samples) - n_anomalous, fewest.normal),
        "anomalous": (n_anomalous, fewest.anomalous),
    }
    problems = []
    for name, (count, needed) in counts.items():
        if count < needed:
            found = f"Only {counted(count, f'{name} image')}" if count else f"No {name} image"
            why = f"{'is' if needed == 1 else 'are'} needed to {'test' if needed == 1 else 'train and to test'}"
            text = f"{found} in {printable(dataset.root)}: at least {needed} {why}; "
            lost = _lost(dataset, name)
            problems.append(f"{text}{lost}." if lost else f"{text}add {name} images.")
    if problems:
        raise DataError(*problems)


def _lost(dataset: Dataset, meaning: str) -> str:
    """Where images of this meaning may have gone: unread, no images, left out by name; empty where nowhere."""
    parts = []
    elsewhere = list(dataset.unread)
    for folder in used_folders(dataset):
        mine = [item for item in elsewhere if folder.name and item.file.startswith(f"{folder.name}/")]
        if folder.meaning != meaning:
            continue
        others = [item for item in dataset.skipped if folder.name and item.file.startswith(f"{folder.name}/")]
        if not mine and not folder.n and others:
            parts.append(f"{folder.name}/: {counted(len(others), 'file')}, none of them an image that can be used")
        if not mine:
            continue
        if not folder.n and all(item.cause == "unsupported" for item in mine):
            parts.append(f"{folder.name}/: {all_of(mine)}")
        else:
            first = f"first {mine[0].file}: {mine[0].reason}"
            parts.append(f"{folder.name}/: {counted(len(mine), 'file')} that cannot be read, {first}")
    if not parts and not dataset.folders and elsewhere:
        first = f"first {elsewhere[0].file}: {elsewhere[0].reason}"
        return f"{counted(len(elsewhere), 'file')} cannot be read, {first}"
    named = [folder for folder in dataset.folders if folder.meaning == "left out" and folder.why.startswith("named")]
    if not parts and named:
        parts = [f"{folder.name}/ ({counted(folder.n, 'image')}) is {folder.why}" for folder in named]
    return "; ".join(parts)


def _table_of(path: Path) -> Path | None:
    if path.suffix.lower() in _TABLE_SUFFIXES and not path.is_dir():
        return path
    manifest = path / MANIFEST
    return manifest if manifest.is_file() else None


def _open_any(path: Path) -> Dataset:
    table = _table_of(path)
    if table:
        return read_table(table, labelled=False)
    if path.is_dir():
        return _open_folder(path)
    return Dataset(path.parent, "one image", (Sample(printable(path.as_posix()), path),))


def _open_folder(folder: Path) -> Dataset:
    """All images of a folder: with labels if its layout has some, else without."""
    listing = find_images(folder)
    _, images = masks_apart(listing.files)
    everything = tuple(Sample(file, listing.files[file]) for file in images)
    bare = Dataset(folder, "images", everything, listing.skipped, folders=listing.left_out)
    try:
        labelled = read_folders(folder)
    except DataError:
        return bare
    known = {sample.file: sample for sample in labelled.samples}
    samples = tuple(known.get(sample.file, sample) for sample in everything)
    return replace(labelled, samples=samples, skipped=listing.skipped)


def _renamed(part: Dataset, given: Path) -> Dataset:
    if part.layout == "one image":
        return part
    folder = given if given.is_dir() else given.parent

    def name(file: str) -> str:
        return printable((folder / file).as_posix())

    samples = tuple(replace(sample, file=name(sample.file)) for sample in part.samples)
    return replace(
        part,
        samples=samples,
        skipped=tuple(replace(item, file=name(item.file)) for item in part.skipped),
        folders=tuple(replace(item, name=name(item.name)) for item in part.folders),
    )


def _unique_names(samples: Iterable[Sample]) -> list[Sample]:
    # Two spellings can still name one thing (`x/a.png` in a table that is itself in `x`), and names are keys later on.
    seen: set[str] = set()
    unique = []
    for sample in samples:
        name = sample.file if sample.file not in seen else printable(sample.path.absolute().as_posix())
        # Even two real names can read the same: `a\xff.png`, and one with that byte.
        plain, number = name, 2
        while name in seen:
            name, number = f"{plain} ({number})", number + 1
        seen.add(name)
        unique.append(replace(sample, file=name))
    return unique
