"""The recipe `finetune`: late layers trained from where `default` ends, and weights chosen on images kept out of it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.data.cache import PixelCache
from whycam.features import Features, Maps
from whycam.fitting.centres import centre
from whycam.fitting.choices import time_sentence, validation_sentences, weights_sentence
from whycam.fitting.default import learn
from whycam.fitting.held_out import KEPT_OUT, keep_out, scored, units_of
from whycam.fitting.plan import Fitted, cpu_threads, out_of_time, training_samples
from whycam.networks.backbone import build_backbone
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.training.calibration import Calibration, log_loss, platt
from whycam.training.checkpoint import Checkpoint, Plan, load_checkpoint, save_checkpoint
from whycam.training.finetuner import Finetuner, LabelledMaps
from whycam.training.head import assemble, certainty
from whycam.training.recipe import FinetuneRecipe, views_of
from whycam.types import ANOMALOUS_ABOVE, Dataset, EpochRecord, Floats, Sample


def fit_finetune(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: FinetuneRecipe,
    *,
    planned: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
    deadline: float | None = None,
) -> Fitted:
    """Train as planned, from the checkpoint or from the start, and leave a checkpoint in `folder` after every epoch.

    After Ctrl-C the network has the average of the weights up to the last finished epoch, and `card.interrupted` says
    so.

    Raises:
        DataError: too few images of a class to keep some out of the training.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished, or after the last.
    """
    begun = time.perf_counter()
    before = checkpoint.history if checkpoint else ()
    samples = training_samples(dataset, pixels)
    train, kept_out = keep_out(samples, pixels, recipe.validation_share, seed=planned.seed)
    if checkpoint is None:
        save_checkpoint(folder, planned, (), {})
    device = torch.device(planned.device)
    backbone = build_backbone(recipe.backbone, recipe.taps, pretrained=True)
    features = Features(backbone, pixels, device=device)
    learned = learn(features, train, pixels, recipe, planned=planned, progress=progress)
    classes = assemble(learned.parts[:1], (1.0,), 0.0, learned.subspace, backbone.channels)
    network = PooledNetwork(backbone, classes, views=learned.views, size_hw=pixels.size_hw).to(device)
    maps = Maps(build_backbone(recipe.backbone, (recipe.cut,), pretrained=True), pixels, device=device)
    symmetry = recipe.symmetry
    if symmetry == "auto":
        symmetry = "none" if len(learned.views) == 1 else "all"
    shown = views_of(symmetry, 8)
    maps.compute(shown, pixels.rows(train), progress=progress)
    maps.compute(learned.views, pixels.rows(kept_out), progress=progress)
    targets = replace(dataset, samples=tuple(train)).targets
    counts: Floats = np.ones(len(targets))
    if recipe.labels == "classes":
        counts = certainty(targets)
        targets = (targets > ANOMALOUS_ABOVE).astype(np.float64)
    data = LabelledMaps(maps.read, pixels.rows(train), targets, counts, shown)
    tuner = Finetuner(network, data, recipe, seed=planned.seed)
    with cpu_threads(planned.threads):
        history, interrupted = _train(folder, tuner, recipe, planned, checkpoint, progress, deadline)
        with progress.bar("choosing weights", len(recipe.shares)) as bar:
            choices = {}
            for share in recipe.shares:
                tuner.settle(share)
                raw = tuner.logits(maps.read, pixels.rows(kept_out), learned.views)
                choices[share] = _choice(raw, kept_out)
                bar.advance()
        best = min(choices, key=lambda share: choices[share].loss)
        tuner.settle(best)
    chosen = choices[best]
    network.head.rescale(chosen.calibration.slopes[0], chosen.calibration.intercept)
    trained = Features(network.backbone, pixels, device=device)
    centre(network, trained, train, pixels, seed=planned.seed, progress=progress)
    card = TrainingCard(
        recipe=recipe.name,
        seed=planned.seed,
        epochs_planned=recipe.epochs,
        epochs_done=len(history),
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        loss=recipe.loss,
        device=planned.device,
        threads=planned.threads,
        seconds=round(time.perf_counter() - begun + sum(record.seconds for record in before), 3),
        interrupted=interrupted,
        choices=(
            learned.choices[0],
            weights_sentence({share: choice.loss for share, choice in choices.items()}, best),
            *validation_sentences(chosen.logits, kept_out, seed=planned.seed),
            *_early(len(history), recipe.epochs, interrupted),
        ),
    )
    held_out = scored(kept_out, units_of(kept_out, pixels), expit(chosen.logits), KEPT_OUT)
    return Fitted(network, history, card, held_out)


@dataclass(frozen=True)
class _Choice:
    """What some weights make of the images kept out."""

    calibration: Calibration
    logits: Floats
    """Calibrated."""
    loss: float


def _early(done: int, planned: int, interrupted: bool) -> tuple[str, ...]:
    return () if interrupted or done == planned else (time_sentence(done, planned),)


def _choice(raw: Floats, samples: list[Sample]) -> _Choice:
    anomalous = np.array([sample.anomalous for sample in samples])
    calibration = platt(raw[:, None], anomalous)
    logits = calibration.logits(raw[:, None])
    return _Choice(calibration, logits, log_loss(logits, anomalous))


def _train(
    folder: Path,
    tuner: Finetuner,
    recipe: FinetuneRecipe,
    planned: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
    deadline: float | None,
) -> tuple[tuple[EpochRecord, ...], bool]:
    """The epochs done in all, and whether Ctrl-C ended them; `tuner` is then where the last of them ended."""
    history = checkpoint.history if checkpoint else ()
    if checkpoint and history:
        tuner.restore(checkpoint.tensors)
    interrupted = False
    try:
        # Closed at once also after Ctrl-C, as it has PyTorch's settings changed until then.
        with closing(tuner.train(range(len(history) + 1, recipe.epochs + 1), progress=progress)) as records:
            for record in records:
                save_checkpoint(folder, planned, (*history, record), tuner.state())
                history = (*history, record)
                run_folder.write_history(folder, history)
                if out_of_time(deadline, record.seconds):
                    break
    except KeyboardInterrupt:
        last = load_checkpoint(folder)
        if last is None or not last.history:
            raise
        tuner.restore(last.tensors)
        history = last.history
        interrupted = True
    run_folder.write_history(folder, history)
    return history, interrupted
