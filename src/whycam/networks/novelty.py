"""Whether an image is unlike anything seen in training, normal or anomalous: then no score about it means much.

A classifier gives a confident score to whatever it is shown, a photo of something else included. So beside the head
stands a measure that knows no classes: how far the pooled features of an image lie from those of training images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from whycam.types import Floats

NEIGHBOURS = 5
_CHUNK = 1024
_TINY = 1e-12
_RESOLUTION = 1e-3
"""Distances below this share of what coordinates measure are none."""
_KEYS = ("shift", "scale", "basis", "references", "spacings", "normal", "anomalous")

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Training images that others are compared with, by their `coordinates`."""

    shift: Floats
    """(D,) mean of each feature."""
    scale: Floats
    """(D,) inverse of its spread."""
    basis: Floats
    """(K, D), orthonormal; may be float16."""
    references: Floats
    """(M, K + 1) coordinates of training images."""
    spacings: Floats
    """(M,) mean distance of each of these from its nearest ones of other units."""

    def distances(self, pooled: Floats) -> Floats:
        """How far images (N, D) lie from training images, in units of how far these lie apart there: (N,) float64.

        The mean distance from the nearest five, over their own mean spacing and the median spacing of all: where
        training images are sparse, being far from them means less (local outlier factor: Breunig, Kriegel, Ng and
        Sander 2000, SIGMOD; the median keeps a few crowded images from making all others look far).
        """
        parts = [self._distances(pooled[first : first + _CHUNK]) for first in range(0, max(1, len(pooled)), _CHUNK)]
        return np.concatenate(parts)

    def _distances(self, pooled: Floats) -> Floats:
        apart = pairwise(coordinates(pooled, self.shift, self.scale, self.basis), self.references)
        nearest, mean = closest(apart)
        spacings = self.spacings.astype(np.float64)
        # Where training images are copies of each other, their spacing is 0 but for rounding.
        least = _RESOLUTION * float(np.linalg.norm(self.references, axis=1).mean()) + _TINY
        found: Floats = mean / np.maximum(spacings[nearest].mean(axis=1) + np.median(spacings), least)
        return found


def coordinates(pooled: Floats, shift: Floats, scale: Floats, basis: Floats) -> Floats:
    """Pooled features (N, D) along a few directions, and one number for all the rest: (N, K + 1) float32.

    Standardised features ``x = (pooled - shift) * scale`` are taken along the principal directions, ``c = basis x``.
    The last coordinate is ``|x - basis' c|``, how much of x that leaves out. Without it, what no training image shows
    (a black patch, say) would go unseen: it lies along none of their directions.

    Row by row, as products of whole matrices round a row otherwise in another place: equal features have equal
    coordinates, to the bit.
    """
    x = (pooled.astype(np.float32) - shift) * scale
    directions = basis.astype(np.float32)
    found = np.empty((len(x), len(directions) + 1), dtype=np.float32)
    for row, features in zip(found, x, strict=True):
        row[:-1] = directions @ features
        row[-1] = np.linalg.norm(features - row[:-1] @ directions)
    return found


def pairwise(one: Floats, other: Floats) -> Floats:
    """Euclidean distances (N, M) float64 of rows (N, K) from rows (M, K); of equal rows exactly 0.

    By differences: ``|a|^2 + |b|^2 - 2 ab`` is rounding noise where a and b are near each other.
    """
    return cdist(one.astype(np.float64), other.astype(np.float64))


