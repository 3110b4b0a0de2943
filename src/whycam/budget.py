"""Chooses a recipe that a given time suffices for, from speeds measured on this very machine."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whycam.errors import OptionError
from whycam.networks.device import pick_device
from whycam.speeds import Speeds, measure
from whycam.training.head import n_steps
from whycam.training.recipe import (
    DEFAULT,
    FINETUNE,
    ClassicRecipe,
    DefaultRecipe,
    FinetuneRecipe,
    Recipe,
    Symmetry,
    choose_recipe,
)
from whycam.types import Dataset

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)", re.IGNORECASE)
_MEASURING, _MOST_MEASURING = 0.03, 4.0
"""Share of the time that goes into measuring, and the most seconds."""
_KEPT_FREE = 0.1
"""Of the time: machines are not equally fast from one minute to the next."""

RUNGS = ((300, 4), (300, 2), (300, 1), (224, 1))
"""Sides in pixels and most views of the recipe default, from the best to the cheapest."""

_FEWEST_KEPT_OUT = 3
_SHORT = 60.0
"""Seconds: in less, nothing is fine-tuned."""
EPOCHS = range(40, 2, -1)
"""Of the recipe finetune; fewer are not worth their time."""

_SCALE_IMAGES = 64
_MOST_EXHIBITS = 36
_FIGURES = 12
_FIGURES_AN_EXHIBIT = 0.4
"""What the report costs beside one plain plot, measured on reports of 2 to 36 exhibits."""


@dataclass(frozen=True, slots=True)
class Job:
    """How many images there are."""

    n_train: int
    n_test: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What fits, and why."""

    recipe: Recipe
    sentences: tuple[str, ...]
    seconds: float
    """What all of it will probably take."""
    after: float
    """Of these, what comes after the training: figures and the report."""


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `2m`, `20min` or `1.5h`; OptionError for anything else, and for nothing at all."""
    found = _DURATION.fullmatch(text.strip())
    unit = _UNITS.get(found.group(2).lower()) if found else None
    seconds = float(found.group(1)) * unit if found and unit else 0.0
    if not 0 < seconds < math.inf:
        raise OptionError(f"`budget` must be a time such as 90s, 20m or 1h, got {text!r} instead.")
    return seconds


def spelled(seconds: float) -> str:
    """A time for people: `8 s`, `2 min`, `1 min 30 s`, `2 h 5 min`; rounded to what matters."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds / 5) * 5, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


# ------------------------------------------------------------------ the cost model


def seconds_before(job: Job, speeds: Speeds) -> float:
    """What every recipe begins with: all images are read."""
    return (job.n_train + job.n_test) * speeds.read


