"""The protocols on ELPV that figures of other work are compared under; splits are by cell, as modules are not named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split

from whycam.data.elpv import elpv_dataset
from whycam.data.split import split_samples
from whycam.types import Dataset, Estimate


def p1(seed: int) -> Dataset:
    """All 2,624 cells, a quarter of them to test on; anomalous is a target above 0.5.

    Divided cell by cell, as in the published work, although some cells are nearly the same: see `whycam audit`.
    """
    return split_samples(elpv_dataset(), 0.25, seed=seed)[0]


def p2(seed: int) -> Dataset:
    """Only the 2,223 cells with target 0 or 1, a fifth of them to test on; likewise."""
    return split_samples(_clear(), 0.2, seed=seed)[0]


def _clear() -> Dataset:
    data = elpv_dataset()
    return replace(data, samples=tuple(sample for sample in data.samples if sample.target in (0.0, 1.0)))


def p3(draw: int, n_anomalous: int) -> Dataset:
    """Few anomalies: target 0 against 1, a quarter of the normal cells held out (random_state 42), `n_anomalous`
    anomalous ones drawn for training, and all others tested on (DRA's general setting, arXiv 2203.14506)."""
    data = _clear()
    normal = [sample for sample in data.samples if not sample.anomalous]
    anomalous = [sample for sample in data.samples if sample.anomalous]
    train, _ = train_test_split(np.arange(len(normal)), test_size=0.25, random_state=42)
    drawn = np.random.default_rng(draw).choice(len(anomalous), n_anomalous, replace=False)
    names = {normal[index].file for index in train} | {anomalous[index].file for index in drawn}
    samples = tuple(replace(s, split="train" if s.file in names else "test") for s in data.samples)
    return replace(data, samples=samples)


def value(estimate: Estimate) -> float:
    """The figure itself, which must be defined."""
    assert estimate.value is not None
    return estimate.value


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over runs: `0.941 ± 0.006`."""
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.4f}"
