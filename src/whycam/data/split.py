"""Divides samples into train and test so that classes and kinds keep their shares and no group is torn apart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from whycam.data.words import counted
from whycam.errors import DataError, OptionError, printable
from whycam.types import ANOMALOUS_ABOVE, Dataset, Sample

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

_BIN_EDGES = (0.0, 0.25, ANOMALOUS_ABOVE, 0.75, np.nextafter(1.0, 0.0))
"""Right edges of the target bins 0, (0, .25], (.25, .5], (.5, .75], (.75, 1), 1."""


def split_samples(dataset: Dataset, test_share: float, *, seed: int) -> tuple[Dataset, str]:
    """The dataset with every sample's split filled in, and one sentence on how the split came about.

    A split that all samples bring along is kept, with a note where it tears a group apart. Otherwise it is drawn from
    `seed`, whatever the order of the samples: every stratum (target bin x kind) gives its share to test, rounded so
    that the sum is round(N * test_share); each class has an image on both sides; images of one group stay together, at
    the price of shares that are met as closely as the groups allow.

    Raises OptionError unless 0 < test_share < 1 and seed >= 0, DataError where a given split is unusable or no
    possible split has both classes on both sides, ValueError where a sample is unlabelled.
    """
    check_split_options(test_share, seed=seed)
    _ = dataset.targets  # raises where one is missing
    given = [sample for sample in dataset.samples if sample.split is not None]
    if given and len(given) == len(dataset.samples):
        _check_given(dataset)
        dataset = replace(dataset, notes=dataset.notes + _torn_note(dataset))
        return dataset, _sentence(dataset, "given with the data")
    if given:
        raise DataError(
            f"{printable(dataset.root)}: split is given for {len(given)} of {len(dataset.samples)} images only."
        )
    order = sorted(range(len(dataset.samples)), key=lambda index: dataset.samples[index].file)
    in_test = _Draw([dataset.samples[index] for index in order], test_share, np.random.default_rng(seed)).in_test()
    chosen = set(np.asarray(order)[in_test].tolist())
    samples = tuple(
        replace(sample, split="test" if index in chosen else "train") for index, sample in enumerate(dataset.samples)
    )
    divided = replace(dataset, samples=samples)
    kinds = " and kind" if any(sample.kind for sample in samples) else ""
    groups = ", groups kept whole" if any(sample.group for sample in samples) else ""
    return divided, _sentence(divided, f"drawn at random with seed {seed}, stratified by target{kinds}{groups}")


def check_split_options(test_share: float, *, seed: int) -> None:
    """Raises OptionError unless 0 < test_share < 1 and seed is in [0, 2^63), where every generator takes it."""
    if not 0.0 < test_share < 1.0:
        raise OptionError(f"`test_share` must be above 0 and below 1, got {test_share!r} instead.")
    if not 0 <= seed < 2**63:
        raise OptionError(f"`seed` must be 0 or more and below 2^63, got {seed!r} instead.")


def _check_given(dataset: Dataset) -> None:
    problems = []
    for name, wanted in (("normal", False), ("anomalous", True)):
        if not any(sample.split == "train" and sample.anomalous is wanted for sample in dataset.samples):
            problems.append(f"{printable(dataset.root)}: the given split has no {name} image in train.")
    if not any(sample.split == "test" for sample in dataset.samples):
        problems.append(
            f"{printable(dataset.root)}: the given split has no image in test; mark some, or leave the split out."
        )
    if problems:
        raise DataError(*problems)


def _torn_note(dataset: Dataset) -> tuple[str, ...]:
    sides = defaultdict(set)
    for sample in dataset.samples:
        sides[sample.group].add(sample.split)
    torn = sorted(group for group, splits in sides.items() if group is not None and len(splits) > 1)
    if not torn:
        return ()
    names = printable(", ".join(torn[:5])) + (" ..." if len(torn) > 5 else "")
    return (
        f"The given split puts {counted(len(torn), 'group')} on both sides ({names}), so figures on the test images "
        "are likely too good; leave the split out to have one that keeps groups whole.",
    )


def _sentence(dataset: Dataset, how: str) -> str:
    n, n_test = len(dataset.samples), sum(sample.split == "test" for sample in dataset.samples)
    return f"{n - n_test:,} images to train, {n_test:,} to test ({n_test / n:.1%}), {how}."


class _Draw:
    """One draw of the test side; `samples` come in a fixed order."""

    def __init__(self, samples: list[Sample], test_share: float, rng: np.random.Generator) -> None:
        self._samples = samples
        self._rng = rng
        self._classes = np.array([sample.anomalous for sample in samples], dtype=np.int64)
        self._check_possible()
        self._strata = self._number_strata()
        self._sizes = np.bincount(self._strata)
        self._stratum_class = np.zeros(len(self._sizes), dtype=np.int64)
        self._stratum_class[self._strata] = self._classes
        self._wants = _wants(self._sizes, self._stratum_class, test_share)

    def in_test(self) -> _Bools:
        """(N,) whether each sample is for testing."""
        chosen = np.zeros(len(self._samples), dtype=np.bool_)
        members: dict[str, list[int]] = defaultdict(list)
        for index, sample in enumerate(self._samples):
            if sample.group is not None:
                members[sample.group].append(index)
        groups = [np.array(rows) for rows in members.values() if len(rows) > 1]
        self._choose_groups(groups, chosen)
        alone = np.ones(len(self._samples), dtype=np.bool_)
        for rows in groups:
            alone[rows] = False
        self._fill_with_singles(np.flatnonzero(alone), chosen)
        singles = [np.array([index]) for index in np.flatnonzero(alone)]
        for side in (True, False):
            for name in (0, 1):
                self._give_class(name, side, groups + singles, chosen)
        return chosen

    def _check_possible(self) -> None:
        for number, name in enumerate(("normal", "anomalous")):
            mine = [sample for sample, which in zip(self._samples, self._classes, strict=True) if which == number]
            n_units = sum(sample.group is None for sample in mine) + len({s.group for s in mine if s.group is not None})
            if len(mine) < 2:
                raise DataError(f"{counted(len(mine), f'{name} image')} cannot be divided into train and test.")
            if n_units < 2:
                raise DataError(
                    f"All {len(mine)} {name} images belong to the group {mine[0].group!r}, which is never divided, so "
                    "train and test cannot both have some: add images of other groups, or make the groups smaller."
                )

    def _number_strata(self) -> _Ints:
        targets = np.array([sample.target for sample in self._samples], dtype=np.float64)
        bins = np.digitize(targets, _BIN_EDGES, right=True)
        kinds = {kind: number for number, kind in enumerate(sorted({sample.kind or "" for sample in self._samples}))}
        codes = bins * len(kinds) + np.array([kinds[sample.kind or ""] for sample in self._samples])
        return np.unique(codes, return_inverse=True)[1].astype(np.int64).reshape(-1)

    def _choose_groups(self, groups: list[_Ints], chosen: _Bools) -> None:
        """Big groups first; each goes to test if that brings test closer to its share of what was seen so far.

        Against the share of what was seen, not of everything: else the biggest groups would all go to test.
        """
        shares = self._wants / self._sizes
        scale = np.maximum(self._wants, 1)
        seen = np.zeros(len(self._sizes))
        have = np.zeros(len(self._sizes))
        shuffled = self._rng.permutation(len(groups))
        for number in sorted(shuffled.tolist(), key=lambda number: -len(groups[number])):
            rows = groups[number]
            counts = np.bincount(self._strata[rows], minlength=len(self._sizes))
            seen += counts
            off = (have - shares * seen) / scale
            if (((off + counts / scale) ** 2).sum()) < (off**2).sum():
                have += counts
                chosen[rows] = True

    def _fill_with_singles(self, alone: _Ints, chosen: _Bools) -> None:
        have = np.bincount(self._strata[chosen], minlength=len(self._sizes))
        for stratum, need in enumerate(self._wants - have):
            pool = alone[self._strata[alone] == stratum]
            chosen[self._rng.permutation(pool)[: max(int(need), 0)]] = True

    def _give_class(self, name: int, side: bool, units: list[_Ints], chosen: _Bools) -> None:
        """Moves one unit so that `side` (True = test) has the class, without taking a class from the other side."""
        if (self._classes[chosen == side] == name).any():
            return
        best: tuple[float, int] | None = None
        for number, rows in enumerate(units):
            if not (self._classes[rows] == name).any():
                continue
            after = chosen.copy()
            after[rows] = side
            if len(set(self._classes[after != side].tolist())) < 2:
                continue
            have = np.bincount(self._strata[after], minlength=len(self._sizes))
            off = float((((have - self._wants) / np.maximum(self._wants, 1)) ** 2).sum())
            best = min(best or (off, number), (off, number))
        if best is not None:
            chosen[units[best[1]]] = side


def _wants(sizes: _Ints, stratum_class: _Ints, test_share: float) -> _Ints:
    """How many of each stratum's images go to test, by largest remainder; no class is left out on either side."""
    total = int(np.clip(round(int(sizes.sum()) * test_share), 2, int(sizes.sum()) - 2))
    exact = sizes * test_share
    wants: _Ints = np.floor(exact).astype(np.int64)
    while wants.sum() != total:
        step = 1 if wants.sum() < total else -1
        room = (wants < sizes) if step > 0 else (wants > 0)
        wants[np.argmax(np.where(room, step * (exact - wants), -np.inf))] += step
    for mine in (stratum_class == 0, stratum_class == 1):
        for lacking, step in ((wants[mine].sum() == 0, 1), (wants[mine].sum() == sizes[mine].sum(), -1)):
            if not lacking:
                continue
            for part, change in ((mine, step), (~mine, -step)):
                room = part & ((wants < sizes) if change > 0 else (wants > 0))
                wants[np.argmax(np.where(room, change * (exact - wants), -np.inf))] += change
    return wants
