"""Reads a CSV table of images, and reports every mistake in it at once, by the row that a spreadsheet shows."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from whycam.data.words import class_target, counted, is_validation, split_name
from whycam.errors import DataError, printable
from whycam.types import AS_USUAL, Dataset, Reading, Sample, Split

MOST_MISTAKES = 20
"""Further mistakes are counted, not listed."""
_STAND_INS = {"target": "label", "kind": "class"}
_COLUMNS = ("file", "target", "split", "group", "mask", "kind")
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>[,;|:\t])(?P=separator)*"?[ ]*(\r\n|\r|\n|$)', re.IGNORECASE)
"""What Excel takes as the first line; filled up with separators where another program has saved the table again."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity|#n/a|n/a)", re.IGNORECASE)


def read_table(csv_path: Path, reading: Reading = AS_USUAL, *, labelled: bool = True) -> Dataset:
    """The images that a table lists, in its order.

    Columns `file` and `target`, optionally `split`, `group`, `mask`, `kind`; `label` stands in for an absent `target`,
    `class` for an absent `kind`; others are ignored. Commas, semicolons or tabs; UTF-8. A first line `sep=;` names the
    separator and is no row: spreadsheets neither show nor count it, so the row below it is row 1 in every message.
    Targets are numbers in [0, 1] (in tables without commas between cells also with a decimal comma) or words such as
    normal and anomalous. Paths are absolute or relative to the table's folder. With `labelled=False` targets may be
    absent.

    Raises DataError with one line for every mistake (from the 21st on they are counted).
    """
    name = printable(csv_path.name)
    rows, delimiter = _rows(csv_path)
    numbered = enumerate(rows, start=1)
    header = next(((number, cells) for number, cells in numbered if any(cell.strip() for cell in cells)), None)
    if header is None:
        raise DataError(f"{name} is empty; expected a header row with the columns file and target.")
    reader = _Reader(csv_path.parent, name, decimal_comma=delimiter != ",", labelled=labelled)
    columns = reader.columns(header[1])
    if not reader.mistakes:
        reader.read(numbered, columns, width=len(header[1]))
    reader.raise_mistakes()
    if not reader.samples:
        raise DataError(f"{name} has a header row but no row below it.")
    return Dataset(csv_path.parent, f"table {name}", tuple(reader.samples), notes=tuple(reader.notes()))


def _rows(path: Path) -> tuple[Iterator[list[str]], str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{printable(path)} does not exist.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError(f"{printable(path.name)} is not UTF-8 text (line {line}); save it as 'CSV UTF-8'.") from error
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {error.strerror or error}.") from error
    if named := _SEPARATOR_LINE.match(text):
        text, delimiter = text[named.end() :], named["separator"]
    else:
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(",;\t", key=first.count)
    try:
        return iter(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))), delimiter
    except csv.Error as error:
        raise DataError(f"{printable(path.name)} is not a table of comma-separated values: {error}.") from error


