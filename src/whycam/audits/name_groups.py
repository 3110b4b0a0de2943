"""Groups that nobody states but file names tell: images of one patient or part, torn apart by a split that cannot know.

A part of a name proves nothing by itself (`0001`, `cam2`), so images must bear it out: those that share it have to be
more alike than others of their class, and more than chance can make them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whycam.audits.name_parts import Parts, candidate_parts
from whycam.types import Floats, Sample

_Ints = npt.NDArray[np.intp]

_DIRECTIONS = 64
_MOST_IMAGES = 2000
_MOST_PAIRS = 10_000
_FEWEST_PAIRS = 20
_PERMUTATIONS = 1000
_SPREADS = 5.0
"""Several parts of names are tried: besides no permutation reaching it, the likeness must lie so many spreads above."""
_LEAST_LIKENESS = 0.1
_STRONG_LIKENESS = 0.3


@dataclass(frozen=True)
class NameGroups:
    """A way to divide images by their names that the images bear out."""

    parts: Parts
    """For each image the part of its name that names its group; None where it shares none, or a group is given."""
    likeness: float
    """How much more alike two images of a part are than two of one class: the difference of their mean cosines of
    whitened features, at most about 1; different photos of one part have .3 and more."""
    p_value: float
    """Of that likeness, by permutation within classes."""

    @property
    def strong(self) -> bool:
        """Whether images of a part are as alike as photos of one thing usually are."""
        return self.likeness >= _STRONG_LIKENESS


def find_name_groups(
    samples: Sequence[Sample], rows: Floats, units: Sequence[str], *, seed: int = 0
) -> NameGroups | None:
    """The coarsest part of names whose images are more alike than others of their class and kind, or None.

    Only images without a given group are looked at, and of each unit one: what copies prove is known. Likeness is the
    mean cosine of whitened features (at most 64 principal directions, the mean of each class and kind taken off) over
    pairs that share the part; parts are shuffled 1,000 times within classes and kinds to know what chance does
    (Good 2005, ch. 3). A finer part stands until a coarser one is borne out by images that differ in the finer one.

    Args:
        samples: N images.
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        units: N names, as `find_clusters` has them.
        seed: of the draws.
    """
    seen: set[str] = set()
    looked_at = []
    for row, sample in enumerate(samples):
        if sample.group is None and units[row] not in seen:
            seen.add(units[row])
            looked_at.append(row)
    ways = candidate_parts([samples[row].file for row in looked_at])
    if not ways:
        return None
    strata = [(samples[row].anomalous, samples[row].kind) for row in looked_at]
    evidence = _Evidence(_whitened(rows[looked_at], strata), strata, seed)
    best: tuple[Parts, float, float] | None = None
    for parts in sorted(ways, key=lambda parts: -len(set(parts))):
        tried = evidence.of(parts, known=best[0] if best else None)
        if tried is not None:
            best = (parts, *tried)
    if best is None:
        return None
    # Copies of an image belong to its part.
    of_unit = {units[row]: part for row, part in zip(looked_at, best[0], strict=True)}
    everywhere = (None if sample.group else of_unit.get(unit) for sample, unit in zip(samples, units, strict=True))
    return NameGroups(tuple(everywhere), best[1], best[2])


class _Evidence:
    """How much alike images are that share a part, and what chance would make of it."""

    def __init__(self, directions: Floats, strata: Sequence[Hashable], seed: int) -> None:
        self._directions = directions
        self._strata = np.unique([str(stratum) for stratum in strata], return_inverse=True)[1]
        self._seed = seed

    def of(self, parts: Parts, *, known: Parts | None) -> tuple[float, float] | None:
        """(likeness, p) of this way to divide, if it is borne out by pairs that `known` does not divide alike."""
        rng = np.random.default_rng(self._seed)
        pairs = self._pairs(parts, known, rng)
        if len(pairs) < _FEWEST_PAIRS:
            return None
        rows, ends = np.unique(pairs, return_inverse=True)
        ends = ends.reshape(pairs.shape)
        directions = self._directions[rows]
        cosines = directions @ directions.T
        value = float(cosines[ends[:, 0], ends[:, 1]].mean())
        by_chance = np.empty(_PERMUTATIONS)
        strata = self._strata[rows]
        blocks = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
        shuffled = np.arange(len(rows))
        for time in range(_PERMUTATIONS):
            for block in blocks:
                shuffled[block] = rng.permutation(block)
            by_chance[time] = cosines[shuffled[ends[:, 0]], shuffled[ends[:, 1]]].mean()
        p_value = (1 + int((by_chance >= value).sum())) / (1 + _PERMUTATIONS)
        likeness = value - float(by_chance.mean())
        sure = p_value <= 1 / (1 + _PERMUTATIONS) and likeness >= _SPREADS * float(by_chance.std())
        return (likeness, p_value) if sure and likeness >= _LEAST_LIKENESS else None

    def _pairs(self, parts: Parts, known: Parts | None, rng: np.random.Generator) -> _Ints:
        """(P, 2) places of images of one class and kind that share a part, of at most about 2,000 images."""
        members: dict[tuple[str, int], list[int]] = {}
        for row, part in enumerate(parts):
            if part is not None:
                members.setdefault((part, int(self._strata[row])), []).append(row)
        several = [rows for rows in members.values() if len(rows) > 1]
        pairs: list[tuple[int, int]] = []
        n_images = 0
        for number in rng.permutation(len(several)).tolist():
            if n_images >= _MOST_IMAGES:
                break
            rows = several[number]
            n_images += len(rows)
            mine = np.array(rows)[rng.permutation(len(rows))].tolist()
            # Each image with the next few of its part: large parts must not outvote all others.
            for step in range(1, min(len(mine) // 2, 5) + 1):
                pairs += [(one, other) for one, other in zip(mine, mine[step:] + mine[:step], strict=True)]
        fresh = [pair for pair in pairs if known is None or known[pair[0]] is None or known[pair[0]] != known[pair[1]]]
        drawn = rng.permutation(len(fresh))[:_MOST_PAIRS]
        return np.array(fresh, dtype=np.intp).reshape(-1, 2)[drawn]


def _whitened(rows: Floats, strata: Sequence[Hashable]) -> Floats:
    """(n, K <= 64) whitened coordinates of length 1, the mean of each stratum taken off."""
    rows = rows[:, : max(1, min(_DIRECTIONS, len(rows) // 8))].copy()
    numbers = np.unique([str(stratum) for stratum in strata], return_inverse=True)[1]
    for number in np.unique(numbers):
        rows[numbers == number] -= rows[numbers == number].mean(axis=0)
    rows = rows / np.maximum(rows.std(axis=0), 1e-9)
    whitened: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return whitened
