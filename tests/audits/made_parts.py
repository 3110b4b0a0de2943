"""Pictures of made-up parts, copies of them, and features that are cheap to compute."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from whycam.audits.fingerprints import fingerprints_of as prints_of

SIDE = 160


def part(rng: np.random.Generator) -> np.ndarray:
    """(160, 160) uint8: a frame that all parts share, and a grain of its own."""
    grain = gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
    image = 110 + 25 * grain / grain.std()
    image[60:70] -= 60
    image[:, :8] += 70
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def parts(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([part(rng) for _ in range(n)])


def features_of(images: np.ndarray) -> np.ndarray:
    """(N, 200) float32: means and maxima of 10 x 10 patches."""
    cells = images.reshape(len(images), 10, 16, 10, 16).astype(np.float32) / 40
    return np.concatenate([cells.mean(axis=(2, 4)), cells.max(axis=(2, 4))], axis=1).reshape(len(images), -1)


def fingerprints_of(images: np.ndarray) -> np.ndarray:
    return prints_of(images[..., np.newaxis])


def _stored(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


def _noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "stored as JPEG": _stored,
    "10 % brighter": lambda image: image.point(lambda value: min(255, round(1.1 * value))),
    "80 % of the size": lambda image: image.resize((128, 128), Image.Resampling.BILINEAR),
    "noisier": _noisy,
    "3 % cut off": lambda image: image.crop((4, 1, SIDE - 1, SIDE - 4)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "a quarter turn": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
}


def changed(images: np.ndarray, change: str) -> np.ndarray:
    """The images changed in that way, at their old size."""
    done = [CHANGES[change](Image.fromarray(image)) for image in images]
    return np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for image in done])
