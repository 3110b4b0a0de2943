"""What a report is made of, as one value, so that drawing can be tried and tested without training anything."""

from __future__ import annotations

from dataclasses import dataclass

from whycam.card import Card, DataCard
from whycam.types import Curves, EpochRecord, Evaluation, Exhibit, Predictions, Reliability


@dataclass(frozen=True)
class ReportInput:
    """Everything that a report shows; nothing in it is computed again."""

    card: Card
    """The model's own; its `data` are always those that the model was trained on."""
    evaluated: DataCard | None
    """The other data that this report tests on, all of them test images; None for the run's own test images."""
    evaluation: Evaluation
    history: tuple[EpochRecord, ...]
    """In the order of the epochs; empty where unknown, or where the training had none."""
    train: Predictions | None
    test: Predictions
    train_curves: Curves | None
    test_curves: Curves
    reliability: Reliability | None
    """Of the test images; None where scores are no probabilities."""
    exhibits: tuple[Exhibit, ...]
    """In the order shown: the worst mistakes first, then images judged rightly."""
    created: str
    """When the report was made, for people."""
