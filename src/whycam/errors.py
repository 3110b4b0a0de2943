"""Every mistake a user can mend, as exceptions whose text is the one line that the terminal prints."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import PurePath


class WhyCAMError(Exception):
    """Base of all errors raised on purpose: the text names the input, says what was expected and what to do."""


class DataError(WhyCAMError):
    """The data folder, the CSV file or its labels cannot be used.

    `problems` holds one line for every mistake found, so that a user mends them all at once.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: tuple[str, ...] = problems
        super().__init__("\n".join(problems))


class ImageError(DataError):
    """One image cannot be decoded; the text is the reason alone, without the file name."""


class OptionError(WhyCAMError):
    """An option or argument has a value that it cannot have."""


class RunError(WhyCAMError):
    """A run folder is missing, incomplete, damaged, or would be overwritten."""


class GateError(WhyCAMError):
    """What was asked for cannot be promised, or a gate that was asked for did not pass: exit code 1 instead of 2."""


class StoppedError(WhyCAMError):
    """The user stopped a command that can go on from where it was; the text says how: exit code 130."""


class MissingDependencyError(WhyCAMError):
    """An optional package is not installed; the text says which extra brings it."""


def one_of(option: str, allowed: Sequence[str], got: object) -> str:
    """The one phrasing for a value outside a list: ``"`x` must be a or b, got 'c' instead."``."""
    names = ", ".join(allowed[:-1]) + (" or " if len(allowed) > 1 else "") + allowed[-1]
    return f"`{option}` must be {names}, got {got!r} instead."


def printable(name: str | PurePath) -> str:
    """The name as text of one line that any UTF-8 file or terminal takes; most names are left as they are.

    Bytes of a file name that are not UTF-8 appear as `\\xNN`, control characters and line ends likewise as escapes.
    """
    return "".join(map(_escaped, str(name)))


def _escaped(letter: str) -> str:
    # Where a name has a byte that is not text, Python puts a surrogate in its place (PEP 383).
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return repr(letter)[1:-1] if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} else letter
