"""Where the cache lies, how large it may become, and what goes first when it is full."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from whycam.atomic import is_leftover
from whycam.errors import OptionError, RunError, printable
from whycam.progress import SILENT, Progress

FOLDER_VARIABLE = "WHYCAM_CACHE_DIR"
CAP_VARIABLE = "WHYCAM_CACHE_GB"
DEFAULT_CAP_GB = 20.0
ROWS = "rows-"
"""How the name of a folder of rows begins."""
_OURS = (ROWS, "pack-", "features-", "building-", "damaged-")
"""The others are of earlier versions. Nothing else is deleted: the user may have named a folder that holds more."""
_ABANDONED_AFTER_S = 24 * 3600.0
_TOLD: set[Path] = set()


def cache_folder(progress: Progress = SILENT) -> Path:
    """WHYCAM_CACHE_DIR, else the user's cache folder as the platform has it, else a private one that is temporary.

    The last is for users without a home folder, or whose home cannot be written, as in many containers; `progress` is
    told of it once. Raises OptionError where WHYCAM_CACHE_DIR begins with ~ and there is no home folder, RunError where
    no folder can be written.
    """
    if chosen := os.environ.get(FOLDER_VARIABLE):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise OptionError(
                f"`{FOLDER_VARIABLE}` must be a full path where the user has no home folder, got {chosen!r} instead."
            ) from error
    with suppress(RuntimeError, OSError):  # no home folder; one that cannot be written
        usual = user_cache_path("whycam", appauthor=False)
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK | os.X_OK):
            return usual
    folder = temporary_folder()
    if progress is not SILENT and folder not in _TOLD:
        _TOLD.add(folder)
        progress.say(
            f"There is no home folder that can be written, so the cache is in {folder}: set {FOLDER_VARIABLE} to a "
            "folder that stays, and later runs need not decode again."
        )
    return folder


@cache
def temporary_folder() -> Path:
    """A folder below the system's temporary one that nobody else can write; the same for all processes of a user."""
    with explained("the temporary folder"):
        owner = os.geteuid() if hasattr(os, "geteuid") else None
        folder = Path(tempfile.gettempdir()) / ("whycam" if owner is None else f"whycam-{owner}")
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            # Somebody else may have made it first, to have what is put there believed.
            if owner is None or (stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077):
                return folder
        return Path(tempfile.mkdtemp(prefix="whycam-"))


def lend_home() -> None:
    """Where the home folder cannot be written, matplotlib keeps its files in the temporary folder, without a word."""
    if "MPLCONFIGDIR" not in os.environ:
        try:
            usable = os.access(Path.home(), os.W_OK | os.X_OK)
        except RuntimeError:
            usable = False
        if not usable:
            with suppress(RunError):
                os.environ["MPLCONFIGDIR"] = str(temporary_folder() / "matplotlib")


def cap_bytes() -> float:
    """How large the cache may become; raises OptionError where WHYCAM_CACHE_GB is no number above 0."""
    text = os.environ.get(CAP_VARIABLE) or str(DEFAULT_CAP_GB)
    try:
        cap = float(text)
    except ValueError:
        cap = 0.0
    if not cap > 0:
        raise OptionError(f"`{CAP_VARIABLE}` must be a number of gigabytes above 0, got {text!r} instead.")
    return cap * 1e9


def check_free(root: Path, needed: int) -> None:
    """Raises RunError where `root`, made if need be, cannot be used or its disk has fewer than `needed` bytes free."""
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if needed > free:
        raise RunError(
            f"The cache needs at least {needed / 1e9:.3g} GB and {printable(root)} has {free / 1e9:.3g} GB free: "
            f"free some space, or set {FOLDER_VARIABLE} to a folder on a larger disk."
        )


@contextmanager
def explained(root: Path | str) -> Iterator[None]:
    """Turns an operating system's error about the cache folder into one that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"The cache in {printable(root)} cannot be used ({error.strerror or error}): "
            f"set {FOLDER_VARIABLE} to a folder that can be written and has space."
        ) from error


def prune(root: Path, keep: Collection[Path]) -> None:
    """Deletes the files used longest ago until all of the cache in `root` fits under WHYCAM_CACHE_GB.

    The files in `keep` stay whatever their size. What killed processes left behind more than a day ago goes too. Raises
    OptionError where the variable is no number.
    """
    cap = cap_bytes()
    found: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        if folder.name.startswith(_OURS):
            # Other processes rename and delete files meanwhile: what is gone takes no room.
            with suppress(OSError):
                for path in folder.iterdir():
                    with suppress(OSError):
                        state = path.stat()
                        if is_leftover(path) and time.time() - state.st_mtime > _ABANDONED_AFTER_S:
                            path.unlink()
                        else:
                            found.append((state.st_mtime, state.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= cap:
            return
        if path not in keep:
            with suppress(OSError):
                path.unlink()
                total -= size
                path.parent.rmdir()  # once it is empty
