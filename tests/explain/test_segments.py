"""Segments: which pixels belong together, where they are, and what share of the evidence they hold."""

from __future__ import annotations

import numpy as np
import pytest

from whycam.explain.segments import find_segments


def test_regions_boxes_areas_and_shares() -> None:
    heatmap = np.zeros((10, 12))
    heatmap[1:4, 2:5] = 2.0
    heatmap[6:8, 8:12] = 1.0
    heatmap[9, 0] = 0.4
    evidence = np.where(heatmap >= 1, 1.0, 0.0)
    evidence[0, 0] = 3.0
    evidence[9, 11] = -5.0
    first, second = find_segments(heatmap, evidence, level=1.0)
    assert first.box == (2, 1, 5, 4)
    assert first.mask.sum() == 9
    assert first.area == pytest.approx(9 / 120)
    assert first.evidence_share == pytest.approx(9 / 20)
    assert second.box == (8, 6, 12, 8)
    assert second.evidence_share == pytest.approx(8 / 20)


def test_corners_connect() -> None:
    assert len(find_segments(np.eye(4), np.eye(4), level=0.5)) == 1


def test_nothing_to_cut() -> None:
    assert find_segments(np.zeros((4, 4)), np.zeros((4, 4)), level=0.1) == ()
    assert find_segments(np.ones((4, 4)), np.ones((4, 4)), level=0.0) == ()


def test_without_positive_evidence_shares_are_zero() -> None:
    (segment,) = find_segments(np.ones((3, 3)), -np.ones((3, 3)), level=0.5)
    assert segment.evidence_share == 0.0
