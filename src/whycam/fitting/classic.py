"""The recipe `classic`: every epoch leaves a checkpoint that a training can go on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.detector import batches
from whycam.explain.explanation import score
from whycam.fitting.choices import time_sentence
from whycam.fitting.held_out import KEPT_OUT, keep_out, scored, units_of
from whycam.fitting.plan import Fitted, cpu_threads, out_of_time, training_samples
from whycam.networks.classic import ClassicNetwork
from whycam.networks.device import as_input
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.training.checkpoint import Checkpoint, Plan, load_checkpoint, save_checkpoint
from whycam.training.recipe import ClassicRecipe
from whycam.training.trainer import LabelledPixels, new_optimizer, restore, state, train_epochs
from whycam.types import Dataset, Sample


def fit_classic(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: ClassicRecipe,
    *,
    planned: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
    deadline: float | None = None,
) -> Fitted:
    """Train as planned, from the checkpoint or from the start, and leave a checkpoint in `folder` after every epoch.

    After Ctrl-C the network is the one of the last finished epoch, and `card.interrupted` says so.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first epoch was finished.
    """
    seed, where = planned.seed, torch.device(planned.device)
    network = ClassicNetwork(recipe.size_hw)
    network.initialise(torch.Generator().manual_seed(seed))
    network.to(where)
    optimizer = new_optimizer(network, recipe)
    history = list(checkpoint.history) if checkpoint else []
    if checkpoint:
        restore(checkpoint.tensors, network, optimizer)
    train, kept_out = training_samples(dataset, pixels), list[Sample]()
    if recipe.validation_share:
        train, kept_out = keep_out(train, pixels, recipe.validation_share, seed=seed)
    data = LabelledPixels(pixels.read, pixels.rows(train), replace(dataset, samples=tuple(train)).targets)
    epochs = range(len(history) + 1, recipe.epochs + 1)
    interrupted = False
    try:
        with cpu_threads(planned.threads):
            for record in train_epochs(
                network, optimizer, data, recipe=recipe, seed=seed, epochs=epochs, progress=progress
            ):
                finished = (*history, record)
                save_checkpoint(folder, planned, finished, state(network, optimizer))
                history.append(record)
                run_folder.write_history(folder, history)
                if out_of_time(deadline, record.seconds):
                    break
    except KeyboardInterrupt:
        last = load_checkpoint(folder)
        if last is None:
            raise
        restore(last.tensors, network, optimizer)
        history = list(last.history)
        interrupted = True
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
        choices=() if interrupted or len(history) == recipe.epochs else (time_sentence(len(history), recipe.epochs),),
    )
    held_out = None
    if kept_out:
        network.freeze()
        rows = pixels.rows(kept_out)
        scores = [score(network, as_input(pixels.read(batch), where)) for batch in batches(rows.tolist())]
        held_out = scored(kept_out, units_of(kept_out, pixels), np.concatenate(scores), KEPT_OUT)
    return Fitted(network, tuple(history), card, held_out)
