"""Leaks: each test image that train knows is told once, at its gravest; names tell groups only where images agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.audits.test_duplicates import clusters, near
from whycam.audits.audit import Optimism
from whycam.audits.cheap_head import coordinates
from whycam.audits.leaks import leak_findings
from whycam.audits.name_groups import find_name_groups
from whycam.audits.name_parts import candidate_parts
from whycam.types import Estimate, Sample, Split

FLAT = np.zeros((400, 4), np.float32)


def sample(file: str, split: Split | None, group: str | None = None, target: float = 0.0) -> Sample:
    return Sample(file, Path(file), target=target, split=split, group=group)


def mixed() -> list[Sample]:
    """10 to train and 100 to test."""
    return [sample(f"r{row}", "train") for row in range(10)] + [sample(f"t{row}", "test") for row in range(100)]


def test_without_a_given_split_nothing_leaks() -> None:
    samples = [replace(one, split=None) for one in mixed()]
    assert leak_findings(samples, clusters(110, copies={10: 0}), FLAT[:110]) == ()
    assert leak_findings(mixed(), clusters(110, copies={11: 10, 1: 0}, pairs=near((20, 21), (3, 4))), FLAT[:110]) == ()
    assert leak_findings([], clusters(0), FLAT[:0]) == ()


def test_every_leak_is_told_once_the_plainest_first() -> None:
    samples = mixed()
    for row, group in ((0, "a"), (10, "a"), (12, "a"), (13, "a"), (14, "b"), (15, "b")):
        samples[row] = replace(samples[row], group=group)
    found = leak_findings(samples, clusters(110, copies={10: 0}, pairs=near((12, 2), (16, 3), (16, 17))), FLAT[:110])
    copy, alike, group = found
    assert [finding.severity for finding in found] == ["serious"] * 3
    assert copy.sentence == (
        "1 of 100 test images has an identical copy in train (t0 is r0), so figures on the given test images are too "
        "good; delete the copies, or: `--split safe` draws a split that keeps copies, near duplicates and groups whole."
    )
    assert (copy.files, group.files) == (("t0", "r0"), ("t3", "r0"))
    assert alike.files[::2] == ("t2", "t6", "t7") and all(file.startswith("r") for file in alike.files[1::2])
    assert alike.sentence.startswith("3 of 100 test images have a near duplicate in train (t2 looks like r2), ")
    assert group.sentence.startswith(
        "1 of 100 test images has other images of the same group in train (t3 is of the group of r0), "
    )


@pytest.mark.parametrize(
    ("n", "distance", "misleads", "severity"),
    [
        (1, 0.001, False, "warning"),
        (2, 0.001, False, "serious"),
        (9, 0.03, False, "warning"),
        (1, 0.03, True, "serious"),
    ],
)
def test_how_grave_near_duplicates_are(n: int, distance: float, misleads: bool, severity: str) -> None:
    pairs = near(*((row, 10 + row) for row in range(n)), distance=distance)
    some, none = Estimate(0.9, 0.8, 0.95), Estimate(0.05, 0.02 if misleads else -0.01, 0.08)
    optimism = Optimism(some, some, none, None, None, 0)
    (finding,) = leak_findings(mixed(), clusters(110, pairs=pairs), FLAT[:110], optimism=optimism)
    assert (finding.severity, finding.n_files) == (severity, n)
    assert ("may be a little too good" in finding.sentence) == (severity == "warning")


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "defect_{row:04}.png",
        "data/images/cell{row:04}.png",
        "{kind}/{row:03}.png",
        "{split}/{kind}/{half:03}.png",
        "{kind}_{row:04}.jpg",
        "2023-05-17_{row}.jpg",
        "IMG_202305{day:02}_{row}.jpg",
        "cam{few}_{row}.png",
        "run/20230517/{row}.png",
        "{hash}.png",
    ],
)
def test_names_without_groups(name: str) -> None:
    rng = np.random.default_rng(0)
    files = [
        name.format(
            row=row,
            half=row // 2,
            few=row % 6,
            day=1 + row % 28,
            kind=("good", "scratch", "hole", "bad")[row % 4],
            split=("train", "test")[row % 2],
            hash=rng.bytes(8).hex(),
        )
        for row in range(200)
    ]
    assert [parts for parts in candidate_parts(files) if len(set(parts)) < 100] == []


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("patient{who:03}_scan{scan}.png", "patient007"),
        ("good/patient_{who:03}_{scan}.png", "patient_007"),
        ("IMG_tile{who}_{letter}.jpg", "tile7"),
        ("{who:05}{letter}.jpg", "00007"),
        ("scan{scan}-{who:03}.jpg", "007"),
        ("normal/P{who:02}/{scan}.jpg", "P07"),
        ("2023-05-17_board{who}_{scan}.jpg", "board7"),
    ],
)
def test_names_with_groups(name: str, part: str) -> None:
    files = [name.format(who=row // 5, scan=row % 5, letter="abcde"[row % 5]) for row in range(100)]
    wanted = {frozenset(range(5 * who, 5 * who + 5)) for who in range(20)}
    found = [parts for parts in candidate_parts(files) if parts[35] is not None and parts[35].endswith(part)]
    assert any({frozenset(np.flatnonzero([p == q for q in parts])) for p in set(parts)} == wanted for parts in found)


def patients(n: int, each: int, likeness: float, seed: int = 0) -> tuple[list[Sample], np.ndarray]:
    """Images of n patients, and features of which so much of the spread is the patient's own, as coordinates."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(n), each)
    own, other = rng.normal(size=(n, 100))[who], rng.normal(size=(n * each, 100))
    features = 3 + np.sqrt(likeness) * own + np.sqrt(1 - likeness) * other
    order = rng.permutation(len(who))
    samples = [
        sample(
            f"{'bad' if who[row] % 3 == 0 else 'ok'}/patient{who[row]:03}_{place}.png", None, target=who[row] % 3 == 0
        )
        for place, row in enumerate(order)
    ]
    return samples, coordinates(features[order].astype(np.float32), seed=seed)


