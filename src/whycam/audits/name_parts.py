"""The parts of file names that could tell which images belong together: `patient012` of `ward/patient012_scan3.png`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median

from whycam.data.words import class_target, is_mask_folder, split_name

Parts = tuple[str | None, ...]
"""For each file the part of its name that it may share with others; None where it has none."""

_DATE = re.compile(
    r"(?<!\d)(19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)|(?<!\d)\d\d[-:]\d\d[-:]\d\d(?!\d)"
)
_CHUNK = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_MOST_TOKENS = 5
"""A chunk with more changes between letters and digits is a hash, and stays whole."""
_MOST_PREFIXES = 6
_UNIT_WORDS = """
animal batch board case coil device donor id item lot module mouse object panel part participant patient person piece
pid probe product sample serial slide sn specimen subject tile unit volunteer wafer
"""
_UNITS = frozenset(_UNIT_WORDS.split())
_FEWEST_PARTS = 8
_FEWEST_NAMED = 3
_FEWEST_WORDS = 10
_MOST_OF_A_WORD = 20
_LARGEST_SHARE = 0.25
_LARGEST_NAMED_SHARE = 0.5


def candidate_parts(files: Sequence[str]) -> list[Parts]:
    """Ways to divide files by a part of their names, each with several parts that several files share.

    Tried are folders, the beginning of the name up to each of its tokens, each token that stands alone, and a word with
    its number wherever it stands. A date is no part, nor are words for classes and splits. Parts must be many (8, or 3
    where they are called patient, tile, wafer and the like), and none may hold more than a quarter of the files (a
    half). Words without a number are more likely kinds of things, unless there are ten, most with 20 files at most.

    Args:
        files: names with forward slashes, without repetition.
    """
    columns: dict[str, dict[int, str]] = {}
    for row, file in enumerate(files):
        for scheme, part in _parts_of(file):
            columns.setdefault(scheme, {})[row] = part
    found: dict[tuple[int, ...], Parts] = {}
    for column in columns.values():
        shared = {part for part, count in Counter(column.values()).items() if count > 1}
        parts = tuple(part if part in shared else None for part in map(column.get, range(len(files))))
        if _plausible(parts):
            found.setdefault(_pattern(parts), parts)
    return list(found.values())


def _parts_of(file: str) -> list[tuple[str, str]]:
    """(scheme, part) of one file name."""
    path = PurePosixPath(file)
    folders = [folder for folder in path.parts[:-1] if not _means_something(folder)]
    found = [(f"folder {level}", folder) for level, folder in enumerate(reversed(folders)) if not _DATE.search(folder)]
    stem = _DATE.sub("_", path.stem)
    chunks = _CHUNK.findall(stem)
    tokens = [token for chunk in chunks for token in _tokens(chunk)]
    spaced = re.sub(r"[\W_]+", "_", stem).strip("_")
    end = 0
    for place, token in enumerate(tokens[:-1][:_MOST_PREFIXES]):
        end = spaced.index(token, end) + len(token)
        found.append((f"first {place}", spaced[:end]))
    found += [(f"token {place}", chunk) for place, chunk in enumerate(chunks) if place]
    for name in (*folders, stem):
        inside = [token for chunk in _CHUNK.findall(_DATE.sub("_", name)) for token in _tokens(chunk)]
        for word, number in pairwise(inside):
            if word.isalpha() and number.isdigit() and not _means_something(word):
                found.append((f"word {word.casefold()}", f"{word}{number}"))
    return found


def _tokens(chunk: str) -> list[str]:
    tokens = _TOKEN.findall(chunk)
    return tokens if len(tokens) < _MOST_TOKENS else [chunk]


def _means_something(word: str) -> bool:
    return class_target(word) is not None or split_name(word) is not None or is_mask_folder(word)


def _plausible(parts: Parts) -> bool:
    counts = Counter(part for part in parts if part is not None)
    named = sum(any(word in _UNITS for word in _TOKEN.findall(part.casefold())) for part in counts) > len(counts) / 2
    numbered = sum(any(letter.isdigit() for letter in part) for part in counts) > len(counts) / 2
    if len(counts) < (_FEWEST_NAMED if named else _FEWEST_PARTS if numbered else _FEWEST_WORDS):
        return False
    if not named and not numbered and median(counts.values()) > _MOST_OF_A_WORD:
        return False
    return max(counts.values()) <= (_LARGEST_NAMED_SHARE if named else _LARGEST_SHARE) * len(parts)


def _pattern(parts: Parts) -> tuple[int, ...]:
    """The same for two ways that divide files alike."""
    numbers: dict[str, int] = {}
    return tuple(-1 if part is None else numbers.setdefault(part, len(numbers)) for part in parts)
