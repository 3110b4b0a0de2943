"""One door to all recipes."""

from __future__ import annotations

from pathlib import Path

from whycam.fitting.classic import fit_classic
from whycam.fitting.default import fit_default
from whycam.fitting.finetune import fit_finetune
from whycam.fitting.plan import Fitted
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.training.checkpoint import Checkpoint, Plan
from whycam.training.recipe import ClassicRecipe, FinetuneRecipe, Recipe
from whycam.types import Dataset


def fit(
    folder: Path,
    dataset: Dataset,
    pixels: PixelCache,
    recipe: Recipe,
    *,
    planned: Plan,
    checkpoint: Checkpoint | None,
    progress: Progress,
    deadline: float | None = None,
) -> Fitted:
    """Train as planned, from the checkpoint or from the start.

    With a `deadline`, by `time.monotonic()`, no epoch begins that would not end before it, after the first.

    Raises:
        KeyboardInterrupt: Ctrl-C before there was a network to go on with.
    """
    if isinstance(recipe, ClassicRecipe):
        return fit_classic(
            folder,
            dataset,
            pixels,
            recipe,
            planned=planned,
            checkpoint=checkpoint,
            progress=progress,
            deadline=deadline,
        )
    if isinstance(recipe, FinetuneRecipe):
        return fit_finetune(
            folder,
            dataset,
            pixels,
            recipe,
            planned=planned,
            checkpoint=checkpoint,
            progress=progress,
            deadline=deadline,
        )
    return fit_default(folder, dataset, pixels, recipe, planned=planned, progress=progress)
