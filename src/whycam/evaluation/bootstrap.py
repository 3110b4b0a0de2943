"""How sure a figure is: the percentile bootstrap (Efron 1979), fast enough that no figure goes without an interval.

A resample is never built image by image. Drawing n of n clusters with replacement is the same as giving every cluster a
whole-number weight, so all figures of all resamples come from weighted sums over arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from whycam.types import Floats

LEVEL = 0.95
"""Share of the resamples that an interval spans, the rest being cut off in equal parts below and above."""

_CELLS = 1 << 20
"""Weights held at a time: 8 MiB an array, whatever the number of images."""


def clusters(groups: Sequence[str | None]) -> npt.NDArray[np.intp]:
    """(N,) cluster of each image, counted from 0 in order of appearance.

    Images of one group are one cluster: six photos of one tile are not six pieces of evidence, so they are drawn
    together (Field and Welsh 2007). An image without a group is a cluster of its own.
    """
    number: dict[str, int] = {}
    members: list[int] = []
    n_clusters = 0
    for group in groups:
        known = None if group is None else number.get(group)
        if known is not None:
            members.append(known)
            continue
        if group is not None:
            number[group] = n_clusters
        members.append(n_clusters)
        n_clusters += 1
    return np.array(members, dtype=np.intp)


def resampling_weights(n_clusters: int, resamples: int, *, seed: int, n_images: int | None = None) -> Iterator[Floats]:
    """How often each cluster is drawn, as float64 blocks (n_clusters, r) whose r add up to `resamples`.

    Each column is one multinomial draw of `n_clusters` from `n_clusters` equally likely ones and adds up to
    `n_clusters`. Blocks are cut so that a block spread over `n_images` (`n_clusters` unless given) stays small; the
    draws do not depend on where the cuts fall.
    """
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // max(n_clusters, n_images or 0))
    for start in range(0, resamples, block):
        width = min(block, resamples - start)
        drawn = rng.integers(0, n_clusters, size=(width, n_clusters))
        cells = drawn * width + np.arange(width)[:, np.newaxis]
        counts = np.bincount(cells.ravel(), minlength=n_clusters * width)
        yield counts.reshape(n_clusters, width).astype(np.float64)


def interval(values: Floats, n_clusters: int) -> tuple[float, float] | tuple[None, None]:
    """The 95 % percentile interval (low, high) of one figure.

    `values` (R,) holds the figure in each resample, NaN in those where it is undefined (a resample without anomalous
    images has no recall, say). Those are left out: the interval then holds given that the figure can be computed.
    There is none, (None, None), if fewer than half of the resamples remain, or if there is only one cluster, since
    one piece of evidence says nothing about how much another would differ.
    """
    defined = values[~np.isnan(values)]
    if n_clusters < 2 or defined.size == 0 or 2 * defined.size < values.size:
        return None, None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
