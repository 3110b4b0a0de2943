"""card.json: everything that must travel with the weights for a verdict to mean the same elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whycam.data.facts import DataFacts
from whycam.data.levels import Levels
from whycam.types import Threshold


@dataclass(frozen=True, slots=True)
class CellGrid:
    """Where the cells of a feature map lie on the model's input: cell (i, j) is centred on the pixel
    (top + stride * i, left + stride * j), pixel centres counted from 0."""

    height: int
    width: int
    stride: float
    top: float
    left: float


@dataclass(frozen=True, slots=True)
class DataCard:
    """What a model was trained on."""

    facts: DataFacts
    fingerprint: str
    """SHA-256 over the sorted (content digest, target, split) of the samples used."""
    n_train: int
    n_test: int
    n_anomalous_train: int
    n_anomalous_test: int
    split: str
    """How the split came about, for people."""


@dataclass(frozen=True, slots=True)
class TrainingCard:
    """How a model was trained."""

    recipe: str
    seed: int
    epochs_planned: int
    epochs_done: int
    batch_size: int
    optimizer: str
    loss: str
    device: str
    threads: int
    seconds: float
    interrupted: bool
    choices: tuple[str, ...] = ()
    """What the training chose by itself, on training images alone, and why; one sentence each."""


@dataclass(frozen=True, slots=True)
class PooledCard:
    """What a network of pooled features is built from."""

    backbone: str
    taps: tuple[str, ...]
    hidden: int
    views: tuple[int, ...]
    """Numbers of the image's flips and turns (networks/views.py) whose logits are averaged."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the network is and what must be done to an image before it."""

    network: str
    parameters: int
    size_hw: tuple[int, int]
    channels: Literal["rgb"]
    value_range: tuple[float, float]
    levels: Levels
    """Which stored values of more than 8 bits a sample are black and white, as the training images had it."""
    first_page: bool
    """Whether files of several pages or frames are read by their first; else they are refused."""
    score: Literal["linear", "probability"]
    """`linear`: score and logit are the same raw number; `probability`: score = sigmoid(logit)."""
    pooled: PooledCard | None = None
    """For a network of pooled features; None for the classic network."""


@dataclass(frozen=True, slots=True)
class NoveltyCard:
    """How images unlike anything seen in training are told."""

    level: float
    """An image is flagged `novel` where its conformal p-value is at most this."""
    method: str
    """For people."""


@dataclass(frozen=True, slots=True)
class HeatmapCard:
    """How the model's heatmaps are made and shown."""

    method: str
    """A name of `whycam.explain.methods.METHODS`."""
    layer: str
    grid: CellGrid
    scale: float
    """The heatmap value shown as the hottest colour, the same for every image of the run."""
    segment_level: float
    """Segments are cut at this share of `scale`."""


@dataclass(frozen=True, slots=True)
class Card:
    """card.json: everything that must travel with the weights."""

    schema: int
    created: str
    class_names: tuple[str, str]
    threshold: Threshold
    model: ModelCard
    novelty: NoveltyCard | None
    """None where the recipe has no features to judge novelty by, or there were too few training images."""
    training: TrainingCard
    heatmap: HeatmapCard
    data: DataCard
    versions: dict[str, str]
