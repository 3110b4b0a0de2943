"""Training images that a training keeps out of itself, to choose and to calibrate on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.errors import DataError
from whycam.evaluation.held_out import HeldOut
from whycam.store.pixels import PixelCache
from whycam.training.folds import draw_folds
from whycam.types import Floats, Sample

KEPT_OUT = "on images kept out of the training"
_FEWEST = 2
"""Of each class, in either part."""


def units_of(samples: list[Sample], pixels: PixelCache) -> list[str]:
    """Which of the samples belong together: images of one group, and copies of one file."""
    return [sample.group or pixels.digests[sample.file] for sample in samples]


def scored(samples: list[Sample], units: list[str], scores: Floats, how: str) -> HeldOut:
    """The samples, all with a target, beside scores (N,) by models that had not seen them."""
    return HeldOut(
        files=tuple(sample.file for sample in samples),
        targets=np.array([sample.target for sample in samples], dtype=np.float64),
        scores=scores.astype(np.float64),
        units=tuple(units),
        how=how,
    )


def mean_and_error(values: Floats, units: list[str]) -> tuple[float, float]:
    """The mean of values (N,), and its standard error where those of one unit may go together.

    ``sqrt(sum_u (sum_{i in u} (v_i - mean))^2) / N`` (Liang and Zeger 1986, Biometrika 73:13).
    """
    mean = float(values.mean())
    _, members = np.unique(units, return_inverse=True)
    sums = np.bincount(members, weights=values - mean)
    return mean, float(np.sqrt((sums**2).sum())) / len(values)


def keep_out(
    samples: list[Sample], pixels: PixelCache, share: float, *, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """The samples to train on, and those kept out; what belongs together stays together.

    Args:
        samples: all training images.
        pixels: their content.
        share: of the images, to keep out.
        seed: of the draw.

    Raises:
        DataError: fewer than two images of a class would be on a side.
    """
    anomalous = np.array([sample.anomalous for sample in samples])
    units = np.array(units_of(samples, pixels))
    n_folds = max(2, round(1 / share))
    out: npt.NDArray[np.bool_] = draw_folds(anomalous, units.tolist(), n_folds, seed=seed) == 0
    for wanted, name in ((True, "anomalous"), (False, "normal")):
        mine = anomalous == wanted
        if min(len(set(units[mine & side])) for side in (out, ~out)) < _FEWEST:
            n = int(mine.sum())
            raise DataError(
                f"{n} {name} training image{' is' if n == 1 else 's are'} too few to train on and to keep {_FEWEST} "
                "out of it (copies, and images of one group, count once): use --recipe default, or add more."
            )
    return (
        [sample for sample, is_out in zip(samples, out, strict=True) if not is_out],
        [sample for sample, is_out in zip(samples, out, strict=True) if is_out],
    )
