"""The training stage of a run: from divided samples to a network, with a checkpoint after every epoch."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.data.cache import PixelCache
from whycam.errors import RunError
from whycam.networks.classic import ClassicNetwork
from whycam.networks.device import pick_device
from whycam.progress import Progress
from whycam.training.checkpoint import Checkpoint, Plan, load_checkpoint, save_checkpoint
from whycam.training.recipe import Recipe
from whycam.training.trainer import LabelledPixels, new_optimizer, train_epochs
from whycam.types import Dataset, EpochRecord


@dataclass(frozen=True)
class Fitted:
    """A trained network and how it came about."""

    network: ClassicNetwork
    history: tuple[EpochRecord, ...]
    card: TrainingCard


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
    """
    checkpoint = load_checkpoint(folder) if resume else None
    planned = Plan(
        recipe=recipe.name,
        size_hw=recipe.size_hw,
        batch_size=recipe.batch_size,
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


def fit(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: Recipe,
    *,
    planned: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
) -> Fitted:
    """Train as planned, from the checkpoint or from the start, and leave a checkpoint in `folder` after every epoch.

    After Ctrl-C the network is the one of the last finished epoch, and `card.interrupted` says so.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first epoch was finished.
    """
    seed, where, threads = planned.seed, torch.device(planned.device), torch.get_num_threads()
    network = ClassicNetwork(recipe.size_hw)
    network.initialise(torch.Generator().manual_seed(seed))
    network.to(where)
    optimizer = new_optimizer(network, recipe)
    history = list(checkpoint.history) if checkpoint else []
    if checkpoint:
        checkpoint.restore(network, optimizer)
    # In the order of their content, so that neither names nor rows of a table decide what is learned when.
    train = sorted(
        (sample for sample in dataset.samples if sample.split == "train"),
        key=lambda sample: (pixels.digests[sample.file], sample.target),
    )
    data = LabelledPixels(pixels.read, pixels.rows(train), replace(dataset, samples=tuple(train)).targets)
    epochs = range(len(history) + 1, recipe.epochs + 1)
    interrupted = False
    torch.set_num_threads(planned.threads)
    try:
        for record in train_epochs(
            network, optimizer, data, recipe=recipe, seed=seed, epochs=epochs, progress=progress
        ):
            finished = (*history, record)
            save_checkpoint(folder, planned, finished, network=network, optimizer=optimizer)
            history.append(record)
            run_folder.write_history(folder, history)
    except KeyboardInterrupt:
        last = load_checkpoint(folder)
        if last is None:
            raise
        last.restore(network, optimizer)
        history = list(last.history)
        interrupted = True
    finally:
        torch.set_num_threads(threads)
    run_folder.write_history(folder, history)
    card = TrainingCard(
        recipe=recipe.name,
        seed=seed,
        epochs_planned=recipe.epochs,
        epochs_done=len(history),
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        loss=recipe.loss,
        device=where.type,
        threads=planned.threads,
        seconds=round(sum(record.seconds for record in history), 3),
        interrupted=interrupted,
    )
    return Fitted(network, tuple(history), card)


def fingerprint(dataset: Dataset, pixels: PixelCache) -> str:
    """SHA-256 over the sorted (content digest, target, split) of the samples: the same data give the same."""
    lines = sorted(f"{pixels.digests[s.file]} {s.target!r} {s.split}" for s in dataset.samples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_same(folder: Path, planned: Plan, checkpoint: Checkpoint, recipe: Recipe) -> None:
    before, now = asdict(checkpoint.plan), asdict(planned)
    changed = [
        "data or split" if name == "fingerprint" else f"{name.replace('_', ' ')} ({before[name]}, now {now[name]})"
        for name in now
        if before[name] != now[name]
    ]
    if changed:
        raise RunError(
            f"{folder} cannot be resumed, because this changed since it began: {', '.join(changed)}. "
            "Give what it began with, or train into another folder."
        )
    if len(checkpoint.history) > recipe.epochs:
        raise RunError(
            f"{folder} has {len(checkpoint.history)} epochs already, more than --epochs {recipe.epochs}: "
            "give at least as many, or train into another folder."
        )
