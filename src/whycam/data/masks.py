"""Reads masks of true defects: not pictures, so that what is right for pictures would spoil them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from whycam.data.hushed import HUSHED
from whycam.data.images import FORMATS, MAX_PIXELS, check_size, read_bytes
from whycam.data.words import counted
from whycam.errors import ImageError
from whycam.types import Sample


@dataclass(frozen=True)
class Masked:
    """The samples whose masks show a defect."""

    samples: tuple[Sample, ...]
    masks: tuple[npt.NDArray[np.bool_], ...]
    """As many (H, W), true where defective, none of them empty."""
    notes: tuple[str, ...]
    """What was left out and why, one sentence each."""


def read_masks(samples: Sequence[Sample], size_hw: tuple[int, int]) -> Masked:
    """The masks at `size_hw` = (height, width) of those samples that have one; see `read_mask`."""
    found, masks, unreadable, empty = [], [], [], 0
    for sample in samples:
        if sample.mask is None:
            continue
        try:
            mask = read_mask(sample.mask, size_hw)
        except ImageError as error:
            unreadable.append(f"{sample.file} ({error})")
            continue
        if mask.any():
            found.append(sample)
            masks.append(mask)
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
    return Masked(tuple(found), tuple(masks), tuple(notes))


def read_mask(path: Path, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where a mask is not 0, at `size_hw` = (height, width): (H, W) bool, by nearest neighbour.

    Colours count where any channel is not 0, transparency not at all. JPEG smears edges, so there the middle of the
    range is the limit. All of it may be 0, unlike a picture.

    Raises:
        ImageError: the file is missing or cannot be decoded; the text is the reason alone.
        OptionError: `size_hw` is no size.
    """
    height, width = check_size(size_hw)
    data = read_bytes(path)
    try:
        with HUSHED, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS / 1e6:.0f} megapixels")
            limit = 127 if image.format == "JPEG" else 0
            values = np.asarray(_opaque(image))
    except ImageError:
        raise
    # On damaged bytes Pillow raises whatever its parsers trip over: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise ImageError("not a readable mask") from error
    defective = values > limit if values.ndim == 2 else (values > limit).any(axis=2)
    small = Image.fromarray(defective.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(small) > 0


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "L", "RGB", "I", "F") or image.mode.startswith("I;16"):
        return image
    # The colours of a palette count, not the numbers by which it lists them.
    return image.convert("L" if image.mode in ("LA", "La") else "RGB")