def seconds_of_default(job: Job, recipe: DefaultRecipe, speeds: Speeds) -> float:
    """Features of the training images in all views that are tried, then the head with its cross-validation."""
    candidates, views = _views(recipe.symmetry, recipe.views)
    n, folds = job.n_train, recipe.head.folds
    features = n * views * speeds.pooled[recipe.size_hw[0]]
    inside = max(1, n - n // folds)
    brief = replace(recipe.head, epochs=min(recipe.head.epochs, recipe.head.choosing_epochs))
    trials = folds * candidates * n_steps(inside, brief) if candidates > 1 else 0
    steps = trials + folds * n_steps(inside, recipe.head) + n_steps(n, recipe.head)
    rows = n * views
    drawn = min(1000, rows)
    directions = min(1024, drawn)
    subspace = drawn**3 * speeds.eigen + (drawn * drawn + (drawn + rows) * directions) * speeds.width * speeds.product
    distances = (folds + 1) * (directions**3 * speeds.eigen + rows * directions**2 * speeds.product)
    return speeds.start + features + steps * speeds.head_step + subspace + distances + n * speeds.metrics


def seconds_of_steps(job: Job, recipe: ClassicRecipe | FinetuneRecipe, speeds: Speeds) -> float:
    """Epochs through the network."""
    return recipe.epochs * math.ceil(job.n_train / recipe.batch_size) * speeds.step[recipe.name]


def seconds_of_finetune(job: Job, recipe: FinetuneRecipe, speeds: Speeds) -> float:
    """What the recipe default does, the maps of all views at the cut, and epochs with a look at held-out images."""
    side = recipe.size_hw[0]
    start = DefaultRecipe(size_hw=recipe.size_hw, symmetry=recipe.symmetry, views=recipe.views, head=recipe.head)
    maps = job.n_train * {"none": 1, "flip": 2, "all": 8, "auto": 8}[recipe.symmetry] * speeds.pooled[side]
    looks = recipe.epochs * recipe.validation_share * job.n_train * recipe.views * speeds.pooled[side]
    return seconds_of_default(job, start, speeds) + maps + looks + seconds_of_steps(job, recipe, speeds)


def seconds_after(job: Job, *, views: int, side: int, speeds: Speeds, cached: bool) -> float:
    """Scores, colour scale, metrics and report; features of training images may be `cached` from the training."""
    exhibits = min(_MOST_EXHIBITS, job.n_test)
    scored = job.n_test if cached else job.n_test + job.n_train
    return (
        scored * views * speeds.pooled[side]
        + (min(_SCALE_IMAGES, job.n_train) + exhibits) * views * speeds.explained[side]
        + (job.n_train + job.n_test) * speeds.metrics
        + (_FIGURES + _FIGURES_AN_EXHIBIT * exhibits) * speeds.figure
    )


def cost(job: Job, recipe: Recipe, speeds: Speeds) -> tuple[float, float]:
    """Seconds up to the end of the training, and after it."""
    side = recipe.size_hw[0]
    if isinstance(recipe, DefaultRecipe):
        views = _views(recipe.symmetry, recipe.views)[1]
        after = seconds_after(job, views=views, side=side, speeds=speeds, cached=True)
        return seconds_before(job, speeds) + seconds_of_default(job, recipe, speeds), after
    if isinstance(recipe, FinetuneRecipe):
        views = _views(recipe.symmetry, recipe.views)[1]
        after = seconds_after(job, views=views, side=side, speeds=speeds, cached=False)
        return seconds_before(job, speeds) + seconds_of_finetune(job, recipe, speeds), after
    after = seconds_after(job, views=1, side=side, speeds=speeds, cached=False)
    return seconds_before(job, speeds) + seconds_of_steps(job, recipe, speeds), after


def _views(symmetry: Symmetry, views: int) -> tuple[int, int]:
    """Number of sets of views that are compared, and of views in all of them together."""
    most = min(views, {"none": 1, "flip": 2, "all": 8, "auto": 8}[symmetry])
    return (2 if symmetry == "auto" and most > 1 else 1), most


# ------------------------------------------------------------------ the choice


def within(
    budget: float,
    dataset: Dataset,
    name: str | None,
    *,
    epochs: int | None,
    symmetry: str,
    backbone: str | None,
    test_share: float,
    device: str,
    began: float,
) -> Choice:
    """The best training of this data set that ends `budget` seconds after `began`, by `time.monotonic()`.

    Raises:
        OptionError: there is none, or what is fixed contradicts itself.
    """
    recipes = candidates(name, epochs=epochs, symmetry=symmetry, backbone=backbone)
    n = len(dataset.samples)
    n_test = sum(sample.split == "test" for sample in dataset.samples) or round(n * test_share)
    job = Job(n - n_test, n_test)
    rarer = min(n_anomalous := sum(sample.anomalous for sample in dataset.samples), n - n_anomalous) * job.n_train / n
    # What needs more images than there are drops out, unless it was asked for by name; so does fine-tuning where
    # measuring its steps alone would take a good part of the time.
    fine = budget >= _SHORT
    recipes = [
        recipe
        for recipe in recipes
        if name or (rarer >= _fewest_to_train(recipe) and (fine or not isinstance(recipe, FinetuneRecipe)))
    ]
    speeds = measure(
        dataset.samples, recipes, device=pick_device(device), seconds=min(_MOST_MEASURING, _MEASURING * budget)
    )
    return choose(budget, job, recipes, speeds, spent=time.monotonic() - began)


def candidates(name: str | None, *, epochs: int | None, symmetry: str, backbone: str | None) -> list[Recipe]:
    """The recipes that agree with what is fixed, from the best to the cheapest; OptionError for what there is not."""
    if name is None:
        cheap = candidates(DEFAULT.name, epochs=epochs, symmetry=symmetry, backbone=backbone)
        if backbone not in (None, FINETUNE.backbone):
            return cheap
        tuned = candidates(FINETUNE.name, epochs=epochs, symmetry=symmetry, backbone=backbone)
        return [*tuned, *cheap]
    fixed = choose_recipe(name, epochs=epochs, symmetry=symmetry, backbone=backbone)
    if isinstance(fixed, ClassicRecipe):
        return [fixed] if epochs else [replace(fixed, epochs=n) for n in range(fixed.epochs, 0, -1)]
    if isinstance(fixed, FinetuneRecipe):
        return [fixed] if epochs else [replace(fixed, epochs=n) for n in EPOCHS]
    allowed = {"none": (1,), "flip": (2,), "all": (4, 2), "auto": (4, 2, 1)}[fixed.symmetry]
    return [
        # One view alone leaves nothing to find out.
        replace(fixed, size_hw=(side, side), views=views, symmetry="none" if views == 1 else fixed.symmetry)
        for side, views in [*RUNGS, *((224, views) for views in (4, 2) if 1 not in allowed)]
        if views in allowed
    ]


def _fewest_to_train(recipe: Recipe) -> float:
    """Images of either class: those kept out of a fine-tuning must be enough to calibrate on."""
    return _FEWEST_KEPT_OUT / recipe.validation_share if isinstance(recipe, FinetuneRecipe) else 0.0


def choose(budget: float, job: Job, recipes: Sequence[Recipe], speeds: Speeds, *, spent: float) -> Choice:
    """The first of `recipes` that the rest of the time suffices for.

    Args:
        budget: seconds in all.
        job: how many images there are.
        recipes: from the best to the cheapest.
        speeds: measured.
        spent: seconds gone already.

    Raises:
        OptionError: not even the cheapest fits; the text says how long that takes.
    """
    allowed = budget * (1 - _KEPT_FREE) - spent
    better: tuple[Recipe, float] | None = None
    for recipe in recipes:
        before, after = cost(job, recipe, speeds)
        if before + after <= allowed:
            seconds = spent + before + after
            return Choice(recipe, _sentences(budget, recipe, seconds, better, speeds), seconds, after)
        better = recipe, spent + before + after
    least = (min(sum(cost(job, recipe, speeds)) for recipe in recipes) + spent) / (1 - _KEPT_FREE)
    raise OptionError(
        f"`budget` must be at least {spelled(_rounded_up(least))} for {job.n_train + job.n_test:,} images on this "
        f"machine, got {spelled(budget)} instead."
    )


def _rounded_up(seconds: float) -> float:
    step = 5 if seconds < 600 else 60
    return math.ceil(seconds / step) * step


def _sentences(
    budget: float, recipe: Recipe, seconds: float, better: tuple[Recipe, float] | None, speeds: Speeds
) -> tuple[str, ...]:
    side = recipe.size_hw[0]
    found = f"Budget {spelled(budget)}: {_described(recipe)}, which takes about {spelled(seconds)} on this machine."
    speed = (
        f"Measured here: {_milliseconds(speeds.read)} to read an image, "
        f"{_milliseconds(speeds.pooled[side])} to run the network on it"
    )
    if recipe.name in speeds.step:
        speed += f", {_milliseconds(speeds.step[recipe.name])} for a training step"
    refused = "" if better is None else f"; {_described(better[0])} would take about {spelled(better[1])}"
    return found, f"{speed}{refused}."


def _described(recipe: Recipe) -> str:
    side = recipe.size_hw[0]
    if isinstance(recipe, DefaultRecipe):
        views = _views(recipe.symmetry, recipe.views)[1]
        seen = "1 view" if views == 1 else f"up to {views} views"
        return f"recipe {recipe.name} with {seen} of an image at {side} x {side} pixels"
    return f"recipe {recipe.name} for {recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
