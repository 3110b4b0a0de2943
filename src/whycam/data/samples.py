"""The one door to data: a folder or a table in, samples out, in the form that training and scoring expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from whycam.data.folders import read_folders
from whycam.data.listing import find_images
from whycam.data.table import read_table
from whycam.data.words import counted
from whycam.errors import DataError
from whycam.types import Dataset, Sample, Skipped

MANIFEST = "manifest.csv"
FEWEST_OF_A_CLASS = 4
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})


def open_dataset(path: str | Path) -> Dataset:
    """Labelled images: from a CSV table, a folder that holds `manifest.csv`, or class folders.

    Raises DataError, which holds every mistake found.
    """
    path = Path(path)
    table = _table_of(path)
    return read_table(table) if table else read_folders(path)


def open_unlabelled(paths: Sequence[str | Path]) -> Dataset:
    """Images to score, from any mix of image files, folders and tables; targets are kept where there are any.

    Names are relative to the folder or table where one such path is given, and as given otherwise; a file that is
    reached twice counts once. A file given by itself is taken whatever its suffix, as the decoder judges it later.
    Raises DataError for paths that do not exist (all at once) and where no image is found at all.
    """
    given = [Path(path) for path in paths]
    missing = [f"{path} does not exist." for path in given if not path.exists()]
    if missing or not given:
        raise DataError(*(missing or ["No image, folder or table was given."]))
    parts = [_open_any(path) for path in given]
    if len(parts) > 1:
        parts = [_renamed(part, path) for part, path in zip(parts, given, strict=True)]
    samples: dict[Path, Sample] = {}
    for part in parts:
        for sample in part.samples:
            samples.setdefault(sample.path.resolve(), sample)
    if not samples:
        where = str(given[0]) if len(given) == 1 else f"the {len(given)} paths given"
        raise DataError(f"No image found in {where}.")
    return Dataset(
        root=parts[0].root if len(parts) == 1 else Path(),
        layout=parts[0].layout if len(parts) == 1 else f"{len(parts)} paths",
        samples=tuple(_unique_names(samples.values())),
        skipped=tuple(item for part in parts for item in part.skipped),
        n_other_files=sum(part.n_other_files for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def check_classes(dataset: Dataset) -> None:
    """Raises DataError unless both classes have at least four images; the text names class, count and what to do."""
    n_anomalous = sum(sample.anomalous for sample in dataset.samples)
    counts = {"normal": len(dataset.samples) - n_anomalous, "anomalous": n_anomalous}
    problems = []
    for name, count in counts.items():
        if count < FEWEST_OF_A_CLASS:
            found = f"Only {counted(count, f'{name} image')}" if count else f"No {name} image"
            lost = f" ({counted(len(dataset.skipped), 'file')} skipped)" if dataset.skipped else ""
            problems.append(
                f"{found} in {dataset.root}{lost}: at least {FEWEST_OF_A_CLASS} are needed to train and to test; "
                f"add {name} images."
            )
    if problems:
        raise DataError(*problems)


def _table_of(path: Path) -> Path | None:
    if path.suffix.lower() in _TABLE_SUFFIXES and not path.is_dir():
        return path
    manifest = path / MANIFEST
    return manifest if manifest.is_file() else None


def _open_any(path: Path) -> Dataset:
    table = _table_of(path)
    if table:
        return read_table(table, labelled=False)
    return _open_folder(path) if path.is_dir() else Dataset(path.parent, "one image", (Sample(path.as_posix(), path),))


def _open_folder(folder: Path) -> Dataset:
    """All images of a folder: with labels if its layout has some, else without."""
    listing = find_images(folder)
    everything = tuple(Sample(file, path) for file, path in listing.files.items())
    try:
        labelled = read_folders(folder)
    except DataError:
        return Dataset(folder, "images", everything, listing.skipped, listing.n_other_files)
    known = {sample.file: sample for sample in labelled.samples}
    unread = {item.file for item in labelled.skipped}
    samples = tuple(known.get(sample.file, sample) for sample in everything if sample.file in known.keys() | unread)
    return replace(labelled, samples=samples, skipped=listing.skipped)


def _renamed(part: Dataset, given: Path) -> Dataset:
    if part.layout == "one image":
        return part
    folder = given if given.is_dir() else given.parent

    def name(file: str) -> str:
        return (folder / file).as_posix()

    samples = tuple(replace(sample, file=name(sample.file)) for sample in part.samples)
    return replace(part, samples=samples, skipped=tuple(Skipped(name(item.file), item.reason) for item in part.skipped))


def _unique_names(samples: Iterable[Sample]) -> list[Sample]:
    # Two spellings can still name one thing (`x/a.png` in a table that is itself in `x`), and names are keys later on.
    seen: set[str] = set()
    unique = []
    for sample in samples:
        name = sample.file if sample.file not in seen else sample.path.absolute().as_posix()
        seen.add(name)
        unique.append(replace(sample, file=name))
    return unique
