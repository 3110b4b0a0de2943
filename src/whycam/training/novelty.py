"""Finds out how far apart training images lie, so that an image much farther from all of them can be told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from whycam.data.parallel import in_order
from whycam.networks.novelty import Neighbourhood, NoveltyModel, closest, coordinates, fewest, pairwise
from whycam.training.folds import draw_folds
from whycam.training.subspace import find_subspace
from whycam.types import Floats

LEVEL = 0.01
_DIRECTIONS = 64
_WIDENED = 0.01
"""What a channel that hardly ever fires does is just what is looked for here."""
_FOLDS = 5
_MOST_REFERENCES = 2048
_MOST_FOR_DIRECTIONS = 1024
_MOST_OF_A_CLASS = 4096

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]


def rows_to_learn_from(anomalous: Bools, *, seed: int) -> Ints:
    """Rows, ascending, of which `fit_novelty` needs no more: at most 4,096 of either class (N,), drawn with `seed`."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(np.flatnonzero(anomalous == which))[:_MOST_OF_A_CLASS] for which in (False, True)]
    return np.sort(np.concatenate(drawn))


def fit_novelty(
    pooled: Floats, anomalous: Bools, units: Sequence[str], *, seed: int, level: float = LEVEL
) -> NoveltyModel | None:
    """The model of pooled features, and for its p-values the distance of each image from others.

    Principal directions are found on training images, so these lie closer to them than new images do. Therefore an
    image's own distance is not measured with the final model: units are divided into five folds, and each image is
    compared with images of the other folds, along directions found on those alone. As that is a fifth fewer to be near
    to, distances come out a little too large, and flags a little too rare.

    At most 2,048 images serve as references, up to half of them from the rarer class; the model needs about 1.2 MB.

    Args:
        pooled: (N, D) features of the images as they are; see `rows_to_learn_from`.
        anomalous: (N,).
        units: N names; images of one unit (a group, copies of one file) are no evidence of each other's distance.
        seed: of all draws.
        level: the share of images of the kind seen that may be flagged, in (0, 1).

    Returns:
        The model, or None where there are fewer than ``1 / level - 1`` units: no p-value could be so small.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must be above 0 and below 1, got {level} instead.")
    names = np.unique(np.asarray(units), return_inverse=True)[1]
    if len(np.unique(names)) < fewest(level):
        return None
    folds = draw_folds(anomalous, names.tolist(), _FOLDS, seed=seed)
    sides = [np.zeros(len(folds), dtype=np.bool_), *(folds == fold for fold in np.unique(folds))]

    def compared(held: Bools) -> tuple[Neighbourhood, Floats]:
        others = _neighbourhood(pooled[~held], anomalous[~held], names[~held], seed=seed)
        return others, others.distances(pooled[held])

    # One a core, as most of the work has only one thread.
    (everything, _), *found = in_order(compared, sides)
    distances = np.zeros(len(pooled))
    for held, (_, apart) in zip(sides[1:], found, strict=True):
        distances[held] = apart
    return NoveltyModel(
        level,
        everything,
        normal=distances[~anomalous].astype(np.float32),
        anomalous=distances[anomalous].astype(np.float32),
    )


def _neighbourhood(pooled: Floats, anomalous: Bools, units: Ints, *, seed: int) -> Neighbourhood:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(np.ascontiguousarray(pooled, dtype=np.float32))
    chosen = _references(anomalous, rng)
    some = rng.permutation(chosen)[:_MOST_FOR_DIRECTIONS]
    subspace = find_subspace(
        lambda rows: values[torch.from_numpy(rows)][None], some, directions=_DIRECTIONS, seed=seed, widened=_WIDENED
    )
    shift, scale = subspace.shift.numpy(), subspace.scale.numpy()
    basis = subspace.basis.numpy().astype(np.float16)
    references = coordinates(pooled[chosen], shift, scale, basis)
    apart = pairwise(references, references)
    # Whatever is of the same unit is never among the nearest.
    apart[units[chosen][:, None] == units[chosen]] = apart.max()
    return Neighbourhood(shift, scale, basis, references, closest(apart)[1].astype(np.float32))


def _references(anomalous: Bools, rng: np.random.Generator) -> Ints:
    """At most 2,048 rows, ascending, up to half of them of the rarer class."""
    rare, common = sorted((np.flatnonzero(anomalous == which) for which in (False, True)), key=len)
    n_rare = max(min(len(rare), _MOST_REFERENCES // 2), min(len(rare), _MOST_REFERENCES - len(common)))
    n_common = min(len(common), _MOST_REFERENCES - n_rare)
    return np.sort(np.concatenate([rng.permutation(rare)[:n_rare], rng.permutation(common)[:n_common]]))
