"""The facts of how data were read, gathered from a data set into one value that everything prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from whycam.errors import printable
from whycam.types import Dataset, Folder, Looks, Skipped

_Thing = TypeVar("_Thing")
_NAMED = 20


@dataclass(frozen=True, slots=True)
class DataFacts:
    """How data were read and what was left out: the same in the terminal, on the pages and in JSON."""

    root: str
    layout: str
    n_normal: int
    n_anomalous: int
    kinds: tuple[tuple[str, int], ...]
    """(kind of anomaly, number of images), the commonest first."""
    folders: tuple[Folder, ...]
    left_out: tuple[Skipped, ...]
    """Every file that was left out, less those in folders that were left out as a whole."""
    n_train: int
    n_test: int
    """Both 0 where there is no split yet."""
    split_from: str
    """`folders`, ``column `fold` ``, `drawn`, or empty."""
    split_dropped: str
    """Why a split that the data bring was not used; empty where it was, or where there is none."""
    n_groups: int
    groups_from: str
    """``column `part` ``, `copies and near duplicates`, both, or empty."""
    looks: Looks
    notes: tuple[str, ...]


def gather(dataset: Dataset) -> DataFacts:
    """How these data were read, what was left out, and what the files show as far as they were opened."""
    samples = dataset.samples
    anomalous = [sample for sample in samples if sample.anomalous]
    groups = {sample.group for sample in samples if sample.group is not None}
    split = any(sample.split for sample in samples)
    return DataFacts(
        root=printable(dataset.root.resolve()),
        layout=dataset.layout,
        n_normal=len(samples) - len(anomalous),
        n_anomalous=len(anomalous),
        kinds=commonest(sample.kind for sample in anomalous if sample.kind),
        folders=used_folders(dataset),
        left_out=dataset.skipped,
        n_train=sum(sample.split == "train" for sample in samples),
        n_test=sum(sample.split == "test" for sample in samples),
        split_from=(dataset.split_from or "drawn") if split else "",
        split_dropped=dataset.split_dropped,
        n_groups=len(groups),
        groups_from=dataset.groups_from if groups else "",
        looks=dataset.looks,
        notes=dataset.notes,
    )


def strict_lines(unread: Sequence[Skipped]) -> tuple[str, ...]:
    """One line for each file that cannot be read where all must be; from the 21st on they are counted."""
    named = [f"{item.file}: {item.reason}; --strict allows no file that cannot be read." for item in unread[:_NAMED]]
    more = len(unread) - _NAMED
    return (*named, f"... and {more:,} more.") if more > 0 else tuple(named)


def used_folders(dataset: Dataset) -> tuple[Folder, ...]:
    """The folders of a data set, those of classes with the number of images that are used."""
    classes = {folder.name for folder in dataset.folders if folder.meaning in ("normal", "anomalous")}
    counts: Counter[str] = Counter()
    homes: dict[str, str | None] = {}
    for sample in dataset.samples:
        folder = sample.file.rpartition("/")[0]
        if folder not in homes:
            home = folder
            while home and home not in classes:
                home = home.rpartition("/")[0]
            homes[folder] = home or None
        if (found := homes[folder]) is not None:
            counts[found] += 1
    return tuple(
        replace(folder, n=counts[folder.name]) if folder.name in classes else folder for folder in dataset.folders
    )


def commonest(things: Iterable[_Thing]) -> tuple[tuple[_Thing, int], ...]:
    """(thing, how many), the commonest first, equals in their own order."""
    return tuple(sorted(Counter(things).items(), key=lambda pair: (-pair[1], str(pair[0]))))
