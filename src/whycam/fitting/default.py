"""The recipe `default`: features computed once, and a head trained, chosen and calibrated on training images alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit
from torch import Tensor

from whycam import run_folder
from whycam.card import TrainingCard
from whycam.data.cache import PixelCache
from whycam.data.parallel import in_order
from whycam.evaluation.held_out import HeldOut
from whycam.features import Features
from whycam.fitting.centres import centre
from whycam.fitting.choices import auroc_sentence, calibration_sentence, few_sentence, torn_sentence, views_sentence
from whycam.fitting.held_out import scored, units_of
from whycam.fitting.plan import Fitted, cpu_threads, training_samples
from whycam.networks.backbone import Backbone, build_backbone
from whycam.networks.heads import PooledHead
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.training.calibration import Calibration, log_loss, normal_only, platt
from whycam.training.checkpoint import Plan, save_checkpoint
from whycam.training.folds import covered, draw_folds
from whycam.training.head import Part, assemble, fit_classes, fit_distance
from whycam.training.recipe import DefaultRecipe, FinetuneRecipe, HeadSettings, Symmetry, views_of
from whycam.training.subspace import Directions, Products, Subspace
from whycam.types import ANOMALOUS_ABOVE, Dataset, EpochRecord, Floats, Sample

_DIRECTIONS = 1024
_HOW = "out of fold"
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
    """What tells the classes apart (unless there are hardly any anomalies), then the distance from normal images."""
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
        products = Products(lambda chosen: features.read(views, chosen), rows, seed=planned.seed)
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


@dataclass(frozen=True)
class _Part:
    """Images to learn from: all but those held out."""

    held: Bools
    """(N,)."""
    directions: Directions
    """Those that images not held out have."""


@dataclass(frozen=True)
class _Fitting:
    """Training images as the head sees them, all of them (`whole`) and fold by fold."""

    products: Products
    views: Views
    """Those that are read."""
    targets: Floats
    """(N,) in [0, 1]."""
    whole: _Part
    folds: tuple[_Part, ...]
    seed: int

    @classmethod
    def of(
        cls, products: Products, views: Views, targets: Floats, folds: npt.NDArray[np.intp], *, seed: int
    ) -> _Fitting:
        """With `folds` (N,) the number of each image's fold."""
        sides = [np.zeros(len(folds), dtype=np.bool_), *(folds == fold for fold in np.unique(folds))]
        with cpu_threads(1):
            # In all of them together nothing is held out.
            found = in_order(lambda held: products.directions(_DIRECTIONS, without=held if held.any() else None), sides)
            whole, *apart = (_Part(held, directions) for held, directions in zip(sides, found, strict=True))
        return cls(products, views, targets, whole, tuple(apart), seed)

    @property
    def anomalous(self) -> Bools:
        """(N,)."""
        return self.targets > ANOMALOUS_ABOVE

    def coordinates(self, views: Views, part: _Part, directions: int) -> Tensor:
        """(V, N, K) of all images in some views, along the first directions of some images."""
        places = [self.views.index(view) for view in views]
        return self.products.coordinates(part.directions.first(directions), views=places)

    def heads(
        self,
        views: Views,
        settings: HeadSettings | None,
        parts: Sequence[_Part],
        *,
        distance: bool = True,
        done: Callable[[int, float], None] = lambda epoch, loss: None,
    ) -> list[tuple[tuple[Part, ...], Floats]]:
        """For each of the parts what is learned from it, and its raw logits (n, J) on the images held out.

        With `settings` that is first what tells the classes apart; then, with `distance`, the distance from normal
        images. `done` hears of the epochs of the first part.
        """

        def learned(part: _Part) -> tuple[tuple[Part, ...], Floats]:
            needed = settings.directions if settings is not None and not distance else _DIRECTIONS
            coordinates = self.coordinates(views, part, needed)
            seen, heads = ~part.held, list[Part]()
            if settings is not None:
                told = done if part is parts[0] else lambda epoch, loss: None
                heads.append(fit_classes(coordinates[:, seen], self.targets[seen], settings, seed=self.seed, done=told))
            if distance:
                heads.append(fit_distance(coordinates[:, seen & ~self.anomalous]))
            held = coordinates[:, part.held]
            return tuple(heads), np.column_stack([head.logits(held) for head in heads])

        # One part a core: PyTorch's number of threads belongs to the process, and `learned` must not change it
        # meanwhile.
        with cpu_threads(1):
            return list(in_order(learned, parts))

    def gathered(self, found: Sequence[tuple[tuple[Part, ...], Floats]]) -> Floats:
        """(N, J) what `heads` gave for the folds, image by image."""
        raw = np.zeros((len(self.anomalous), found[0][1].shape[1]))
        for fold, (_, logits) in zip(self.folds, found, strict=True):
            raw[fold.held] = logits
        return raw

    def _first_folds(self, n: int) -> tuple[_Part, ...]:
        """As few folds as together hold out `n` images and both classes; all where they do not."""
        for end in range(1, len(self.folds)):
            anomalous = np.concatenate([self.anomalous[fold.held] for fold in self.folds[:end]])
            if len(anomalous) >= n and anomalous.any() and not anomalous.all():
                return self.folds[:end]
        return self.folds

    def better(self, candidates: list[Views], settings: HeadSettings) -> tuple[Views, dict[Views, float]]:
        """The views by which held-out images are judged best, and each candidate's log loss, if there are several."""
        if len(candidates) == 1:
            return candidates[0], {}
        brief = replace(settings, epochs=min(settings.epochs, settings.choosing_epochs))
        folds = self._first_folds(settings.choosing_images)
        anomalous = np.concatenate([self.anomalous[fold.held] for fold in folds])
        losses = {}
        for views in candidates:
            raw = np.concatenate([found for _, found in self.heads(views, brief, folds, distance=False)])
            losses[views] = log_loss(platt(raw, anomalous).logits(raw), anomalous)
        return min(losses, key=lambda candidate: losses[candidate]), losses


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
    fitting = _Fitting.of(products, read, targets, folds, seed=seed)
    subspace = products.subspace(fitting.whole.directions)
    if few:
        views = candidates[0]
        (parts, _), *found = fitting.heads(views, None, (fitting.whole, *fitting.folds))
        distances = fitting.gathered(found)
        calibration = normal_only(distances[~anomalous, 0])
        sentence = few_sentence(int(anomalous.sum()))
        normal = [at for at, is_anomalous in enumerate(anomalous) if not is_anomalous]
        held_out = scored(
            [samples[at] for at in normal],
            [units[at] for at in normal],
            expit(calibration.logits(distances[normal])),
            _HOW,
        )
        return Learned(subspace, views, parts, calibration, (), (sentence, *torn), held_out)
    views, losses = fitting.better(candidates, settings)
    history: list[EpochRecord] = []
    clock = [time.perf_counter()]

    def done(epoch: int, loss: float) -> None:
        clock.append(time.perf_counter())
        history.append(EpochRecord(epoch=epoch, loss=loss, seconds=clock[-1] - clock[-2]))

    (parts, _), *found = fitting.heads(views, settings, (fitting.whole, *fitting.folds), done=done)
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
