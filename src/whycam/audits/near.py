"""Which images show the same thing: copies stored, lit, cut or turned differently.

Candidates are found by hashes and thumbnails; what decides is how near their residuals lie, and how near those of
unrelated images come by chance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whycam.audits.fingerprints import SIDE, VIEWS, Bytes, hashes_of, thumbnails_of
from whycam.audits.registration import cropped, laid_on
from whycam.audits.residuals import Residuals, plain
from whycam.data.parallel import in_order
from whycam.types import Floats

_Ints = npt.NDArray[np.intp]
_Bools = npt.NDArray[np.bool_]

_FARTHEST = 0.05
"""Images whose residuals lie farther apart than this are no near duplicates."""
_BY_CHANCE = 0.02
"""Nor are those that lie no nearer than so many unrelated images could be expected to."""
SURELY = 0.003
"""Images that lie nearer than most recompressed copies hardly show different things."""
_FEW = 50
"""Fewer images than this hardly show what is usual."""
BEYOND_DOUBT = 1e-6
"""Chance could hardly make a pair anywhere in the data that is expected no more often than this."""
_NEIGHBOURHOOD = 0.02
_FEWEST_AROUND = 10
_HASH_BITS = 12
"""Hashes of copies differ in at most so many of 64 bits."""
_MOST_CANDIDATES = 64
_FEATURE_QUANTILE = 0.5
_MIDDLE = 0.96
"""Crops of a few per cent, wherever they were cut, are not far from this share in the middle of either side."""
_WORTH_LAYING = 0.4
_OF_TYPICAL_WORTH_LAYING = 0.6
_ROWS = 1500
_PAIRS = 128
_CELLS = 1 << 20
_SELF_INVERSE = (0, 2, 4, 5, 6, 7)
"""Views that undo themselves; view 1 undoes view 3, which therefore finds no other pairs."""


@dataclass(frozen=True)
class NearPairs:
    """Pairs of images that show the same, the nearest first."""

    rows: _Ints
    """(P, 2) places of the images."""
    distances: Floats
    """(P,) 1 - cosine of their residuals."""
    by_chance: Floats
    """(P,) how many unrelated images could be expected to lie as near to either."""

    def kept(self, chosen: _Bools | _Ints) -> NearPairs:
        """The chosen pairs, by mask (P,) or place."""
        return NearPairs(self.rows[chosen], self.distances[chosen], self.by_chance[chosen])


NO_PAIRS = NearPairs(np.zeros((0, 2), dtype=np.intp), np.zeros(0), np.zeros(0))


def joined(*parts: NearPairs) -> NearPairs:
    """The pairs of all parts, in their order."""
    return NearPairs(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.distances for part in parts]),
        np.concatenate([part.by_chance for part in parts]),
    )


def near_pairs(fingerprints: Bytes, rows: Floats, *, seed: int = 0) -> NearPairs:
    """Near duplicates among different files.

    Candidates are images whose perceptual hashes agree, in any of the eight views; and images that look much like the
    middle of another, which is then laid on them as a crop. They are near duplicates if their residuals lie nearer than
    0.05, and so near that less than 0.02 of an unrelated image could be expected there (see `Neighbourhoods`). Where
    that is more than 0.000001, features must not contradict, that is be more alike than those of half of all random
    pairs; unless one image is turned, which features do not withstand. Fewer than 50 images hardly show what they have
    in common, so among these pairs must lie nearer than 0.003, or have nearly the same hash as they are.

    Args:
        fingerprints: (N, 4160), as `fingerprints_of` has them, of files that are no exact copies of each other.
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        seed: of the rows from which what is usual is learned.
    """
    if len(fingerprints) < 2:
        return NO_PAIRS
    thumbnails = thumbnails_of(fingerprints)
    small = plain(thumbnails)
    space = Residuals(small, seed=seed)
    residuals = space.of(small)
    around = Neighbourhoods(residuals, seed=seed)
    directions = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    least = _random_quantile(directions, seed)
    found: list[NearPairs] = []
    for view in (*_SELF_INVERSE, 1):
        pairs = _hash_candidates(fingerprints, view)
        seconds, places = np.unique(pairs[:, 1], return_inverse=True)
        distances = _distances(residuals[pairs[:, 0]], space.of(small[seconds], view=view)[places])
        near = _near(pairs, distances, around, ways=1 if view == 0 else VIEWS)
        found.append(near.kept(_agreeing(near, directions, least)) if view == 0 else near)

    def laid(pairs: _Ints) -> NearPairs:
        crops = plain(laid_on(*np.asarray(thumbnails[pairs.T], dtype=np.float32)))
        near = _near(pairs, _distances(residuals[pairs[:, 0]], space.of(crops)), around)
        return near.kept(_agreeing(near, directions, least))

    candidates = _crop_candidates(residuals, space.of(_middles(thumbnails)), around.distances)
    found += in_order(laid, (candidates[start : start + _PAIRS] for start in range(0, len(candidates), _PAIRS)))
    every = joined(*found)
    ends, distances = np.sort(every.rows, axis=1), every.distances
    every = NearPairs(ends, distances, every.by_chance)
    if len(small) < _FEW:
        every = every.kept((distances <= SURELY) | _hashes_agree(every, fingerprints))
        ends, distances = every.rows, every.distances
    every = every.kept(np.lexsort((ends[:, 1], ends[:, 0], distances)))
    return every.kept(np.sort(np.unique(every.rows, axis=0, return_index=True)[1]))


class Neighbourhoods:
    """How near unrelated images come to each image, from those around it.

    Around an image lie the nearest 2 % of the data, at least ten images, near duplicates not counted. Within distance r
    (the root of twice 1 - cosine) there are about k (r / R)^m of these, if the k-th lies at R and the data have m
    dimensions there, by the estimate of Levina and Bickel (2004, equation 8, with k - 2 for no bias). Look-alikes that
    differ in two or three ways, such as parts that lie a little elsewhere, come near by chance; others do not.
    """

    def __init__(self, residuals: Floats, *, seed: int) -> None:
        """Args: residuals: (N, K) of length 1; seed: of the draw of at most 1,500 to look for neighbours among."""
        n = len(residuals)
        drawn = np.sort(np.random.default_rng(seed).permutation(n)[:_ROWS])
        place = int(np.clip(round(max(_FEWEST_AROUND, _NEIGHBOURHOOD * n) * len(drawn) / n), 3, max(3, n - 2)))
        self.distances = np.zeros(n)
        """(N,) 1 - cosine within which the neighbours lie; 0 where an image has none."""
        self.dimensions = np.ones(n)
        """(N,)"""
        self.numbers = np.full(n, np.inf)
        """(N,) of neighbours among all N."""

        def measure(block: slice) -> None:
            distances = np.maximum(1 - residuals[block] @ residuals[drawn].T, 0)
            distances[distances <= _FARTHEST] = np.inf
            distances.partition(min(place, len(drawn)) - 1, axis=1)
            nearest = np.sort(distances[:, :place], axis=1)
            here = np.isfinite(nearest)
            counts = here.sum(axis=1)
            last = np.where(here, nearest, 0).max(axis=1)
            ratios = np.log(np.maximum(last[:, np.newaxis], 1e-9) / np.where(here, nearest, last[:, np.newaxis] + 1e-9))
            known = counts >= 3
            spread = np.maximum(np.where(here, ratios, 0).sum(axis=1), 1e-9)
            self.dimensions[block] = np.where(known, 2 * np.maximum(counts - 2, 1) / spread, 1)
            self.distances[block] = last
            self.numbers[block] = np.where(counts > 0, counts * n / len(drawn), np.inf)

        deque(in_order(measure, _blocks(n, len(drawn))), maxlen=0)

    def by_chance(self, pairs: _Ints, distances: Floats) -> Floats:
        """(P,) how many unrelated images could be expected to lie as near to one or the other image of each pair."""
        usual = np.maximum(self.distances[pairs], 1e-9)
        shares = np.minimum(distances[:, np.newaxis] / usual, 1)
        expected = self.numbers[pairs] * shares ** (self.dimensions[pairs] / 2)
        most: Floats = expected.max(axis=1)
        return most


def _near(pairs: _Ints, distances: Floats, around: Neighbourhoods, *, ways: int = 1) -> NearPairs:
    """Those of the candidates (P, 2) that are near duplicates, going by their distances (P,), the least of so many."""
    distances = np.maximum(distances, 0)
    every = NearPairs(pairs, distances, ways * around.by_chance(pairs, distances))
    return every.kept((distances <= _FARTHEST) & (every.by_chance <= _BY_CHANCE))


def _distances(first: Floats, second: Floats) -> Floats:
    """(P,) 1 - cosine of rows of length 1, pair by pair."""
    distances: Floats = 1 - np.einsum("pk,pk->p", first, second)
    return distances


def _random_quantile(directions: Floats, seed: int) -> float:
    """The cosine that half of all random pairs stay below."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, len(directions), (2, 20_000))
    apart = first != second
    cosines = np.einsum("pk,pk->p", directions[first[apart]], directions[second[apart]])
    # Of few images a pair of copies is itself one of the random pairs.
    return min(float(np.quantile(cosines, _FEATURE_QUANTILE)), 0.5)


