"""Which images are augmented copies of others: turned by any angle, mirrored, moved, zoomed, lit, blurred, compressed.

Images whose textures have the same frequencies are laid on each other; what decides is how well that goes for images
that look alike and are no copies.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from whycam.audits.alignment import Aligner, Laid
from whycam.audits.fingerprints import Bytes, thumbnails_of
from whycam.audits.near import NO_PAIRS, NearPairs, joined
from whycam.audits.textures import Textures, of_length_1
from whycam.data.parallel import in_order
from whycam.types import Floats

_Ints = npt.NDArray[np.intp]

_NEIGHBOURS = 8
_NEIGHBOURS_OF_OTHERS = 4
_DIRECTIONS = 64
_FEATURES_COUNT = 0.7
"""How much features count beside textures, which withstand turning better."""
_PROBES = 800
"""Images that are laid on one that looks alike and is hardly a copy, to learn what chance does."""
_BEYOND_COPIES = (40, 80)
"""Places among the neighbours, the nearest first, where there are hardly any copies."""
_AROUND = 60
_TAIL, _TAIL_END = 0.8, 0.97
_LEAST_MEAN = 0.02
_GATE = 0.7
_LEAST_AGREEMENT = 0.5
_BY_CHANCE = 0.02
"""Links to unrelated images that an image may be expected to have."""
_FEWEST = 50
_LOOKED_AT_FIRST = 300
"""Images of which none may have a copy before the others are looked at too."""
_CELLS = 1 << 20


def augmented_pairs(
    fingerprints: Bytes, rows: Floats, sizes: Floats, *, suspected: bool = False, seed: int = 0
) -> NearPairs:
    """Augmented copies among different files: pairs whose textures agree more closely than look-alikes' do.

    Each image is laid on the eight that are most like it, going by textures and features. How well that goes by chance
    is learned from 800 pairs that are laid on each other in the same way, of images that are alike but hardly copies:
    one is about the 40th to the 80th most like the other. Above the height that 80 % of the 60 such pairs around an
    image stay below, Fisher's z of their agreement is taken to be exponential. A pair is found if less than 0.02 of an
    unrelated image could be expected to agree as well with either. Fewer than 50 images do not show what is usual.

    Laying images on each other takes long, and most sets hold no copies. So 300 images are looked at first, and the
    others only where one of these has a copy, or copies are suspected: of a set in which one image in a hundred is a
    copy that escapes once in twenty times.

    Args:
        fingerprints: (N, 4160), as `fingerprints_of` has them, of files that are no exact copies of each other.
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        sizes: (N, 2) height and width of the images as stored, of which only the ratio counts.
        suspected: whether there is reason to look at every image, such as the names of files.
        seed: of the draws.

    Returns:
        The pairs; their distances are 1 - the agreement of their textures.
    """
    n = len(fingerprints)
    if n < _FEWEST:
        return NO_PAIRS
    textures = Textures(thumbnails_of(fingerprints), sizes / np.sqrt(sizes.prod(axis=1, keepdims=True)))
    aligner = Aligner(textures)
    spread = rows[:, :_DIRECTIONS].std(axis=0)
    whitened = of_length_1(rows[:, :_DIRECTIONS] / np.maximum(spread, 1e-6))
    looks = np.concatenate([textures.signatures(seed=seed), _FEATURES_COUNT * whitened], axis=1)
    rng = np.random.default_rng(seed)
    probed = np.sort(rng.permutation(n)[:_PROBES])
    near, beyond = _neighbours(looks, probed, rng)
    probes = np.column_stack([probed, beyond])
    coarse, fine = _agreements(aligner, probes, None)
    chance = _Chance(looks, probed, coarse, fine)
    pairs = np.unique(np.sort(np.stack([np.repeat(np.arange(n), near.shape[1]), near.ravel()], axis=1), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    first = np.isin(pairs, rng.permutation(n)[:_LOOKED_AT_FIRST]).any(axis=1)
    found = _judged(aligner, chance, pairs[first])
    if not suspected and not len(found.rows):
        return NO_PAIRS
    found = joined(found, _judged(aligner, chance, pairs[~first]))
    more = _judged(aligner, chance, _over_others(found.rows, near, pairs))
    found = joined(found, more)
    return found.kept(np.lexsort((found.rows[:, 1], found.rows[:, 0], found.distances)))


def _judged(aligner: Aligner, chance: _Chance, pairs: _Ints) -> NearPairs:
    """Those of the pairs (P, 2) that agree more closely than chance makes images agree."""
    _, values = _agreements(aligner, pairs, chance.gates[pairs].max(axis=1))
    every = NearPairs(pairs, 1.0 - values.astype(np.float64), chance.of(pairs, values))
    return every.kept((every.by_chance <= _BY_CHANCE) & (values >= _LEAST_AGREEMENT))


def _over_others(linked: _Ints, near: _Ints, tried: _Ints) -> _Ints:
    """(P, 2) pairs not yet tried, nor linked over others, of an image and what is like one that it is linked with."""
    n = len(near)
    graph = coo_matrix((np.ones(len(linked), dtype=np.int8), linked.T), shape=(n, n))
    clusters = connected_components(graph, directed=False)[1]
    several = near[:, :_NEIGHBOURS_OF_OTHERS]
    ways = [linked, linked[:, ::-1]]
    found = np.concatenate(
        [
            np.stack([np.repeat(one, several.shape[1]), several[other].ravel()], axis=1)
            for one, other in (w.T for w in ways)
        ]
    )
    found = np.unique(np.sort(found, axis=1), axis=0)
    found = found[clusters[found[:, 0]] != clusters[found[:, 1]]]
    fresh: _Ints = found[~np.isin(found[:, 0] * n + found[:, 1], tried[:, 0] * n + tried[:, 1])]
    return fresh


class _Chance:
    """How well images around each image agree with those that are hardly their copies."""

    def __init__(self, looks: Floats, probed: _Ints, coarse: Floats, fine: Floats) -> None:
        n = len(looks)
        self._n = n
        self._start = np.empty(n)
        self.gates = np.empty(n, dtype=np.float32)
        """(N,) what copies reach at half their size."""
        heights = _height(fine)
        start, end = np.quantile(heights, [_TAIL, _TAIL_END])
        # Copies among the pairs lie beyond the end of what is counted.
        counted = (heights > start) & (heights < end)
        above = np.clip(heights, start, end) - start
        self._mean = max(float(above.sum()) / max(int(counted.sum()), 1), _LEAST_MEAN)
        around = min(_AROUND, len(probed))
        for block in _blocks(n, len(probed)):
            places = np.argpartition(-(looks[block] @ looks[probed].T), around - 1, axis=1)[:, :around]
            self._start[block] = np.quantile(heights[places], _TAIL, axis=1)
            self.gates[block] = np.quantile(coarse[places], _GATE, axis=1)

    def of(self, pairs: _Ints, values: Floats) -> Floats:
        """(P,) how many unrelated images could be expected to agree as well with either image of each pair."""
        above = _height(values)[:, np.newaxis] - self._start[pairs]
        expected = self._n / 2 * np.minimum((1 - _TAIL) * np.exp(-above / self._mean), 1)
        most: Floats = expected.max(axis=1)
        return most


def _height(agreement: Floats) -> Floats:
    """Fisher's z, in which the agreements of unrelated images have a tail that falls like e^-z."""
    found: Floats = np.arctanh(np.clip(agreement, -0.99, 0.9999)).astype(np.float64)
    return found


