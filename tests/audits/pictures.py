"""Small sets of photographs on disk, honest but for what a test plants in them, and all that is measured on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from whycam.audits.cues import Measured, measure
from whycam.data.images import decode_resized
from whycam.types import Pixels, Sample

SIDE = 60
Spoil = Callable[[Pixels, np.random.Generator], Pixels]
"""What is done to the (60, 60) pixels of an anomalous image."""

_SLOPE = np.linspace(-1, 1, SIDE)


def photograph(rng: np.random.Generator) -> Pixels:
    """(60, 60) uint8: a grained part under light that differs from picture to picture, and a camera's noise.

    As no two pictures are lit alike, brightness and contrast say little about what was done to one of them.
    """
    grain = gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(1.8, 2.6))
    down, across = rng.normal(0, 4, 2)
    light = rng.normal(127, 4) + down * _SLOPE[:, np.newaxis] + across * _SLOPE
    surface = light + rng.normal(20, 2) * grain / grain.std()
    return np.clip(surface + rng.normal(0, 4, surface.shape), 0, 255).astype(np.uint8)


def write(path: Path, pixels: Pixels, *, exif: Mapping[int, Any] | None = None) -> None:
    """Stores (h, w) or (h, w, 3) pixels in the format of the path's ending, with these EXIF tags."""
    tags = Image.Exif()
    tags.update(exif or {})
    Image.fromarray(pixels).save(path, **({"exif": tags} if exif else {}))


def samples_of(
    folder: Path,
    *,
    n: tuple[int, int] = (35, 35),
    seed: int = 0,
    spoil: Spoil | None = None,
    exif: Callable[[bool, int], Mapping[int, Any]] | None = None,
    ending: tuple[str, str] = ("png", "png"),
) -> list[Sample]:
    """Photographs in the folder, normal ones first; without `spoil`, `exif` and `ending` nothing tells them apart.

    Args:
        folder: an existing folder.
        n: how many are normal and how many anomalous.
        seed: of the pictures.
        spoil: changes the pixels of the anomalous ones.
        exif: (whether it is anomalous, number in its class) -> EXIF tags.
        ending: of the names of normal and of anomalous files.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for anomalous in (False, True):
        for number in range(n[anomalous]):
            pixels = photograph(rng)
            if anomalous and spoil is not None:
                pixels = spoil(pixels, rng)
            file = f"{'scratch' if anomalous else 'good'}_{number:03}.{ending[anomalous]}"
            write(folder / file, pixels, exif=exif(anomalous, number) if exif else None)
            samples.append(Sample(file, folder / file, target=float(anomalous)))
    return samples


def measured(samples: Sequence[Sample], *, side: int = SIDE) -> Measured:
    """Everything that is judged, of the images as the files hold them now, resized to (side, side)."""
    images = [decode_resized(sample.path, (side, side)) for sample in samples]
    channels = max(image.shape[2] for image in images)
    pixels = np.stack([np.broadcast_to(image, (side, side, channels)) for image in images])
    return measure(samples, lambda rows: pixels[rows])
