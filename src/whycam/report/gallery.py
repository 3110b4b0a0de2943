"""Pictures that show why: the image, its heat, both together, and the segments, side by side on one scale."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from whycam.atomic import write_bytes
from whycam.data.parallel import in_order
from whycam.errors import printable
from whycam.progress import SILENT, Progress
from whycam.report.colours import colourise, outline, overlay
from whycam.report.lettering import fit_text, font
from whycam.report.words import facts, outcome, outcome_words, scale_labels, segment_count, split_name
from whycam.types import Exhibit, Segment

_TILE = 256
"""Side of a square tile; tiles of any shape have about this area."""
_LONGEST = 420
_GAP = 14
_BAR = 18
_LOWEST = 90
"""Room that the colour bar's three values need, however flat the tiles are."""
_NARROWEST = 150
"""A tile's column, so that its heading fits; a panel has four, so that its caption fits."""

BOXES = 5
"""So many segments, those with the most evidence, are boxed; more boxes would hide what they mark."""

_FOOT = 24
"""Room for the line below the tiles."""

_PAPER, _INK, _GREY, _EDGE = (255, 255, 255), (31, 35, 40), (98, 106, 115), (208, 213, 219)
_OWN_NAME = re.compile(r"\d{3,}_(miss|false-alarm|unsure|right|unlabelled)_.*\.png")
_WRONG, _RIGHT = (164, 60, 0), (0, 92, 148)
_TAGS = {"miss": _WRONG, "false-alarm": _WRONG, "unsure": _GREY, "right": _RIGHT, "unlabelled": _GREY}


@dataclass(frozen=True)
class Tiles:
    """The four pictures of one exhibit, all of one size, fit for looking at."""

    image: Image.Image
    heatmap: Image.Image
    overlay: Image.Image
    segments: Image.Image


def tiles(exhibit: Exhibit, scale: float) -> Tiles:
    """The four pictures of an exhibit, scaled to a common area with its aspect ratio kept.

    Lines are drawn after scaling, so they are equally fine on every picture; small images keep their pixels visible.

    Args:
        exhibit: image (H, W, 3) with heatmap and masks (H, W).
        scale: the heat shown as the hottest colour, one for the whole run.

    Raises:
        ValueError: image, heatmap and masks differ in size, or the heatmap is not finite.
    """
    height, width = exhibit.image.shape[:2]
    if exhibit.heatmap.shape != (height, width):
        raise ValueError(f"{exhibit.file}: the heatmap is {exhibit.heatmap.shape}, its image {(height, width)}.")
    size = _tile_size(width, height)
    image = np.asarray(_resized(Image.fromarray(exhibit.image), size))
    heatmap = np.asarray(_resized(Image.fromarray(exhibit.heatmap.astype(np.float32)), size))
    segments = [_scaled(segment, size) for segment in exhibit.segments]
    return Tiles(
        image=Image.fromarray(image),
        heatmap=Image.fromarray(colourise(heatmap, scale)),
        overlay=Image.fromarray(overlay(image, heatmap, scale=scale)),
        segments=Image.fromarray(outline(image, segments, thickness=2, n_boxes=BOXES)),
    )


def panel(exhibit: Exhibit, *, scale: float, method: str) -> Image.Image:
    """One picture that explains itself: caption, four tiles with headings, the colour scale with its values, and
    what it does not show.

    Args:
        exhibit: what to show.
        scale: the heat shown as the hottest colour.
        method: name of the heatmap's method, written above it.

    Raises:
        ValueError: as `tiles`.
    """
    shown = tiles(exhibit, scale)
    tile_width, tile_height = shown.image.size
    column = max(tile_width, _NARROWEST)
    headings = ("input", f"{method} heatmap", "overlay", segments_heading(exhibit))
    top = 84
    labels = _scale_labels(scale)
    room = _BAR + 8 + math.ceil(max(font(13).getlength(text) for text in labels.values())) + _GAP
    width = _GAP + 4 * (column + _GAP) + room
    sheet = Image.new("RGB", (width, top + max(tile_height, _LOWEST) + _GAP + _FOOT), _PAPER)
    pen = ImageDraw.Draw(sheet)

    small, middle, strong = font(13), font(14), font(16, "DejaVuSans-Bold")
    tag = outcome_words(exhibit)
    tag_width = pen.textlength(tag, small) + 20
    pen.rounded_rectangle((width - _GAP - tag_width, 11, width - _GAP, 33), 4, fill=_TAGS[outcome(exhibit)])
    pen.text((width - _GAP - tag_width / 2, 22), tag, _PAPER, small, anchor="mm")
    name = fit_text(printable(exhibit.file), strong, width=width - 3 * _GAP - tag_width)
    pen.text((_GAP, 22), name, _INK, strong, anchor="lm")
    caption = facts(exhibit) + (f" · {split_name(exhibit.split)} image" if exhibit.split else "")
    pen.text((_GAP, 45), caption, _INK, middle, anchor="lm")

    pictures = (shown.image, shown.heatmap, shown.overlay, shown.segments)
    for i, (heading, picture) in enumerate(zip(headings, pictures, strict=True)):
        left = _GAP + i * (column + _GAP)
        pen.text((left, top - 8), fit_text(printable(heading), small, width=column), _GREY, small, anchor="ls")
        sheet.paste(picture, (left, top))
        pen.rectangle((left - 1, top - 1, left + tile_width, top + tile_height), outline=_EDGE)
    warning = f"{method} of a neural network: an estimate of what raised its score, not proof of a defect."
    warning = fit_text(printable(warning), small, width=width - 2 * _GAP)
    pen.text((_GAP, sheet.height - _GAP), warning, _GREY, small, anchor="ls")
    _draw_scale(sheet, left=width - room, top=top, height=max(tile_height, _LOWEST), labels=labels)
    return sheet


