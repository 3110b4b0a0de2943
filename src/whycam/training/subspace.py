"""The few hundred directions of pooled features along which the training images really differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.integer]
Read = Callable[[Rows], Tensor]
"""Rows (n,) -> their pooled features (V, n, D), every view of them."""

_SOFTEST = 1e-2
_CHUNK = 1024
_MOST_ROWS = 2000


@dataclass(frozen=True)
class Subspace:
    """Coordinates ``c = basis ((features - shift) * scale)``: standardised features along principal directions."""

    shift: Tensor
    """(D,) mean of each feature."""
    scale: Tensor
    """(D,) inverse of its spread."""
    basis: Tensor
    """(K, D), orthonormal, the direction of the largest variance first."""

    def coordinates(self, read: Read, rows: Rows) -> Tensor:
        """(V, n, K): the coordinates of these rows in every view."""
        parts = []
        for first in range(0, len(rows), _CHUNK):
            parts.append(((read(rows[first : first + _CHUNK]) - self.shift) * self.scale) @ self.basis.T)
        return torch.cat(parts, dim=1)


def find_subspace(read: Read, rows: Rows, *, directions: int, seed: int) -> Subspace:
    """The principal directions (Pearson 1901) of all views of these rows; labels are not looked at.

    Directions come from at most 2,000 views drawn with `seed`; there are fewer than `directions` where there are fewer
    views. Spreads are widened by 0.01 (features lie in [0, 6]), so that a channel that hardly ever fires stays small.
    """
    total = squares = torch.zeros((), dtype=torch.float64)
    n = 0
    for first in range(0, len(rows), _CHUNK):
        values = read(rows[first : first + _CHUNK]).flatten(0, 1)
        total = total + values.sum(dim=0, dtype=torch.float64)
        squares = squares + (values * values).sum(dim=0, dtype=torch.float64)
        n += len(values)
    mean = total / n
    shift = mean.float()
    scale = (1 / ((squares / n - mean * mean).clamp(min=0).sqrt() + _SOFTEST)).float()
    views = n // len(rows)
    drawn = np.random.default_rng(seed).permutation(len(rows))[: max(1, _MOST_ROWS // views)]
    x = (read(rows[np.sort(drawn)]).flatten(0, 1) - shift) * scale
    # From the Gram matrix of the rows, of which there are fewer than features.
    variances, vectors = torch.linalg.eigh((x @ x.T).double())
    # Images that are all equal have no direction; one of zeros stands in for it.
    kept = max(1, min(directions, int((variances > 1e-6 * variances[-1]).sum())))
    basis = (x.T.double() @ vectors.flip(1)[:, :kept] / variances.flip(0)[:kept].clamp(min=1e-12).sqrt()).T
    return Subspace(shift, scale, basis.float().contiguous())
