"""Letters on pictures: a font that is there on every machine, and names cut so that both ends can still be read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import matplotlib
from PIL import ImageFont

Face = Literal["DejaVuSans", "DejaVuSans-Bold"]


@cache
def font(size: int, face: Face = "DejaVuSans") -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, in pixels; it knows Latin, Greek, Cyrillic, Arabic and Hebrew letters."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"), size)


def fit_text(text: str, face: ImageFont.FreeTypeFont, *, width: float) -> str:
    """The text, or the longest text with its middle replaced by an ellipsis that is at most `width` pixels wide."""
    if face.getlength(text) <= width:
        return text
    kept, too_many = 0, len(text)
    while kept + 1 < too_many:
        middle = (kept + too_many) // 2
        if face.getlength(_shortened(text, middle)) <= width:
            kept = middle
        else:
            too_many = middle
    return _shortened(text, kept)


def _shortened(text: str, kept: int) -> str:
    """`kept` letters, shared between the beginning and the end, which carries the suffix."""
    tail = (kept + 1) // 2
    return f"{text[: kept - tail]}…{text[len(text) - tail :]}"
