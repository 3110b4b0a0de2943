"""What a training takes, from the first file read to the last line of the report: a sum of measured speeds.

Whatever a training does for every image has its term here; what is left out is a promise broken on larger data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from whycam.audits.audit import MOST_IMAGES
from whycam.explain.methods import SLOW, Method
from whycam.speeds import Speeds
from whycam.training.head import n_steps
from whycam.training.recipe import CENTRED_ON, ClassicRecipe, DefaultRecipe, FinetuneRecipe, Recipe, Symmetry

HEATED, HEATED_SLOW = (32, 64), (4, 36)
"""Images that are explained, at most: training images for the colour scale, and test images for the report."""
SMALL = 2000
"""Test images that the report shows small, at most."""
_MOST_EXHIBITS = 36
_FIGURES = 12
_FIGURES_AN_EXHIBIT = 0.4
"""What the report costs beside one plain plot, measured on reports of 2 to 36 exhibits."""
_FIGURES_A_CLOSE_UP = 0.1
"""And what a small picture with its heatmap does, on 64 of them."""

_AUDIT = 1.6
"""What the audit costs beside looking at all images, on 300 to 2,624 of them: quick models are trained on each cue."""
_FIGURES_AN_AUDIT = 8
"""And in any case, beside one plain plot."""
_CELLS_A_PAIR = 2000
"""Numbers that are multiplied to find out whether two images are copies, views and crops included."""

_REFERENCES, _SAMPLE = 2048, 1000
_MOST_NEIGHBOURS, _NEIGHBOURHOODS, _AXES = 8192, 6, 64
"""Of novelty: images that others are compared with, those that directions come from, all that are looked at; how often
that is done, five folds included; and the directions."""


@dataclass(frozen=True, slots=True)
class Job:
    """How many images there are, and what is to make the heatmaps."""

    n_train: int
    n_test: int
    method: Method = "grad-cam"

    @property
    def heated(self) -> tuple[int, int]:
        """Training images and test images that are explained."""
        scale, shown = HEATED_SLOW if self.method in SLOW else HEATED
        return min(scale, self.n_train), min(shown, self.n_test)


def seconds_before(job: Job, speeds: Speeds) -> float:
    """What every recipe begins with: all images are read, and audited unless that was done before."""
    n = job.n_train + job.n_test
    seen = min(n, MOST_IMAGES)
    pairs = seen * seen * _CELLS_A_PAIR * speeds.product
    models = speeds.start + _FIGURES_AN_AUDIT * speeds.figure
    return n * speeds.read + seen * (_AUDIT * speeds.looked + speeds.audited) + pairs + models


def seconds_of_default(job: Job, recipe: DefaultRecipe, speeds: Speeds) -> float:
    """Features of the training images in all views that are tried, then the head."""
    _, views = views_compared(recipe.symmetry, recipe.views)
    return speeds.start + job.n_train * views * speeds.pooled[recipe.size_hw[0]] + seconds_of_head(job, recipe, speeds)


def seconds_of_head(job: Job, recipe: DefaultRecipe | FinetuneRecipe, speeds: Speeds) -> float:
    """The head with its cross-validation, from features on disk."""
    candidates, views = views_compared(recipe.symmetry, recipe.views)
    n, folds = job.n_train, recipe.head.folds
    inside = max(1, n - n // folds)
    brief = replace(recipe.head, epochs=min(recipe.head.epochs, recipe.head.choosing_epochs))
    parts = min(folds, math.ceil(recipe.head.choosing_images * folds / max(1, n)))
    trials = parts * candidates * n_steps(inside, brief) if candidates > 1 else 0
    steps = trials + folds * n_steps(inside, recipe.head) + n_steps(n, recipe.head)
    rows = n * views
    drawn = min(1000, rows)
    directions = min(1024, drawn)
    products = (drawn * drawn + (drawn + rows) * directions) * speeds.width
    # Directions are those of all images, and of all but each fold.
    subspace = (folds + 1) * drawn**3 * speeds.eigen + products * speeds.product
    distances = (folds + 1) * (directions**3 * speeds.eigen + rows * directions**2 * speeds.product)
    return steps * speeds.head_step + subspace + distances + n * speeds.metrics


def seconds_of_steps(job: Job, recipe: ClassicRecipe | FinetuneRecipe, speeds: Speeds) -> float:
    """Epochs through the network, of the images that are not kept out."""
    n = job.n_train * (1 - recipe.validation_share)
    return recipe.epochs * math.ceil(n / recipe.batch_size) * speeds.step[recipe.name]


def seconds_of_finetune(job: Job, recipe: FinetuneRecipe, speeds: Speeds) -> float:
    """What the recipe default does, the maps of all views at the cut, epochs, and a look at held-out images in the end.

    The audit needs features of test images too, which serve nothing else once the network has changed.
    """
    side = recipe.size_hw[0]
    start = DefaultRecipe(size_hw=recipe.size_hw, symmetry=recipe.symmetry, views=recipe.views, head=recipe.head)
    kept_out = recipe.validation_share * job.n_train
    shown = {"none": 1, "flip": 2, "all": 8, "auto": 8}[recipe.symmetry]
    _, judged = views_compared(recipe.symmetry, recipe.views)
    maps = ((job.n_train - kept_out) * shown + kept_out * judged) * speeds.cut
    looks = len(recipe.shares) * kept_out * judged * speeds.pooled[side]
    audit = job.n_test * speeds.pooled[side]
    return seconds_of_default(job, start, speeds) + audit + maps + looks + seconds_of_steps(job, recipe, speeds)


def seconds_of_novelty(job: Job, speeds: Speeds) -> float:
    """Directions, and distances of all training images from each other, for all of them and fold by fold."""
    n = min(job.n_train, _MOST_NEIGHBOURS)
    references = min(n, _REFERENCES)
    drawn = min(references, _SAMPLE)
    products = drawn**2 * speeds.width + (n + references) * _AXES * (speeds.width + references)
    return _NEIGHBOURHOODS * (drawn**3 * speeds.eigen + products * speeds.product)


def seconds_of_centres(job: Job, *, views: int, side: int, speeds: Speeds) -> float:
    """Maps of a few normal training images, which heatmaps are compared with."""
    return min(CENTRED_ON, job.n_train) * views * speeds.pooled[side]


def seconds_after(job: Job, *, views: int, side: int, speeds: Speeds, cached: bool) -> float:
    """Scores, colour scale, metrics and report; features of training images may be `cached` from the training."""
    scored = job.n_test if cached else job.n_test + job.n_train
    scale, heated = job.heated
    exhibits = min(_MOST_EXHIBITS, job.n_test)
    figures = _FIGURES + _FIGURES_AN_EXHIBIT * exhibits + _FIGURES_A_CLOSE_UP * heated
    return (
        scored * views * speeds.pooled[side]
        + (scale + heated) * views * speeds.explained[side]
        + (job.n_train + job.n_test) * speeds.metrics
        + figures * speeds.figure
        + (heated + min(SMALL, job.n_test)) * speeds.read
    )


def cost(job: Job, recipe: Recipe, speeds: Speeds) -> tuple[float, float]:
    """Seconds up to the end of the training, and after it."""
    side = recipe.size_hw[0]
    if isinstance(recipe, DefaultRecipe):
        views = views_compared(recipe.symmetry, recipe.views)[1]
        after = seconds_after(job, views=views, side=side, speeds=speeds, cached=True) + seconds_of_novelty(job, speeds)
        after += seconds_of_centres(job, views=views, side=side, speeds=speeds)
        return seconds_before(job, speeds) + seconds_of_default(job, recipe, speeds), after
    if isinstance(recipe, FinetuneRecipe):
        views = views_compared(recipe.symmetry, recipe.views)[1]
        after = seconds_after(job, views=views, side=side, speeds=speeds, cached=False)
        # Where fine-tuning gains nothing, a head learns from all training images instead.
        after += seconds_of_head(job, recipe, speeds)
        # Novelty looks at features of the new network, which scores have left on disk.
        after += seconds_of_novelty(job, speeds) + seconds_of_centres(job, views=views, side=side, speeds=speeds)
        return seconds_before(job, speeds) + seconds_of_finetune(job, recipe, speeds), after
    after = seconds_after(job, views=1, side=side, speeds=speeds, cached=False)
    return seconds_before(job, speeds) + seconds_of_steps(job, recipe, speeds), after


def views_compared(symmetry: Symmetry, views: int) -> tuple[int, int]:
    """Number of sets of views that are compared, and of views in all of them together."""
    most = min(views, {"none": 1, "flip": 2, "all": 8, "auto": 8}[symmetry])
    return (2 if symmetry == "auto" and most > 1 else 1), most
