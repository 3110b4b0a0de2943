"""Reads labels, splits and masks from how images lie in folders, so that most users need no table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from whycam.data.listing import Listing, find_images
from whycam.data.words import class_target, counted, is_mask_folder, is_validation, plain, split_name
from whycam.errors import DataError, printable
from whycam.types import AS_USUAL, Dataset, Reading, Sample, Skipped, Split

EXPECTED = "normal/ and anomalous/ (or good/, ok/ and bad/, defect/, or one folder for each kind of defect)"
NO_CLASS = "not in a class folder"
_MASK_ENDING = re.compile(r"[_\- ](mask|gt|ground[_\- ]?truth)$", re.IGNORECASE)

_Parts = tuple[str, ...]


def read_folders(root: Path, reading: Reading = AS_USUAL) -> Dataset:
    """The images below `root` with what their folders say about them, sorted by name.

    Layouts, with the usual synonyms in any case: class folders `normal/` and `anomalous/`; any other folder beside a
    normal one is anomalous and names the kind, as does a folder inside an anomalous one; `train/` and `test/` (and
    `val/`, which counts as train) that hold class folders; MVTec's `train/good`, `test/<kind>`, `ground_truth/<kind>`.
    Masks in `ground_truth/`, `masks/` or beside their image (`x_mask.png`) are attached to anomalous images by name.
    A split that leaves train without one of the classes, or test without images, is dropped, and a note says so.

    Raises DataError where there is no folder, no image, no folder of normal images, or no telling the layout.
    """
    listing = find_images(root)
    if not listing.files:
        others = f" among {counted(listing.n_other_files, 'other file')}" if listing.n_other_files else ""
        raise DataError(
            f"{printable(root)} holds no image{others}; images end in .jpg, .png, .bmp, .webp, .tif or .gif."
        )
    masks, images = masks_apart(listing.files)
    folders = sorted({parts[0] for parts in map(_parts, images) if len(parts) > 1})
    splits: dict[str, Split] = {folder: side for folder in folders if (side := split_name(folder))}
    depth = 1 if splits else 0
    _check_layout(listing, images, splits)

    samples: list[Sample] = []
    skipped: list[Skipped] = []
    named: set[str] = set()
    for file in images:
        parts = _parts(file)
        if splits and parts[0] not in splits:
            skipped.append(Skipped(file, "not in the train or test folder"))
        elif len(parts) <= depth + 1:
            skipped.append(Skipped(file, NO_CLASS))
        else:
            target, kind = _label(parts[depth:-1])
            if class_target(parts[depth]) is None:
                named.add(parts[depth])
            path, split = listing.files[file], splits.get(parts[0])
            samples.append(Sample(file, path, target=target, split=split, kind=kind))
    samples, mask_notes = _with_masks(samples, masks, listing)
    samples, split_notes = _with_useful_split(samples)
    notes = [f"The folder {folder}/ counts as train." for folder in splits if is_validation(folder)]
    if named:
        plural = "folders" if len(named) > 1 else "folder"
        verb = "count" if len(named) > 1 else "counts"
        notes.append(f"The {plural} {_listed(named)} {verb} as anomalous, the name being the kind.")
    return Dataset(
        root=root,
        layout=_layout(listing, splits),
        samples=tuple(samples),
        skipped=(*listing.skipped, *skipped),
        n_other_files=listing.n_other_files,
        notes=(*notes, *split_notes, *mask_notes),
    )


def _parts(file: str) -> _Parts:
    return tuple(file.split("/"))


def _listed(folders: Iterable[str], most: int = 8) -> str:
    names = [f"{name}/" for name in sorted(folders)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def masks_apart(files: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of masks, and those of images: a mask lies in a folder of masks, or beside its image (`x_mask.png`)."""
    files = list(files)
    stems = {file.rpartition(".")[0] for file in files}
    masks: list[str] = []
    images: list[str] = []
    for file in files:
        stem = file.rpartition(".")[0]
        bare = _MASK_ENDING.sub("", stem)
        beside = bare != stem and bare in stems
        (masks if beside or any(map(is_mask_folder, _parts(file)[:-1])) else images).append(file)
    return masks, images


def _label(folders: Sequence[str]) -> tuple[float, str | None]:
    target = class_target(folders[0])
    if target == 0.0:
        return 0.0, None
    if target is None:
        return 1.0, folders[0]
    return 1.0, folders[1] if len(folders) > 1 else None


