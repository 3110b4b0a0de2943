"""What one image looks like in 4 KB: enough to find its near duplicates among thousands without decoding any again."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn

from whycam.types import Floats, Pixels

Bytes = npt.NDArray[np.uint8]
_Number = TypeVar("_Number", bound=np.number)

VIEWS = 8
"""Quarter turns, each also mirrored: view v is `turned(image, v)`."""
SIDE = 64
"""Pixels a side of the thumbnail."""
_HASH_SIDE = 8
_HASH_BYTES = _HASH_SIDE * _HASH_SIDE // 8
_HASHED_SIDE = 4 * _HASH_SIDE
"""Pixels a side of what is hashed."""
_DECIMALS = 6
"""Frequencies that agree so far are equal: those of a symmetric image are 0 or differ by rounding only."""


def fingerprints_of(images: Pixels) -> Bytes:
    """(n, 4160) uint8: each perceptual hash of 64 bits in the eight views, then a grey thumbnail, 64 x 64.

    The hash (pHash, bit for bit as the package imagehash has it) holds the signs of the 8 x 8 lowest frequencies
    against their median, so it withstands other brightness, size and compression.

    Args:
        images: (n, H, W, 1) grey or (n, H, W, 3) RGB, at least 64 pixels a side or so.
    """
    if not len(images):
        return np.zeros((0, VIEWS * _HASH_BYTES + SIDE * SIDE), dtype=np.uint8)
    thumbnails, upright, lying = (np.stack(parts) for parts in zip(*map(_reduced, images), strict=True))
    hashes = _hashes(upright, lying).reshape(len(images), -1)
    return np.concatenate([np.packbits(hashes, axis=1), thumbnails.reshape(len(images), -1)], axis=1)


def hashes_of(fingerprints: Bytes, view: int) -> npt.NDArray[np.bool_]:
    """(N, 64) the bits of one view's hashes, from (N, 4160) fingerprints."""
    first = view * _HASH_BYTES
    return np.unpackbits(fingerprints[:, first : first + _HASH_BYTES], axis=1).astype(np.bool_)


def thumbnails_of(fingerprints: Bytes) -> Bytes:
    """(N, 64, 64) grey thumbnails from (N, 4160) fingerprints."""
    return fingerprints[:, VIEWS * _HASH_BYTES :].reshape(-1, SIDE, SIDE)


def turned(images: npt.NDArray[_Number], view: int) -> npt.NDArray[_Number]:
    """Images (..., S, S) turned by `view` quarter turns to the left, and mirrored from view 4 on."""
    rotated = np.rot90(images, view % 4, axes=(-2, -1))
    return np.ascontiguousarray(rotated[..., ::-1] if view >= 4 else rotated)


def _reduced(pixels: Pixels) -> tuple[Bytes, Bytes, Bytes]:
    """The thumbnail, (64, 64), and that at the size that is hashed, (32, 32): as it is, and transposed."""
    image = Image.fromarray(pixels[:, :, 0]) if pixels.shape[2] == 1 else Image.fromarray(pixels).convert("L")
    small = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    # Pillow rounds between rows and columns, so the smaller of the transposed is not the transposed of the smaller.
    upright, lying = (
        picture.resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.LANCZOS)
        for picture in (small, small.transpose(Image.Transpose.TRANSPOSE))
    )
    return np.asarray(small), np.asarray(upright), np.asarray(lying)


def _hashes(upright: Bytes, lying: Bytes) -> npt.NDArray[np.bool_]:
    """(n, 8, 64) bits in the eight views, from images (n, 32, 32) and the same transposed.

    Turns and reflections are transpositions and flips, and a flip changes the sign of every other frequency.
    """
    lowest = [_lowest_frequencies(images) for images in (upright, lying)]
    flipped = np.where(np.arange(_HASH_SIDE) % 2, -1.0, 1.0)
    hashes = []
    for view in range(VIEWS):
        turns = view % 4
        frequencies = lowest[turns % 2]
        if turns in (1, 2):
            frequencies = frequencies * flipped[:, np.newaxis]
        if (turns in (2, 3)) != (view >= 4):
            frequencies = frequencies * flipped
        every = frequencies.reshape(len(frequencies), -1)
        hashes.append(every > np.median(every, axis=1, keepdims=True))
    return np.stack(hashes, axis=1)


def _lowest_frequencies(images: Bytes) -> Floats:
    """(n, 8, 8) of the discrete cosine transform of images (n, 32, 32)."""
    found: Floats = dctn(images.astype(np.float64), axes=(1, 2))[:, :_HASH_SIDE, :_HASH_SIDE]
    return found.round(_DECIMALS)
