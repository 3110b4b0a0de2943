"""Divides samples into train and test so that classes and kinds keep their shares and no group is torn apart."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from whycam.data.words import counted, share
from whycam.errors import DataError, OptionError, printable
from whycam.types import ANOMALOUS_ABOVE, Dataset, Fewest, Sample

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

_BIN_EDGES = (0.0, 0.25, ANOMALOUS_ABOVE, 0.75, np.nextafter(1.0, 0.0))
"""Right edges of the target bins 0, (0, .25], (.25, .5], (.5, .75], (.75, 1), 1."""

_FEW = 10
"""Of fewer anomalous images people are told the number."""
_CLASSES = ("normal", "anomalous")
_ANY = Fewest()


def split_samples(dataset: Dataset, test_share: float, *, seed: int, fewest: Fewest = _ANY) -> tuple[Dataset, str]:
    """The dataset with every sample's split filled in, and one sentence on how the split came about.

    A split that all samples bring along is kept, whatever it tears apart (audits tell). Otherwise it is drawn from
    `seed`, whatever the order of the samples: every stratum (target bin x kind) gives its share to test, rounded so
    that the sum is round(N * test_share); each class has an image on both sides; images of one group stay together, at
    the price of shares that are met as closely as the groups allow. Where there is one anomalous image, or all of them
    are of one group, and none is needed to train on, it is tested on. Notes say how few anomalous images there are.

    Raises OptionError unless 0 < test_share < 1 and seed >= 0, DataError where a given split is unusable or no
    possible split has both classes on both sides, ValueError where a sample is unlabelled.
    """
    check_split_options(test_share, seed=seed)
    _ = dataset.targets  # raises where one is missing
    given = [sample for sample in dataset.samples if sample.split is not None]
    if given and len(given) == len(dataset.samples):
        _check_given(dataset, fewest)
        dataset = replace(dataset, notes=dataset.notes + _few_notes(dataset))
        source = f"given by the {dataset.split_from}" if dataset.split_from else "given with the data"
        return dataset, _sentence(dataset, source)
    if given:
        raise DataError(
            f"{printable(dataset.root)}: split is given for {len(given)} of {len(dataset.samples)} images only."
        )
    order = sorted(range(len(dataset.samples)), key=lambda index: dataset.samples[index].file)
    ordered = [dataset.samples[index] for index in order]
    in_test = _drawn(ordered, test_share, np.random.default_rng(seed), fewest)
    chosen = set(np.asarray(order)[in_test].tolist())
    samples = tuple(
        replace(sample, split="test" if index in chosen else "train") for index, sample in enumerate(dataset.samples)
    )
    divided = replace(dataset, samples=samples)
    _check_left(divided, fewest)
    divided = replace(divided, notes=divided.notes + _few_notes(divided))
    kinds = " and kind" if any(sample.kind for sample in samples) else ""
    groups = ", groups kept whole" if any(sample.group for sample in samples) else ""
    return divided, _sentence(divided, f"drawn at random with seed {seed}, stratified by target{kinds}{groups}")


def check_split_options(test_share: float, *, seed: int) -> None:
    """Raises OptionError unless 0 < test_share < 1 and `check_seed` passes."""
    if not 0.0 < test_share < 1.0:
        raise OptionError(f"`test_share` must be above 0 and below 1, got {test_share!r} instead.")
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Raises OptionError unless the seed is in [0, 2^32), where every generator takes it."""
    if not 0 <= seed < 2**32:
        raise OptionError(f"`seed` must be 0 or more and below 2^32, got {seed!r} instead.")


def _check_given(dataset: Dataset, fewest: Fewest) -> None:
    where = printable(dataset.root)
    problems = []
    for name, needed, found in zip(_CLASSES, _to_train(fewest), _of_each_class(dataset, "train"), strict=True):
        if found < needed:
            what = f"only {counted(found, f'{name} image')}" if found else f"no {name} image"
            more = f"; at least {needed} are needed" if found else ""
            problems.append(f"{where}: the given split has {what} in train{more}.")
    if not any(sample.split == "test" for sample in dataset.samples):
        problems.append(f"{where}: the given split has no image in test; mark some, or leave the split out.")
    if problems:
        raise DataError(*problems)


def _check_left(dataset: Dataset, fewest: Fewest) -> None:
    for name, needed, found in zip(_CLASSES, _to_train(fewest), _of_each_class(dataset, "train"), strict=True):
        if found < needed:
            raise DataError(
                f"{printable(dataset.root)}: the split leaves {counted(found, f'{name} image')} to train on, and "
                f"{needed} are needed: give a smaller --test-share, or add {name} images."
            )


