"""The few hundred directions of pooled features along which the training images really differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Rows = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Read = Callable[[Rows], Tensor]
"""Rows (n,) -> their pooled features (V, n, D), every view of them."""

_CHUNK = 1024
_MOST_ROWS = 1000


@dataclass(frozen=True)
class Subspace:
    """Coordinates ``c = basis ((features - shift) * scale)``: scaled features along principal directions."""

    shift: Tensor
    """(D,) mean of each feature."""
    scale: Tensor
    """(D,) inverse of its widened spread."""
    basis: Tensor
    """(K, D), orthonormal, the direction of the largest variance first."""

    def coordinates(self, read: Read, rows: Rows) -> Tensor:
        """(V, n, K): the coordinates of these rows in every view."""
        parts = []
        for first in range(0, len(rows), _CHUNK):
            parts.append(((read(rows[first : first + _CHUNK]) - self.shift) * self.scale) @ self.basis.T)
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Directions:
    """Directions, and the point that coordinates along them start from, made of M views drawn."""

    weights: Tensor
    """(M, K)."""
    centre: Tensor
    """(M,): 0 for the mean of all rows."""


def find_subspace(read: Read, rows: Rows, *, directions: int, seed: int, widened: float) -> Subspace:
    """The principal directions (Pearson 1901) of all views of these rows; labels are not looked at.

    Directions come from at most 1,000 views drawn with `seed`; there are fewer than `directions` where there are fewer
    views. `widened` is added to each feature's spread, so that a channel that hardly ever fires stays small: the more,
    the less features are brought to one spread.
    """
    products = Products(read, rows, seed=seed, widened=widened)
    return products.subspace(products.directions(directions))


class Products:
    """Inner products of scaled features with those of the rows drawn: all that principal directions need.

    What is learned along directions that held-out rows have helped to find looks different on those rows than on new
    ones; so it does where they have helped to find mean and spread. So there are coordinates along the directions of
    all rows but some, from the mean of these, and they cost little: the products are the same. Spreads stay those of
    all rows: widen them so much that no single row counts.

    Beside them stand projections on directions drawn at random, which no image has helped to find: distances along them
    are nearly those along all features (Johnson and Lindenstrauss 1984), and the same for known and for new images.
    """

    def __init__(self, read: Read, rows: Rows, *, seed: int, widened: float, projections: int | None = None) -> None:
        """`widened` as for `find_subspace`; with so many `projections`, also of and among `rows` themselves."""
        self.shift, self.scale, views = _standard(read, rows, widened)
        drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[: max(1, _MOST_ROWS // views)])
        self._x = ((read(rows[drawn]) - self.shift) * self.scale).flatten(0, 1)
        self._row_of = np.tile(drawn, views)
        """Which of `rows` each of the drawn views is of."""
        self._own = self._x @ self._x.T
        if projections is not None:
            random = torch.randn(projections, len(self.shift), generator=torch.Generator().manual_seed(seed))
            self.random = F.normalize(random, dim=1)
            """(P, D) directions drawn at random, each of length 1."""
            along, projected = [], []
            for first in range(0, len(rows), _CHUNK):
                scaled = (read(rows[first : first + _CHUNK]) - self.shift) * self.scale
                along.append(scaled @ self._x.T)
                projected.append(scaled @ self.random.T)
            self._all = torch.cat(along, dim=1)
            self._projected = torch.cat(projected, dim=1)

    def subspace(self, directions: Directions) -> Subspace:
        """These directions, as any image's features can be taken along them."""
        shift = self.shift + (directions.centre @ self._x) / self.scale
        return Subspace(shift, self.scale, (self._x.T @ directions.weights).T.contiguous())

    def directions(self, most: int, *, without: Bools | None = None) -> Directions:
        """Those of all rows but some, whose views have no part in them.

        Args:
            most: directions; there are fewer where there are fewer views of the other rows.
            without: (n,) those rows; None for none.
        """
        centre = torch.zeros(len(self._row_of))
        kept = np.arange(len(self._row_of)) if without is None else np.flatnonzero(~without[self._row_of])
        own = self._own[kept][:, kept].double()
        if without is not None:
            centre[kept] = 1 / len(kept)
            mean = own.mean(dim=0)
            own = own - mean - mean[:, None] + mean.mean()
        variances, vectors = torch.linalg.eigh(own)
        # Images that are all equal have no direction; one of zeros stands in for it.
        n = max(1, min(most, int((variances > 1e-6 * variances[-1]).sum())))
        weights = torch.zeros(len(self._row_of), n)
        weights[kept] = (vectors.flip(1)[:, :n] / variances.flip(0)[:n].clamp(min=1e-12).sqrt()).float()
        return Directions(weights, centre)

    def coordinates(self, directions: Directions, *, views: Sequence[int]) -> Tensor:
        """(V, n, K): all rows along these directions, in some of the views that are read, named by their places."""
        start = directions.centre @ self._own @ directions.weights
        found: Tensor = self._all[list(views)] @ directions.weights - start
        return found

    def projected(self, *, views: Sequence[int]) -> Tensor:
        """(V, n, P): all rows along the random directions, views as for `coordinates`."""
        return self._projected[list(views)]


def _standard(read: Read, rows: Rows, widened: float) -> tuple[Tensor, Tensor, int]:
    """Mean and inverse widened spread (D,) of each feature, and the number of views."""
    total = squares = torch.zeros((), dtype=torch.float64)
    n = 0
    for first in range(0, len(rows), _CHUNK):
        values = read(rows[first : first + _CHUNK]).flatten(0, 1)
        total = total + values.sum(dim=0, dtype=torch.float64)
        squares = squares + (values * values).sum(dim=0, dtype=torch.float64)
        n += len(values)
    mean = total / n
    spread = (squares / n - mean * mean).clamp(min=0).sqrt()
    return mean.float(), (1 / (spread + widened)).float(), n // len(rows)
