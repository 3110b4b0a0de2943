"""The best training that a given time suffices for, by speeds measured on this very machine."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from whycam.budget.costs import Job, cost, views_compared
from whycam.budget.durations import spelled
from whycam.errors import OptionError
from whycam.explain.methods import Method
from whycam.networks.device import pick_device
from whycam.speeds import Speeds, measure
from whycam.training.recipe import (
    DEFAULT,
    FINETUNE,
    ClassicRecipe,
    DefaultRecipe,
    FinetuneRecipe,
    Recipe,
    choose_recipe,
)
from whycam.types import Dataset

_MEASURING, _MOST_MEASURING = 0.03, 8.0
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


@dataclass(frozen=True, slots=True)
class Choice:
    """What fits, and why."""

    recipe: Recipe
    sentences: tuple[str, ...]
    seconds: float
    """What all of it will probably take."""
    after: float
    """Of these, what comes after the training: figures and the report."""


def within(
    budget: float,
    dataset: Dataset,
    name: str | None,
    *,
    epochs: int | None,
    symmetry: str,
    backbone: str | None,
    method: Method,
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
    job = Job(n - n_test, n_test, method)
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
        dataset.samples,
        recipes,
        device=pick_device(device),
        seconds=min(_MOST_MEASURING, _MEASURING * budget),
        method=method,
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
    found = (
        f"Budget {spelled(budget)}: {_described(recipe)}, which takes about {spelled(seconds)} on this machine, "
        "with the audit before it and the report after it."
    )
    if isinstance(recipe, FinetuneRecipe):
        found += (
            " The fine-tuned network is taken only if it judges held-out training images better than that of the "
            f"recipe default by {recipe.clear:g} standard errors; otherwise the result is that of default."
        )
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
        views = views_compared(recipe.symmetry, recipe.views)[1]
        seen = "1 view" if views == 1 else f"up to {views} views"
        return f"recipe {recipe.name} with {seen} of an image at {side} x {side} pixels"
    return f"recipe {recipe.name} for {recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2g} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
