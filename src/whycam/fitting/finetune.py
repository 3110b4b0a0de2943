"""The recipe `finetune`: late layers trained from where `default` ends, and weights chosen on images kept out of it.

Fine-tuning may gain nothing, above all where a good part of the labels is guesswork. So the images kept out also decide
whether the network is better for it; where that is not clear, it stays as it was, and the images are learned from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.evaluation.held_out import HeldOut
from whycam.features import Features, Maps
from whycam.fitting.centres import centre
from whycam.fitting.choices import time_sentence, tuning_sentence, validation_sentences, weights_sentence
from whycam.fitting.default import learn
from whycam.fitting.held_out import KEPT_OUT, keep_out, mean_and_error, scored, units_of
from whycam.fitting.plan import Fitted, cpu_threads, out_of_time, training_samples
from whycam.networks.backbone import build_backbone
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.training.calibration import Calibration, log_losses, platt
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

    The network is that of the recipe `default` where fine-tuning was no clear gain: `recipe.clear` standard errors.

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
    features.compute(learned.views, pixels.rows(kept_out), progress=progress)
    with torch.no_grad():
        pooled = features.read(learned.views, pixels.rows(kept_out)).to(device)
        before_tuning = PooledNetwork(backbone, learned.head(backbone.channels), views=learned.views).to(device)
        first = _choice(before_tuning.logits_of_pooled(pooled).double().cpu().numpy(), kept_out)
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
    gain, error = mean_and_error(first.losses - choices[best].losses, units_of(kept_out, pixels))
    better = gain > recipe.clear * error
    if better:
        tuner.settle(best)
        result = _tuned(network, train, kept_out, pixels, choices, best, planned=planned, progress=progress)
        told = (learned.choices[0], *result.told)
    else:
        result = _as_it_was(samples, pixels, recipe, planned=planned, progress=progress)
        told = result.told
    tuning = tuning_sentence(first.loss, choices[best].loss, error, clear=recipe.clear, tuned=better)
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
        choices=(tuning, *told, *_early(len(history), recipe.epochs, interrupted)),
    )
    return Fitted(result.network, history, card, result.held_out)


@dataclass(frozen=True)
class _Choice:
    """What some weights make of the images kept out."""

    calibration: Calibration
    logits: Floats
    """Calibrated."""
    losses: Floats
    """Of each image: cross-entropy in nats."""

    @property
    def loss(self) -> float:
        """Their mean."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class _Result:
    """A network, what was chosen on the way to it, and its judgement of images that it had not seen."""

    network: PooledNetwork
    told: tuple[str, ...]
    held_out: HeldOut


def _tuned(
    network: PooledNetwork,
    train: list[Sample],
    kept_out: list[Sample],
    pixels: PixelCache,
    choices: Mapping[float, _Choice],
    best: float,
    *,
    planned: Plan,
    progress: Progress,
) -> _Result:
    """The fine-tuned network with the weights of the best share, calibrated and centred."""
    chosen = choices[best]
    network.head.rescale(chosen.calibration.slopes[0], chosen.calibration.intercept)
    features = Features(network.backbone, pixels, device=torch.device(planned.device))
    centre(network, features, train, pixels, seed=planned.seed, progress=progress)
    told = (
        weights_sentence({share: choice.loss for share, choice in choices.items()}, best),
        *validation_sentences(chosen.logits, kept_out, seed=planned.seed),
    )
    return _Result(network, told, scored(kept_out, units_of(kept_out, pixels), expit(chosen.logits), KEPT_OUT))


def _as_it_was(
    samples: list[Sample], pixels: PixelCache, recipe: FinetuneRecipe, *, planned: Plan, progress: Progress
) -> _Result:
    """The pretrained network with a head that all images taught."""
    backbone = build_backbone(recipe.backbone, recipe.taps, pretrained=True)
    features = Features(backbone, pixels, device=torch.device(planned.device))
    learned = learn(features, samples, pixels, recipe, planned=planned, progress=progress)
    network = learned.network(backbone, features, samples, pixels, seed=planned.seed, progress=progress)
    return _Result(network, learned.choices, learned.held_out)


def _early(done: int, planned: int, interrupted: bool) -> tuple[str, ...]:
    return () if interrupted or done == planned else (time_sentence(done, planned),)


def _choice(raw: Floats, samples: list[Sample]) -> _Choice:
    anomalous = np.array([sample.anomalous for sample in samples])
    calibration = platt(raw[:, None], anomalous)
    logits = calibration.logits(raw[:, None])
    return _Choice(calibration, logits, log_losses(logits, anomalous))


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
