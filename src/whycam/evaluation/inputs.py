"""What every figure may rely on: complete, finite predictions. A broken score is reported, never averaged away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.errors import WhyCAMError
from whycam.types import ANOMALOUS_ABOVE, Floats, Predictions

# The networks compute in float32; up to here squared errors stay finite in float64.
_LARGEST = float(np.finfo(np.float32).max)


def check(predictions: Predictions) -> None:
    """Refuse predictions that no honest figure can be computed from.

    Raises:
        ValueError: there are no images, the four fields differ in length, or a target is outside [0, 1].
        WhyCAMError: a score is NaN, infinite or beyond the range of float32; the text names the first such file.
    """
    n = len(predictions.files)
    lengths = (len(predictions.targets), len(predictions.scores), len(predictions.groups))
    if n == 0:
        raise ValueError("`predictions` must hold at least one image, got none instead.")
    if lengths != (n, n, n):
        raise ValueError(f"`predictions` must have fields of one length, got {(n, *lengths)} instead.")
    if not np.all((predictions.targets >= 0) & (predictions.targets <= 1)):
        raise ValueError("`predictions.targets` must lie in [0, 1].")
    broken = np.flatnonzero(~(np.abs(predictions.scores) <= _LARGEST))
    if broken.size:
        first = int(broken[0])
        raise WhyCAMError(
            f"{broken.size} of {n} scores are not finite numbers (first: {predictions.files[first]} has "
            f"{float(predictions.scores[first])}): the network has diverged; train again with another seed or recipe."
        )


def anomalous(targets: Floats) -> npt.NDArray[np.bool_]:
    """(N,) truth: whether each target counts as anomalous where a yes or no is needed."""
    return np.asarray(targets > ANOMALOUS_ABOVE, dtype=np.bool_)
