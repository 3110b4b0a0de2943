"""What a threshold may be chosen on: training images, scored by models that had not seen them."""

from __future__ import annotations

from dataclasses import dataclass

from whycam.types import Floats


@dataclass(frozen=True)
class HeldOut:
    """Scores of training images by models that had not seen them: what thresholds are chosen on. All of length N."""

    files: tuple[str, ...]
    targets: Floats
    scores: Floats
    units: tuple[str, ...]
    """Images of one unit (one group, copies of one image) are not independent of each other."""
    how: str
    """For people: "out of fold", "on images kept out of training"."""
