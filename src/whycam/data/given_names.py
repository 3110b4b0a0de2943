"""What a user says of folders by name: it wins over every guess, and a name that fits nothing is a mistake."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

from whycam.errors import DataError, OptionError, printable
from whycam.types import AS_USUAL, Reading

_Given = Literal["normal", "anomalous", "left out"]
_OPTIONS: dict[_Given, str] = {"normal": "--normal", "anomalous": "--anomalous", "left out": "--leave-out"}
_MOST_NAMED = 12


class GivenNames:
    """The names of a `Reading`: of folders at any level, or paths of folders below the root, in any case.

    Raises OptionError where one name is given two meanings, or is empty.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._meanings: dict[str, _Given] = {}
        self._spelt: dict[str, str] = {}
        said: tuple[tuple[_Given, tuple[str, ...]], ...] = (
            ("normal", reading.normal),
            ("anomalous", reading.anomalous),
            ("left out", reading.leave_out),
        )
        for meaning, names in said:
            for name in names:
                key = _key(name)
                if not key:
                    raise OptionError(f"{_OPTIONS[meaning]} must name something, got {name!r} instead.")
                first = self._meanings.setdefault(key, meaning)
                if first != meaning:
                    raise OptionError(
                        f"{printable(name)} is given with {_OPTIONS[first]} and with {_OPTIONS[meaning]}: it can "
                        "be one only."
                    )
                self._spelt[key] = printable(name)

    def meaning(self, folder: str) -> _Given | None:
        """What is said of a folder, by its path below the root or by its own name; None where nothing is."""
        path = _key(folder)
        return self._meanings.get(path) or self._meanings.get(path.rpartition("/")[2])

    @staticmethod
    def why(meaning: _Given) -> str:
        """Where such a meaning comes from."""
        return f"named with {_OPTIONS[meaning]}"

    def check_all_found(self, folders: Iterable[str], where: str) -> None:
        """Raises DataError for every name that none of these folders (paths below the root) has."""
        names = list(dict.fromkeys(folders))
        known = {key for name in names for key in (_key(name), _key(name).rpartition("/")[2])}
        own = {name.rpartition("/")[2].casefold(): name.rpartition("/")[2] for name in names}
        problems = []
        for key, meaning in self._meanings.items():
            if key in known:
                continue
            close = get_close_matches(key, own, n=1, cutoff=0.6)
            hint = f" Did you mean {own[close[0]]}?" if close else ""
            there = ", ".join(f"{name}/" for name in names[:_MOST_NAMED]) or "no folder"
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            problems.append(
                f"{_OPTIONS[meaning]} {self._spelt[key]}: {where} has no such folder; found {there}{more}.{hint}"
            )
        if problems:
            raise DataError(*problems)


def _key(name: str) -> str:
    # macOS spells an umlaut as two letters, keyboards as one.
    text = unicodedata.normalize("NFC", printable(name)).casefold()
    return text.removeprefix("./").strip("/ ")


NOTHING_GIVEN = GivenNames(AS_USUAL)
