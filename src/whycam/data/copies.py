"""Finds images that are there twice: copies in train and test flatter every figure, copies of two classes mislead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from whycam.data.words import counted
from whycam.types import Dataset, Sample


def copies_notes(dataset: Dataset, digests: Mapping[str, str]) -> tuple[str, ...]:
    """What people should know about images of the same content, one sentence each; empty where there is nothing.

    The samples must have their split filled in; `digests` is file -> digest of the bytes, as `PixelCache.digests` has
    it, and files that it lacks are left out. Told are test images that have a copy in train, and copies of which one
    counts as normal and another as anomalous. Copies on one side and of one class do no harm and are not told.
    """
    copies: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        if sample.file in digests:
            copies[digests[sample.file]].append(sample)
    several = [samples for samples in copies.values() if len(samples) > 1]
    n_test = sum(sample.split == "test" for sample in dataset.samples)
    return (*_on_both_sides(several, n_test), *_of_both_classes(several))


def _on_both_sides(several: Iterable[list[Sample]], n_test: int) -> list[str]:
    torn = []
    for samples in several:
        train = [sample for sample in samples if sample.split == "train"]
        test = [sample for sample in samples if sample.split == "test"]
        if train and test:
            torn.append((test, train))
    if not torn:
        return []
    n_seen = sum(len(test) for test, _ in torn)
    have = "has" if n_seen == 1 else "have"
    return [
        f"{n_seen:,} of {counted(n_test, 'test image')} {have} an identical copy in train "
        f"({torn[0][0][0].file} is {torn[0][1][0].file}), so figures on the test images are too good; "
        "delete the copies, or put them into one group and leave a given split out."
    ]


def _of_both_classes(several: Iterable[list[Sample]]) -> list[str]:
    disputed = []
    for samples in several:
        normal = [sample for sample in samples if sample.target is not None and not sample.anomalous]
        anomalous = [sample for sample in samples if sample.anomalous]
        if normal and anomalous:
            disputed.append((normal, anomalous))
    if not disputed:
        return []
    n_files = sum(len(normal) + len(anomalous) for normal, anomalous in disputed)
    return [
        f"{counted(len(disputed), 'image')} ({n_files:,} files) {'is' if len(disputed) == 1 else 'are'} there both as "
        f"normal and as anomalous ({disputed[0][0][0].file} is {disputed[0][1][0].file}), so one of the labels must be "
        "wrong; keep the copies of the right class only."
    ]
