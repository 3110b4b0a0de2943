"""Says what the cells of a target column mean: numbers, words for the two classes, kinds; and never guesses."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from whycam.data.column_names import true_is_anomalous, yes_is_anomalous
from whycam.data.sheet import shown
from whycam.data.words import class_target, counted, plain
from whycam.errors import printable
from whycam.types import ANOMALOUS_ABOVE, Reading

_NEITHER = (
    "is neither a number from 0 to 1 nor normal or anomalous; correct it, or decide by --normal, --anomalous or "
    "--leave-out."
)
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_DOUBTS = """
unsure unknown unclear uncertain undecided unlabeled unlabelled unlabel unrated unchecked unassigned undefined
unspecified maybe perhaps ambiguous borderline questionable doubtful doubt suspect pending review tbd todo skip skipped
ignore ignored exclude excluded invalid na nan null nil inf infinity notavailable notlabeled notlabelled dontknow
"""
_DOUBTFUL = frozenset(_DOUBTS.split())
"""Words, without anything but letters, that say neither normal nor anomalous, whatever stands beside them."""
_NO = re.compile(r"none|no|nothing|false|f|n|(no|without)[\W_]+.*|nofindings?")
_YES = re.compile(r"true|yes|t|y")
"""Words, in small letters, whose meaning hangs on the column's name; in other columns they are never kinds."""
_MOST_LISTED = 8
_MOST_GRADES = 12


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one cell means."""

    target: float | None = None
    kind: str | None = None
    left_out: bool = False
    problem: str = ""
    """What is wrong with it, for people; the row and the column go before it."""


@dataclass(frozen=True)
class Meanings:
    """What every different cell of the column means."""

    of: dict[str, Meaning]
    problems: tuple[str, ...]
    """Of the whole column; words that are among them have no problem of their own."""
    notes: tuple[str, ...]


def read_targets(cells: Sequence[str], column: str, reading: Reading) -> Meanings:
    """What the cells of the column named `column` mean; empty ones are left to the caller.

    Numbers in [0, 1], also with a decimal comma, and words such as good and bad mean what they say; TRUE and yes where
    the column's name makes it certain. What `reading` says of a word goes before that. Beside words that mean normal,
    and where there are no numbers, any other word is anomalous and names the kind, unless it looks like a slip of the
    pen or like a doubt.
    """
    counts = Counter(cell for cell in cells if cell)
    problems = _unknown_options(counts, column, reading)
    of = {cell: meaning for cell in counts if (meaning := _certain(cell, column, reading)) is not None}
    rest = [cell for cell in counts if cell not in of]
    notes = _booleans(of, column)
    said_of = f"the column {printable(column)}"
    numbers = [cell for cell in of if number(cell) is not None and not _said(cell, reading)]
    normal = [cell for cell, meaning in of.items() if meaning.target == 0.0]
    doubtful = [cell for cell in rest if _is_doubtful(cell, beside_normal=bool(normal))]
    words = [cell for cell in rest if cell not in doubtful]
    if words and normal and not numbers:
        slips = [word for word in words if _close(word, normal)]
        problems += [
            f"{said_of} has {_listed(counts, [slip])}: did you mean {shown(_close(slip, normal))}? Correct it, or add "
            f"{_options('--anomalous', [slip])}."
            for slip in slips
        ]
        kinds = [word for word in words if word not in slips]
        of |= {kind: Meaning(1.0, kind=kind) for kind in kinds} | {slip: Meaning() for slip in slips}
        if kinds:
            verb, whose = ("counts", "the word") if len(kinds) == 1 else ("count", "each word")
            meant = _listed(counts, normal)
            notes.append(
                f"In {said_of} {meant} {'means' if len(normal) == 1 else 'mean'} normal; {_listed(counts, kinds)} "
                f"{verb} as anomalous, {whose} being the kind."
            )
    elif words and not numbers:
        problems.append(_no_normal_word(counts, column, of, words, doubtful))
        of |= dict.fromkeys((*words, *doubtful), Meaning())
        doubtful = []
    else:
        of |= {word: Meaning(problem=f"'{shown(word)}' {_NEITHER}") for word in words}
    if doubtful:
        verb, pronoun = ("says", "it") if len(doubtful) == 1 else ("say", "them")
        problems.append(
            f"{said_of} has {_listed(counts, doubtful)}, which {verb} neither normal nor anomalous: leave {pronoun} "
            f"out by {_options('--leave-out', doubtful)}, or decide by --normal or --anomalous."
        )
        of |= dict.fromkeys(doubtful, Meaning())
    grades = _grades(counts, of, numbers, column)
    if grades:
        problems.append(grades)
        of |= {cell: replace(of[cell], problem="") for cell in numbers}
    left_out = [cell for cell, meaning in of.items() if meaning.left_out]
    if left_out:
        n = sum(counts[cell] for cell in left_out)
        verb = "was" if n == 1 else "were"
        notes.append(f"{counted(n, 'row')} {verb} left out, as asked: {_listed(counts, left_out)} in {said_of}.")
    return Meanings(of, tuple(problems), tuple(notes))


def number(cell: str) -> float | None:
    """The number that a cell is, with a decimal point or comma; None where it is none."""
    return float(cell.replace(",", ".")) if _NUMBER.fullmatch(cell) else None


def _certain(cell: str, column: str, reading: Reading) -> Meaning | None:
    said = _said(cell, reading)
    value = number(cell)
    if said:
        return {
            "--normal": Meaning(0.0),
            "--anomalous": Meaning(1.0, kind=cell),
            "--leave-out": Meaning(left_out=True),
        }[said]
    if value is not None:
        inside = 0.0 <= value <= 1.0
        return Meaning(abs(value)) if inside else Meaning(problem=f"{shown(cell)} is outside 0 to 1.")
    target = _yes_or_no(plain(cell), column)
    target = class_target(cell) if target is None else target
    return None if target is None else Meaning(target)


def _yes_or_no(word: str, column: str) -> float | None:
    if yes_is_anomalous(column):
        return 0.0 if word in {"false", "no", "f", "n", "none"} else 1.0 if word in {"true", "yes", "t", "y"} else None
    return {"false": 0.0, "true": 1.0}.get(word) if true_is_anomalous(column) else None


def _said(cell: str, reading: Reading) -> str:
    """The option that decides this cell, or nothing."""
    return next((option for option, words in _by_option(reading) if any(_same(word, cell) for word in words)), "")


def _by_option(reading: Reading) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("--normal", reading.normal), ("--anomalous", reading.anomalous), ("--leave-out", reading.leave_out)


def _same(word: str, cell: str) -> bool:
    if " ".join(word.casefold().split()) == " ".join(cell.casefold().split()):
        return True
    value = number(word.strip())
    return value is not None and value == number(cell)


def _unknown_options(counts: Counter[str], column: str, reading: Reading) -> list[str]:
    problems = []
    taken: dict[str, str] = {}
    for option, words in _by_option(reading):
        for word in words:
            cells = [cell for cell in counts if _same(word, cell)]
            if not cells:
                close = _close(word, counts)
                hint = f"; did you mean {_options(option, [close])}?" if close else "."
                found = _listed(counts, list(counts)) or "nothing"
                problems.append(
                    f"{_options(option, [word])}: the column {printable(column)} has no such word, but {found}{hint}"
                )
            for cell in cells:
                if taken.setdefault(cell, option) != option:
                    problems.append(
                        f"{_options(taken[cell], [cell])} and {_options(option, [cell])} contradict each other."
                    )
    return problems


def _is_doubtful(cell: str, *, beside_normal: bool) -> bool:
    letters = re.sub(r"[\W_]+", "", cell.casefold())
    if not letters or letters in _DOUBTFUL or cell.endswith("?"):
        return True
    return beside_normal and (_like_normal(cell) or bool(_YES.fullmatch(cell.casefold())))


def _booleans(of: dict[str, Meaning], column: str) -> list[str]:
    taken = {cell: meaning for cell, meaning in of.items() if _yes_or_no(plain(cell), column) == meaning.target}
    taken = {cell: meaning for cell, meaning in taken.items() if meaning.target is not None and meaning.kind is None}
    if not taken:
        return []
    names = {0.0: "normal", 1.0: "anomalous"}
    said = [f"{shown(cell)} was taken for {names[meaning.target or 0.0]}" for cell, meaning in taken.items()]
    return [f"In the column {printable(column)} {' and '.join(said[:4])}."]


def _no_normal_word(
    counts: Counter[str], column: str, of: dict[str, Meaning], words: list[str], doubtful: list[str]
) -> str:
    likely = [word for word in words if _like_normal(word)]
    example = likely or sorted(words, key=lambda word: -counts[word])[:1]
    asked = _options("--normal", example)
    if yes := [word for word in words if _YES.fullmatch(word.casefold()) and word not in example]:
        asked += f" {_options('--anomalous', yes)}"
    if doubtful:
        asked += f" {_options('--leave-out', doubtful)}"
    others = [cell for cell, meaning in of.items() if meaning.target is not None]
    found = _listed(counts, [*others, *words, *doubtful])
    alone = f"; or, if all are anomalous, {_options('--anomalous', words)}" if len(words) == 1 and not others else ""
    condition = "" if likely else f", if {shown(example[0])} is the normal one"
    return (
        f"the column {printable(column)} holds {found}, and no word that is known to mean normal; say which one does, "
        f"such as {asked}{condition}{alone}."
    )


def _like_normal(word: str) -> bool:
    """Whether it may well be normal: `none`, or a part of the word means so and none anomalous, as in `casting_ok`."""
    if _NO.fullmatch(word.casefold()):
        return True
    parts = [class_target(part) for part in re.split(r"[\W_]+", word) if not part.isdigit()]
    return 0.0 in parts and 1.0 not in parts and "not" not in word.casefold()


def _grades(counts: Counter[str], of: dict[str, Meaning], numbers: list[str], column: str) -> str:
    """What is wrong with the numbers taken together, or nothing."""
    values = {cell: value for cell in counts if (value := number(cell)) is not None and cell in numbers}
    if not values:
        return ""
    low, high = min(values.values()), max(values.values())
    whole = len(values) == len(counts) and all(value.is_integer() for value in values.values())
    if whole and (low < 0 or high > 1) and len(values) <= _MOST_GRADES:
        ordered = sorted(values, key=lambda cell: values[cell])
        normal = next((cell for cell in ordered if values[cell] == 0), None)
        # Of -1 and 1 it is the outlier that is called -1; elsewhere the lowest grade is the best.
        normal = normal or (ordered[-1] if low < 0 else ordered[0])
        rest = [cell for cell in ordered if cell != normal]
        asked = f"{_options('--normal', [normal])} {_options('--anomalous', rest)}".strip()
        return (
            f"the column {printable(column)} holds {_listed(counts, ordered)}, where 0 is normal and 1 is anomalous; "
            f"say what each means, such as {asked}."
        )
    if 0 < high <= ANOMALOUS_ABOVE and all((meaning.target or 0) <= ANOMALOUS_ABOVE for meaning in of.values()):
        highest = next(cell for cell in values if values[cell] == high)
        reach = f"are all {high:g}" if low == high else f"reach from {low:g} to {high:g}"
        return (
            f"the targets in the column {printable(column)} {reach}, and none is above {ANOMALOUS_ABOVE}, where "
            f"anomalous begins, so every image would count as normal: rescale them to reach from 0 to 1, or say which "
            f"are anomalous, such as {_options('--anomalous', [highest])}."
        )
    if high > 1 and low >= 0 and high <= 100 and len(values) > _MOST_GRADES:
        return (
            f"the targets in the column {printable(column)} reach from {low:g} to {high:g}, but a target is a number "
            f"from 0 (normal) to 1 (anomalous): divide them by {100 if high > 10 else 10 if high > 5 else 5}."
        )
    return ""


def _close(word: str, words: Iterable[str]) -> str:
    by_plain = {plain(other): other for other in words}
    close = get_close_matches(plain(word), by_plain, n=1, cutoff=0.8)
    return by_plain[close[0]] if close else ""


def _listed(counts: Counter[str], cells: Sequence[str]) -> str:
    listed = [f"{shown(cell)} ({counts[cell]:,})" for cell in cells[:_MOST_LISTED]]
    more = len(cells) - _MOST_LISTED
    if more > 0:
        return f"{', '.join(listed)} and {counted(more, 'other word')}"
    return " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def _options(option: str, words: Sequence[str]) -> str:
    # The value of an option may begin with a hyphen only behind an equals sign.
    return " ".join(
        f"{option}={shlex.quote(shown(word))}" if word.startswith("-") else f"{option} {shlex.quote(shown(word))}"
        for word in words
    )
