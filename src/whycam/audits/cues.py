"""Cues: what tells how an image was made rather than what it shows, as columns that a small model can look at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from whycam.audits.file_facts import FileFacts, read_file_facts
from whycam.audits.pixel_facts import QUANTILES, PixelFacts, Read, Region, measure_pixels
from whycam.progress import SILENT, Progress
from whycam.types import Floats, Sample

CueKind = Literal["place", "recording", "camera", "time", "appearance", "unseen"]
"""`place`: border or corner; `recording`: type and size of the image as stored; `camera`: which device and software;
`time`: dates; `appearance`: light, colour and sharpness of the whole image; `unseen`: what no network can see."""

HISTOGRAM = "grey-level histogram"
"""Named before other cues of appearance, as it holds brightness and contrast."""
FILE_SIZE = "file size"

_THICKNESSES = (0.03, 0.07)
_CORNERS = (0.05, 0.15)
"""Sides of the patches; strips leave the largest out at either end, so that a mark in a corner is found there only."""
_INNER_STRIPS = (0.3, 0.4, 0.5, 0.6, 0.7)
_INNER_PATCHES = ((0.5, 0.5), (0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7))
"""Middles of the strips and patches inside that borders and corners are compared with."""
_MOST_LEVELS = 20
"""The commonest values of a category that have a column of their own."""


@dataclass(frozen=True)
class Cue:
    """One thing that should not tell the classes apart, for N images."""

    name: str
    kind: CueKind
    numbers: Floats
    """(N, a) of any scale, also where the relation is not monotone; NaN where unknown."""
    shares: Floats
    """(N, b) in [0, 1]."""
    words: tuple[str, ...] = ()
    """N values as people read them, where there are such."""
    region: Region | None = None
    rivals: tuple[Floats, ...] = ()
    """(N, a) each: the same numbers of patches of equal form inside the image."""
    bulk: Floats | None = None
    """(N, c): the like of most of the pixels only, which a defect of small area leaves as it is."""

    @property
    def constant(self) -> bool:
        """Whether all images have the same values, so that there is nothing to learn from."""
        return all(np.array_equal(column, column[[0] * len(column)], equal_nan=True) for column in self._columns())

    def _columns(self) -> Iterator[Floats]:
        yield from self.numbers.T
        yield from self.shares.T


@dataclass(frozen=True)
class Measured:
    """Everything that shortcuts and image quality are judged by; row i is sample i."""

    samples: tuple[Sample, ...]
    files: tuple[FileFacts, ...]
    pixels: PixelFacts


def measure(samples: Sequence[Sample], read: Read, *, progress: Progress = SILENT) -> Measured:
    """Headers of all files and pixels of all images, one batch at a time.

    Args:
        samples: N >= 1 labelled samples that can be decoded.
        read: row numbers 0 ... N - 1 -> the pixels of these samples, (n, h, w, 1 or 3) uint8, all of one size.
        progress: hears how far it is.

    Raises:
        DataError: a file cannot be opened.
    """
    regions = tuple(dict.fromkeys(region for _, place, rivals in _places() for region in (place, *rivals)))
    pixels = measure_pixels(read, np.arange(len(samples)), regions, progress=progress)
    return Measured(tuple(samples), read_file_facts(samples, progress=progress), pixels)


def cues_of(measured: Measured) -> tuple[Cue, ...]:
    """All cues in a fixed order; those that are the same for all images are left out."""
    found = (
        *_place_cues(measured.pixels),
        *_appearance_cues(measured.pixels),
        *_file_cues(measured.files, measured.pixels),
        _name_cue(measured.samples),
    )
    return tuple(cue for cue in found if not cue.constant)


def _places() -> Iterator[tuple[str, Region, tuple[Region, ...]]]:
    """Name, region and the regions inside to compare with."""
    start, stop = max(_CORNERS), 1 - max(_CORNERS)
    for thick in _THICKNESSES:
        share = f"{thick * 100:.0f} %"
        inside = [(middle - thick / 2, middle + thick / 2) for middle in _INNER_STRIPS]
        rows = tuple((start, low, stop, high) for low, high in inside)
        columns = tuple((low, start, high, stop) for low, high in inside)
        yield f"top border ({share} of the height)", (start, 0.0, stop, thick), rows
        yield f"bottom border ({share} of the height)", (start, 1 - thick, stop, 1.0), rows
        yield f"left border ({share} of the width)", (0.0, start, thick, stop), columns
        yield f"right border ({share} of the width)", (1 - thick, start, 1.0, stop), columns
    for side in _CORNERS:
        half = side / 2
        patches = tuple((x - half, y - half, x + half, y + half) for x, y in _INNER_PATCHES)
        for vertical, top in (("top", 0.0), ("bottom", 1 - side)):
            for horizontal, left in (("left", 0.0), ("right", 1 - side)):
                yield (
                    f"{vertical} {horizontal} corner ({side * 100:.0f} % of the sides)",
                    (left, top, left + side, top + side),
                    patches,
                )


def _place_cues(pixels: PixelFacts) -> Iterator[Cue]:
    for name, region, rivals in _places():
        inside = tuple(pixels.patches[rival] for rival in rivals)
        numbers = pixels.patches[region]
        yield Cue(name, "place", numbers, _no_shares(len(numbers)), region=region, rivals=inside)


def _appearance_cues(pixels: PixelFacts) -> Iterator[Cue]:
    middle = pixels.quantiles[:, [QUANTILES.index(share) for share in (0.25, 0.5, 0.75)]]
    grain = pixels.noise[:, np.newaxis]
    histogram = np.concatenate([pixels.quantiles, pixels.histogram], axis=1)
    sharpness = np.stack([pixels.laplacian, pixels.edge], axis=1)
    yield _numeric("brightness", "appearance", pixels.mean, bulk=middle)
    yield _numeric("contrast", "appearance", pixels.deviation, bulk=middle)
    yield _numeric(HISTOGRAM, "appearance", histogram, bulk=middle)
    yield _numeric("colour", "appearance", pixels.colour, bulk=pixels.colour[:, 4:])
    yield _numeric("sharpness", "appearance", sharpness, bulk=np.stack([pixels.noise, pixels.detail], axis=1))
    yield _numeric("noise", "appearance", grain, bulk=grain)


def _file_cues(files: Sequence[FileFacts], pixels: PixelFacts) -> Iterator[Cue]:
    yield _categorical("file type", "recording", [facts.type for facts in files])
    yield _categorical("grey or colour", "recording", ["grey" if grey else "colour" for grey in pixels.grey])
    yield _numeric("JPEG compression", "recording", _column([facts.quantisation for facts in files]))
    sizes = np.log([facts.size_hw for facts in files])
    spans = np.stack([*sizes.T, sizes[:, 1] - sizes[:, 0], sizes.sum(axis=1)], axis=1)
    names = tuple(f"{facts.size_hw[1]} x {facts.size_hw[0]} pixels" for facts in files)
    yield Cue("image size", "recording", spans, _indicators(names), names)
    yield _categorical("camera", "camera", [facts.camera or "none named" for facts in files])
    yield _categorical("software", "camera", [facts.software or "none named" for facts in files])
    yield _categorical("orientation of the camera", "camera", [str(facts.orientation) for facts in files])
    settings = np.array([facts.settings for facts in files], dtype=np.float64)
    yield _numeric("exposure settings", "appearance", settings)
    yield _dates("date taken", [facts.taken for facts in files])
    yield _dates("date in the name", [facts.named for facts in files])
    n_bytes = np.log([facts.n_bytes for facts in files])
    yield _numeric(FILE_SIZE, "unseen", np.stack([n_bytes, n_bytes - sizes.sum(axis=1)], axis=1))


def _name_cue(samples: Sequence[Sample]) -> Cue:
    """How names are built: their runs of digits, and words that occur in both classes.

    A word that only one class has is taken for its name, and tells nothing.
    """
    stems = [sample.file.rpartition("/")[2].rpartition(".")[0] for sample in samples]
    words = [set(re.findall(r"[^\W\d_]{2,}", stem.casefold())) for stem in stems]
    anomalous = [sample.anomalous for sample in samples]
    counts = [Counter(word for mine, which in zip(words, anomalous, strict=True) if which == side for word in mine)
              for side in (False, True)]  # fmt: skip
    fewest = [0.05 * anomalous.count(side) for side in (False, True)]
    shared = [word for word, _ in (counts[0] + counts[1]).most_common()
              if all(count[word] > few for count, few in zip(counts, fewest, strict=True))]  # fmt: skip
    runs = [[len(run) for run in re.findall(r"\d+", stem)] for stem in stems]
    columns = [[run[0] if run else 0, run[-1] if run else 0, len(run)] for run in runs]
    present = [[float(word in mine) for word in shared[:_MOST_LEVELS]] for mine in words]
    return Cue("name pattern", "unseen", np.array(columns, dtype=np.float64), np.array(present))


def _numeric(name: str, kind: CueKind, numbers: Floats, *, bulk: Floats | None = None) -> Cue:
    numbers = numbers.reshape(len(numbers), -1)
    return Cue(name, kind, numbers, _no_shares(len(numbers)), bulk=bulk)


def _categorical(name: str, kind: CueKind, values: Sequence[str]) -> Cue:
    return Cue(name, kind, np.zeros((len(values), 0)), _indicators(values), tuple(values))


def _dates(name: str, dates: Sequence[float | None]) -> Cue:
    seconds = _column(dates)
    words = tuple("none" if date is None else f"{datetime.fromtimestamp(date, UTC):%Y-%m-%d %H:%M}" for date in dates)
    return Cue(name, "time", np.stack([seconds, seconds % 86400], axis=1), _no_shares(len(words)), words)


def _indicators(values: Sequence[str]) -> Floats:
    """(N, b) whether each image has the value, for the commonest values."""
    levels = [level for level, count in Counter(values).most_common(_MOST_LEVELS) if count > 1]
    return np.array([[float(value == level) for level in levels] for value in values]).reshape(len(values), -1)


def _column(values: Sequence[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)


def _no_shares(n: int) -> Floats:
    return np.zeros((n, 0))
