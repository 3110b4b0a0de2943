"""Pairs of images as the page draws them, two by two: each must be a pair that was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whycam.audits.audit import SCHEMA, Audit
from whycam.audits.duplicates import Clusters, duplicate_findings
from whycam.audits.findings import Finding
from whycam.audits.near import NearPairs
from whycam.report.audited import section
from whycam.types import Sample

PAIRS = [("a", "b"), ("a", "c"), ("b", "c"), ("d", "e"), ("c", "f")]
"""The nearest first; a, b and c are near each other, and so are c and f."""
ANOMALOUS = "be"


def told() -> dict[str, Finding]:
    names = "abcdef"
    samples = [Sample(name, Path(name), float(name in ANOMALOUS)) for name in names]
    rows = np.array([[names.index(name) for name in pair] for pair in PAIRS])
    clusters = Clusters(
        units=tuple("aaadda"),
        copies=np.arange(6),
        near=np.array([0, 0, 0, 1, 1, 0]),
        pairs=NearPairs(rows, np.linspace(0.001, 0.005, len(PAIRS)), np.full(len(PAIRS), 1e-9)),
    )
    return {finding.kind: finding for finding in duplicate_findings(samples, clusters)}


def shown(finding: Finding) -> list[tuple[str, ...]]:
    audit = Audit(SCHEMA, 6, 2, (finding,), (), (), None)
    (drawn,) = section(audit, {}).findings
    assert drawn.paired and not drawn.n_more
    return [tuple(one.file for one in group) for group in drawn.groups]


def test_pairs_stand_side_by_side_though_they_share_an_image() -> None:
    """The pair (b, c) shows nothing that (a, b) and (a, c) did not."""
    near = told()["near-duplicates"]
    assert shown(near) == [("a", "b"), ("a", "c"), ("d", "e"), ("c", "f")]
    assert near.n_files == len(set(near.files)) == 6


def test_every_pair_shown_as_contradicting_contradicts() -> None:
    finding = told()["contradicting-near-duplicates"]
    assert shown(finding) == [("a", "b"), ("b", "c"), ("d", "e")]
    assert finding.sentence.startswith("3 pairs of nearly identical images have different labels (a is normal, b is ")
    assert finding.n_files == len(set(finding.files)) == 5


def test_what_is_not_shown_is_counted_by_image() -> None:
    """Ten pairs with one image in common: the page has room for four of them."""
    files = tuple(name for number in range(10) for name in ("common", f"other-{number}"))
    audit = Audit(SCHEMA, 11, 2, (Finding("near-duplicates", "note", "Alike.", files, 11),), (), (), None)
    (drawn,) = section(audit, {}).findings
    assert len(drawn.groups) == 4 and drawn.n_more == 11 - 5
