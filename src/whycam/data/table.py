"""Reads a CSV table of images, and reports every mistake in it at once, by the row that a spreadsheet shows."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path

from whycam.data.columns import Columns, choose_columns
from whycam.data.listed_files import Found, ListedFiles
from whycam.data.sheet import Sheet, read_sheet, shown
from whycam.data.target_cells import Meaning, Meanings, number, read_targets
from whycam.data.words import counted, is_validation, split_name
from whycam.errors import DataError, printable
from whycam.types import AS_USUAL, Dataset, Reading, Sample, Split

MOST_MISTAKES = 20
"""Further mistakes are counted, not listed."""


def read_table(csv_path: Path, reading: Reading = AS_USUAL, *, labelled: bool = True) -> Dataset:
    """The images that a table lists, in its order.

    Columns `file` and `target`, optionally `split`, `group`, `mask`, `kind`; other names stand in for an absent one as
    `whycam.data.columns` says, and a note tells. Targets are numbers in [0, 1] or words, as `whycam.data.target_cells`
    says. Paths are absolute or relative to the table's folder. `reading` says what words and columns mean where they
    are not the usual ones. With `labelled=False` only `file` is needed, and a target that cannot be read is none.

    Raises DataError with one line for every mistake (from the 21st on they are counted).
    """
    sheet = read_sheet(csv_path)
    files = ListedFiles(sheet.folder)
    columns = choose_columns(sheet, files, reading, labelled=labelled)
    if not sheet.rows:
        raise DataError(f"{sheet.name} has a header row but no row below it.")
    reader = _Reader(sheet, files, columns, reading, labelled=labelled)
    samples = reader.read()
    notes = (*sheet.notes, *columns.notes, *reader.notes())
    title = {role: f"column `{shown(sheet.header[place])}`" for role, place in columns.places.items()}
    return Dataset(
        csv_path.parent,
        f"table {sheet.name}",
        tuple(samples),
        notes=notes,
        split_from=title["split"] if any(sample.split for sample in samples) else "",
        groups_from=title["group"] if any(sample.group for sample in samples) else "",
    )


class _Reader:
    def __init__(self, sheet: Sheet, files: ListedFiles, columns: Columns, reading: Reading, *, labelled: bool) -> None:
        self.sheet, self.files, self.columns, self.labelled = sheet, files, columns, labelled
        self._mistakes: list[str] = []
        self._n_validation = 0
        self._completed: list[tuple[str, str]] = []
        self._without: Counter[str] = Counter()
        self._targets = self._meanings(reading)

    def read(self) -> list[Sample]:
        """The images of all rows; DataError with every mistake."""
        self._mistakes += [f"{self.sheet.name}: {problem}" for problem in self._targets.problems]
        self._check_split()
        samples: list[Sample] = []
        first_row: dict[str, int] = {}
        rows_without_split = []
        n_used = 0
        width = len(self.sheet.header)
        for row, cells in self.sheet.rows:
            if any(cells[width:]):
                more = f"{len(cells)} cells, but the header has {width}; put quotes around the separator."
                self._wrong(row, more)
                continue
            values = {role: cells[place] for role, place in self.columns.places.items() if place < len(cells)}
            meaning = self._meaning(row, values.get("target", ""))
            if meaning.left_out:
                continue
            n_used += 1
            if not values.get("split"):
                rows_without_split.append(row)
            sample = self._sample(row, values, meaning)
            if sample is None:
                continue
            first = first_row.setdefault(os.path.normpath(sample.path), row)
            if first != row:
                self._wrong(row, f"{shown(values['file'])} is listed twice (first in row {first}).")
                continue
            samples.append(sample)
        if "split" in self.columns.places and self.columns.test_value is None:
            n_without = len(rows_without_split)
            if 0 < n_without < n_used:
                self._wrong(
                    rows_without_split[0],
                    f"split is given for some rows only ({n_without} of {n_used} have none); give it for all or for "
                    "none.",
                )
        if not n_used and not self._mistakes:
            self._mistakes.append(f"{self.sheet.name}: every row was left out; no image is left.")
        self._raise_mistakes()
        return samples

    def notes(self) -> list[str]:
        """What people should know about how the rows were read."""
        notes = list(self._targets.notes)
        if self._completed:
            cell, name = self._completed[0]
            notes.append(
                f"{counted(len(self._completed), 'name')} of {self.sheet.name} had to be completed: {cell} is {name}."
            )
        if self._n_validation:
            rows = counted(self._n_validation, "row")
            notes.append(f"{rows} of {self.sheet.name} with split `val` count as train.")
        n = self._without["group"]
        if n and n < len(self.sheet.rows):
            verb = "has" if n == 1 else "have"
            notes.append(f"{counted(n, 'row')} of {self.sheet.name} {verb} no group: each stands for itself.")
        return notes

    def _meanings(self, reading: Reading) -> Meanings:
        place = self.columns.places.get("target")
        if place is None:
            return Meanings({}, (), ())
        found = read_targets(self.sheet.column(place), self.sheet.header[place], reading)
        # For scoring a target need not be readable.
        return found if self.labelled else Meanings(found.of, (), ())

    def _meaning(self, row: int, cell: str) -> Meaning:
        if not cell:
            if self.labelled:
                self._wrong(row, "target is empty.")
            return Meaning()
        meaning = self._targets.of[cell]
        if meaning.problem and self.labelled:
            self._wrong(row, f"target {meaning.problem}")
        return meaning

    def _sample(self, row: int, values: dict[str, str], meaning: Meaning) -> Sample | None:
        file = self._find(row, "file", values.get("file", ""))
        mask = self._find(row, "mask", values["mask"]) if values.get("mask") else None
        split = self._split(row, values.get("split", ""))
        group = values.get("group") or None
        self._without["group"] += "group" in self.columns.places and group is None
        if file is None:
            return None
        return Sample(
            printable(file.name),
            file.path,
            target=meaning.target,
            split=split,
            group=group,
            kind=values.get("kind") or meaning.kind,
            mask=None if mask is None else mask.path,
        )

    def _find(self, row: int, role: str, cell: str) -> Found | None:
        if not cell:
            self._wrong(row, f"{role} is empty.")
            return None
        # A mask may be called as its image is, so that a folder of images must not complete its name.
        found = self.files.find(cell, complete=role == "file")
        if isinstance(found, str):
            self._wrong(row, f"{role} {shown(cell)} {found}{'' if found.endswith('?') else '.'}")
            return None
        if found.completed:
            self._completed.append((shown(cell), printable(found.name)))
        return found

    def _split(self, row: int, cell: str) -> Split | None:
        if self.columns.test_value is not None:
            return "test" if _equal(cell, self.columns.test_value) else "train"
        if not cell:
            return None
        split = split_name(cell)
        if split is None:
            self._wrong(row, f"split '{shown(cell)}' is neither train nor test.")
        self._n_validation += is_validation(cell)
        return split

    def _check_split(self) -> None:
        """A column without any word for train or test is one mistake, not one a row."""
        place = self.columns.places.get("split")
        if place is None:
            return
        title = shown(self.sheet.header[place])
        values = list(dict.fromkeys(cell for cell in self.sheet.column(place) if cell))
        found = ", ".join(map(shown, values[:8])) + (", ..." if len(values) > 8 else "")
        test_value = self.columns.test_value
        if test_value is not None:
            if not any(_equal(value, test_value) for value in values):
                problem = f"--split-column {title}={shown(test_value)}: the column holds {found or 'nothing'}."
                raise DataError(f"{self.sheet.name}: {problem}")
        elif values and not any(map(split_name, values)):
            first = shown(values[0])
            asked = shlex.quote(f"{title}={first}")
            raise DataError(
                f"{self.sheet.name}: the column {title} holds {found}, and neither train nor test: --split-column "
                f"{asked} tests on the rows with {first} and trains on the others."
            )

    def _wrong(self, row: int, text: str) -> None:
        self._mistakes.append(f"{self.sheet.name} row {row}: {text}")

    def _raise_mistakes(self) -> None:
        if not self._mistakes:
            return
        more = len(self._mistakes) - MOST_MISTAKES
        rest = [f"... and {more} more"] if more > 0 else []
        raise DataError(*self._mistakes[:MOST_MISTAKES], *rest)


def _equal(cell: str, value: str) -> bool:
    if cell.casefold() == value.casefold():
        return True
    known = number(cell)
    return known is not None and known == number(value)
