"""The recipe `default`: features computed once, and a head trained, chosen and calibrated on training images alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.data.cache import PixelCache
from whycam.data.parallel import in_order
from whycam.features import Features
from whycam.fitting.choices import auroc_sentence, calibration_sentence, few_sentence, torn_sentence, views_sentence
from whycam.fitting.held_out import units_of
from whycam.fitting.plan import Fitted, cpu_threads, training_samples
from whycam.networks.backbone import build_backbone
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.training.calibration import Calibration, log_loss, normal_only, platt
from whycam.training.checkpoint import Plan, save_checkpoint
from whycam.training.folds import covered, draw_folds
from whycam.training.head import Part, assemble, fit_classes, fit_distance
from whycam.training.recipe import DefaultRecipe, FinetuneRecipe, HeadSettings, Symmetry, views_of
from whycam.training.subspace import Subspace, find_subspace
from whycam.types import Dataset, EpochRecord, Floats, Sample

_DIRECTIONS = 1024
_FEWEST_ANOMALIES = 2
"""With fewer the classes cannot be cross-validated, and the head knows normal images only."""

Bools = npt.NDArray[np.bool_]
Views = tuple[int, ...]


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
    learned = learn(features, training_samples(dataset, pixels), pixels, recipe, planned=planned, progress=progress)
    calibration = learned.calibration
    head = assemble(learned.parts, calibration.slopes, calibration.intercept, learned.subspace, backbone.channels)
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
    return Fitted(PooledNetwork(backbone, head, views=learned.views), learned.history, card)


@dataclass(frozen=True)
class Learned:
    """What frozen features teach."""

    subspace: Subspace
    views: Views
    parts: tuple[Part, ...]
    """What tells the classes apart (unless there are hardly any anomalies), then the distance from normal images."""
    calibration: Calibration
    history: tuple[EpochRecord, ...]
    choices: tuple[str, ...]


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
        subspace = find_subspace(
            lambda chosen: features.read(views, chosen), rows, directions=_DIRECTIONS, seed=planned.seed
        )
        coordinates = subspace.coordinates(lambda chosen: features.read(views, chosen), rows)
        learned = _learn(
            subspace,
            {candidate: coordinates[[views.index(view) for view in candidate]] for candidate in candidates},
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
    subspace: Subspace,
    candidates: dict[Views, Tensor],
    samples: list[Sample],
    units: list[str],
    settings: HeadSettings,
    *,
    seed: int,
) -> Learned:
    """Views, head and calibration from the coordinates (V, N, K) of each candidate set of views."""
    anomalous = np.array([sample.anomalous for sample in samples])
    n_units = [len(set(np.array(units)[anomalous == which])) for which in (False, True)]
    few = n_units[1] < _FEWEST_ANOMALIES
    n_folds = max(2, min(settings.folds, n_units[0] if few else min(n_units)))
    folds = draw_folds(anomalous, units, n_folds, seed=seed)
    torn: tuple[str, ...] = ()
    if not covered(folds, ~anomalous) or not (few or covered(folds, anomalous)):
        # All of a class is one unit: held out with it, nothing would be left to compare with.
        folds = draw_folds(anomalous, range(len(samples)), n_folds, seed=seed)
        torn = (torn_sentence(),)
    if few:
        views, coordinates = next(iter(candidates.items()))
        distances = _out_of_fold_distances(coordinates, anomalous, folds)
        distance = fit_distance(coordinates[:, ~anomalous])
        sentence = few_sentence(int(anomalous.sum()))
        return Learned(subspace, views, (distance,), normal_only(distances[~anomalous]), (), (sentence, *torn))
    raw = {views: _out_of_fold_classes(c, anomalous, folds, settings, seed) for views, c in candidates.items()}
    losses = {views: log_loss(platt(z[:, None], anomalous).logits(z[:, None]), anomalous) for views, z in raw.items()}
    views = min(losses, key=lambda candidate: losses[candidate])
    coordinates = candidates[views]
    both = np.column_stack([raw[views], _out_of_fold_distances(coordinates, anomalous, folds)])
    calibration = platt(both, anomalous)
    history: list[EpochRecord] = []
    clock = [time.perf_counter()]

    def done(epoch: int, loss: float) -> None:
        clock.append(time.perf_counter())
        history.append(EpochRecord(epoch=epoch, loss=loss, seconds=clock[-1] - clock[-2]))

    parts = (
        fit_classes(coordinates, anomalous, settings, seed=seed, done=done),
        fit_distance(coordinates[:, ~anomalous]),
    )
    choices = (
        views_sentence(losses, views),
        calibration_sentence(len(anomalous)),
        auroc_sentence(calibration.logits(both), samples, seed=seed),
        *torn,
    )
    return Learned(subspace, views, parts, calibration, tuple(history), choices)


def _out_of_fold_classes(
    coordinates: Tensor, anomalous: Bools, folds: npt.NDArray[np.intp], settings: HeadSettings, seed: int
) -> Floats:
    """(N,) logits of images by heads that were not trained on them."""
    raw = np.zeros(len(anomalous))

    def fitted(held: Bools) -> Floats:
        part = fit_classes(coordinates[:, ~held], anomalous[~held], settings, seed=seed)
        return part.logits(coordinates[:, held])

    sides = [folds == fold for fold in np.unique(folds)]
    # One fold a core: PyTorch's number of threads belongs to the process, and `fitted` must not change it meanwhile.
    with cpu_threads(1):
        for held, logits in zip(sides, in_order(fitted, sides), strict=True):
            raw[held] = logits
    return raw


def _out_of_fold_distances(coordinates: Tensor, anomalous: Bools, folds: npt.NDArray[np.intp]) -> Floats:
    """(N,) distances of images from normal ones that were not among those."""
    raw = np.zeros(len(anomalous))
    for fold in np.unique(folds):
        held = folds == fold
        raw[held] = fit_distance(coordinates[:, ~held & ~anomalous]).logits(coordinates[:, held])
    return raw
