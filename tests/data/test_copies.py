"""Copies: told where they flatter figures or contradict each other, and only there."""

from __future__ import annotations

from pathlib import Path

from whycam.data.copies import copies_notes
from whycam.types import Dataset, Sample, Split


def dataset(*rows: tuple[str, float | None, Split]) -> Dataset:
    samples = tuple(Sample(file, Path(file), target=target, split=split) for file, target, split in rows)
    return Dataset(Path("photos"), "class folders", samples)


def test_nothing_to_tell() -> None:
    data = dataset(
        ("a", 0.0, "train"), ("b", 0.3, "train"), ("c", 1.0, "test"), ("d", 1.0, "test"), ("e", 1.0, "train")
    )
    assert copies_notes(data, {"a": "1", "b": "1", "c": "2", "d": "2", "e": "3"}) == ()
    assert copies_notes(data, {}) == ()
    assert copies_notes(dataset(), {}) == ()


def test_copies_on_both_sides() -> None:
    data = dataset(
        ("t0", 0.0, "test"), ("r1", 0.0, "train"), ("r2", 0.0, "train"), ("t1", 0.0, "test"), ("t2", 0.0, "test"),
        ("t3", 1.0, "test"), ("r3", 1.0, "train"),
    )  # fmt: skip
    digests = {"t0": "0", "r1": "1", "r2": "1", "t1": "1", "t2": "1", "t3": "3", "r3": "3"}
    assert copies_notes(data, digests) == (
        "3 of 4 test images have an identical copy in train (t1 is r1), so figures on the test images are too good; "
        "delete the copies, or put them into one group and leave a given split out.",
    )
    (note,) = copies_notes(data, digests | {"t2": "2", "t3": "4"})
    assert note.startswith("1 of 4 test images has an identical copy in train (t1 is r1), ")


def test_copies_of_both_classes() -> None:
    data = dataset(("a", 1.0, "train"), ("b", 0.0, "train"), ("c", 0.2, "train"), ("d", None, "test"))
    assert copies_notes(data, {"a": "1", "b": "1", "c": "1", "d": "2"}) == (
        "1 image (3 files) is there both as normal and as anomalous (b is a), so one of the labels must be wrong; "
        "keep the copies of the right class only.",
    )


def test_both_at_once() -> None:
    data = dataset(("a", 1.0, "train"), ("b", 0.0, "test"), ("c", 0.0, "train"), ("d", 0.6, "train"))
    sides, classes = copies_notes(data, {"a": "1", "b": "1", "c": "2", "d": "2"})
    assert sides.startswith("1 of 1 test image has an identical copy in train (b is a), ")
    assert classes.startswith("2 images (4 files) are there both as normal and as anomalous (b is a), ")
