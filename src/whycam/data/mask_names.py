"""Tells masks from images by name, and gives each anomalous image the mask that is called like it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from whycam.data.given_names import NOTHING_GIVEN, GivenNames
from whycam.data.words import is_mask_folder, plain
from whycam.types import Folder, Sample, Skipped

_MASK_ENDING = re.compile(
    r"[_\- ](mask|label|labels|seg|segmentation|annotation|gt|ground[_\- ]?truth)$", re.IGNORECASE
)

_Parts = tuple[str, ...]


def in_mask_folder(folder: str, given: GivenNames) -> bool:
    """Whether this folder, a path below the root, holds masks, or one above it does."""
    outer, _, name = folder.rpartition("/")
    return bool(folder) and given.meaning(folder) is None and (is_mask_folder(name) or in_mask_folder(outer, given))


def masks_apart(files: Iterable[str], given: GivenNames = NOTHING_GIVEN) -> tuple[list[str], list[str]]:
    """The names of masks, and those of images: a mask lies in a folder of masks, or beside its image (`x_mask.png`).

    A folder that is `given` a meaning is none of masks.
    """
    files = list(files)
    stems = {file.rpartition(".")[0] for file in files}
    inside = {folder: in_mask_folder(folder, given) for folder in {file.rpartition("/")[0] for file in files}}
    masks: list[str] = []
    images: list[str] = []
    for file in files:
        stem = file.rpartition(".")[0]
        bare = _MASK_ENDING.sub("", stem)
        beside = bare != stem and bare in stems
        (masks if beside or inside[file.rpartition("/")[0]] else images).append(file)
    return masks, images


def with_masks(
    samples: Sequence[Sample], masks: Sequence[str], paths: Mapping[str, Path]
) -> tuple[list[Sample], list[Skipped], list[Folder]]:
    """Masks attached to the anomalous samples whose folders and stem they share, the most telling match first.

    Also the masks that belong to no such sample, and the folders that hold masks.
    """
    by_key: dict[_Parts, str] = {_mask_key(mask): mask for mask in masks}
    keys = [next((key for key in _mask_keys(sample.file) if key in by_key), None) for sample in samples]
    claims = Counter(key for key, sample in zip(keys, samples, strict=True) if key is not None and sample.anomalous)
    normal = {
        by_key[key] for key, sample in zip(keys, samples, strict=True) if key is not None and not sample.anomalous
    }
    used: dict[str, str] = {}
    attached = []
    for sample, key in zip(samples, keys, strict=True):
        # Two images that share one mask by name would both be right only by chance.
        if key is not None and sample.anomalous and claims[key] == 1:
            used[sample.file] = by_key[key]
            sample = replace(sample, mask=paths[by_key[key]])
        attached.append(sample)
    taken = set(used.values())
    lost = [
        Skipped(
            mask,
            "mask of a normal image, not needed" if mask in normal else "mask of no single anomalous image by name",
            "unplaced",
        )
        for mask in masks
        if mask not in taken
    ]
    folders = Counter(mask.rpartition("/")[0] for mask in masks if mask in taken)
    return attached, lost, [Folder(name, "masks", n) for name, n in sorted(folders.items()) if name]


def _mask_key(mask: str) -> _Parts:
    *folders, name = mask.split("/")
    stem = _MASK_ENDING.sub("", name.rpartition(".")[0])
    return (*(plain(folder) for folder in folders if not is_mask_folder(folder)), stem.casefold())


def _mask_keys(file: str) -> list[_Parts]:
    # All runs of neighbouring folders, longest first: masks may repeat the class, the kind, both, or nothing.
    *folders, name = file.split("/")
    stem = name.rpartition(".")[0].casefold()
    bare = [plain(folder) for folder in folders]
    runs = [bare[start:stop] for stop in range(len(bare), 0, -1) for start in range(stop)]
    return [(*run, stem) for run in (*sorted(runs, key=len, reverse=True), [])]
