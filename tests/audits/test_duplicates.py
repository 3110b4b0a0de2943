"""Units: what groups, copies and near duplicates link; and what is told about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.audits.made_parts import changed, features_of, fingerprints_of, parts
from whycam.audits.cheap_head import coordinates
from whycam.audits.duplicates import Clusters, duplicate_findings, find_clusters, members
from whycam.audits.near import NearPairs
from whycam.types import Sample

NONE = NearPairs(np.zeros((0, 2), np.intp), np.zeros(0), np.zeros(0))


def sample(file: str, target: float | None = 0.0, group: str | None = None) -> Sample:
    return Sample(file, Path(file), target=target, group=group)


def near(*pairs: tuple[int, int], distance: float = 0.001) -> NearPairs:
    return NearPairs(np.array(pairs, np.intp).reshape(-1, 2), np.full(len(pairs), distance), np.zeros(len(pairs)))


def clusters(n: int, *, copies: dict[int, int] | None = None, pairs: NearPairs = NONE) -> Clusters:
    """Of n images; `copies` says which is a copy of which."""
    numbers = np.arange(n)
    for copy, first in (copies or {}).items():
        numbers[copy] = first
    linked = numbers.copy()
    for first, second in pairs.rows.tolist():
        linked[linked == linked[second]] = linked[first]
    return Clusters(tuple(str(number) for number in linked), numbers, linked, pairs)


def test_units_are_linked_by_groups_copies_and_near_duplicates() -> None:
    originals = parts(30, seed=1)
    images = np.concatenate([originals, changed(originals[[3, 7]], "10 % brighter"), originals[[9, 9]]])
    samples = [sample(f"{row:02}.png") for row in range(34)]
    for row, group in ((3, "a"), (4, "a"), (31, "b"), (20, "b"), (33, "c"), (21, "c")):
        samples[row] = replace(samples[row], group=group)
    digests = [str(row) for row in range(32)] + ["9", "9"]
    rows = coordinates(features_of(images), seed=0)
    found = find_clusters(samples, digests, fingerprints_of(images), rows)
    expected = {row: row for row in range(34)}
    expected |= {4: 3, 30: 3, 31: 7, 20: 7, 32: 9, 33: 9, 21: 9}
    assert found.units == tuple(f"{expected[row]:02}.png" for row in range(34))
    assert [rows.tolist() for rows in members(found.copies)] == [[9, 32, 33]]
    assert [rows.tolist() for rows in members(found.near)] == [[3, 30], [7, 31], [9, 32, 33]]
    assert sorted(map(tuple, found.pairs.rows.tolist())) == [(3, 30), (7, 31)]
    assert found.n_too_alike == 0
    assert find_clusters(samples, digests, fingerprints_of(images), rows).units == found.units


def test_what_would_chain_a_quarter_of_the_data_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = near(*((row, row + 1) for row in range(29)), (40, 41), distance=0.03)
    doubtful = replace(chain, by_chance=np.full(30, 0.01))
    monkeypatch.setattr("whycam.audits.duplicates.near_pairs", lambda *args, **options: doubtful)
    samples = [sample(f"{row}.png") for row in range(80)]
    empty = (np.zeros((80, 4160), np.uint8), np.zeros((80, 4), np.float32))
    found = find_clusters(samples, [str(row) for row in range(80)], *empty)
    assert found.n_too_alike == 30
    assert found.pairs.rows.tolist() == [[40, 41]]
    assert len(set(found.units)) == 79
    told = {finding.kind: finding for finding in duplicate_findings(samples, found)}
    assert told["too-alike"].severity == "note" and told["too-alike"].n_files == 30
    assert told["too-alike"].sentence.startswith("30 of 80 images look so much alike that ")
    # Links beyond doubt hold, as long as they do not chain as many.
    by_chance = np.full(30, 0.01)
    by_chance[:5] = 1e-9
    monkeypatch.setattr(
        "whycam.audits.duplicates.near_pairs", lambda *args, **options: replace(chain, by_chance=by_chance)
    )
    found = find_clusters(samples, [str(row) for row in range(80)], *empty)
    assert found.n_too_alike == 30 and [rows.tolist() for rows in members(found.near)] == [[0, 1, 2, 3, 4, 5], [40, 41]]


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="of one length"):
        find_clusters([sample("a")], ["1", "2"], np.zeros((1, 4160), np.uint8), np.zeros((1, 4)))


def test_no_image_at_all() -> None:
    found = find_clusters([], [], np.zeros((0, 4160), np.uint8), np.zeros((0, 4), np.float32))
    assert found.units == () and duplicate_findings([], found) == ()


def test_nothing_to_tell() -> None:
    samples = [sample("a"), sample("b", 1.0), sample("c", None)]
    assert duplicate_findings(samples, clusters(3)) == ()


def test_copies_of_both_classes_are_serious() -> None:
    samples = [sample("a", 1.0), sample("b", 0.0), sample("c", 0.2), sample("d", None), sample("e"), sample("f")]
    contradiction, copies = duplicate_findings(samples, clusters(6, copies={1: 0, 2: 0, 3: 0, 5: 4}))
    assert (contradiction.kind, contradiction.severity) == ("contradicting-copies", "serious")
    assert contradiction.sentence == (
        "1 image (4 files) is there both as normal and as anomalous (b is a), so one of the labels must be wrong; "
        "keep the copies of the right class only."
    )
    assert contradiction.files == ("a", "b", "c", "d") and contradiction.n_files == 4
    assert (copies.kind, copies.severity, copies.files) == ("copies", "note", ("b", "c", "d", "f"))
    assert copies.sentence.startswith("4 files of 6 are identical copies of another (b is a): delete ")


@pytest.mark.parametrize(("distance", "severity"), [(0.001, "warning"), (0.02, "note")])
def test_near_duplicates_of_both_classes(distance: float, severity: str) -> None:
    samples = [sample("a", 0.7), sample("b", 0.3), sample("c"), sample("d")]
    contradiction, alike = duplicate_findings(samples, clusters(4, pairs=near((0, 1), (2, 3), distance=distance)))
    assert (contradiction.severity, contradiction.files) == (severity, ("a", "b"))
    assert contradiction.sentence.startswith(
        "1 pair of nearly identical images has different labels (a is anomalous, b is normal): "
    )
    assert (alike.kind, alike.severity, alike.files, alike.n_files) == (
        "near-duplicates",
        "note",
        ("a", "b", "c", "d"),
        4,
    )
    assert "4 of 4 images look nearly the same as another (b and a, for example), in 2 clusters of up to 2: " in (
        alike.sentence
    )


def test_near_duplicates_of_different_groups_are_told() -> None:
    samples = [sample("a", group="t2"), sample("b", group="t1"), sample("c", group="t3"), sample("d", group="t1")]
    (alike,) = duplicate_findings(samples, clusters(4, pairs=near((0, 1), (2, 3), (1, 3))))
    assert "given as different (t1 and t2, and 1 more): these may be one." in alike.sentence
    (alike,) = duplicate_findings(samples, clusters(4, pairs=near((1, 3))))
    assert "groups" not in alike.sentence
