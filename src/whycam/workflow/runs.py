"""What a training or an evaluation leaves, and how it is taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whycam.audits.audit import Audit
from whycam.card import DataCard
from whycam.detector import Detector
from whycam.types import Evaluation


@dataclass(frozen=True)
class Run:
    """A finished run or evaluation: its folder, what was measured, and the detector."""

    folder: Path
    data: DataCard
    """What was evaluated."""
    evaluation: Evaluation
    detector: Detector
    audit: Audit | None = None
    """Of the data trained on; None after an evaluation."""


def load(run: str | Path, *, device: str = "cpu") -> Detector:
    """The detector of a finished run; RunError where there is none."""
    return Detector.load(run, device=device)
