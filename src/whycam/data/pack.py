"""The pixel cache on disk: one folder for each set of images and size, whole or absent, shared by all processes.

A pack is `pixels.u8` (the images one after another) and `index.json` (where each begins). It is written in a temporary
folder beside its place and renamed into it, so that nobody ever sees half a pack, whoever is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import PIL

from whycam.atomic import is_leftover
from whycam.errors import OptionError, RunError, printable
from whycam.types import Pixels

FOLDER_VARIABLE = "WHYCAM_CACHE_DIR"
CAP_VARIABLE = "WHYCAM_CACHE_GB"
DEFAULT_CAP_GB = 20.0
_FORMAT = 1
_PIXELS, _INDEX = "pixels.u8", "index.json"
FEATURES = "features-"
"""How the folders of the feature cache begin; they stand beside the packs and count towards the same cap."""
_PACK, _BUILDING, _DAMAGED = "pack-", "building-", "damaged-"
_ABANDONED_AFTER_S = 24 * 3600.0


@dataclass
class Index:
    """Where each image lies in the pixel file; `size_hw` is the size of all."""

    size_hw: tuple[int, int]
    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Digest -> (offset in bytes, channels: 1 or 3)."""
    failed: dict[str, str] = field(default_factory=dict)
    """Digest -> why the file could not be decoded."""
    n_bytes: int = 0

    def length(self, digest: str) -> int:
        """Bytes of one image."""
        return self.size_hw[0] * self.size_hw[1] * self.images[digest][1]