def closest(apart: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Of distances (N, M), the columns (N, k) of the k = min(5, M) smallest in each row, and their mean (N,)."""
    k = min(NEIGHBOURS, apart.shape[1])
    nearest = np.argpartition(apart, k - 1, axis=1)[:, :k]
    return nearest, np.take_along_axis(apart, nearest, axis=1).mean(axis=1)


@dataclass(frozen=True, eq=False)
class NoveltyModel:
    """Conformal p-values of the guess that an image is of the kind seen in training (Vovk, Gammerman and Shafer 2005).

    ``p = (1 + #{i: d_i >= d}) / (n + 1)`` with the distance d of the image and those d_i of n training images from
    others of another unit (Laxhammar and Falkman 2010; Bates et al. 2023, Annals of Statistics 51:149): an image of
    that kind has ``p <= level`` with a chance of about `level`, whatever the distances look like.

    Anomalous images lie farther from others than normal ones do, so that among all images together nearly every false
    flag would be one of theirs. So each class has its own p-value, and the largest counts: novel is what is far for
    normal and for anomalous images alike, and of either class about `level` are flagged, or fewer.

    In a class of fewer than 1 / level - 1 images no p-value is as small as `level`, and nothing could be novel. There p
    goes on falling beyond the class's largest distance, ``p = (d / largest)^(-1 / index) / (n + 1)``, with the index of
    the tail of the larger class or, where that is small too, of all distances, whose own p-value then counts as well
    (Hill 1975, Annals of Statistics 3:1163; Weissman 1978, Journal of the American Statistical Association 73:812). So
    an image of a class of n is flagged with a chance of at most 1 / (n + 1), and how much less is an extrapolation.
    """

    level: float
    """An image is novel where its p-value is at most this; 0.01, say."""
    neighbourhood: Neighbourhood
    normal: Floats
    """(n0,) distances of normal training images, each from others of another unit."""
    anomalous: Floats
    """(n1,) those of anomalous ones."""

    def p_values(self, pooled: Floats) -> Floats:
        """(N,) in (0, 1] for pooled features (N, D), each image's own and not those of a turned view."""
        distances = self.neighbourhood.distances(pooled)
        classes = [known for known in (self.normal, self.anomalous) if len(known)]
        large = [known for known in classes if len(known) >= fewest(self.level)]
        base = max(large, key=len) if large else np.concatenate(classes)
        found = [p_value(known, distances) for known in large or [base]]
        found += [
            extended_p_value(known, distances, tail_index(base)) for known in classes if len(known) < fewest(self.level)
        ]
        largest: Floats = np.max(found, axis=0)
        return largest

    def novel(self, pooled: Floats) -> npt.NDArray[np.bool_]:
        """(N,) whether each image is unlike anything seen in training."""
        return np.asarray(self.p_values(pooled) <= self.level)

    @property
    def statement(self) -> str:
        """What a flag means, and how often images of the kind seen may carry one, in a sentence for people."""
        text = (
            "An image is called novel where it lies farther from all training images than "
            f"{100 * (1 - self.level):.4g} % of normal, and of anomalous, training images lie from others"
        )
        small = [
            f"{len(known):,} {name}"
            for name, known in (("normal", self.normal), ("anomalous", self.anomalous))
            if len(known) < fewest(self.level)
        ]
        few = f": with only {' and '.join(small)} to compare with, more of that kind may be called so" if small else ""
        return f"{text}{few}."

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays, to be stored."""
        near = self.neighbourhood
        values = (near.shift, near.scale, near.basis, near.references, near.spacings, self.normal, self.anomalous)
        # Safetensors stores memory as it lies.
        arrays = {name: np.ascontiguousarray(value) for name, value in zip(_KEYS, values, strict=True)}
        return arrays | {"level": np.array([self.level])}

    @classmethod
    def from_tensors(cls, tensors: Arrays) -> NoveltyModel:
        """What `tensors` gave."""
        *near, normal, anomalous = (np.asarray(tensors[name]) for name in _KEYS)
        return cls(float(tensors["level"][0]), Neighbourhood(*near), normal, anomalous)


def fewest(level: float) -> int:
    """So many are needed for a p-value of `level`, as the smallest possible one is 1 / (n + 1)."""
    return math.ceil(1 / level - 1e-9) - 1


def p_value(known: Floats, distances: Floats) -> Floats:
    """``(1 + #{i: known_i >= d}) / (n + 1)`` for each d of `distances` (N,)."""
    farther = len(known) - np.searchsorted(np.sort(known), distances, side="left")
    found: Floats = (1 + farther) / (len(known) + 1)
    return found


def extended_p_value(known: Floats, distances: Floats, index: float) -> Floats:
    """`p_value`, which beyond the largest of `known` goes on falling as a power, ``(d / largest)^(-1 / index)``."""
    beyond = np.maximum(distances / max(float(known.max()), _TINY), 1.0)
    found: Floats = p_value(known, distances) * beyond ** (-1 / index)
    return found


def tail_index(known: Floats) -> float:
    """Hill's estimate from the largest tenth of distances (N,), N >= 10: the larger, the heavier their tail."""
    largest = np.sort(known)[-(len(known) // 10 + 1) :]
    return max(_TINY, float(np.mean(np.log(np.maximum(largest[1:], _TINY) / max(float(largest[0]), _TINY)))))
