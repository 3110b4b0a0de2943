"""Reads a TIFF's directories, as they alone say how many pages it has and what its samples mean."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Literal

from whycam.errors import ImageError

Kind = Literal["unsigned", "signed", "float"]
"""What a sample is."""

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
FILL_ORDER, DESCRIPTION, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP = 266, 270, 273, 274, 277, 278
STRIP_COUNTS, PLANES, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS = 279, 284, 317, 322, 323, 324
TILE_COUNTS, SUB_DIRECTORIES = 325, 330
INK_SET, EXTRA_SAMPLES, FORMAT, JPEG_TABLES = 332, 338, 339, 347

COMPRESSIONS = {
    1: "no",
    2: "CCITT",
    3: "CCITT G3",
    4: "CCITT G4",
    5: "LZW",
    6: "old JPEG",
    7: "JPEG",
    8: "deflate",
    32771: "padded",
    32773: "PackBits",
    32946: "deflate",
    34676: "LogLuv",
    34677: "LogLuv",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
}
"""Those that Pillow can unpack."""
PHOTOMETRICS = {
    0: "grey",
    1: "grey",
    2: "RGB",
    3: "palette",
    4: "mask",
    5: "ink",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "raw camera",
    32844: "LogL",
    32845: "LogLuv",
    34892: "raw camera",
}
_SIZES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""TIFF type of whole numbers, text or bytes -> the letter of one in `struct`."""
_NEEDED = frozenset(
    {SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION, STRIP_OFFSETS}
    | {ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, PLANES, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS}
    | {TILE_COUNTS, SUB_DIRECTORIES, INK_SET, EXTRA_SAMPLES, FORMAT, JPEG_TABLES}
)
_KINDS: dict[int, Kind] = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned"}


@dataclass(frozen=True)
class Page:
    """One picture of a TIFF, as its tags describe it."""

    order: Literal["<", ">"]
    """The byte order of numbers, as `struct` and NumPy write it."""
    offset: int
    """Where its directory begins."""
    index: int
    """Its place among all directories."""
    n_pages: int
    """Pictures in the file; reduced copies and masks are none."""
    classic: bool
    """Not BigTIFF."""
    tags: dict[int, tuple[int, ...]] = field(repr=False)

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The tag's numbers, at least one unless `default` has none."""
        return self.tags.get(tag) or default

    def number(self, tag: int, default: int) -> int:
        """The tag's first number."""
        return self.numbers(tag, (default,))[0]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width as stored, before any turn."""
        return self.number(HEIGHT, 0), self.number(WIDTH, 0)

    @property
    def n_samples(self) -> int:
        """Samples a pixel."""
        usual = 3 if self.number(COMPRESSION, 1) == 6 and self.number(PHOTOMETRIC, 6) in (2, 6) else 1
        return self.number(SAMPLES, usual)

    @property
    def bits(self) -> int:
        """Bits of every sample; raises ImageError where they differ."""
        return _the_one(self.numbers(BITS, (1,))[: max(1, self.n_samples)], "sizes of sample", "bits")

    @property
    def kind(self) -> Kind:
        """What the samples are; raises ImageError where they are something else or differ."""
        code = _the_one(self.numbers(FORMAT, (1,))[: max(1, self.n_samples)], "kinds of sample", "")
        if code not in _KINDS:
            raise ImageError("TIFF of complex numbers" if code in (5, 6) else f"TIFF with unknown samples ({code})")
        return _KINDS[code]

    @property
    def n_colours(self) -> int:
        """Samples a pixel without the extra ones; raises ImageError where the tags do not fit together."""
        if PHOTOMETRIC not in self.tags and self.number(COMPRESSION, 1) != 6:
            raise ImageError("TIFF without the tag that says whether 0 is black (PhotometricInterpretation)")
        photometric = self.number(PHOTOMETRIC, 6)
        if photometric not in PHOTOMETRICS:
            raise ImageError(f"TIFF of an unknown kind of colour (PhotometricInterpretation {photometric})")
        colours = {2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3, 32845: 3, 34892: 3}.get(photometric, 1)
        if photometric == 6 and self.n_samples == 1:
            return 1
        if self.n_samples < colours:
            raise ImageError(f"damaged: a TIFF of {PHOTOMETRICS[photometric]} pixels with {self.n_samples} bands")
        return colours

    @property
    def alpha(self) -> tuple[int, bool] | None:
        """The band that its tags name as alpha, and whether colours are multiplied by it already; or None."""
        # Nobody lays inks on white.
        if self.number(PHOTOMETRIC, 6) == 5:
            return None
        for place, meaning in enumerate(self.numbers(EXTRA_SAMPLES)[: self.n_samples - self.n_colours]):
            # 999 is how Corel Draw names an alpha.
            if meaning in (1, 2, 999):
                return self.n_colours + place, meaning == 1
        return None


def find_page(data: bytes) -> Page:
    """The first page of a TIFF; reduced copies of a picture (previews, overviews) and masks are passed over.

    Raises ImageError where its directories cannot be read or hold a preview alone.
    """
    try:
        order, classic, found = _directories(data)
    except (struct.error, IndexError) as error:
        raise ImageError("truncated: the file ends before the picture does") from error
    pages = [place for place, (_, tags) in enumerate(found) if not _is_secondary(tags)]
    # Camera raw files keep the picture itself out of the chain.
    if not pages and any(tags.get(SUB_DIRECTORIES) for _, tags in found):
        raise ImageError("TIFF (perhaps a camera's raw file) that shows only a small preview of its picture")
    index = pages[0] if pages else 0
    offset, tags = found[index]
    return Page(order, offset, index, max(1, len(pages), _stacked(tags) if len(pages) <= 1 else 0), classic, tags)


def is_tiff(data: bytes) -> bool:
    """Whether the file begins as a TIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")


