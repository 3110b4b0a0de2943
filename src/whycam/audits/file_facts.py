"""What a file says about its image before any pixel is decoded: classes must not differ in how they were recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from whycam.data.hushed import HUSHED
from whycam.data.images import FORMATS, look
from whycam.data.parallel import in_order
from whycam.errors import DataError, ImageError, printable
from whycam.progress import SILENT, Progress
from whycam.types import Sample

_TURNED = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""
_SETTINGS = (
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ISOSpeedRatings,
    ExifTags.Base.FocalLength,
    ExifTags.Base.Flash,
)
_DATE = re.compile(
    r"(?<!\d)(20\d\d|19\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
    r"(?:[-_.T ]{0,2}([01]\d|2[0-3])[-_.:]?([0-5]\d)(?:[-_.:]?([0-5]\d))?)?(?!\d)"
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file, as its header describes it; empty or None where it says nothing."""

    n_bytes: int
    size_hw: tuple[int, int]
    """Original pixels, height and width, set upright."""
    type: str
    """Format and colour mode, such as `JPEG RGB`."""
    quantisation: float | None
    """Mean of a JPEG's luminance quantisation table: the larger, the harder it was compressed."""
    camera: str
    """Maker and model."""
    software: str
    orientation: int
    """As EXIF numbers it; 0 where it is not given."""
    settings: tuple[float | None, ...]
    """Exposure time, f-number, ISO speed, focal length, flash."""
    taken: float | None
    """When it was taken: seconds since 1970, the camera's clock read as UTC."""
    named: float | None
    """The date in its name, likewise."""


def read_file_facts(samples: Sequence[Sample], *, progress: Progress = SILENT) -> tuple[FileFacts, ...]:
    """The facts of every sample's file, in order; no pixel is decoded.

    Raises DataError for a file that cannot be opened as an image.
    """
    with progress.bar("reading file headers", len(samples)) as bar, closing(in_order(_facts, samples)) as results:
        facts = []
        for found in results:
            facts.append(found)
            bar.advance()
    return tuple(facts)


def date_in(name: str) -> float | None:
    """Seconds since 1970 of the date (and time) that a file name holds as `2023-05-17`, `20230517_101502`, ..."""
    match = _DATE.search(name)
    return _seconds([int(part or 0) for part in match.groups()]) if match else None


def _facts(sample: Sample) -> FileFacts:
    try:
        with HUSHED, Image.open(sample.path, formats=FORMATS) as image:
            n_bytes = sample.path.stat().st_size
            tags = _exif(image)
            orientation = int(_number(tags.get(ExifTags.Base.Orientation)) or 0)
            width, height = image.size
            tables = getattr(image, "quantization", None)
            table = tables.get(0) if isinstance(tables, dict) else None
            kind = f"{image.format} {image.mode}"
    except UnidentifiedImageError:
        return _without_pillow(sample)
    # On damaged bytes Pillow raises whatever its parsers trip over.
    except Exception as error:
        raise DataError(f"{printable(sample.path)} cannot be opened: {error}.") from error
    return FileFacts(
        n_bytes=n_bytes,
        size_hw=(width, height) if orientation in _TURNED else (height, width),
        type=kind,
        quantisation=sum(table) / len(table) if table else None,
        camera=" ".join(filter(None, (_text(tags.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)))),
        software=_text(tags.get(ExifTags.Base.Software)),
        orientation=orientation,
        settings=tuple(_number(tags.get(tag)) for tag in _SETTINGS),
        taken=_taken(tags),
        named=date_in(sample.path.stem),
    )


def _without_pillow(sample: Sample) -> FileFacts:
    """A TIFF of samples that Pillow does not know."""
    try:
        facts, n_bytes = look(sample.path, first_page=True), sample.path.stat().st_size
    except (ImageError, OSError) as error:
        raise DataError(f"{printable(sample.path)} cannot be opened: {error}.") from error
    kind = f"TIFF {facts.bits}-bit {facts.kind} {'colour' if facts.colour else 'grey'}"
    named = date_in(sample.path.stem)
    return FileFacts(n_bytes, facts.size_hw, kind, None, "", "", 0, (None,) * len(_SETTINGS), None, named)


def _exif(image: Image.Image) -> dict[int, Any]:
    # Called on the class, as a PNG's own method decodes the picture to look for tags behind it.
    try:
        exif = Image.Image.getexif(image)
        return {**dict(exif), **exif.get_ifd(ExifTags.IFD.Exif)}
    # Damaged metadata do not make the picture wrong; they say nothing.
    except Exception:  # noqa: BLE001
        return {}


def _text(value: object) -> str:
    return printable(" ".join(str(value).replace("\0", " ").split())) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        number = float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return None
    return number if abs(number) < float("inf") else None


def _taken(tags: dict[int, Any]) -> float | None:
    for tag in (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime):
        parts = re.findall(r"\d+", str(tags.get(tag, "")))
        seconds = _seconds([int(part) for part in parts[:6]]) if len(parts) >= 3 else None
        if seconds is not None:
            return seconds
    return None


def _seconds(parts: list[int]) -> float | None:
    try:
        return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]
    except (ValueError, OverflowError):
        return None
