"""Where the line between normal and anomalous is drawn, and in words why there."""

from __future__ import annotations

from whycam.types import Threshold


def midpoint() -> Threshold:
    """The threshold 0.5: a rule fixed before any score is seen, so no image has helped to choose it."""
    return Threshold(0.5, rule="midpoint: halfway between the targets 0 and 1, not chosen from data")
