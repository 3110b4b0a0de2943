from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from whycam.types import Predictions

MakePredictions = Callable[..., Predictions]


@pytest.fixture(scope="session")
def predict() -> MakePredictions:
    """Predictions from bare targets and scores."""

    def make(targets: npt.ArrayLike, scores: npt.ArrayLike, groups: Sequence[str | None] | None = None) -> Predictions:
        targets, scores = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        files = tuple(f"{i}.png" for i in range(len(targets)))
        return Predictions(files, targets, scores, tuple(groups) if groups else (None,) * len(files))

    return make