def _hash_candidates(fingerprints: Bytes, view: int) -> _Ints:
    """(P, 2) pairs of which the second image, turned by `view`, has nearly the hash of the first."""
    first_signs = _signs(hashes_of(fingerprints, 0))
    second_signs = first_signs if view == 0 else _signs(hashes_of(fingerprints, view))
    n, bits = first_signs.shape
    once = view in _SELF_INVERSE

    def near(block: slice) -> _Ints:
        rows = np.arange(block.start, min(block.stop, n))
        # Of a view that undoes itself the pairs above the diagonal are all.
        skipped = block.start if once else 0
        agreement = first_signs[block] @ second_signs[skipped:].T
        excluded = np.tril_indices(len(rows)) if once else (np.arange(len(rows)), rows)
        agreement[excluded] = -bits
        close = agreement >= bits - 2 * _HASH_BITS
        crowded = np.flatnonzero(np.count_nonzero(close, axis=1) > _MOST_CANDIDATES)
        if len(crowded):
            dropped = np.argpartition(-agreement[crowded], _MOST_CANDIDATES, axis=1)[:, _MOST_CANDIDATES:]
            close[crowded[:, np.newaxis], dropped] = False
        first, second = np.divmod(np.flatnonzero(close), close.shape[1])
        return np.column_stack([rows[first], skipped + second])

    return np.concatenate(list(in_order(near, _blocks(n, n))))