def _the_one(values: tuple[int, ...], what: str, unit: str) -> int:
    if len(set(values)) != 1:
        raise ImageError(f"TIFF with several {what} ({', '.join(map(str, values[:6]))} {unit}".rstrip() + ")")
    return values[0]


_Directory = tuple[int, dict[int, tuple[int, ...]]]


def _directories(data: bytes) -> tuple[Literal["<", ">"], bool, list[_Directory]]:
    order: Literal["<", ">"] = "<" if data[:1] == b"I" else ">"
    classic = 43 not in data[2:4]
    offset = struct.unpack_from(order + ("I" if classic else "Q"), data, 4 if classic else 8)[0]
    found: list[_Directory] = []
    seen: set[int] = set()
    while offset:
        # A chain that bites its tail ends there, as in every reader.
        if offset in seen:
            break
        seen.add(offset)
        if offset >= len(data):
            raise struct.error
        tags, after = _tags(data, order, classic, offset)
        found.append((offset, tags))
        offset = struct.unpack_from(order + ("I" if classic else "Q"), data, after)[0]
    if not found:
        raise ImageError("damaged: a TIFF without a picture")
    return order, classic, found


def _tags(data: bytes, order: str, classic: bool, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
    head, entry, inline = ("H", "HHI4s", 4) if classic else ("Q", "HHQ8s", 8)
    count = struct.unpack_from(order + head, data, offset)[0]
    at, step = offset + struct.calcsize(order + head), struct.calcsize(order + entry)
    if at + count * step > len(data):
        raise struct.error
    tags: dict[int, tuple[int, ...]] = {}
    for place in range(at, at + count * step, step):
        tag, kind, number, raw = struct.unpack_from(order + entry, data, place)
        letter = _SIZES.get(kind, "")
        if tag not in _NEEDED or tag in tags or not letter or not number:
            continue
        size = number * struct.calcsize("=" + letter)
        if size > inline:
            start = struct.unpack(order + ("I" if classic else "Q"), raw)[0]
            raw = data[start : start + size]
        # A tag that is taken for missing would change what the samples mean.
        if len(raw) < size and tag != DESCRIPTION:
            raise struct.error
        if len(raw) >= size:
            tags[tag] = struct.unpack_from(f"{order}{number}{letter}", raw)
    return tags, at + count * step


def _is_secondary(tags: dict[int, tuple[int, ...]]) -> bool:
    reduced_or_mask = tags.get(SUBFILE, (0,))[0] & 0b101
    return bool(reduced_or_mask) or tags.get(OLD_SUBFILE, (1,))[0] == 2


def _stacked(tags: dict[int, tuple[int, ...]]) -> int:
    """Pictures that ImageJ keeps behind one directory, which only its description tells."""
    text = bytes(number & 255 for number in tags.get(DESCRIPTION, ())[:200])
    found = re.search(rb"^images=(\d{1,6})", text, re.MULTILINE) if text.startswith(b"ImageJ=") else None
    return int(found[1]) if found else 0