def _to_train(fewest: Fewest) -> tuple[int, int]:
    return fewest.train_normal, fewest.train_anomalous


def _of_each_class(dataset: Dataset, split: str) -> tuple[int, int]:
    classes = [sample.anomalous for sample in dataset.samples if sample.split == split]
    return len(classes) - sum(classes), sum(classes)


def _few_notes(dataset: Dataset) -> tuple[str, ...]:
    """What follows from few anomalous images, on either side."""
    (_, train), (_, test) = _of_each_class(dataset, "train"), _of_each_class(dataset, "test")
    notes = []
    if not train:
        kept = ", as " + ("the only one is" if test == 1 else f"all {test} are") + " kept to test on" if test else ""
        notes.append(f"No anomalous image to learn from{kept}: the model learns from normal images only.")
    elif train < _FEW:
        notes.append(f"Only {counted(train, 'anomalous image')} to learn from.")
    if not test:
        notes.append("No anomalous image to test on: nothing shows whether anomalies are found.")
    elif test < _FEW:
        notes.append(
            f"Only {counted(test, 'anomalous image')} to test on: one found or missed changes the recall by "
            f"{round(100 / test)} percentage points, so the figures could be quite different on other anomalies."
        )
    return tuple(notes)


def _sentence(dataset: Dataset, how: str) -> str:
    n, n_test = len(dataset.samples), sum(sample.split == "test" for sample in dataset.samples)
    return f"{n - n_test:,} images to train, {n_test:,} to test ({share(n_test / n)} %), {how}."


def _drawn(samples: list[Sample], test_share: float, rng: np.random.Generator, fewest: Fewest) -> _Bools:
    """(N,) whether each sample is for testing; `samples` come in a fixed order."""

    def unit(sample: Sample) -> tuple[str, bool]:
        return (sample.file, False) if sample.group is None else (sample.group, True)

    units = {unit(sample) for sample in samples if sample.anomalous}
    if fewest.train_anomalous or len(units) != 1:
        return _Draw(samples, test_share, rng, (0, 1)).in_test()
    in_test: _Bools = np.array([unit(sample) in units for sample in samples])
    rest = np.flatnonzero(~in_test)
    share = max(0, round(len(samples) * test_share) - int(in_test.sum())) / max(1, len(rest))
    in_test[rest] = _Draw([samples[index] for index in rest], share, rng, (0,)).in_test()
    return in_test


class _Draw:
    """One draw of the test side; `samples` come in a fixed order, and are of these classes."""

    def __init__(
        self, samples: list[Sample], test_share: float, rng: np.random.Generator, classes: tuple[int, ...]
    ) -> None:
        self._samples = samples
        self._rng = rng
        self._names = classes
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
            for name in self._names:
                self._give_class(name, side, groups + singles, chosen)
        return chosen

    def _check_possible(self) -> None:
        for number in self._names:
            name = _CLASSES[number]
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
        there = set(self._classes[chosen != side].tolist())
        best: tuple[float, int] | None = None
        for number, rows in enumerate(units):
            if not (self._classes[rows] == name).any():
                continue
            after = chosen.copy()
            after[rows] = side
            if not there <= set(self._classes[after != side].tolist()):
                continue
            have = np.bincount(self._strata[after], minlength=len(self._sizes))
            off = float((((have - self._wants) / np.maximum(self._wants, 1)) ** 2).sum())
            best = min(best or (off, number), (off, number))
        if best is not None:
            chosen[units[best[1]]] = side


def _wants(sizes: _Ints, stratum_class: _Ints, test_share: float) -> _Ints:
    """How many of each stratum's images go to test, by largest remainder; no class is left out on either side."""
    n_classes = len(set(stratum_class.tolist()))
    total = int(np.clip(round(int(sizes.sum()) * test_share), n_classes, int(sizes.sum()) - n_classes))
    exact = sizes * test_share
    wants: _Ints = np.floor(exact).astype(np.int64)
    while wants.sum() != total:
        step = 1 if wants.sum() < total else -1
        room = (wants < sizes) if step > 0 else (wants > 0)
        wants[np.argmax(np.where(room, step * (exact - wants), -np.inf))] += step
    for mine in (stratum_class == name for name in range(n_classes)):
        for lacking, step in ((wants[mine].sum() == 0, 1), (wants[mine].sum() == sizes[mine].sum(), -1)):
            if not lacking:
                continue
            for part, change in ((mine, step), (~mine, -step)):
                room = part & ((wants < sizes) if change > 0 else (wants > 0))
                wants[np.argmax(np.where(room, change * (exact - wants), -np.inf))] += change
    return wants