def _crop_candidates(residuals: Floats, middles: Floats, usual: Floats) -> _Ints:
    """(P, 2) pairs of which the first image looks much like the middle of the second."""
    n = len(residuals)
    least = (1 - np.minimum(usual * _OF_TYPICAL_WORTH_LAYING, _WORTH_LAYING)).astype(np.float32)

    def near(block: slice) -> _Ints:
        cosines = residuals[block] @ middles.T
        rows = np.arange(block.start, min(block.stop, n))
        cosines[np.arange(len(rows)), rows] = -1
        first, second = np.divmod(np.flatnonzero((cosines > least) & (cosines > least[block, np.newaxis])), n)
        return np.column_stack([rows[first], second])

    return np.concatenate(list(in_order(near, _blocks(n, n))))


def _middles(thumbnails: Bytes) -> Floats:
    """(N, 1024) the middle 96 % of either side of thumbnails (N, 64, 64), as `plain` has it."""
    scale, shift = np.full((1, 2), _MIDDLE, dtype=np.float32), np.zeros((1, 2), dtype=np.float32)
    parts = (thumbnails[block].astype(np.float32) for block in _blocks(len(thumbnails), SIDE * SIDE))
    return np.concatenate(list(in_order(lambda part: plain(cropped(part, scale, shift)), parts)))


def _agreeing(near: NearPairs, directions: Floats, least: float) -> _Bools:
    """(P,) whether features (N, K) do not contradict, or pixels leave no doubt."""
    cosines = np.einsum("pk,pk->p", directions[near.rows[:, 0]], directions[near.rows[:, 1]])
    agreeing: _Bools = (cosines >= least) | (near.by_chance <= BEYOND_DOUBT)
    return agreeing


def _hashes_agree(near: NearPairs, fingerprints: Bytes) -> _Bools:
    """(P,) whether the hashes of both images, as they are, are nearly the same."""
    hashes = hashes_of(fingerprints, 0)
    agreeing: _Bools = (hashes[near.rows[:, 0]] != hashes[near.rows[:, 1]]).sum(axis=1) <= _HASH_BITS
    return agreeing


def _signs(bits: _Bools) -> Floats:
    """1 and -1, whose product counts how many more bits agree than differ."""
    signs: Floats = np.where(bits, np.float32(1), np.float32(-1))
    return signs


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows so that a block of rows times `width` stays small."""
    height = max(1, _CELLS // max(width, 1))
    for start in range(0, n, height):
        yield slice(start, start + height)
