"""Finds the files that a table names, however it spells them, and never takes one of several."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from whycam.data.listing import is_image_name
from whycam.data.words import plain
from whycam.errors import printable

_FOLDERS = """
image images img imgs photo photos picture pictures pic pics scan scans frame frames jpg jpeg jpegs png pngs tif tiff
bmp data trainimages testimages
"""
_IMAGE_FOLDERS = frozenset(_FOLDERS.split())
"""Where images lie beside a table that gives bare names; in the form of `plain`."""
_FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a cell names."""

    name: str
    """Relative to the table's folder, or absolute: with forward slashes, and as it is on the disk."""
    path: Path
    completed: bool
    """Whether a suffix or a folder had to be added."""


class ListedFiles:
    """Looks cells up in a table's folder; every folder is listed once at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, list[str]]] = {}
        names = [name for name in self._listing(folder)[""] if plain(name) in _IMAGE_FOLDERS]
        self.image_folders = tuple(name for name in names if _is_dir(folder / name))

    def find(self, cell: str, *, complete: bool = True) -> Found | str:
        """The file that the cell names, or why there is none: words that follow the cell, without a full stop.

        Backslashes, `%20` and `file://` are understood. With `complete` a missing suffix of an image is added, and the
        table's own folder of images is looked in, where exactly one file fits.
        """
        problem = ""
        for spelling in _spellings(cell):
            path = self.folder / spelling
            try:
                if path.is_file():
                    return Found(spelling, path, completed=False)
                if path.is_dir():
                    problem = "is a folder"
            except OSError as error:
                return f"cannot be read: {error.strerror or error}"
        if complete:
            fitting = dict.fromkeys(name for spelling in _spellings(cell) for name in self._completed(spelling))
            if len(fitting) > 1:
                first, second, *_ = map(printable, fitting)
                return f"could be {first} or {second}: write the whole name"
            for name in fitting:
                return Found(name, self.folder / name, completed=True)
        return problem or self._not_found(cell, complete=complete)

    def _completed(self, spelling: str) -> Iterator[str]:
        for inner in ("", *self.image_folders):
            name = PurePosixPath(inner, spelling)
            if inner and not PurePosixPath(spelling).is_absolute() and _is_file(self.folder / name):
                yield str(name)
            if name.name and not is_image_name(name.name):
                for full in self._listing(self.folder / name.parent).get(name.name, ()):
                    yield str(name.parent / full)

    def _not_found(self, cell: str, *, complete: bool) -> str:
        inner = f" and its {', '.join(map(printable, self.image_folders))}" if complete and self.image_folders else ""
        where = f"not found (looked in {printable(self.folder.absolute())}{inner})"
        spelling = list(_spellings(cell))[-1]
        tail = PurePosixPath(spelling)
        if tail.is_absolute() or PureWindowsPath(cell).drive:
            for start in range(1, len(tail.parts)):
                relative = PurePosixPath(*tail.parts[start:])
                if _is_file(self.folder / relative):
                    return f"{where}; {printable(str(relative))} is there: make the paths relative to the table"
        near = self._like(tail)
        return f"{where}; did you mean {printable(near)}?" if near else where

    def _like(self, name: PurePosixPath) -> str | None:
        """A file in the same folder whose name differs in case or in its suffix alone."""
        names = self._listing(self.folder / name.parent)[""]
        for same in (str.casefold, lambda text: text.rpartition(".")[0] or text):
            for other in names:
                if is_image_name(other) and same(other) == same(name.name):
                    return str(name.parent / other)
        return None

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """Image names by their stem; under the empty stem all names."""
        if folder not in self._names:
            stems: dict[str, list[str]] = {"": []}
            with suppress(OSError, ValueError):
                stems[""] = sorted(path.name for path in folder.iterdir())
            for name in stems[""]:
                if is_image_name(name):
                    stems.setdefault(name.rpartition(".")[0], []).append(name)
            self._names[folder] = stems
        return self._names[folder]


def _spellings(cell: str) -> Iterator[str]:
    """Ways to read one path, the literal one first."""
    bare = _FILE_URL.sub("", cell, count=1) if cell[:5].casefold() == "file:" else cell
    slashed = bare.replace("\\", "/")
    given = (cell, slashed, unquote(slashed))
    # The same letters may be stored composed or decomposed, as macOS does.
    forms = (unicodedata.normalize(form, given[-1]) for form in ("NFC", "NFD"))
    return iter(dict.fromkeys((*given, *forms)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