def segments_heading(exhibit: Exhibit) -> str:
    """`1 segment`, or, where not every segment is boxed, `42 segments (5 boxed)`."""
    return segment_count(exhibit) + (f" ({BOXES} boxed)" if len(exhibit.segments) > BOXES else "")


def colour_scale(width: int, height: int) -> Image.Image:
    """The colours from cold (left) to hot (right), `width` x `height` pixels."""
    return Image.fromarray(colourise(np.tile(np.linspace(0, 1, width), (height, 1)), 1.0))


def save_gallery(
    folder: Path, exhibits: Sequence[Exhibit], *, scale: float, method: str, progress: Progress = SILENT
) -> tuple[Path, ...]:
    """Write `folder`/gallery/001_miss_NAME.png and so on, in the order given, and return the paths.

    Pictures of an earlier gallery that are not written again are removed; other files in the folder stay.

    Raises:
        ValueError: as `tiles`.
        OSError: a file cannot be written.
    """
    gallery = folder / "gallery"
    gallery.mkdir(parents=True, exist_ok=True)
    paths = [gallery / _picture_name(place, exhibit) for place, exhibit in enumerate(exhibits, start=1)]
    panels = (panel(exhibit, scale=scale, method=method) for exhibit in exhibits)
    with progress.bar("drawing the gallery", len(exhibits)) as bar, closing(in_order(_png, panels)) as encoded:
        for path, content in zip(paths, encoded, strict=True):
            write_bytes(path, content)
            bar.advance()
    for old in gallery.glob("*.png"):
        if _OWN_NAME.fullmatch(old.name) and old not in paths:
            old.unlink()
    return tuple(paths)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Half the time of the usual level, for files a tenth larger.
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _picture_name(place: int, exhibit: Exhibit) -> str:
    """`001_miss_cell0001.png`: letters and digits of any script, anything else a hyphen, short enough for any disk."""
    stem = re.sub(r"[^\w.-]+", "-", printable(Path(exhibit.file).stem)).strip(".-") or "image"
    return f"{place:03d}_{outcome(exhibit)}_{stem[:40]}.png"


def _tile_size(width: int, height: int) -> tuple[int, int]:
    """Of a tile's area with the same aspect ratio; small images grow by a whole factor, so all pixels stay equal."""
    factor = min(_TILE / (width * height) ** 0.5, _LONGEST / max(width, height))
    if factor >= 2:
        factor = int(factor)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Pixels stay squares when enlarged and are averaged when reduced, which keeps heat between its bounds."""
    enlarged = size[0] >= 2 * picture.width
    return picture.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _scaled(segment: Segment, size: tuple[int, int]) -> Segment:
    """The segment on a tile's pixels; what is smaller than a pixel there keeps one."""
    height, width = segment.mask.shape
    across, down = size[0] / width, size[1] / height
    left, top, right, bottom = segment.box
    corner = min(round(left * across), size[0] - 1), min(round(top * down), size[1] - 1)
    box = (*corner, max(corner[0] + 1, round(right * across)), max(corner[1] + 1, round(bottom * down)))
    mask = Image.fromarray(segment.mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return replace(segment, mask=np.asarray(mask) >= 128, box=box)


def _scale_labels(scale: float) -> dict[float, str]:
    """What stands beside the colour bar, by the share of its height."""
    if scale <= 0:
        return {0.0: "0"}
    middle, most = scale_labels(scale)
    return {0.0: "0", 0.5: middle, 1.0: f"≥ {most}"}


def _draw_scale(sheet: Image.Image, *, left: int, top: int, height: int, labels: Mapping[float, str]) -> None:
    """The colour bar, hot at the top, with the heat at its ends and middle."""
    sheet.paste(colour_scale(height, _BAR).transpose(Image.Transpose.ROTATE_90), (left, top))
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((left - 1, top - 1, left + _BAR, top + height), outline=_GREY)
    for part, label in labels.items():
        y = top + (height - 1) * (1 - part)
        pen.line((left + _BAR, y, left + _BAR + 4, y), fill=_GREY)
        pen.text((left + _BAR + 8, y), label, _INK, font(13), anchor={0.0: "ls", 0.5: "lm", 1.0: "lt"}[part])
