"""What is known about a model's heatmaps, as one value: computed once, drawn in the report and saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whycam.evaluation.comparison import Comparison
from whycam.types import Estimate

HEATMAP, RANDOM, CENTRE, EDGES = "heatmap", "random", "centre", "edges"
"""The names of the maps that are compared."""

SIMILAR = 0.5
"""A map changes clearly where its rank correlation with the one before lies below this, interval and all."""


@dataclass(frozen=True)
class Curve:
    """Mean score over the share of pixels removed or inserted, by map."""

    shares: tuple[float, ...]
    values: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Faithfulness:
    """Whether the heatmap shows what the score rests on."""

    n_images: int
    n_alarms: int
    """Test images whose verdict is anomalous, of which the images were drawn."""
    deleted_score: float
    """Mean score of the images with every pixel replaced."""
    blurred_score: float
    """Mean score of the images with every pixel blurred."""
    deletion: Curve
    insertion: Curve
    deletion_logit: Curve | None
    """None where score and logit are the same."""
    insertion_logit: Curve | None
    road_shares: tuple[float, ...]
    figures: tuple[Comparison, ...]
    """In units of the score."""
    logit_figures: tuple[Comparison, ...]
    """The same in units of the logit; empty where score and logit are the same."""


@dataclass(frozen=True)
class Localisation:
    """Whether the heatmap lies where the defect is."""

    n_images: int
    """Test images with a mask that is not empty."""
    area: float
    """Mean share of an image that is defective: the mass in the mask of a map that is the same everywhere."""
    figures: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """How alike heatmaps are before and after some layers have forgotten what they learned."""

    name: str
    rank_correlation: Estimate
    structural_similarity: Estimate

    @property
    def changed(self) -> bool:
        """Whether the map changes clearly."""
        high = self.rank_correlation.high
        return high is not None and high < SIMILAR


@dataclass(frozen=True)
class Randomisation:
    """Whether the heatmap depends on what the network learned."""

    n_images: int
    n_draws: int
    """Times that weights were drawn."""
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Measured:
    """The measured explanations of one model on one set of images."""

    schema: int
    method: str
    """For people: Grad-CAM, Score-CAM, ..."""
    score: Literal["linear", "probability"]
    seed: int
    n_random: int
    """Random maps an image whose figures are averaged."""
    resolution: float
    """In pixels of the model's input: that of the random and edge maps."""
    faithfulness: Faithfulness | None
    localisation: Localisation | None
    randomisation: Randomisation | None
    notes: tuple[str, ...]
    """What could not be measured and why, one sentence each."""
