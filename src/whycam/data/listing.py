"""Finds the image files below a folder, whatever links, hidden files and odd names lie in it, in one stable order."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from whycam.errors import DataError
from whycam.types import Skipped

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"))
_HIDDEN_FOLDER = "__MACOSX"


@dataclass(frozen=True)
class Listing:
    """What lies below one folder."""

    root: Path
    files: dict[str, Path]
    """Image name, relative to the root and with forward slashes -> path; sorted by name."""
    folders: tuple[str, ...]
    """Names of the folders directly in the root, sorted."""
    n_other_files: int
    """Files whose suffix is not one of an image."""
    skipped: tuple[Skipped, ...]
    """Folders that may not be read."""


def is_image_name(name: str) -> bool:
    """Whether the suffix, in any case, is one of an image that can be decoded."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def find_images(root: Path) -> Listing:
    """Every image file below `root`, at any depth; by suffix, nothing is opened.

    Links are followed, and every folder is visited once: under its real name where it has one below `root`. Hidden
    files and folders (a leading dot, `__MACOSX`) are left out. Bytes of a name that are not UTF-8 appear as `\\xNN`.
    Raises DataError where `root` is missing or not a folder.
    """
    if not root.is_dir():
        if root.exists():
            raise DataError(f"{root} is a file; expected a folder of images or a CSV table.")
        raise DataError(f"{root} does not exist.")
    found: dict[str, Path] = {}
    skipped: list[Skipped] = []
    n_other = 0
    visited: set[tuple[int, int]] = set()
    # Links to folders wait until all real folders are done, so that a link never takes a real folder's images.
    real, links = deque([root]), deque[Path]()
    while real or links:
        folder = real.popleft() if real else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(Skipped(_name(folder, root), f"folder cannot be read: {error.strerror or error}"))
            continue
        for entry in entries:
            if _hidden(entry.name):
                continue
            path = folder / entry.name
            if entry.is_dir():
                (links if entry.is_symlink() else real).append(path)
            # A dangling link stays in, so that it is skipped by name when it is read; a pipe or socket does not.
            elif is_image_name(entry.name) and (entry.is_file() or not path.exists()):
                found[_name(path, root)] = path
            else:
                n_other += 1
    return Listing(
        root=root,
        files=dict(sorted(found.items())),
        folders=tuple(sorted(_name(path, root) for path in root.iterdir() if path.is_dir() and not _hidden(path.name))),
        n_other_files=n_other,
        skipped=tuple(skipped),
    )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == _HIDDEN_FOLDER


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root).as_posix()
    return os.fsencode(relative).decode("utf-8", "backslashreplace")
