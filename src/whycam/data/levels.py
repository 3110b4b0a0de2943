"""Which stored value is black and which is white, found once for a whole data set: samples may have more than 8 bits.

Cameras keep 10, 12 or 14 bits in files of 16, and some use a narrow part of these. Divided by the range of the type,
such images keep a handful of grey levels; stretched one by one, they lose the brightness that may tell them apart. So
one mapping is found from all images of a set, and every later image goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from whycam.data.tiff_samples import Values
from whycam.data.tiff_tags import Kind
from whycam.data.words import share

Found = Literal["bits in use", "unit range", "range in use", "full range"]

FENCE = 0.25
"""Values further from the range that most images use, in parts of that range, are taken for outliers."""
MARGIN = 1 / 32
"""What a range in use is widened by on each side, in parts of it, for images still to come."""
ENOUGH = 0.5
"""The part of all values of so many bits that must be in use, or the range in use is taken instead."""
TAIL = 0.001
"""The part of an image's samples at each end that may be dead or hot pixels."""
ODD = 0.02
"""The part of a set's images at each end that may be odd ones, such as black frames; one, from five images on."""
OUTSIDE = 0.01
"""An image of which a larger part lies outside the levels is spoken of."""
_SAMPLED = 2**20
_AT_ONCE = 2**20

RemarkCode = Literal[
    "alpha ignored", "bands ignored", "inverted", "first page", "below levels", "above levels", "eight bits", "wide"
]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that must be said about an image that was read; `sentence` says it."""

    code: RemarkCode
    number: float = 0
    """Bands ignored, pages in the file, share of samples outside the levels, or bits a sample."""


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The stored values of one wide image, all channels together, pixels that are fully transparent left out."""

    lowest: float
    low: float
    """0.1 % of the samples are below."""
    high: float
    """0.1 % of the samples are above."""
    highest: float
    whole: bool
    """Whether all are whole numbers, as counts are, in whatever type they are stored."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What one file stores."""

    size_hw: tuple[int, int]
    """Height and width in pixels, upright."""
    bits: int
    """Of one sample, as stored."""
    kind: Kind
    colour: bool
    """Whether it stores colours, which may all be grey."""
    alpha: bool
    """Whether it stores transparency that says something."""
    values: ValueRange | None = None
    """None where samples have 8 bits or fewer, as no levels apply to these."""
    remarks: tuple[Remark, ...] = ()

    @property
    def wide(self) -> bool:
        """Whether samples have more than 8 bits, so that levels apply."""
        return self.values is not None

    @property
    def n_pages(self) -> int:
        """Pages or frames in the file, of which the first was looked at."""
        return next((int(remark.number) for remark in self.remarks if remark.code == "first page"), 1)


@dataclass(frozen=True, slots=True)
class Levels:
    """The value that is black and the value that is white in every wide image of one data set.

    A sample v becomes round(255 * clip((v - low) / (high - low), 0, 1)). Samples of 8 bits or fewer are left alone.
    """

    low: float
    high: float
    found: Found
    """By which rule: see `find_levels`; `full range` is that of each image's own type."""
    mixed: bool = False
    """Whether the set has images of 8 bits as well."""

    @property
    def sane(self) -> bool:
        """Whether both ends are numbers, the white one above the black."""
        return -np.inf < self.low < self.high < np.inf

    def of(self, bits: int, kind: Kind) -> Levels:
        """These levels for samples of one type: the same, but for `full range`."""
        if self.found != "full range":
            return self
        if kind == "float":
            return Levels(0.0, 1.0, "full range", self.mixed)
        low = -(2.0 ** (bits - 1)) if kind == "signed" else 0.0
        return Levels(low, low + 2.0**bits - 1, "full range", self.mixed)

    def outside(self, values: Values) -> tuple[float, float]:
        """The shares of the values below and above the levels, each from 0 to 1."""
        return np.count_nonzero(values < self.low) / values.size, np.count_nonzero(values > self.high) / values.size

    def apply(self, values: Values) -> npt.NDArray[np.uint8]:
        """The values, of any shape, as uint8."""
        if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
            # By a table, as arithmetic on a large image would hold several wide copies of it.
            every = np.arange(2 ** (8 * values.dtype.itemsize)).astype(f"u{values.dtype.itemsize}")
            table = self._mapped(every.view(values.dtype))
            mapped: npt.NDArray[np.uint8] = table[values.view(every.dtype)]
            return mapped
        flat = values.reshape(-1)
        mapped = np.empty(len(flat), dtype=np.uint8)
        for start in range(0, len(flat), _AT_ONCE):
            mapped[start : start + _AT_ONCE] = self._mapped(flat[start : start + _AT_ONCE])
        return mapped.reshape(values.shape)

    def _mapped(self, values: Values) -> npt.NDArray[np.uint8]:
        # Clipped first: the difference of two large floats may overflow.
        share = (np.clip(values.astype(np.float64), self.low, self.high) - self.low) / (self.high - self.low)
        return np.rint(share * 255).astype(np.uint8)