def files(samples: list[Sample]) -> list[str]:
    return [one.file for one in samples]


@pytest.mark.parametrize("seed", range(3))
def test_images_of_one_patient_that_are_alike_are_groups(seed: int) -> None:
    samples, features = patients(40, 6, 0.6, seed)
    found = find_name_groups(samples, features, files(samples), seed=seed)
    assert found is not None and found.strong and found.p_value < 1e-3
    # Whitened along the directions of the largest spread, which are the patients'.
    assert 0.6 < found.likeness < 0.9
    assert list(found.parts) == [file.split("/")[1].split("_")[0] for file in files(samples)]


@pytest.mark.parametrize("seed", range(5))
def test_names_that_images_do_not_bear_out(seed: int) -> None:
    samples, features = patients(40, 6, 0.0, seed)
    assert find_name_groups(samples, features, files(samples), seed=seed) is None


def test_parts_that_tell_classes_and_kinds_only_are_no_groups() -> None:
    rng = np.random.default_rng(0)
    kinds = np.arange(240) % 12
    features = (3 + 2 * rng.normal(size=(12, 100))[kinds] + rng.normal(size=(240, 100))).astype(np.float32)
    samples = [
        replace(sample(f"type{kind:02}_{row}.png", None, target=float(kind > 5)), kind=f"k{kind}")
        for row, kind in enumerate(kinds)
    ]
    assert candidate_parts(files(samples)) != []
    assert find_name_groups(samples, coordinates(features, seed=0), files(samples)) is None


def test_the_coarser_part_that_images_bear_out_wins() -> None:
    rng = np.random.default_rng(1)
    row = np.arange(360)
    who, scan = row // 12, row // 3
    features = 2 * rng.normal(size=(30, 100))[who] + rng.normal(size=(120, 100))[scan] + rng.normal(size=(360, 100))
    samples = [sample(f"p{w:02}_s{s:03}_{r}.png", None) for w, s, r in zip(who, scan, row, strict=True)]
    found = find_name_groups(samples, coordinates(features.astype(np.float32), seed=0), files(samples))
    assert found is not None and found.parts[0] == "p00" and len(set(found.parts)) == 30
    # Without a likeness of patients beyond that of scans the finer part stays.
    only_scans = (rng.normal(size=(120, 100))[scan] + rng.normal(size=(360, 100))).astype(np.float32)
    found = find_name_groups(samples, coordinates(only_scans, seed=0), files(samples))
    assert found is not None and len(set(found.parts)) == 120


def test_given_groups_and_copies_are_not_judged_again() -> None:
    samples, features = patients(40, 6, 0.6)
    given = [replace(one, group=one.file.split("_")[0]) for one in samples]
    assert find_name_groups(given, features, files(samples)) is None
    # All that is alike are copies, which are known.
    assert find_name_groups(samples, features, [one.file.split("_")[0] for one in samples]) is None


@pytest.mark.parametrize(("likeness", "severity"), [(0.6, "serious"), (0.2, "warning")])
def test_groups_across_a_given_split(likeness: float, severity: str) -> None:
    samples, features = patients(40, 6, likeness)
    half: list[Split] = ["train", "test"]
    torn = [replace(one, split=half[row % 2]) for row, one in enumerate(samples)]
    (finding,) = leak_findings(torn, clusters(240), features)
    known = {one.file.split("_")[0] for one in torn if one.split == "train"}
    leaked = {one.file for one in torn if one.split == "test" and one.file.split("_")[0] in known}
    assert (finding.kind, finding.severity, set(finding.files)) == ("unstated-groups", severity, leaked)
    assert f", and {len(leaked)} of 120 test images share theirs with train. " in finding.sentence
    assert "File names suggest 40 groups that are not stated (patient" in finding.sentence
    whole = [replace(one, split=half[int(one.file.split("patient")[1][:3]) % 2]) for one in samples]
    (finding,) = leak_findings(whole, clusters(240), features)
    assert finding.severity == "warning" and finding.n_files == 240 and "test image" not in finding.sentence