def cache_folder() -> Path:
    """Where packs are kept: WHYCAM_CACHE_DIR, else the user's cache folder as the platform has it."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "whycam" / "cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "whycam"


def pack_name(digests: set[str], size_hw: tuple[int, int]) -> str:
    """The pack's folder name: it changes with the content of any image, the size, this format and Pillow's version."""
    content = json.dumps([_FORMAT, PIL.__version__, list(size_hw), sorted(digests)])
    return _PACK + hashlib.sha256(content.encode()).hexdigest()[:40]


def open_pack(place: Path, digests: set[str], size_hw: tuple[int, int]) -> Index | None:
    """The index of the pack at `place`, or None where it is absent, damaged or of other images; marks it as used."""
    try:
        index = _parsed((place / _INDEX).read_text(encoding="utf-8"))
        n_bytes = (place / _PIXELS).stat().st_size
    # Damaged JSON can be anything: wrong types, missing keys, broken text, too deep.
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    whole = index.size_hw == size_hw and index.n_bytes == n_bytes and _adjoining(index)
    if not whole or index.images.keys() | index.failed.keys() != digests:
        return None
    with suppress(OSError):
        os.utime(place)
    return index


class PackWriter:
    """Appends images to a pack that nobody sees yet."""

    def __init__(self, folder: Path, size_hw: tuple[int, int], file: FileIO) -> None:
        self.folder = folder
        self.index = Index(size_hw)
        self._file = file

    def add(self, digest: str, pixels: Pixels) -> None:
        """Writes one image (H, W, C) of the pack's size."""
        self.index.images[digest] = (self.index.n_bytes, pixels.shape[2])
        self.index.n_bytes += pixels.nbytes
        data = memoryview(pixels.tobytes())
        with explained(self.folder.parent):
            while data:
                data = data[self._file.write(data) :]

    def add_failure(self, digest: str, reason: str) -> None:
        """Remembers that this file cannot be decoded."""
        self.index.failed[digest] = reason

    def finish(self) -> None:
        """Forces the pixels to the disk, then writes the index: a power cut must not leave zeros behind a valid one."""
        os.fsync(self._file.fileno())
        with (self.folder / _INDEX).open("w", encoding="utf-8") as file:
            json.dump(
                {
                    "format": _FORMAT,
                    "size_hw": self.index.size_hw,
                    "n_bytes": self.index.n_bytes,
                    "images": self.index.images,
                    "failed": self.index.failed,
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def building(place: Path, size_hw: tuple[int, int], n_images: int) -> Iterator[PackWriter]:
    """A writer for the pack at `place`, which appears there when the block ends well, and never otherwise.

    Where another process was faster, its pack stays. Raises RunError where the folder cannot be written or is full.
    """
    root = place.parent
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        needed, free = n_images * size_hw[0] * size_hw[1], shutil.disk_usage(root).free
        if needed > free:
            raise RunError(
                f"The pixel cache needs at least {needed / 1e9:.1f} GB and {printable(root)} has {free / 1e9:.1f} GB "
                f"free: free some space, or set {FOLDER_VARIABLE} to a folder on a larger disk."
            )
        temporary = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=root))
    try:
        # Unbuffered: closing must not write, and so fail, a second time after a full disk.
        with (temporary / _PIXELS).open("wb", buffering=0) as file:
            writer = PackWriter(temporary, size_hw, file)
            yield writer
            with explained(root):
                writer.finish()
        with explained(root):
            _publish(temporary, place, writer.index)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def explained(root: Path, what: str = "pixel cache") -> Iterator[None]:
    """Turns an operating system's error about the cache folder into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The {what} in {printable(root)} cannot be used ({error.strerror or error}): "
            f"set {FOLDER_VARIABLE} to a folder that can be written and has space."
        ) from error


def prune(root: Path, keep: Path) -> None:
    """Deletes the packs and feature folders used longest ago until all fit under WHYCAM_CACHE_GB.

    What killed processes left behind goes too; `keep` stays whatever its size. Raises OptionError where the variable
    is no number.
    """
    cap = cap_bytes()
    kept: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        with suppress(OSError):
            if folder.name.startswith((_PACK, FEATURES)):
                used = folder.stat().st_mtime  # before the sweeping, which would count as use
                kept.append((used, sum(map(_size_swept, folder.iterdir())), folder))
            # The file, not the folder: a long build touches only the file.
            elif folder.name.startswith((_BUILDING, _DAMAGED)) and _abandoned(
                max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            ):
                shutil.rmtree(folder, ignore_errors=True)
    total = sum(size for _, size, _ in kept)
    for _, size, folder in sorted(kept):
        if total <= cap:
            return
        if folder != keep:
            _discard(folder)
            total -= size


def cap_bytes() -> float:
    """How large all packs together may become; raises OptionError where WHYCAM_CACHE_GB is no number above 0."""
    text = os.environ.get(CAP_VARIABLE) or str(DEFAULT_CAP_GB)
    try:
        cap = float(text)
    except ValueError:
        cap = 0.0
    if not cap > 0:
        raise OptionError(f"`{CAP_VARIABLE}` must be a number of gigabytes above 0, got {text!r} instead.")
    return cap * 1e9


def pixels_path(place: Path) -> Path:
    """The file of pixels of the pack at `place`."""
    return place / _PIXELS


def _parsed(text: str) -> Index:
    raw: dict[str, Any] = json.loads(text)
    if raw["format"] != _FORMAT:
        raise ValueError("another format")
    height, width = raw["size_hw"]
    images = {str(digest): (offset, channels) for digest, (offset, channels) in raw["images"].items()}
    if any(type(number) is not int for entry in images.values() for number in entry):
        raise ValueError("not an integer")
    failed = {str(digest): str(reason) for digest, reason in raw["failed"].items()}
    return Index((height, width), images, failed, raw["n_bytes"])


def _adjoining(index: Index) -> bool:
    # Every byte belongs to exactly one image: a shifted or doubled offset would show one image's pixels as another's.
    end = 0
    for digest, (offset, channels) in sorted(index.images.items(), key=lambda item: item[1]):
        if offset != end or channels not in (1, 3):
            return False
        end += index.length(digest)
    return end == index.n_bytes


def _publish(temporary: Path, place: Path, index: Index) -> None:
    for _ in range(8):
        try:
            temporary.rename(place)
            return
        except OSError:
            if not place.exists():
                raise
        # Renaming onto a pack fails: either another process was faster, or what stands there is damaged.
        if open_pack(place, index.images.keys() | index.failed.keys(), index.size_hw):
            return
        _discard(place)
    raise OSError(None, f"{printable(place)} cannot be replaced")


def _abandoned(last_change: float) -> bool:
    return time.time() - last_change > _ABANDONED_AFTER_S


def _size_swept(file: Path) -> int:
    # Other processes rename and delete files meanwhile: one that is gone takes no room.
    with suppress(OSError):
        found = file.stat()
        if not (is_leftover(file) and _abandoned(found.st_mtime)):
            return found.st_size
        file.unlink()
    return 0


def _discard(place: Path) -> None:
    # Out of sight in one step, so that nobody opens a pack of which half is deleted.
    aside = place.with_name(f"{_DAMAGED}{os.getpid()}-{time.time_ns()}")
    with suppress(OSError):
        place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
