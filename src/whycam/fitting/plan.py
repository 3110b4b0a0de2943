"""What every recipe's training begins and ends with: a plan that can be compared, and a network with its history."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from whycam.card import TrainingCard
from whycam.errors import RunError
from whycam.evaluation.held_out import HeldOut
from whycam.fitting.held_out import keep_out
from whycam.networks.device import pick_device
from whycam.networks.network import Network
from whycam.store.pixels import PixelCache
from whycam.training.checkpoint import Checkpoint, Plan, load_checkpoint
from whycam.training.recipe import DefaultRecipe, Recipe
from whycam.types import Dataset, EpochRecord, Sample


@dataclass(frozen=True)
class Fitted:
    """A trained network and how it came about."""

    network: Network
    history: tuple[EpochRecord, ...]
    card: TrainingCard
    held_out: HeldOut | None
    """None where every training image was learned from."""


def plan(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    resume: bool,
) -> tuple[Plan, Checkpoint | None]:
    """What is to be done, and where to go on from with `resume`; nothing is written.

    Raises:
        RunError: the checkpoint is damaged, belongs to another training, or has more epochs than asked for.
        OptionError: the device is unknown or missing.
        DataError: too few images for the recipe.
    """
    # Too few images are told before anything is written.
    _ = to_hold_out(dataset, pixels, recipe, seed=seed)
    checkpoint = load_checkpoint(folder) if resume else None
    # Through JSON, as a checkpoint has it: pairs are lists there.
    settings = json.loads(json.dumps(asdict(recipe)))
    name = settings.pop("name")
    if recipe.more_epochs:
        settings.pop("epochs")
    planned = Plan(
        recipe=name,
        settings=settings,
        seed=seed,
        fingerprint=fingerprint(dataset, pixels),
        device=pick_device(device).type,
        threads=checkpoint.plan.threads if checkpoint else torch.get_num_threads(),
        torch_version=torch.__version__,
        pillow_version=version("pillow"),
    )
    if checkpoint:
        _check_same(folder, planned, checkpoint, recipe)
    return planned, checkpoint


def to_hold_out(dataset: Dataset, pixels: PixelCache, recipe: Recipe, *, seed: int) -> list[Sample]:
    """The training images that will be scored by models that have not seen them; DataError where they are too few."""
    train = training_samples(dataset, pixels)
    if isinstance(recipe, DefaultRecipe):
        return train
    return keep_out(train, pixels, recipe.validation_share, seed=seed)[1] if recipe.validation_share else []


def fingerprint(dataset: Dataset, pixels: PixelCache) -> str:
    """SHA-256 over the sorted (content digest, target, split) of the samples: the same data give the same."""
    lines = sorted(f"{pixels.digests[s.file]} {s.target!r} {s.split}" for s in dataset.samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def training_samples(dataset: Dataset, pixels: PixelCache) -> list[Sample]:
    """The training images in the order of their content: neither names nor rows of a table decide what is learned."""
    train = (sample for sample in dataset.samples if sample.split == "train")
    return sorted(train, key=lambda sample: (pixels.digests[sample.file], sample.target))


@contextmanager
def cpu_threads(n: int) -> Iterator[None]:
    """PyTorch works with `n` CPU threads inside: sums in another order round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def out_of_time(deadline: float | None, seconds: float) -> bool:
    """Whether another `seconds` would end after the deadline, by `time.monotonic()`."""
    return deadline is not None and time.monotonic() + seconds > deadline


def _check_same(folder: Path, planned: Plan, checkpoint: Checkpoint, recipe: Recipe) -> None:
    before, now = _flat(checkpoint.plan), _flat(planned)
    changed = [
        "data or split" if name == "fingerprint" else f"{name.replace('_', ' ')} ({before.get(name)}, now {now[name]})"
        for name in now
        if before.get(name) != now[name]
    ]
    if changed:
        if planned.recipe != checkpoint.plan.recipe:
            changed = [text for text in changed if text.startswith("recipe ")]
        raise RunError(
            f"{folder} cannot be resumed, because this changed since it began: {', '.join(changed)}. "
            "Give what it began with, or train into another folder."
        )
    if len(checkpoint.history) > recipe.epochs:
        raise RunError(
            f"{folder} has {len(checkpoint.history)} epochs already, more than --epochs {recipe.epochs}: "
            "give at least as many, or train into another folder."
        )


def _flat(plan: Plan) -> dict[str, object]:
    values = asdict(plan)
    settings = values.pop("settings")
    return {**values, **settings}
