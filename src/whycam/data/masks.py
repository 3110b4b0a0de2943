"""Reads masks of true defects: not pictures, so that what is right for pictures would spoil them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from whycam.data.headers import Header, header_of, read_header
from whycam.data.hushed import HUSHED
from whycam.data.images import FORMATS, MAX_PIXELS, check_size, read_bytes
from whycam.data.words import counted
from whycam.errors import ImageError
from whycam.types import Sample

INVERTED_ABOVE = 0.5
"""A mask that covers more of its image looks inverted."""
_ASPECT_TOLERANCE = 0.02
_MIDDLE, _FULL = 127, 255
_NAMED = 5

_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Masked:
    """The samples whose masks show a defect."""

    samples: tuple[Sample, ...]
    masks: tuple[_Bools, ...]
    """As many (H, W), true where defective, none of them empty."""
    notes: tuple[str, ...]
    """What was left out and why, one sentence each."""


def read_masks(samples: Sequence[Sample], size_hw: tuple[int, int]) -> Masked:
    """The masks at `size_hw` = (height, width) of those samples that have one; see `read_mask`.

    Where every one of them covers more than half of its image, they are inverted, and none is given back.
    """
    found, masks, unreadable, empty, inverted = [], [], [], 0, []
    for sample in samples:
        if sample.mask is None:
            continue
        try:
            mask = read_mask(sample.mask, size_hw, image=sample.path)
        except ImageError as error:
            unreadable.append(f"{sample.file} ({error})")
            continue
        if mask.any():
            found.append(sample)
            masks.append(mask)
            if mask.mean() > INVERTED_ABOVE:
                inverted.append(sample.file)
        else:
            empty += sample.anomalous
    notes = []
    if unreadable:
        notes.append(f"{counted(len(unreadable), 'mask')} could not be read, first that of {unreadable[0]}.")
    if empty:
        notes.append(
            f"{counted(empty, 'anomalous image')} without any defective pixel in the mask at the model's "
            f"{size_hw[0]} x {size_hw[1]} pixels."
        )
    if inverted:
        names = ", ".join(inverted[:_NAMED]) + (f" and {len(inverted) - _NAMED} more" if len(inverted) > _NAMED else "")
        if len(inverted) == len(found):
            notes.append(
                f"All {counted(len(found), 'mask')} cover more than half of their image, as masks do that are inverted "
                "(white where nothing is wrong), so heatmaps were not measured by them: invert them and measure again."
            )
            return Masked((), (), tuple(notes))
        verb = "covers more than half of its image" if len(inverted) == 1 else "cover more than half of their image"
        notes.append(f"{counted(len(inverted), 'mask')} of {len(found)} {verb}, and may be inverted: {names}.")
    return Masked(tuple(found), tuple(masks), tuple(notes))


def read_mask(path: Path, size_hw: tuple[int, int], *, image: Path | None = None) -> _Bools:
    """Where a mask shows a defect, at `size_hw` = (height, width): (H, W) bool, by nearest neighbour.

    Defective is what is not 0: 0 and 1, 0 and 255, or numbers of labels, of any depth; of colours and palettes any
    channel of the colour. Where values between 0 and the highest are but the smoothed edges of shapes, the middle of
    the range is the limit, as it is in JPEG, which smears edges. Where a mask has a transparent ground, what is drawn
    on it is defective in any colour. All of it may be ground, unlike a picture.

    A mask is turned as its own EXIF orientation says, and where it has none as that of its `image` does if its size
    shows that it was drawn on the stored pixels.

    Raises:
        ImageError: the file is missing or cannot be decoded; the text is the reason alone.
        OptionError: `size_hw` is no size.
    """
    height, width = check_size(size_hw)
    defective = read_whole(path, image=None if image is None else read_header(image))
    small = Image.fromarray(defective.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(small) > 0


def read_whole(path: Path, *, image: Header | None = None) -> _Bools:
    """The same at the size of the mask itself, upright; `image` is the header of the image it belongs to."""
    data = read_bytes(path)
    try:
        with HUSHED, Image.open(io.BytesIO(data), formats=FORMATS) as mask:
            if mask.width * mask.height > MAX_PIXELS:
                raise ImageError(f"{mask.width} x {mask.height} pixels, more than {MAX_PIXELS / 1e6:.0f} megapixels")
            own = header_of(mask)
            # Pillow turns a TIFF by itself while it loads.
            turn = None if mask.format == "TIFF" else own.turn
            if own.orientation == 1 and image is not None and drawn_on(own.upright_wh, image) == "stored":
                turn = image.turn
            defective = _defective(mask)
    except ImageError:
        raise
    # On damaged bytes Pillow raises whatever its parsers trip over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise ImageError("not a readable mask") from error
    if turn is None:
        return defective
    return np.asarray(Image.fromarray(defective.astype(np.uint8)).transpose(turn)) > 0


def drawn_on(mask_wh: tuple[int, int], image: Header) -> str:
    """Which pixels of its image a mask was drawn on, as its size shows.

    `upright` or `stored`; `either` where EXIF turns or mirrors the image and both would fit; `neither` where its aspect
    is another one.
    """
    upright, stored = _same_aspect(mask_wh, image.upright_wh), _same_aspect(mask_wh, image.stored_wh)
    if upright and stored and image.turn is not None:
        return "either"
    return "upright" if upright else "stored" if stored else "neither"


def _same_aspect(first_wh: tuple[int, int], second_wh: tuple[int, int]) -> bool:
    (w, h), (width, height) = first_wh, second_wh
    # A side of a small mask is a rounded number.
    slack = max(_ASPECT_TOLERANCE, 1 / min(w, h, width, height))
    return abs(w * height - h * width) <= slack * w * height


def _defective(mask: Image.Image) -> _Bools:
    if mask.has_transparency_data:
        return _of_layer(np.asarray(mask.convert("RGBA")))
    values = np.asarray(_plain(mask))
    values = values if values.ndim == 2 else values.max(axis=2)
    if mask.format == "JPEG":
        return np.asarray(values > _MIDDLE)
    return _without_edges(values)


def _of_layer(pixels: npt.NDArray[np.uint8]) -> _Bools:
    """(H, W, 4) RGBA -> what is drawn on transparent ground, whatever its colour."""
    drawn, coloured = np.asarray(pixels[..., 3] > 0), np.asarray(pixels[..., :3].any(axis=2))
    if not drawn.any():
        # An alpha channel that is 0 everywhere says nothing; one colour everywhere is an empty layer.
        return np.zeros_like(coloured) if coloured.all() else coloured
    if (pixels[..., 3] == _FULL).all():
        return _without_edges(pixels[..., :3].max(axis=2))
    # A layer may be a whole black and white mask of which but the margin is cut away.
    if drawn.mean() > INVERTED_ABOVE and coloured[drawn].any() and not coloured[drawn].all():
        return np.asarray(drawn & coloured)
    return _without_edges(pixels[..., 3])


def _without_edges(values: npt.NDArray[Any]) -> _Bools:
    """(H, W) values -> where they are not 0, less the outer half of smoothed edges."""
    shown: _Bools = np.asarray(values != 0)
    top = float(values.max())
    between = shown & (values < top)
    # Labels are small numbers, or fill areas of their own; an edge is a thin line around what it belongs to.
    if top <= _MIDDLE or not between.any() or ndimage.binary_erosion(between, np.ones((3, 3), dtype=bool)).any():
        return shown
    above: _Bools = np.asarray(values > top / 2)
    shapes, n = ndimage.label(shown, np.ones((3, 3), dtype=bool))
    with_core = np.zeros(n + 1, dtype=bool)
    with_core[np.unique(shapes[above])] = True
    return np.asarray(above | (shown & ~with_core[shapes]))


def _plain(mask: Image.Image) -> Image.Image:
    if mask.mode in ("1", "L", "RGB", "I", "F") or mask.mode.startswith("I;16"):
        return mask
    # The colours of a palette count, not the numbers by which it lists them.
    return mask.convert("L" if mask.mode in ("LA", "La") else "RGB")
