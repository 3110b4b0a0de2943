"""One door to all recipes."""

from __future__ import annotations

from pathlib import Path

from whycam.data.cache import PixelCache
from whycam.fitting.classic import fit_classic
from whycam.fitting.default import fit_default
from whycam.fitting.plan import Fitted
from whycam.progress import Progress
from whycam.training.checkpoint import Checkpoint, Plan
from whycam.training.recipe import ClassicRecipe, Recipe
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
) -> Fitted:
    """Train as planned, from the checkpoint or from the start.

    Raises:
        KeyboardInterrupt: Ctrl-C before there was a network to go on with.
    """
    if isinstance(recipe, ClassicRecipe):
        return fit_classic(folder, dataset, pixels, recipe, planned=planned, checkpoint=checkpoint, progress=progress)
    return fit_default(folder, dataset, pixels, recipe, planned=planned, progress=progress)
