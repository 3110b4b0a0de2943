"""Turns the bytes of a table into rows of text, whatever program saved them: encodings, separators, empty rows."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from whycam.errors import DataError, printable

_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>[,;|:\t])(?P=separator)*"?[ ]*(\r\n|\r|\n|$)', re.IGNORECASE)
"""What Excel takes as the first line; filled up with separators where another program has saved the table again."""
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose little-endian mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_SAVE_AS = "save it as 'CSV UTF-8'"


@dataclass(frozen=True)
class Sheet:
    """A table as text: a header, and below it every row that is not empty."""

    name: str
    """The file's name, for people."""
    folder: Path
    header: tuple[str, ...]
    header_row: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """The number that a spreadsheet shows, and the cells without white space around them."""
    notes: tuple[str, ...]

    def column(self, place: int) -> list[str]:
        """The cells of one column from top to bottom, empty where a row is too short."""
        return [cells[place] if place < len(cells) else "" for _, cells in self.rows]


def read_sheet(path: Path) -> Sheet:
    """The text of a CSV file: commas, semicolons, tabs or bars; UTF-8, UTF-16, UTF-32 or Windows-1252.

    A first line `sep=;` names the separator and is no row: spreadsheets neither show nor count it, so the row below it
    is row 1.

    Raises DataError where the file is missing, is no text, or is empty.
    """
    name = printable(path.name)
    text, notes = _decoded(path, name)
    if named := _SEPARATOR_LINE.match(text):
        text, separator = text[named.end() :], named["separator"]
    else:
        first = next((line for line in text.splitlines() if line.strip()), "")
        bare = re.sub(r'"[^"]*"', "", first)
        separator = _most_of(_SEPARATORS, bare)
    try:
        lines = _parsed(text, separator)
        whole = [cells[0] for cells in lines if cells]
        if whole and all(len(cells) <= 1 for cells in lines) and re.search(rf"[{_SEPARATORS}]", whole[0]):
            lines = _parsed("\n".join(cells[0] if cells else "" for cells in lines), _most_of(_SEPARATORS, whole[0]))
            notes += (f"The rows of {name} are in quotes as a whole, and were read without them.",)
    except csv.Error as error:
        raise DataError(f"{name} is not a table of comma-separated values: {error}.") from error
    numbered = [(number, tuple(cell.strip() for cell in cells)) for number, cells in enumerate(lines, start=1)]
    filled = [row for row in numbered if any(row[1])]
    if not filled:
        raise DataError(f"{name} is empty; expected a header row with the columns file and target.")
    (header_row, header), *rows = filled
    return Sheet(name, path.parent, header, header_row, tuple(rows), notes)


def _parsed(text: str, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


def _most_of(letters: str, text: str) -> str:
    return max(letters, key=text.count)


def _decoded(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{printable(path)} does not exist.") from error
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {error.strerror or error}.") from error
    if raw.startswith(_WORKBOOKS):
        raise DataError(f"{name} is an Excel workbook, not a CSV file; {_SAVE_AS}.")
    encoding = next((codec for mark, codec in _BYTE_ORDER_MARKS if raw.startswith(mark)), None) or _without_mark(raw)
    try:
        return raw.decode(encoding), ()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        if encoding == "utf-8":
            try:
                text = raw.decode("cp1252")
            except UnicodeDecodeError:
                pass
            else:
                return text, (f"{name} is not UTF-8 text (line {line}) and was read as Windows-1252.",)
        raise DataError(f"{name} is not {encoding.upper()} text (line {line}); {_SAVE_AS}.") from error


def _without_mark(raw: bytes) -> str:
    """UTF-16 without its mark has a zero in every other byte of plain letters."""
    start = raw[:1000]
    even, odd = start[::2], start[1::2]
    for zeros, letters, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(start) >= 4 and zeros.count(0) > 0.7 * len(zeros) and letters.count(0) < 0.1 * len(letters):
            return encoding
    return "utf-8"


def shown(cell: str) -> str:
    """A cell as a message shows it: in one line, and cut where it is very long."""
    text = printable(cell)
    return text if len(text) <= 200 else f"{text[:200]}..."