EIGHT_BIT = Levels(0.0, 255.0, "full range", mixed=True)
"""The levels of a data set without wide images: a wide one that comes later is read by the full range of its type."""


def summarise(values: Values) -> ValueRange:
    """The range of an image's samples, an array of any shape with at least one finite number."""
    flat = values.reshape(-1)
    lowest, highest = flat.min(), flat.max()
    whole = values.dtype.kind in "ui" or all(
        bool(np.array_equal(part, np.rint(part)))
        for part in (flat[start : start + _AT_ONCE] for start in range(0, len(flat), _AT_ONCE))
    )
    # Of a large image a regular part tells the same.
    part = flat[:: max(1, len(flat) // _SAMPLED)]
    low, high = np.quantile(part, (TAIL, 1 - TAIL), method="inverted_cdf")
    return ValueRange(float(lowest), float(low), float(high), float(highest), whole)


def find_levels(facts: Iterable[ImageFacts]) -> Levels:
    """The levels of a data set, from the facts of its images; `EIGHT_BIT` where none is wide.

    The range in use goes from the lowest to the highest value that is no outlier: neither a few pixels of an image nor
    a few images of a set widen it. Then:
    - whole numbers from 0 on that need k bits: 0 to 2^k - 1, `bits in use`;
    - other numbers within 0 and 1: 0 to 1, `unit range`;
    - all else, and where less than half of that would be used: the range in use and a margin, `range in use`.
    """
    every = list(facts)
    wide = [image.values for image in every if image.values is not None]
    if not wide:
        return EIGHT_BIT
    mixed = len(wide) < len(every)
    low, high = _in_use(wide)
    counts = all(image.whole for image in wide) and low >= 0
    full = 2.0 ** max(1, int(high).bit_length()) - 1 if counts else 1.0
    # Values that are all the same have no range.
    if low >= 0 and high <= full and (high - low >= ENOUGH * full or high == low):
        return Levels(0.0, full, "bits in use" if counts else "unit range", mixed)
    if high == low:
        return Levels(min(0.0, low), max(0.0, high), "range in use", mixed)
    margin = MARGIN * (high - low)
    return Levels(max(0.0, low - margin) if low >= 0 else low - margin, high + margin, "range in use", mixed)


def _in_use(images: Sequence[ValueRange]) -> tuple[float, float]:
    """The lowest and the highest value that is no outlier, as the whiskers of a box plot are drawn."""
    n_odd = max(1, round(ODD * len(images))) if len(images) >= 5 else 0
    low = sorted(image.low for image in images)[n_odd]
    high = sorted(image.high for image in images)[-1 - n_odd]
    # Images so unlike that no two overlap leave nothing between: then none of them is odd.
    if high < low:
        low, high = min(image.low for image in images), max(image.high for image in images)
    fence = FENCE * (high - low)
    ends = [end for image in images for end in (image.lowest, image.low, image.high, image.highest)]
    return min(end for end in ends if end >= low - fence), max(end for end in ends if end <= high + fence)


def sentence(remark: Remark) -> str:
    """The remark as one sentence about an image."""
    count = f"{remark.number:.0f}"
    part = f"{share(remark.number)} % of its values" if remark.number >= 0.01 else "Some of its values"
    return {
        "alpha ignored": "Its transparency is ignored, as it would hide every pixel.",
        "bands ignored": f"{count} band{'' if count == '1' else 's'} of unknown meaning beside its colours "
        f"{'is' if count == '1' else 'are'} ignored.",
        "inverted": "It stores white as the lowest value, and is read so.",
        "first page": f"Only the first of its {count} pages or frames is read.",
        "below levels": f"{part} are darker than black in the training images, and shown as black.",
        "above levels": f"{part} are brighter than white in the training images, and shown as white.",
        "eight bits": "It has 8 bits a sample, where all training images have more: its brightness may be on another "
        "scale.",
        "wide": f"It has {count} bits a sample, where all training images have 8: its brightness may be on another "
        "scale.",
    }[remark.code]
