"""Which images may be used: readable, apart from what is written, and none that would make a figure wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from whycam.data.facts import strict_lines
from whycam.data.levels import Levels, find_levels
from whycam.data.looks import look_at
from whycam.errors import DataError, RunError, printable
from whycam.progress import Progress
from whycam.store.pixels import PixelCache, open_pixels
from whycam.types import Dataset

_AT_ONCE = 16


def check_present(run: Path, dataset: Dataset) -> None:
    """RunError where images that the run was made with are gone."""
    gone = [sample.file for sample in dataset.samples if not sample.path.exists()]
    if gone:
        raise RunError(
            f"{len(gone)} of the images that {run} was made with are gone from {printable(dataset.root)}, "
            f"first {gone[0]}: put them back, or name the folder or table where they are now."
        )


def check_unchanged(run: Path, pixels: PixelCache, digests: Mapping[str, str]) -> None:
    """RunError where images have another content than `digests`, by file, says."""
    problems = [f"{item.file}: {item.reason}" for item in pixels.skipped]
    problems += [f"{file} has other content" for file, digest in pixels.digests.items() if digests[file] != digest]
    if problems:
        raise RunError(
            f"{len(problems)} of the images that {run} was made with changed, first {problems[0]}: restore them."
        )


def moved(own: Dataset, digests: Mapping[str, str], other: Dataset, pixels: PixelCache) -> Dataset:
    """The run's own samples at the places where `other` has the same content."""
    places = {pixels.digests[sample.file]: sample.path for sample in other.samples}
    samples = tuple(replace(sample, path=places[digests[sample.file]]) for sample in own.samples)
    return replace(own, root=other.root, samples=samples)


def check_unseen(dataset: Dataset, pixels: PixelCache, own: Dataset, digests: Mapping[str, str]) -> None:
    """DataError where the data hold images that the run, whose own data are `own`, was trained on."""
    trained_on = {digests[sample.file] for sample in own.samples if sample.split == "train"}
    seen = [sample.file for sample in dataset.samples if pixels.digests[sample.file] in trained_on]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(dataset.samples)} images were trained on, first {seen[0]}: "
            "figures on them would be too good. Take them out of the data."
        )


def readable(
    found: Dataset, size_hw: tuple[int, int], *, levels: Levels | None = None, strict: bool, progress: Progress
) -> tuple[Dataset, PixelCache]:
    """The samples that can be decoded, what their files look like, and their pixels; with `strict` all must be.

    `levels` are those of a model that is to judge the samples; None for their own.
    """
    pixels = open_pixels(found.samples, size_hw, levels=levels, first_page=found.first_page, progress=progress)
    dataset = found.without(pixels.skipped)
    if strict and dataset.unread:
        raise DataError(*strict_lines(dataset.unread))
    return replace(dataset, looks=look_at(dataset, pixels.facts, pixels.levels)), pixels


def levels_of_training(dataset: Dataset, pixels: PixelCache, *, progress: Progress) -> tuple[Dataset, PixelCache]:
    """The pixels by the levels of the training images alone, now that the data are divided, and who has some."""
    levels = find_levels(pixels.facts[sample.file] for sample in dataset.samples if sample.split == "train")
    known = {item.file for item in pixels.skipped}
    pixels = pixels.at_levels(levels, progress=progress)
    dataset = dataset.without(tuple(item for item in pixels.skipped if item.file not in known))
    return replace(dataset, looks=look_at(dataset, pixels.facts, levels)), pixels


def check_several(dataset: Dataset, pixels: PixelCache) -> None:
    """DataError where all images are one picture, whatever the bytes of their files; looks until two differ."""
    rows = pixels.rows(dataset.samples)
    first = pixels.read(rows[:1])
    if all((pixels.read(rows[at : at + _AT_ONCE]) == first).all() for at in range(1, len(rows), _AT_ONCE)):
        raise DataError(
            f"All {len(rows):,} images in {printable(dataset.root)} are the same picture (equal in every pixel, as "
            f"{dataset.samples[0].file}), so nothing can be learned: check how they were made, and use others."
        )


def check_apart(folder: Path, found: Dataset) -> None:
    """RunError where the run's folder holds its data."""
    taken = {found.root.resolve(), *(sample.path.parent.resolve() for sample in found.samples)}
    if folder.resolve() in taken:
        raise RunError(f"{folder} holds the data itself: name another folder with --out.")
