"""Says which column of a table is what, by name and by content; and names what it does not use but might be wanted."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whycam.data.column_names import STAND_INS, is_fold, is_group, key, nearest, side_said, yes_is_normal
from whycam.data.listed_files import Found, ListedFiles
from whycam.data.listing import is_image_name
from whycam.data.sheet import Sheet, shown
from whycam.data.target_cells import number, read_targets
from whycam.data.words import counted, split_name
from whycam.errors import DataError
from whycam.types import AS_USUAL, Reading

_MOST_FOLDS = 20
_LOOKED_AT = 200
_YES, _NO = {"1", "1.0", "true", "yes", "t", "y"}, {"0", "0.0", "false", "no", "f", "n"}


@dataclass(frozen=True)
class Columns:
    """Where each column stands, and where it came from."""

    places: Mapping[str, int]
    """Of file, target, split, group, mask and kind, as far as there are any."""
    stand_ins: Mapping[str, str]
    """What these are called in the table, where it is not the usual name."""
    test_value: str | None = None
    """Where the split is a column of something else: its value in the rows to test on."""
    notes: tuple[str, ...] = ()


def choose_columns(sheet: Sheet, files: ListedFiles, reading: Reading = AS_USUAL, *, labelled: bool = True) -> Columns:
    """The columns of a table; with `labelled=False` only those that scoring needs.

    Raises DataError with every mistake in the header.
    """
    return _Chooser(sheet, files, reading, labelled=labelled).choose()


class _Chooser:
    def __init__(self, sheet: Sheet, files: ListedFiles, reading: Reading, *, labelled: bool) -> None:
        self.sheet, self.files, self.reading, self.labelled = sheet, files, reading, labelled
        self.keys = [key(name) for name in sheet.header]
        self.places: dict[str, int] = {}
        self.problems: list[str] = []

    def choose(self) -> Columns:
        test_value = None
        roles = ("file", "target", "split", "group", "mask", "kind") if self.labelled else ("file", "target")
        asked: dict[str, str] = {}
        if self.reading.group_column is not None:
            asked["group"] = self.reading.group_column
        if self.reading.split_column is not None:
            asked["split"], test_value = self._split_asked(self.reading.split_column)
        for role, name in asked.items():
            place = self._named(name)
            if place is None:
                self._no_such(role, name)
            else:
                self.places[role] = place
        for role in roles:
            if role not in asked and self.keys.count(role) > 1:
                n = self.keys.count(role)
                self.problems.append(f"the column `{role}` appears {n} times; keep one of them.")
            elif role not in asked and role in self.keys:
                self.places[role] = self.keys.index(role)
        if "file" not in self.places and not self.problems:
            self._find_file()
        if "target" not in self.places and not self.problems:
            self._find_target()
        if self.labelled and "kind" not in self.places:
            free = self._free(STAND_INS["kind"])
            if len(free) == 1:
                self.places["kind"] = free[0]
        if self.problems:
            raise DataError(*(f"{self.sheet.name} row {self.sheet.header_row}: {text}" for text in self.problems))
        stand_ins = {role: self._title(place) for role, place in self.places.items() if self.keys[place] != role}
        if test_value is not None:
            stand_ins.setdefault("split", self._title(self.places["split"]))
        notes = self._notes(stand_ins, test_value) if self.labelled else self._taken(stand_ins)
        return Columns(self.places, stand_ins, test_value, tuple(notes))

    # ------------------------------------------------------------ what a user has named

    def _named(self, name: str) -> int | None:
        exact = [place for place, title in enumerate(self.sheet.header) if title == name.strip()]
        found = exact or [place for place, word in enumerate(self.keys) if word and word == key(name)]
        return found[0] if len(found) == 1 else None

    def _split_asked(self, text: str) -> tuple[str, str | None]:
        if self._named(text) is None and "=" in text:
            name, _, value = text.rpartition("=")
            return name, value.strip()
        return text, None

    def _no_such(self, role: str, name: str) -> None:
        titles = [title for title in self.sheet.header if title]
        if sum(key(title) == key(name) for title in titles) > 1:
            self.problems.append(f"there are several columns `{shown(name)}`; rename all but one.")
            return
        close = nearest(name, titles)
        hint = f"; did you mean {_asked(f'--{role}-column', shown(close))}?" if close else "."
        self.problems.append(f"there is no column `{shown(name)}`; found {self._found()}{hint}")

    # ------------------------------------------------------------ what stands in

    def _free(self, names: Sequence[str]) -> list[int]:
        # What groups or splits may be something else besides.
        taken = {place for role, place in self.places.items() if role not in {"group", "split"}}
        return [self.keys.index(name) for name in names if name in self.keys and self.keys.index(name) not in taken]

    def _find_file(self) -> None:
        named = self._free(STAND_INS["file"])
        found = {place: hits for place in named if (hits := self._hits(place))}
        if len({tuple(hits.items()) for hits in found.values()}) > 1:
            # A column of numbers may happen to name some files.
            most = max(map(len, found.values()))
            found = {place: hits for place, hits in found.items() if len(hits) > most / 2}
        if len({tuple(hits.items()) for hits in found.values()}) == 1:
            # Of several that name the same files the one that names them in full.
            self.places["file"] = next(
                (place for place in found if self._hits(place, complete=False)), next(iter(found))
            )
        elif found:
            first, second, *_ = map(self._quoted, found)
            self.problems.append(
                f"there is no column `file`, and {first} and {second} both name files, but not the same ones; rename "
                "one of them to `file`."
            )
        elif any(
            is_image_name(title) or (title and isinstance(self.files.find(title), Found)) for title in self.sheet.header
        ):
            self.problems.append(
                "this looks like an image's row, not like a header; put a first row such as file,target above it."
            )
        else:
            self._missing("file", self._why_no_file(named))

    def _why_no_file(self, named: list[int]) -> str:
        fitting = [place for place, word in enumerate(self.keys) if word and self._hits(place, complete=False)]
        if fitting:
            return f"; {self._quoted(fitting[0])} names files: rename it to `file`."
        for place in named:
            row, cell = next(
                ((row, cells[place]) for row, cells in self.sheet.rows if cells[place:][:1] != ("",)), (0, "")
            )
            if cell:
                where = f"row {row}, {shown(cell)} {self.files.find(cell)}".rstrip("?")
                return f"; {self._quoted(place)} could stand in for it, but names no file: {where}."
        close = nearest("file", [title for title in self.sheet.header if key(title) not in STAND_INS])
        return f"; did you mean `{shown(close)}`? Rename it to `file`." if close else "."

    def _hits(self, place: int, *, complete: bool = True) -> dict[int, str]:
        """The files that cells of the column name, by row; of a long table some rows are looked at."""
        cells = self.sheet.column(place)
        step = max(1, len(cells) // _LOOKED_AT)
        found = ((at, self.files.find(cells[at], complete=complete)) for at in range(0, len(cells), step) if cells[at])
        return {at: str(hit.path) for at, hit in found if isinstance(hit, Found)}

    def _find_target(self) -> None:
        named = self._free(STAND_INS["target"])
        if len(named) > 1:
            named = [place for place in named if self._readable(place)] or named
            # `label` goes before others, and several columns that say the same are one.
            if self.keys[named[0]] == "label" or len({tuple(self._meant(place)) for place in named}) == 1:
                named = named[:1]
        if len(named) == 1:
            self.places["target"] = named[0]
        elif named and self.labelled:
            names = " and ".join(map(self._quoted, named))
            self.problems.append(
                f"there is no column `target`, and {names} could stand in for it; rename one to `target`."
            )
        elif self.labelled:
            self._missing("target", self._why_no_target())

    def _why_no_target(self) -> str:
        for place, title in enumerate(self.sheet.header):
            if yes_is_normal(title):
                cells = sorted({cell.casefold(): cell for cell in self.sheet.column(place) if cell}.values())
                yes = next((cell for cell in cells if cell.casefold() in _YES), None)
                no = next((cell for cell in cells if cell.casefold() in _NO), None)
                meant = "".join((f" --normal {yes}" if yes else "", f" --anomalous {no}" if no else ""))
                say = f", and add{meant}" if meant else ""
                return f"; {self._quoted(place)} seems to say the reverse: rename it to `target`{say}."
        taken = self.places.values()
        titles = [title for place, title in enumerate(self.sheet.header) if place not in taken and title]
        fitting = [
            place for place, word in enumerate(self.keys) if word and place not in taken and self._is_two_valued(place)
        ]
        close = nearest("target", titles) or (self.sheet.header[fitting[0]] if len(fitting) == 1 else "")
        return f"; did you mean `{shown(close)}`? Rename it to `target`." if close else "."

    def _meant(self, place: int) -> list[float | None]:
        cells = self.sheet.column(place)
        of = read_targets(cells, self.sheet.header[place], self.reading).of
        return [of[cell].target if cell else None for cell in cells]

    def _readable(self, place: int) -> bool:
        cells = self.sheet.column(place)
        meanings = read_targets(cells, self.sheet.header[place], self.reading)
        return any(cells) and not meanings.problems and not any(meaning.problem for meaning in meanings.of.values())

    def _is_two_valued(self, place: int) -> bool:
        return self._readable(place) and {0.0, 1.0} == set(self._meant(place))

    def _missing(self, role: str, hint: str) -> None:
        also = " (or `label`)" if role == "target" else ""
        self.problems.append(f"there is no column `{role}`{also}; found {self._found()}{hint}")

    # ------------------------------------------------------------ what people are told

    def _notes(self, stand_ins: Mapping[str, str], test_value: str | None) -> list[str]:
        offers: dict[int, str] = {}
        for place in self._unused():
            offer = (self._split_offer(place) if "split" not in self.places else "") or (
                self._group_offer(place) if "group" not in self.places else ""
            )
            if offer:
                offers[place] = f"The column {self._title(place)} looks like {offer}"
        taken = self._taken(stand_ins)
        if test_value is not None:
            taken.append(
                f"The rows whose {stand_ins['split']} is {shown(test_value)} are for testing, all others for training."
            )
        rest = [self._title(place) for place in self._unused() if place not in offers]
        names = ", ".join(rest[:8]) + (f" and {len(rest) - 8} more" if len(rest) > 8 else "")
        unused = [f"Not used: the {'column' if len(rest) == 1 else 'columns'} {names}."] if rest else []
        return [*taken, *offers.values(), *unused]

    def _taken(self, stand_ins: Mapping[str, str]) -> list[str]:
        said = [f"the column {title} was taken for {role}" for role, title in stand_ins.items()]
        return [f"In {self.sheet.name} {' and '.join(said)}."] if said else []

    def _unused(self) -> list[int]:
        return [place for place, word in enumerate(self.keys) if word and place not in self.places.values()]

    def _split_offer(self, place: int) -> str:
        title, cells = self._title(place), self.sheet.column(place)
        sides = Counter(split_name(cell) for cell in cells)
        if None not in sides and len(sides) == 2:
            said = f"{counted(sides['train'], 'row')} to train on, {sides['test']:,} to test on"
            return f"a split ({said}) and is not used: {_asked('--split-column', title)} uses it."
        values = sorted({cell for cell in cells if cell}, key=_in_order)
        side = side_said(title)
        yes = [value for value in values if value.casefold() in _YES]
        no = [value for value in values if value.casefold() in _NO]
        if side and len(values) == 2 and len(yes) == len(no) == 1:
            # Where it says what is for training, the others are to test on.
            asked = _asked("--split-column", f"{title}={shown(yes[0] if side == 'test' else no[0])}")
            return f"a split and is not used: {asked} uses it."
        if is_fold(title) and 1 < len(values) <= _MOST_FOLDS:
            first = shown(values[0])
            return (
                f"folds ({', '.join(map(shown, values))}) and is not used: "
                f"{_asked('--split-column', f'{title}={first}')} tests on the rows of fold {first} and trains on the "
                "others."
            )
        return ""

    def _group_offer(self, place: int) -> str:
        title = self._title(place)
        counts = Counter(cell for cell in self.sheet.column(place) if cell)
        if not is_group(title) or not 1 < len(counts) < sum(counts.values()):
            return ""
        sizes = sorted(set(counts.values()))
        each = f"{sizes[0]} rows each" if len(sizes) == 1 else f"up to {sizes[-1]:,} rows each"
        return (
            f"groups ({len(counts):,} values, {each}) and is not used: {_asked('--group-column', title)} keeps each on "
            "one side of a split."
        )

    def _found(self) -> str:
        return shown(", ".join(title for title in self.sheet.header if title)) or "none"

    def _title(self, place: int) -> str:
        return shown(self.sheet.header[place])

    def _quoted(self, place: int) -> str:
        return f"`{self._title(place)}`"


def _asked(option: str, value: str) -> str:
    return f"{option} {shlex.quote(value)}"


def _in_order(cell: str) -> tuple[bool, float, str]:
    value = number(cell)
    return value is None, value or 0.0, cell
