"""Finds the image files below a folder, whatever links, hidden files and odd names lie in it, in one stable order."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from whycam.errors import DataError, printable
from whycam.run_mark import is_run
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
    """Names of the folders directly in the root, sorted, less those that are left out."""
    n_other_files: int
    """Files whose suffix is not one of an image."""
    skipped: tuple[Skipped, ...]
    """Folders that may not be read, links that cannot be followed, and images whose name another one has."""


def is_image_name(name: str) -> bool:
    """Whether the suffix, in any case, is one of an image that can be decoded."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def why_unreachable(path: Path) -> str | None:
    """A sentence on why nothing can be done with this path (missing, a link to itself, no permission), else None."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"{printable(path)} does not exist."
    except OSError as error:
        return f"{printable(path)} cannot be read: {error.strerror or error}."
    # A name that no file can have: with a zero byte, or with half a character.
    except ValueError:
        return f"{printable(path)} does not exist."
    return None


def find_images(root: Path) -> Listing:
    """Every image file below `root`, at any depth; by suffix, no image is opened.

    Links are followed, and every folder is visited once: under its real name where it has one below `root`. Hidden
    files and folders (a leading dot, `__MACOSX`) are left out, and so is every folder below `root` that is a WhyCAM
    run, as its pictures are results, not data. Names are as `printable` gives them; paths are as on the disk. An image
    behind a broken link or one to itself is listed, so that the decoder says by name what is wrong.
    Raises DataError where `root` is missing, not a folder or out of reach.
    """
    if problem := why_unreachable(root):
        raise DataError(problem)
    if not root.is_dir():
        raise DataError(f"{printable(root)} is a file; expected a folder of images or a CSV table.")
    found: dict[str, Path] = {}
    folders: list[str] = []
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
            name = _name(path, root)
            kind = _kind(entry)
            if kind == "folder":
                if is_run(path):
                    continue
                if folder == root:
                    folders.append(name)
                (links if entry.is_symlink() else real).append(path)
            elif is_image_name(entry.name) and kind != "other":
                # `a\xff.png` may be the name of one file, and what is shown for another.
                if name in found:
                    skipped.append(Skipped(name, "another image's name reads the same"))
                else:
                    found[name] = path
            elif kind in ("file", "dangling", "other"):
                n_other += 1
            else:
                skipped.append(Skipped(name, f"link cannot be followed: {kind}"))
    return Listing(
        root=root,
        files=dict(sorted(found.items())),
        folders=tuple(sorted(folders)),
        n_other_files=n_other,
        skipped=tuple(skipped),
    )


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, `dangling` (a link to nothing), `other` (a pipe, a socket), or why that cannot be told."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
    except FileNotFoundError:
        return "dangling"
    except OSError as error:
        return error.strerror or str(error)
    return "other"


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == _HIDDEN_FOLDER


def _name(path: Path, root: Path) -> str:
    return printable(path.relative_to(root).as_posix())