def _check_layout(listing: Listing, images: Sequence[str], splits: dict[str, Split]) -> None:
    root = printable(listing.root)
    top_normal = [folder for folder in listing.folders if class_target(folder) == 0.0]
    if splits and top_normal:
        raise DataError(
            f"{root} holds both class folders ({_listed(top_normal)}) and split folders ({_listed(splits)}); "
            "put the class folders into train/ and test/, or take the split folders out."
        )
    levels = [_parts(file)[1 if splits else 0 : -1] for file in images if not splits or _parts(file)[0] in splits]
    if any(level and class_target(level[0]) == 0.0 for level in levels):
        return
    if top_normal:
        raise DataError(f"The folder {_listed(top_normal)} in {root} holds no image.")
    # Images of one class alone are enough to test on; for training `check_classes` names what is missing.
    if levels and all(level and class_target(level[0]) is not None for level in levels):
        return
    where = f"{_listed(splits)} in {root}" if splits else root
    seen = {level[0] for level in levels if level} or (set() if splits else set(listing.folders))
    found = f"found {_listed(seen)}" if seen else f"found {counted(len(images), 'image')} in no folder"
    inner = _normal_deeper(images)
    hint = f" There are such folders in {printable(listing.root / inner)}: give that folder instead." if inner else ""
    raise DataError(f"No folder of normal images in {where}: {found}; expected {EXPECTED}.{hint}")


def _normal_deeper(images: Iterable[str]) -> str | None:
    for file in images:
        folders = _parts(file)[:-1]
        for depth, folder in enumerate(folders):
            if depth and class_target(folder) == 0.0:
                outer = folders[:depth]
                return "/".join(outer[:-1] if split_name(outer[-1]) else outer) or None
    return None


def _layout(listing: Listing, splits: dict[str, Split]) -> str:
    if not splits:
        return "class folders"
    mvtec = any(plain(folder) == "groundtruth" for folder in listing.folders)
    return "MVTec folders" if mvtec else "train and test folders"


def _with_useful_split(samples: list[Sample]) -> tuple[list[Sample], list[str]]:
    if all(sample.split is None for sample in samples):
        return samples, []
    train = [sample.anomalous for sample in samples if sample.split == "train"]
    if len(train) == len(samples):
        reason = "There is no labelled image for testing"
    elif not train:
        reason = "There is no labelled image for training"
    elif True not in train:
        reason = "The train folder holds no anomalous image"
    elif False not in train:
        reason = "The train folder holds no normal image"
    else:
        return samples, []
    note = f"{reason}, so the folders' own split was dropped and all images are divided anew."
    return [replace(sample, split=None) for sample in samples], [note]


def _with_masks(samples: list[Sample], masks: Sequence[str], listing: Listing) -> tuple[list[Sample], list[str]]:
    """Masks attached to the anomalous samples whose folders and stem they share, the most telling match first."""
    if not masks:
        return samples, []
    by_key: dict[_Parts, Path] = {_mask_key(mask): listing.files[mask] for mask in masks}
    keys = [
        next((key for key in _mask_keys(sample.file) if key in by_key), None) if sample.anomalous else None
        for sample in samples
    ]
    claims = Counter(key for key in keys if key is not None)
    # Two images that share one mask by name would both be right only by chance.
    attached = [
        replace(sample, mask=by_key[key]) if key is not None and claims[key] == 1 else sample
        for sample, key in zip(samples, keys, strict=True)
    ]
    lost = len(masks) - sum(sample.mask is not None for sample in attached)
    verb = "belongs" if lost == 1 else "belong"
    return attached, [f"{counted(lost, 'mask')} {verb} to no single anomalous image by name."] if lost else []


def _mask_key(mask: str) -> _Parts:
    *folders, name = _parts(mask)
    stem = _MASK_ENDING.sub("", name.rpartition(".")[0])
    return (*(plain(folder) for folder in folders if not is_mask_folder(folder)), stem.casefold())


def _mask_keys(file: str) -> list[_Parts]:
    # All runs of neighbouring folders, longest first: masks may repeat the class, the kind, both, or nothing.
    *folders, name = _parts(file)
    stem = name.rpartition(".")[0].casefold()
    bare = [plain(folder) for folder in folders]
    runs = [bare[start:stop] for stop in range(len(bare), 0, -1) for start in range(stop)]
    return [(*run, stem) for run in (*sorted(runs, key=len, reverse=True), [])]
