"""The split: what must hold for every data set, and the counts that published protocols ask for."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whycam.data.elpv import elpv_dataset
from whycam.data.split import split_samples
from whycam.errors import DataError, OptionError
from whycam.types import Dataset, Fewest, Sample, Split

BINS = (0.0, 0.25, 0.5, 0.75, 0.999999, 1.0)


def dataset(*rows: tuple[float | None, str | None, str | None], split: Split | None = None) -> Dataset:
    """One sample a row of (target, kind, group)."""
    samples = tuple(
        Sample(f"{number:05}.png", Path(f"{number:05}.png"), target=target, kind=kind, group=group, split=split)
        for number, (target, kind, group) in enumerate(rows)
    )
    return Dataset(Path("data"), "made up", samples)


def files_in_test(data: Dataset) -> set[str]:
    return {sample.file for sample in data.samples if sample.split == "test"}


def stratum(sample: Sample) -> tuple[int, str | None]:
    assert sample.target is not None
    return int(np.searchsorted(BINS, sample.target)), sample.kind


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.51, 0.75, 0.9, 1.0]),
        st.sampled_from([None, "mono", "poly"]),
        st.sampled_from([None, None, *(f"g{n}" for n in range(12))]),
    ),
    min_size=8,
    max_size=120,
)


def both_sides(data: Dataset) -> bool:
    return len({(sample.split, sample.anomalous) for sample in data.samples}) == 4


@settings(max_examples=150, deadline=None)
@example(
    rows=[(0.0, None, "g1")] * 3
    + [(0.0, "mono", None), (0.0, "poly", None)]
    + [(0.51, None, "g0")] * 2
    # Drawn share by share, all of one class would be tested on and all of the other learned from.
    + [(0.51, "mono", None)],
    share=0.625,
    seed=0,
)
@given(rows=ROWS, share=st.floats(0.05, 0.95), seed=st.integers(0, 2**32 - 1))
def test_with_groups(rows: list[tuple[float, str | None, str | None]], share: float, seed: int) -> None:
    data = dataset(*rows)
    units: dict[bool, set[str]] = defaultdict(set)
    for sample in data.samples:
        units[sample.anomalous].add(sample.group or sample.file)
    if min(len(units[False]), len(units[True])) < 2:
        with pytest.raises(DataError):
            split_samples(data, share, seed=seed)
        return
    divided, _ = split_samples(data, share, seed=seed)
    assert both_sides(divided)
    assert [replace(sample, split=None) for sample in divided.samples] == list(data.samples)
    sides = defaultdict(set)
    for sample in divided.samples:
        if sample.group:
            sides[sample.group].add(sample.split)
    assert all(len(found) == 1 for found in sides.values())
    assert split_samples(data, share, seed=seed)[0] == divided


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, share=st.floats(0.05, 0.95), seed=st.integers(0, 2**32 - 1))
def test_without_groups_the_share_is_exact(
    rows: list[tuple[float, str | None, str | None]], share: float, seed: int
) -> None:
    data = dataset(*((target, kind, None) for target, kind, _ in rows))
    n, n_anomalous = len(rows), sum(sample.anomalous for sample in data.samples)
    if not 2 <= n_anomalous <= n - 2:
        with pytest.raises(DataError, match="cannot be divided into train and test"):
            split_samples(data, share, seed=seed)
        return
    divided, _ = split_samples(data, share, seed=seed)
    assert both_sides(divided)
    assert len(files_in_test(divided)) == min(max(round(n * share), 2), n - 2)
    if 0.2 < share < 0.8 and min(n_anomalous, n - n_anomalous) > 10:
        all_strata = Counter(map(stratum, data.samples))
        tested = Counter(stratum(sample) for sample in divided.samples if sample.split == "test")
        assert all(abs(tested[key] - count * share) <= 1 for key, count in all_strata.items())


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_order_of_samples_does_not_matter(seed: int) -> None:
    data = dataset(*((number % 3 / 2, None, f"g{number // 3}" if number < 30 else None) for number in range(60)))
    mixed = list(data.samples)
    random.Random(seed).shuffle(mixed)
    shuffled, _ = split_samples(replace(data, samples=tuple(mixed)), 0.3, seed=5)
    assert files_in_test(shuffled) == files_in_test(split_samples(data, 0.3, seed=5)[0])
    assert [sample.file for sample in shuffled.samples] == [sample.file for sample in mixed]


def test_seed_zero_is_a_seed() -> None:
    data = dataset(*((number % 2, None, None) for number in range(100)))
    drawn = [files_in_test(split_samples(data, 0.25, seed=seed)[0]) for seed in (0, 1, 2, 0)]
    assert drawn[0] == drawn[3] and len({frozenset(files) for files in drawn}) == 3


def test_elpv_protocol() -> None:
    divided, text = split_samples(elpv_dataset(), 0.25, seed=0)
    assert text == (
        "1,968 images to train, 656 to test (25.0 %), drawn at random with seed 0, stratified by target and kind."
    )
    everything = Counter((sample.target, sample.kind) for sample in divided.samples)
    tested = Counter((sample.target, sample.kind) for sample in divided.samples if sample.split == "test")
    assert sum(tested.values()) == 656 and len(everything) == 8
    assert all(abs(tested[key] - count / 4) < 1 for key, count in everything.items())


def test_big_groups_do_not_all_go_to_test() -> None:
    rows = [(float(group % 2), None, f"g{group}") for group in range(80) for _ in range(9 if group < 40 else 2)]
    divided, text = split_samples(dataset(*rows), 0.25, seed=0)
    assert "groups kept whole" in text
    sizes = Counter(sample.group for sample in divided.samples if sample.split == "test")
    assert abs(sum(sizes.values()) / len(rows) - 0.25) < 0.01
    assert abs(sum(size == 9 for size in sizes.values()) - 10) <= 1
    assert abs(sum(size == 2 for size in sizes.values()) - 10) <= 4


def test_one_group_of_each_class_and_one_of_both() -> None:
    rows = [(0.0, None, "a")] * 4 + [(1.0, None, "b")] * 4 + [(0.0, None, "c"), (1.0, None, "c")] * 2
    for seed in range(10):
        assert both_sides(split_samples(dataset(*rows), 0.25, seed=seed)[0])


def test_groups_too_coarse() -> None:
    rows = [(0.0, None, None)] * 10 + [(1.0, None, "plate 7")] * 6
    with pytest.raises(DataError) as caught:
        split_samples(dataset(*rows), 0.25, seed=0)
    assert str(caught.value) == (
        "All 6 anomalous images belong to the group 'plate 7', which is never divided, so train and test cannot both "
        "have some: add images of other groups, or make the groups smaller."
    )


def test_fifty_thousand_images_take_about_a_second() -> None:
    rows = [(float(n % 10 == 0), f"k{n % 4}", None) for n in range(50_000)]
    start = time.perf_counter()
    divided, _ = split_samples(dataset(*rows), 0.25, seed=0)
    assert len(files_in_test(divided)) == 12_500
    # Generous for slow machines; a loop over pairs of images would take minutes.
    assert time.perf_counter() - start < 10


def test_a_given_split_is_kept() -> None:
    data = dataset((0.0, None, None), (1.0, None, None), (0.0, None, None), (1.0, None, None), split="train")
    samples = (*data.samples[:3], replace(data.samples[3], split="test"))
    divided, text = split_samples(replace(data, samples=samples), 0.9, seed=1)
    assert divided.samples == samples
    assert text == "3 images to train, 1 to test (25.0 %), given with the data."


def test_unusable_given_splits() -> None:
    with pytest.raises(DataError) as caught:
        split_samples(dataset((0.0, None, None), (0.2, None, None), split="train"), 0.25, seed=0)
    assert caught.value.problems == (
        "data: the given split has no anomalous image in train.",
        "data: the given split has no image in test; mark some, or leave the split out.",
    )
    data = dataset((0.0, None, "g"), (1.0, None, "h"), (1.0, None, "h"), split="train")
    samples = (*data.samples[:2], replace(data.samples[2], split="test"))
    honoured, _ = split_samples(replace(data, samples=samples), 0.25, seed=0)
    assert honoured.samples == samples
    samples = (*data.samples[:2], replace(data.samples[2], split=None))
    with pytest.raises(DataError, match="split is given for 2 of 3 images only"):
        split_samples(replace(data, samples=samples), 0.25, seed=0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 25, float("nan")])
def test_share_must_be_a_share(share: float) -> None:
    with pytest.raises(OptionError, match="`test_share` must be above 0 and below 1, got"):
        split_samples(dataset(*[(0.0, None, None), (1.0, None, None)] * 4), share, seed=0)


def test_other_bad_input() -> None:
    with pytest.raises(OptionError, match=r"`seed` must be 0 or more and below 2\^32, got -1 instead"):
        split_samples(dataset(*[(0.0, None, None), (1.0, None, None)] * 4), 0.5, seed=-1)
    with pytest.raises(ValueError, match="unlabelled"):
        split_samples(dataset((None, None, None), (1.0, None, None)), 0.5, seed=0)


NORMAL_IS_ENOUGH = Fewest(anomalous=1, train_normal=2, train_anomalous=0)


@settings(max_examples=100, deadline=None)
@given(
    n_normal=st.integers(4, 40), n_anomalous=st.integers(1, 12), share=st.floats(0.05, 0.45), seed=st.integers(0, 99)
)
def test_few_anomalies(n_normal: int, n_anomalous: int, share: float, seed: int) -> None:
    data = dataset(*[(0.0, None, None)] * n_normal, *[(1.0, None, None)] * n_anomalous)
    divided, _ = split_samples(data, share, seed=seed, fewest=NORMAL_IS_ENOUGH)
    counts = Counter((sample.split, sample.anomalous) for sample in divided.samples)
    assert counts["train", False] >= 2 and counts["test", False] >= 1 and counts["test", True] >= 1
    assert (counts["train", True] == 0) == (n_anomalous == 1)
    assert len(files_in_test(divided)) == max(round((n_normal + n_anomalous) * share), 2)
    tested = f"Only {counts['test', True]} anomalous image"
    assert any(note.startswith(tested) for note in divided.notes) == (counts["test", True] < 10)


def test_the_only_anomaly_is_tested_on() -> None:
    data = dataset(*[(0.0, None, None)] * 12, (1.0, None, None))
    divided, _ = split_samples(data, 0.25, seed=0, fewest=NORMAL_IS_ENOUGH)
    assert "00012.png" in files_in_test(divided)
    assert divided.notes == (
        "No anomalous image to learn from, as the only one is kept to test on: the model learns from normal images "
        "only.",
        "Only 1 anomalous image to test on: one found or missed changes the recall by 100 percentage points, so the "
        "figures could be quite different on other anomalies.",
    )
    with pytest.raises(DataError, match="1 anomalous image cannot be divided"):
        split_samples(data, 0.25, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_the_only_anomalous_group_is_tested_on(seed: int) -> None:
    rows = [(0.0, None, f"g{n // 2}") for n in range(12)] + [(1.0, None, "odd")] * 3 + [(0.0, None, "odd")]
    divided, _ = split_samples(dataset(*rows), 0.4, seed=seed, fewest=NORMAL_IS_ENOUGH)
    assert {sample.split for sample in divided.samples if sample.group == "odd"} == {"test"}
    assert divided.notes[0].startswith("No anomalous image to learn from, as all 3 are kept to test on")
    assert len(files_in_test(divided)) == 6


def test_a_normal_image_must_be_left_to_learn_from() -> None:
    with pytest.raises(DataError) as caught:
        split_samples(dataset(*[(0.0, None, "g")] * 6, (1.0, None, "g")), 0.25, seed=0, fewest=NORMAL_IS_ENOUGH)
    assert str(caught.value) == "0 normal images cannot be divided into train and test."
    with pytest.raises(DataError) as caught:
        split_samples(dataset(*[(0.0, None, None)] * 4, (1.0, None, None)), 0.9, seed=0, fewest=NORMAL_IS_ENOUGH)
    assert str(caught.value) == (
        "data: the split leaves 1 normal image to train on, and 2 are needed: give a smaller --test-share, or add "
        "normal images."
    )


def test_a_given_split_may_have_no_anomaly_to_train_on() -> None:
    rows = dataset(*[(0.0, None, None)] * 3, (1.0, None, None), split="train").samples
    data = Dataset(Path("data"), "made up", (*rows[:3], replace(rows[3], split="test")))
    divided, _ = split_samples(data, 0.25, seed=0, fewest=NORMAL_IS_ENOUGH)
    assert divided.samples == data.samples
    with pytest.raises(DataError) as caught:
        split_samples(data, 0.25, seed=0)
    assert str(caught.value) == "data: the given split has no anomalous image in train."
    data = replace(data, samples=(rows[0], *(replace(sample, split="test") for sample in rows[1:])))
    with pytest.raises(DataError, match=r"has only 1 normal image in train; at least 2 are needed\.$"):
        split_samples(data, 0.25, seed=0, fewest=NORMAL_IS_ENOUGH)
