"""The recipe `default`: features computed once, and a head trained, chosen and calibrated on training images alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.evaluation.held_out import HeldOut
from whycam.features import Features
from whycam.fitting.centres import centre
from whycam.fitting.choices import auroc_sentence, calibration_sentence, few_sentence, torn_sentence, views_sentence
from whycam.fitting.cross_fitting import Fitting, Views
from whycam.fitting.held_out import scored, units_of
from whycam.fitting.plan import Fitted, cpu_threads, training_samples
from whycam.networks.backbone import Backbone, build_backbone
from whycam.networks.heads import PooledHead
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.training.calibration import Calibration, normal_only, platt
from whycam.training.checkpoint import Plan, save_checkpoint
from whycam.training.folds import covered, draw_folds
from whycam.training.head import Part, assemble
from whycam.training.recipe import DefaultRecipe, FinetuneRecipe, HeadSettings, Symmetry, views_of
from whycam.training.subspace import Products, Subspace
from whycam.types import ANOMALOUS_ABOVE, Dataset, EpochRecord, Sample

_WIDENED = 3.0
"""Features lie in [0, 6]. So they are hardly scaled at all: rare ones would count too much, and most on new images."""
_PROJECTIONS = 512
_HOW = "out of fold"
_FEWEST_ANOMALIES = 2
"""With fewer the classes cannot be cross-validated, and the head knows normal images only."""


def fit_default(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: DefaultRecipe,
    *,
    planned: Plan,
    progress: Progress,
) -> Fitted:
    """Train as planned. Stopped and started again, it finds its features on disk and gives the same weights."""
    save_checkpoint(folder, planned, (), {})
    start = time.perf_counter()
    backbone = build_backbone(recipe.backbone, recipe.taps, pretrained=True)
    features = Features(backbone, pixels, device=torch.device(planned.device))
    samples = training_samples(dataset, pixels)
    learned = learn(features, samples, pixels, recipe, planned=planned, progress=progress)
    network = learned.network(backbone, features, samples, pixels, seed=planned.seed, progress=progress)
    run_folder.write_history(folder, learned.history)
    card = TrainingCard(
        recipe=recipe.name,
        seed=planned.seed,
        epochs_planned=len(learned.history),
        epochs_done=len(learned.history),
        batch_size=recipe.head.batch_size,
        # Without anomalies the head is a closed form, and nothing is optimised.
        optimizer=recipe.optimizer if learned.history else "none",
        loss=recipe.loss if learned.history else "none",
        device=planned.device,
        threads=planned.threads,
        seconds=round(time.perf_counter() - start, 3),
        interrupted=False,
        choices=learned.choices,
    )
    return Fitted(network, learned.history, card, learned.held_out)


@dataclass(frozen=True)
class Learned:
    """What frozen features teach."""

    subspace: Subspace
    views: Views
    parts: tuple[Part, ...]
    """What tells the classes apart (unless there are hardly any anomalies), then the distance from normal images, of
    features as `subspace` scales them."""
    calibration: Calibration
    history: tuple[EpochRecord, ...]
    choices: tuple[str, ...]
    held_out: HeldOut
    """Out of fold."""

    def head(self, channels: Sequence[int]) -> PooledHead:
        """The calibrated head on the pooled features of maps with so many channels."""
        return assemble(self.parts, self.calibration.slopes, self.calibration.intercept, self.subspace, channels)

    def network(
        self,
        backbone: Backbone,
        features: Features,
        samples: list[Sample],
        pixels: PixelCache,
        *,
        seed: int,
        progress: Progress,
    ) -> PooledNetwork:
        """The backbone with this head; `features` are its own, and heatmaps compare with some of the `samples`."""
        network = PooledNetwork(backbone, self.head(backbone.channels), views=self.views, size_hw=pixels.size_hw)
        centre(network, features, samples, pixels, seed=seed, progress=progress)
        return network


def learn(
    features: Features,
    samples: list[Sample],
    pixels: PixelCache,
    recipe: DefaultRecipe | FinetuneRecipe,
    *,
    planned: Plan,
    progress: Progress,
) -> Learned:
    """Views, head and calibration from these samples alone; their features are computed first."""
    rows = pixels.rows(samples)
    candidates = _candidates(recipe.symmetry, recipe.views)
    views = tuple(dict.fromkeys(view for candidate in candidates for view in candidate))
    features.compute(views, rows, progress=progress)
    with cpu_threads(planned.threads), progress.bar("training the head", 1) as bar:
        products = Products(
            lambda chosen: features.read(views, chosen),
            rows,
            seed=planned.seed,
            widened=_WIDENED,
            projections=_PROJECTIONS,
        )
        learned = _learn(
            products,
            views,
            candidates,
            samples,
            units_of(samples, pixels),
            recipe.head,
            seed=planned.seed,
        )
        bar.advance()
    return learned


def _candidates(symmetry: Symmetry, views: int) -> list[Views]:
    """The sets of views to choose from, the plain image first."""
    if symmetry == "auto":
        return list(dict.fromkeys((views_of("none", 1), views_of("all", views))))
    return [views_of(symmetry, views)]


def _learn(
    products: Products,
    read: Views,
    candidates: list[Views],
    samples: list[Sample],
    units: list[str],
    settings: HeadSettings,
    *,
    seed: int,
) -> Learned:
    """Views, head and calibration of the images."""
    targets = np.array([sample.target for sample in samples], dtype=np.float64)
    anomalous = targets > ANOMALOUS_ABOVE
    n_units = [len(set(np.array(units)[anomalous == which])) for which in (False, True)]
    few = n_units[1] < _FEWEST_ANOMALIES
    n_folds = max(2, min(settings.folds, n_units[0] if few else min(n_units)))
    folds = draw_folds(anomalous, units, n_folds, seed=seed)
    torn: tuple[str, ...] = ()
    if not covered(folds, ~anomalous) or not (few or covered(folds, anomalous)):
        # All of a class is one unit: held out with it, nothing would be left to compare with.
        folds = draw_folds(anomalous, range(len(samples)), n_folds, seed=seed)
        torn = (torn_sentence(),)
    fitting = Fitting.of(products, read, targets, folds, directions=settings.directions, seed=seed)
    subspace = products.subspace(fitting.whole.directions)
    if few:
        views = candidates[0]
        (((distance,), _), *found) = fitting.heads(views, None, (fitting.whole, *fitting.folds))
        distances = fitting.gathered(found)
        calibration, false_alarms = normal_only(distances[~anomalous, 0])
        sentence = few_sentence(int(anomalous.sum()), false_alarms)
        normal = [at for at, is_anomalous in enumerate(anomalous) if not is_anomalous]
        held_out = scored(
            [samples[at] for at in normal],
            [units[at] for at in normal],
            expit(calibration.logits(distances[normal])),
            _HOW,
        )
        return Learned(
            subspace, views, (distance.along(products.random),), calibration, (), (sentence, *torn), held_out
        )
    views, losses = fitting.better(candidates, settings)
    history: list[EpochRecord] = []
    clock = [time.perf_counter()]

    def done(epoch: int, loss: float) -> None:
        clock.append(time.perf_counter())
        history.append(EpochRecord(epoch=epoch, loss=loss, seconds=clock[-1] - clock[-2]))

    (((classes, distance), _), *found) = fitting.heads(views, settings, (fitting.whole, *fitting.folds), done=done)
    parts = (classes.along(subspace.basis), distance.along(products.random))
    raw = fitting.gathered(found)
    calibration = platt(raw, anomalous)
    logits = calibration.logits(raw)
    choices = (
        views_sentence(losses, views),
        calibration_sentence(len(anomalous)),
        auroc_sentence(logits, samples, seed=seed),
        *torn,
    )
    held_out = scored(samples, units, expit(logits), _HOW)
    return Learned(subspace, views, parts, calibration, tuple(history), choices, held_out)