def _agreements(aligner: Aligner, pairs: _Ints, gates: Floats | None) -> tuple[Floats, Floats]:
    coarse, fine = np.full(len(pairs), -1, dtype=np.float32), np.full(len(pairs), -1, dtype=np.float32)

    def measure(batch: _Ints) -> None:
        laid = aligner.laid(pairs[batch])
        coarse[batch] = laid.agreement
        on = np.arange(len(batch)) if gates is None else np.flatnonzero(laid.agreement >= gates[batch])
        if len(on):
            closer = Laid(laid.agreement[on], laid.maps[on], laid.shifts[on])
            fine[batch[on]] = aligner.agreement(pairs[batch[on]], closer)

    for _ in in_order(measure, aligner.batches(pairs)):
        pass
    return coarse, fine


def _neighbours(looks: Floats, probed: _Ints, rng: np.random.Generator) -> tuple[_Ints, _Ints]:
    n = len(looks)
    k = min(_NEIGHBOURS, n - 1)
    first, last = (min(place, n - 2) for place in _BEYOND_COPIES)
    first = min(first, n // 10)
    drawn = rng.integers(first, last + 1, len(probed))

    def near(block: slice) -> tuple[_Ints, _Ints]:
        cosines = looks[block] @ looks.T
        here = np.arange(block.start, min(block.stop, n))
        cosines[here - block.start, here] = -2
        top = np.argpartition(-cosines, last, axis=1)[:, : last + 1]
        order = np.argsort(-np.take_along_axis(cosines, top, axis=1), axis=1)
        top = np.take_along_axis(top, order, axis=1)
        mine = np.flatnonzero((probed >= block.start) & (probed < block.stop))
        return top[:, :k], top[probed[mine] - block.start, drawn[mine]]

    parts = list(in_order(near, _blocks(n, n)))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _blocks(n: int, width: int) -> Iterator[slice]:
    height = max(1, _CELLS // max(width, 1))
    return (slice(first, first + height) for first in range(0, n, height))
