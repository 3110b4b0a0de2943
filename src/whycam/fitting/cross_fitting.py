"""Heads trained on all images and on all but each fold of them, from one set of inner products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import Tensor

from whycam.data.parallel import in_order
from whycam.fitting.plan import cpu_threads
from whycam.training.calibration import log_loss, platt
from whycam.training.head import Part, fit_classes, fit_distance
from whycam.training.recipe import HeadSettings
from whycam.training.subspace import Directions, Products
from whycam.types import ANOMALOUS_ABOVE, Floats

Bools = npt.NDArray[np.bool_]
Views = tuple[int, ...]


@dataclass(frozen=True)
class Kept:
    """Images to learn from: all but those held out."""

    held: Bools
    """(N,)."""
    directions: Directions
    """Those that images not held out have."""


@dataclass(frozen=True)
class Fitting:
    """Training images as the head sees them, all of them (`whole`) and fold by fold."""

    products: Products
    views: Views
    """Those that are read."""
    targets: Floats
    """(N,) in [0, 1]."""
    whole: Kept
    folds: tuple[Kept, ...]
    seed: int

    @classmethod
    def of(
        cls,
        products: Products,
        views: Views,
        targets: Floats,
        folds: npt.NDArray[np.intp],
        *,
        directions: int,
        seed: int,
    ) -> Fitting:
        """With `folds` (N,) the number of each image's fold, and at most so many principal directions."""
        sides = [np.zeros(len(folds), dtype=np.bool_), *(folds == fold for fold in np.unique(folds))]
        with cpu_threads(1):
            # In all of them together nothing is held out.
            found = in_order(lambda held: products.directions(directions, without=held if held.any() else None), sides)
            whole, *apart = (Kept(held, directions) for held, directions in zip(sides, found, strict=True))
        return cls(products, views, targets, whole, tuple(apart), seed)

    @property
    def anomalous(self) -> Bools:
        """(N,)."""
        return self.targets > ANOMALOUS_ABOVE

    def coordinates(self, views: Views, part: Kept) -> Tensor:
        """(V, N, K) of all images in some views, along the directions of some images."""
        return self.products.coordinates(part.directions, views=self._places(views))

    def _places(self, views: Views) -> list[int]:
        return [self.views.index(view) for view in views]

    def heads(
        self,
        views: Views,
        settings: HeadSettings | None,
        parts: Sequence[Kept],
        *,
        distance: bool = True,
        done: Callable[[int, float], None] = lambda epoch, loss: None,
    ) -> list[tuple[tuple[Part, ...], Floats]]:
        """For each of the parts what is learned from it, and its raw logits (n, J) on the images held out.

        With `settings` that is first what tells the classes apart, a function of `coordinates`; then, with `distance`,
        the distance from normal images, a function of the projections on random directions. `done` hears of the epochs
        of the first part.
        """

        def learned(part: Kept) -> tuple[tuple[Part, ...], Floats]:
            seen, heads, logits = ~part.held, list[Part](), list[Floats]()
            if settings is not None:
                told = done if part is parts[0] else lambda epoch, loss: None
                along = self.coordinates(views, part)
                heads.append(fit_classes(along[:, seen], self.targets[seen], settings, seed=self.seed, done=told))
                logits.append(heads[-1].logits(along[:, part.held]))
            if distance:
                projected = self.products.projected(views=self._places(views))
                heads.append(fit_distance(projected[:, seen & ~self.anomalous]))
                logits.append(heads[-1].logits(projected[:, part.held]))
            return tuple(heads), np.column_stack(logits)

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

    def _first_folds(self, n: int) -> tuple[Kept, ...]:
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
