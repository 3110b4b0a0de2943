"""The part of a run that is the model: `card.json` and `model.safetensors`, loaded without unpickling anything."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from whycam.atomic import write_bytes, write_text
from whycam.card import Card, CellGrid, DataCard, HeatmapCard, ModelCard, PooledCard, TrainingCard
from whycam.data.facts import gather
from whycam.errors import OptionError, RunError
from whycam.explain.methods import METHODS
from whycam.explain.placement import combined_grid
from whycam.networks.backbone import build_backbone
from whycam.networks.classic import SMALLEST_SIDE, ClassicNetwork
from whycam.networks.heads import PooledHead
from whycam.networks.network import Network
from whycam.networks.novelty import NoveltyModel
from whycam.networks.pooled import PooledNetwork
from whycam.networks.views import NAMES
from whycam.run_mark import CARD, check_finished, check_schema
from whycam.store.pixels import PixelCache
from whycam.types import Dataset, Threshold

WEIGHTS = "model.safetensors"

SCHEMA = 5
_NOVELTY = "novelty."
_LARGEST_SIDE = 4096
_MOST_HIDDEN = 100_000
SEGMENT_LEVEL = 0.5
"""Segments are cut at half the run's colour scale."""
_PACKAGES = ("whycam", "torch", "numpy", "pillow", "scipy", "scikit-learn", "onnxruntime")
_CARD = TypeAdapter(Card)


def save_bundle(folder: Path, network: Network, card: Card, novelty: NoveltyModel | None) -> None:
    """Write the weights, then the card; a folder with a card therefore has its weights."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if novelty is not None:
        tensors |= {_NOVELTY + name: torch.from_numpy(array) for name, array in novelty.tensors().items()}
    write_bytes(folder / WEIGHTS, save(tensors))
    save_card(folder, card)


def save_card(folder: Path, card: Card) -> None:
    """Write the card alone; the weights that it belongs to are there already."""
    write_text(folder / CARD, _CARD.dump_json(card, indent=2).decode() + "\n")


def load_card(folder: Path) -> Card:
    """The card of a run; RunError where there is none, it is damaged, or another version wrote it."""
    check_finished(folder)
    path = folder / CARD
    try:
        content = path.read_bytes()
        check_schema(path, content, SCHEMA, remedy="train again")
        return _CARD.validate_json(content)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunError(f"{path} is damaged: {where}: {first['msg']}.") from error


def load_bundle(folder: Path) -> tuple[Network, Card, NoveltyModel | None]:
    """The network, in evaluation mode on the CPU, its card, and what tells strange images where the run has that.

    RunError where something is missing or damaged.
    """
    card = load_card(folder)
    network = build_network(card.model)
    _check_sane(folder / CARD, card, network)
    path = folder / WEIGHTS
    if not path.exists():
        raise RunError(f"{folder} has no {WEIGHTS}: copy it beside {CARD}.")
    try:
        tensors = load_file(path)
        strange = {name: tensors.pop(name).numpy() for name in list(tensors) if name.startswith(_NOVELTY)}
        network.load_state_dict(tensors)
        arrays = {name.removeprefix(_NOVELTY): array for name, array in strange.items()}
        novelty = NoveltyModel.from_tensors(arrays) if card.novelty is not None else None
    except (SafetensorError, RuntimeError, OSError, KeyError, ValueError) as error:
        raise RunError(f"{path} is damaged or belongs to another card: {str(error).splitlines()[0]}") from error
    return network.eval(), card, novelty


def build_network(model: ModelCard) -> Network:
    """A network of the card's kind, its weights not yet loaded; RunError where the card describes none."""
    if not all(SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in model.size_hw):
        raise RunError(f"{CARD} is damaged: model.size_hw is {model.size_hw}.")
    if model.pooled is not None:
        try:
            return _pooled_network(model.pooled, model.size_hw)
        except (OptionError, ValueError) as error:
            raise RunError(f"{CARD} is damaged or of a newer version: model.pooled: {error}") from error
    if model.network != ClassicNetwork.name:
        raise RunError(f"{CARD} names a network that this version does not know: {model.network!r}. Update WhyCAM.")
    return ClassicNetwork(model.size_hw)


def _pooled_network(card: PooledCard, size_hw: tuple[int, int]) -> PooledNetwork:
    if not 0 <= card.hidden <= _MOST_HIDDEN or not set(card.views) <= set(range(len(NAMES))):
        raise ValueError("a number has a value that it cannot have.")
    backbone = build_backbone(card.backbone, card.taps, pretrained=False)
    return PooledNetwork(backbone, PooledHead(backbone.channels, card.hidden), views=card.views, size_hw=size_hw)


def _check_sane(path: Path, card: Card, network: Network) -> None:
    # A threshold that is no number would call every image normal: a damaged card must not fail open.
    wrong = {
        "threshold": not _is_threshold(card.threshold),
        "model.levels": not card.model.levels.sane,
        "heatmap.scale": not (math.isfinite(card.heatmap.scale) and card.heatmap.scale >= 0),
        "heatmap.segment_level": not 0 < card.heatmap.segment_level <= 1,
        "heatmap.grid": card.heatmap.grid != _grid(network, card.model.size_hw),
        "heatmap.method": card.heatmap.method not in METHODS,
        "data.facts.root": "\0" in card.data.facts.root,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise RunError(f"{path} is damaged: {name} has a value that it cannot have.")


def _is_threshold(threshold: Threshold) -> bool:
    band = threshold.band
    ends = (threshold.value,) if band is None else (band.low, threshold.value, band.high)
    return all(map(math.isfinite, ends)) and list(ends) == sorted(ends)


def _grid(network: Network, size_hw: tuple[int, int]) -> CellGrid:
    return combined_grid(network.grids(size_hw), size_hw)


def make_card(
    network: Network,
    training: TrainingCard,
    data: DataCard,
    *,
    threshold: Threshold,
    pixels: PixelCache,
) -> Card:
    """The card of a network freshly trained on such pixels, its heatmap scale still 0 and without novelty."""
    grid = _grid(network, pixels.size_hw)
    return Card(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        class_names=("normal", "anomalous"),
        threshold=threshold,
        model=ModelCard(
            network=network.name,
            parameters=network.n_parameters,
            size_hw=pixels.size_hw,
            channels="rgb",
            value_range=(0.0, 1.0),
            levels=pixels.levels,
            first_page=pixels.first_page,
            score=network.score,
            pooled=network.card if isinstance(network, PooledNetwork) else None,
        ),
        novelty=None,
        training=training,
        heatmap=HeatmapCard(method="grad-cam", layer=network.layer, grid=grid, scale=0.0, segment_level=SEGMENT_LEVEL),
        data=data,
        versions={"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    )


def describe_data(dataset: Dataset, *, fingerprint: str, split: str) -> DataCard:
    """What is recorded about the images used; every sample has its split."""
    sides = {side: [sample for sample in dataset.samples if sample.split == side] for side in ("train", "test")}
    return DataCard(
        facts=gather(dataset),
        fingerprint=fingerprint,
        n_train=len(sides["train"]),
        n_test=len(sides["test"]),
        n_anomalous_train=sum(sample.anomalous for sample in sides["train"]),
        n_anomalous_test=sum(sample.anomalous for sample in sides["test"]),
        split=split,
    )
