"""The size of an image and how EXIF turns it, from its header alone: thousands of files in a second."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from whycam.data.hushed import HUSHED
from whycam.data.stored import FORMATS, TURNS

_ORIENTATION = 0x0112
_TAIL = 2**16
"""So many bytes at the end of a PNG are searched for EXIF."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture before any pixel is decoded."""

    upright_wh: tuple[int, int]
    """Width and height as people see it."""
    orientation: int
    """EXIF's number; 1 where the stored pixels are upright."""

    @property
    def turn(self) -> Image.Transpose | None:
        """What sets the stored pixels upright; None where they are."""
        return TURNS.get(self.orientation)

    @property
    def stored_wh(self) -> tuple[int, int]:
        """Width and height of the stored pixels."""
        width, height = self.upright_wh
        return (height, width) if self.orientation in (5, 6, 7, 8) else (width, height)


def read_header(path: Path) -> Header | None:
    """The header of one image; None where the file cannot be read or is none."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return None
        with HUSHED, Image.open(path, formats=FORMATS) as image:
            return header_of(image)
    # On damaged bytes Pillow raises whatever its parsers trip over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception:  # noqa: BLE001
        return None


def _ends_with_exif(image: Image.Image) -> bool:
    file = getattr(image, "fp", None)
    if file is None:
        return False
    place = file.tell()
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _TAIL))
    found = b"eXIf" in file.read()
    file.seek(place)
    return found


def header_of(image: Image.Image) -> Header:
    """The same of an image that was opened and not yet loaded."""
    try:
        # Pillow decodes a whole PNG to look for EXIF behind its pixels.
        there = image.format != "PNG" or "exif" in image.info or _ends_with_exif(image)
        orientation = int(image.getexif().get(_ORIENTATION, 1)) if there else 1
    # Damaged metadata do not make the pixels wrong; viewers ignore them too.
    except Exception:  # noqa: BLE001
        orientation = 1
    orientation = orientation if orientation in TURNS else 1
    width, height = image.size
    # Pillow turns a TIFF by itself, and gives its size as it will be.
    if orientation in (5, 6, 7, 8) and image.format != "TIFF":
        width, height = height, width
    return Header((width, height), orientation)