@dataclass
class _Reader:
    folder: Path
    name: str
    decimal_comma: bool
    labelled: bool
    samples: list[Sample] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    _first_row: dict[str, int] = field(default_factory=dict)
    _rows_without_split: list[int] = field(default_factory=list)
    _n_rows: int = 0
    _n_validation: int = 0

    def columns(self, header: list[str]) -> dict[str, int]:
        """Where each known column stands."""
        given = [re.sub(r"\s+", "", cell).casefold() for cell in header]
        places: dict[str, int] = {}
        for column in _COLUMNS:
            wanted = column
            if column not in given and _STAND_INS.get(column) in given:
                wanted = _STAND_INS[column]
            if given.count(wanted) > 1:
                self.mistakes.append(f"{self.name} row 1: the column `{wanted}` appears {given.count(wanted)} times.")
            elif wanted in given:
                places[column] = given.index(wanted)
            elif column == "file" or (column == "target" and self.labelled):
                self.mistakes.append(self._missing(column, [cell.strip() for cell in header]))
        return places

    def _missing(self, column: str, header: list[str]) -> str:
        free = {cell.casefold(): cell for cell in header if cell and cell.casefold() not in _COLUMNS}
        close = get_close_matches(column, free, n=1, cutoff=0.5)
        hint = f" Did you mean `{_shown(free[close[0]])}`? Rename it to `{column}`." if close else ""
        found = _shown(", ".join(cell for cell in header if cell)) or "none"
        also = f" (or `{_STAND_INS[column]}`)" if column in _STAND_INS else ""
        return f"{self.name} row 1: there is no column `{column}`{also}; found {found}.{hint}"

    def read(self, numbered: Iterator[tuple[int, list[str]]], columns: dict[str, int], width: int) -> None:
        """Takes in every row below the header."""
        for number, cells in numbered:
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            self._n_rows += 1
            if any(stripped[width:]):
                self._wrong(number, f"{len(cells)} cells, but the header has {width}; put quotes around the separator.")
                continue
            values = {column: stripped[place] for column, place in columns.items() if place < len(stripped)}
            self._row(number, values)
        missing = self._rows_without_split
        if missing and len(missing) < self._n_rows:
            self.mistakes.append(
                f"{self.name} row {missing[0]}: split is given for some rows only "
                f"({len(missing)} of {self._n_rows} have none); give it for all or for none."
            )

    def _row(self, number: int, values: dict[str, str]) -> None:
        file = values.get("file", "")
        path = self._path(number, "file", file)
        target = self._target(number, values)
        mask = self._path(number, "mask", values["mask"]) if values.get("mask") else None
        split = self._split(number, values.get("split", ""))
        if path is None:
            return
        first = self._first_row.setdefault(os.path.normpath(path), number)
        if first != number:
            self._wrong(number, f"{_shown(file)} is listed twice (first in row {first}).")
            return
        group, kind = values.get("group") or None, values.get("kind") or None
        shown = printable(file.replace("\\", "/"))
        self.samples.append(Sample(shown, path, target=target, split=split, group=group, kind=kind, mask=mask))

    def _wrong(self, number: int, text: str) -> None:
        self.mistakes.append(f"{self.name} row {number}: {text}")

    def _path(self, number: int, column: str, cell: str) -> Path | None:
        if not cell:
            self._wrong(number, f"{column} is empty.")
            return None
        for spelling in dict.fromkeys((cell, cell.replace("\\", "/"))):
            path = self.folder / spelling
            try:
                if path.is_file():
                    return path
                if path.is_dir():
                    self._wrong(number, f"{column} {_shown(cell)} is a folder.")
                    return None
            except OSError as error:
                self._wrong(number, f"{column} {_shown(cell)} cannot be read: {error.strerror or error}.")
                return None
        self._wrong(number, f"{column} {_shown(cell)} not found (looked in {printable(self.folder.absolute())}).")
        return None

    def _target(self, number: int, values: dict[str, str]) -> float | None:
        cell = values.get("target", "")
        if not cell:
            if self.labelled:
                self._wrong(number, "target is empty.")
            return None
        text = cell.replace(",", ".") if self.decimal_comma else cell
        if _NUMBER.fullmatch(text):
            target = float(text)
            if 0.0 <= target <= 1.0:
                return abs(target)
            self._wrong(number, f"target {_shown(cell)} is outside 0 to 1.")
        elif _NOT_FINITE.fullmatch(text):
            self._wrong(number, f"target {cell} is not a number.")
        else:
            word = class_target(cell)
            if word is not None:
                return word
            self._wrong(number, f"target '{_shown(cell)}' is neither a number from 0 to 1 nor normal or anomalous.")
        return math.nan

    def _split(self, number: int, cell: str) -> Split | None:
        if not cell:
            self._rows_without_split.append(number)
            return None
        split = split_name(cell)
        if split is None:
            self._wrong(number, f"split '{_shown(cell)}' is neither train nor test.")
        self._n_validation += is_validation(cell)
        return split

    def raise_mistakes(self) -> None:
        """Raises DataError where there are any."""
        if not self.mistakes:
            return
        more = len(self.mistakes) - MOST_MISTAKES
        rest = [f"... and {more} more"] if more > 0 else []
        raise DataError(*self.mistakes[:MOST_MISTAKES], *rest)

    def notes(self) -> list[str]:
        """What people should know about how the table was read."""
        if not self._n_validation:
            return []
        rows = counted(self._n_validation, "row")
        return [f"{rows} of {self.name} with split `val` count as train."]


def _shown(cell: str) -> str:
    text = printable(cell)
    return text if len(text) <= 200 else f"{text[:200]}..."
