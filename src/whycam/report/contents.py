"""What a report is made of, as one value, so that drawing can be tried and tested without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whycam.audits.audit import Audit
from whycam.card import Card, DataCard
from whycam.report.measured import Measured
from whycam.types import Curves, EpochRecord, Evaluation, Exhibit, Floats, Pixels, Predictions, Reliability, Sample


@dataclass(frozen=True, slots=True)
class Region:
    """One segment in a close-up."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom as shares of the picture's width and height, in [0, 1]."""
    share: float
    """Its evidence over the image's whole positive evidence; may be negative."""


@dataclass(frozen=True, slots=True)
class CloseUp:
    """One test image as large as the page shows it, with what speaks for its score.

    Pictures are encoded: hundreds of them pass from the network to the page, and as arrays they would fill the memory.
    """

    image: bytes
    """WEBP."""
    overlay: bytes
    """WEBP of the same size: the heatmap, on the run's colour scale, laid over the image."""
    size_wh: tuple[int, int]
    """Of both, in pixels."""
    regions: tuple[Region, ...]
    """The segments that are boxed and named, the largest share of the evidence first."""
    n_more: int
    """Segments beyond these."""
    share_more: float
    """The share of the evidence in those."""


@dataclass(frozen=True)
class WhatIf:
    """What the page needs, beside the report itself, for its reader to move the threshold and look at images.

    Images are named by their place in `ReportInput.test`. `whycam.report.closeup` makes the pictures and says which
    images to take where there are too many.
    """

    thumbnails: Mapping[int, bytes]
    """WEBP of every test image that can be looked at; figures count the others all the same."""
    close_ups: Mapping[int, CloseUp]
    """Of those images in `thumbnails` that have a heatmap in the page."""
    p_values: Floats | None = None
    """(N,) conformal p-values of novelty for all of `ReportInput.test`; None where novelty was not measured."""
    novel_level: float | None = None
    """An image whose p-value is at most this is flagged `novel`; None exactly where `p_values` is."""


@dataclass(frozen=True)
class Audited:
    """An audit with what its section shows."""

    audit: Audit
    pictures: Mapping[str, Pixels]
    """By file name, of `whycam.report.audited.files_shown`."""
    samples: tuple[Sample, ...]
    """Those audited."""


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
    audit: Audited | None = None
    """What was found in the model's data before the training; None where that is unknown or beside the point."""
    measured: Measured | None = None
    """How far the heatmaps can be trusted; None where that was not measured."""
    whatif: WhatIf | None = None
    """None for a page without a threshold to move."""
