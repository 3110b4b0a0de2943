"""What an image has of its own, as a short vector: copies agree in it, and different parts of one kind do not.

Pictures of solar cells or tiles all look alike, so what counts is what is left of an image when everything that its
data set has in common is taken away.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.audits.fingerprints import turned
from whycam.types import Floats

Images = npt.NDArray[np.uint8] | Floats
"""Grey, (N, 64, 64)."""

_GRID = 32
_BLOCK = 256
_ROWS = 1500
_DIRECTIONS = 256
_COMMON = 64
_SPREAD_OF_COPIES = 0.02
"""About how far, along one direction, storing and lighting an image anew can move its thumbnail of length 1."""


def plain(thumbnails: Images) -> Floats:
    """(N, 1024) float32 from (N, 64, 64), averaged to 32 x 32, of mean 0 and length 1; even ones are 0."""
    rows = np.empty((len(thumbnails), _GRID * _GRID), dtype=np.float32)
    for block in (slice(first, first + _BLOCK) for first in range(0, len(thumbnails), _BLOCK)):
        cells = [np.asarray(thumbnails[block, down::2, across::2], np.float32) for down in (0, 1) for across in (0, 1)]
        part = (sum(cells[1:], start=cells[0]) / len(cells)).reshape(-1, _GRID * _GRID)
        part -= part.mean(axis=1, keepdims=True)
        rows[block] = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-3)
    return rows


class Residuals:
    """What is left of thumbnails without what they share: their cosine tells copies from look-alikes.

    Thumbnails as `plain` has them lose the data set's mean, and are divided along their principal directions by the
    spread there, softened by the spread along the 64th (an earlier one where there are few images; at least by 0.02),
    so that no shared structure outweighs what is an image's own, and noise does not either.
    """

    def __init__(self, rows: Floats, *, seed: int) -> None:
        """Args: rows: (N, 1024), of different images; seed: of the draw of at most 1,500 to learn from."""
        drawn = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:_ROWS])]
        mean = drawn.mean(axis=0)
        centred = drawn - mean
        variances, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(drawn))
        spreads = np.sqrt(np.maximum(variances[::-1], 0))[: len(drawn)]
        kept = min(_DIRECTIONS, len(spreads))
        floor = max(float(spreads[min(_COMMON, len(drawn) // 16, kept - 1)]), _SPREAD_OF_COPIES)
        self._basis = (vectors[:, ::-1][:, :kept] / np.hypot(spreads[:kept], floor)).astype(np.float32)
        self._common = mean @ self._basis

    def of(self, rows: Floats, *, view: int = 0) -> Floats:
        """(n, K) of length 1, from (n, 1024) plain thumbnails, which are turned to this view first."""
        places = turned(np.arange(_GRID * _GRID).reshape(_GRID, _GRID), view).ravel()
        basis = np.empty_like(self._basis)
        # Turning one basis is cheaper than turning all images.
        basis[places] = self._basis
        found = rows @ basis - self._common
        residuals: Floats = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return residuals
