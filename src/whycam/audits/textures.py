"""What light, blur and compression leave of an image: its texture, by which turned and moved copies are recognised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.fft import fft2, rfft
from scipy.ndimage import binary_dilation, gaussian_filter, label, map_coordinates, maximum_filter, minimum_filter

from whycam.audits.fingerprints import SIDE, Bytes
from whycam.data.parallel import in_order
from whycam.types import Floats

_Bools = npt.NDArray[np.bool_]

_SHARP, _COARSE, _AROUND = 0.7, 4.0, 6.0
"""Standard deviations, in pixels of 64: of what is smoothed away, of what is taken off, and of the contrast around."""
_FLAT = 4
"""Grey levels; where 3 x 3 pixels differ by no more up to the edge, there is a border, not a picture."""
_FEWEST_FLAT = 24
_MOST_FLAT = 0.75
_BLOCK = 128
_PADDED = 2 * SIDE
_ANGLES = 64
_RINGS = 24
_LOWEST, _HIGHEST = 4.0, 40.0
"""Cycles in two image sides."""
_HARMONICS = 12
_DIRECTIONS = 64
_ROWS = 1500


class Textures:
    """Textures of N thumbnails, and how wide and high the images are that they were made from."""

    def __init__(self, thumbnails: Bytes, halves: Floats) -> None:
        """Args: thumbnails: (N, 64, 64); halves: (N, 2) height and width, of area 1."""
        n = len(thumbnails)
        self.halves = halves.astype(np.float32)
        self.values = np.empty((n, SIDE, SIDE), dtype=np.float16)
        """(N, 64, 64) of local mean 0 and local spread about 1; 0 where there is no picture."""
        self.valid = np.empty((n, SIDE, SIDE), dtype=np.bool_)
        """(N, 64, 64) where there is one: not on an even border, such as turning an image leaves in its corners."""
        self.shapes = np.empty((n, _RINGS * (_HARMONICS - 1)), dtype=np.float32)
        """(N, 264) which frequencies are strong in directions how far apart: the same for an image that is moved, and
        nearly so for one that is turned or mirrored."""

        def measure(block: slice) -> None:
            values, valid = _texture(thumbnails[block])
            self.values[block], self.valid[block] = values, valid
            self.shapes[block] = _shapes(values, self.halves[block])

        deque(in_order(measure, _blocks(n)), maxlen=0)

    def signatures(self, *, seed: int) -> Floats:
        """(N, K <= 64) of length 1: the shapes along their principal directions, all of which count alike."""
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.shapes))[:_ROWS])
        spread = self.shapes[drawn].std(axis=0) + 1e-6
        mean = self.shapes[drawn].mean(axis=0)
        scaled = (self.shapes - mean) / spread
        _, lengths, directions = np.linalg.svd(scaled[drawn], full_matrices=False)
        kept = min(_DIRECTIONS, int((lengths > 1e-4 * lengths[0]).sum())) if len(lengths) else 0
        softened = lengths[:kept] / max(float(lengths[0]), 1e-9) + 0.05 if kept else lengths[:0]
        return of_length_1(scaled @ (directions[:kept].T / softened))


def of_length_1(rows: Floats) -> Floats:
    """Rows (N, K) divided by their lengths."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return found


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, first + _BLOCK) for first in range(0, n, _BLOCK))


def _texture(thumbnails: Bytes) -> tuple[Floats, _Bools]:
    images = thumbnails.astype(np.float32)
    valid = _pictured(thumbnails)
    weights = valid.astype(np.float32)
    images *= weights

    def smooth(values: Floats, spread: float) -> Floats:
        found: Floats = gaussian_filter(values, (0, spread, spread), mode="constant", truncate=3)
        return found / np.maximum(gaussian_filter(weights, (0, spread, spread), mode="constant", truncate=3), 0.05)

    detail = (smooth(images, _SHARP) - smooth(images, _COARSE)) * weights
    energy = detail * detail
    usual = energy.sum(axis=(1, 2), keepdims=True) / np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1)
    # Contrast that is far below the rest of the image, or a quarter of a grey level, is noise.
    found: Floats = detail / np.sqrt(smooth(energy, _AROUND) + 0.1 * usual + 0.25) * weights
    return found, valid


def _pictured(thumbnails: Bytes) -> _Bools:
    """(n, 64, 64) False on even ground that reaches the edge, unless that is three quarters of the image."""
    size = (1, 3, 3)
    flat = maximum_filter(thumbnails, size).astype(np.int16) - minimum_filter(thumbnails, size) <= _FLAT
    valid = np.ones(thumbnails.shape, dtype=np.bool_)
    for image in np.flatnonzero(flat.sum(axis=(1, 2)) >= _FEWEST_FLAT):
        parts, _ = label(flat[image])
        rim = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
        outside = np.bincount(parts.ravel()) >= _FEWEST_FLAT
        outside &= np.isin(np.arange(len(outside)), rim[rim > 0])
        border = binary_dilation(outside[parts], iterations=2)
        if border.mean() < _MOST_FLAT:
            valid[image] = ~border
    return valid


def _shapes(values: Floats, halves: Floats) -> Floats:
    window = np.hanning(SIDE + 2)[1:-1].astype(np.float32)
    spectra = np.fft.fftshift(
        np.abs(fft2(values * (window[:, np.newaxis] * window), s=(_PADDED, _PADDED))), axes=(1, 2)
    )
    radii = np.geomspace(_LOWEST, _HIGHEST, _RINGS)[:, np.newaxis]
    angles = np.arange(_ANGLES) * np.pi / _ANGLES
    found = np.empty((len(values), _RINGS, _ANGLES), dtype=np.float32)
    for spectrum, (high, wide), rings in zip(spectra, halves, found, strict=True):
        places = SIDE + np.stack([radii * np.sin(angles) * high, radii * np.cos(angles) * wide])
        map_coordinates(spectrum, np.clip(places, 0, _PADDED - 1), order=1, output=rings)
    found = np.log(found + 0.02 * found.mean(axis=(1, 2), keepdims=True) + 1e-6)
    strengths: Floats = np.abs(rfft(found, axis=2))[:, :, 1:_HARMONICS].reshape(len(found), -1)
    return strengths
