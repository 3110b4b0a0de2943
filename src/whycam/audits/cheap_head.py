"""The cheap default head: a linear model on pooled features, trained in seconds to measure data, never to be kept.

What the data do to a training (how much a leak flatters it, which labels it cannot believe) shows as well on a linear
model as on the recipes' heads, and a linear model can be cross-validated several times in the time of one of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from whycam.audits.folds import deal
from whycam.data.hushed import HUSHED_SOLVERS
from whycam.data.parallel import in_order
from whycam.types import Floats

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

_DIRECTIONS = 256
_ROWS = 1000
_SOFTEST = 1e-2
_CHUNK = 256
_FOLDS = 5
_INVERSE_PENALTY = 10.0
"""Of the squared weights, for coordinates whose mean square length is about 1: the best of powers of ten on three very
different data sets (solar cells, magnet tiles, biscuits), each far from sensitive to it."""
_TOLERANCE = 1e-8
"""Of the gradient: one more step of Newton's method brings logits from within 1e-5 of the optimum to within 1e-10, so
that they do not depend on how a processor rounds."""


def coordinates(features: Floats, *, seed: int) -> Floats:
    """(N, K <= 256) float32: standardised features along their principal directions (Pearson 1901); no label is used.

    Spreads are widened by 0.01 (features lie in [0, 6]), so that a channel that hardly ever fires stays small, and all
    is divided by the root of D, so that a row's mean square length is at most 1. Directions come from at most 1,000
    rows drawn with `seed`.

    Args:
        features: (N, D) pooled features.
        seed: of the draw.
    """
    n, d = features.shape
    total, squares = np.zeros(d), np.zeros(d)
    for part in _parts(n):
        total += features[part].sum(axis=0, dtype=np.float64)
    shift = (total / max(n, 1)).astype(features.dtype)
    for part in _parts(n):
        squares += np.square(features[part] - shift).sum(axis=0, dtype=np.float64)
    scale = (1 / ((np.sqrt(squares / max(n, 1)) + _SOFTEST) * np.sqrt(d))).astype(features.dtype)
    drawn = np.sort(np.random.default_rng(seed).permutation(n)[:_ROWS])
    x = (features[drawn] - shift) * scale
    # From the Gram matrix of the rows, of which there are fewer than features.
    variances, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
    kept = np.flatnonzero(variances > 1e-6 * max(float(variances[-1]), 1e-12))[::-1][:_DIRECTIONS]
    if not len(kept):  # no two rows differ
        return np.zeros((n, 1), dtype=np.float32)
    basis = (x.T @ (vectors[:, kept] / np.sqrt(variances[kept])).astype(x.dtype)).astype(x.dtype)
    found = np.empty((n, len(kept)), dtype=np.float32)
    for part in _parts(n):
        found[part] = ((features[part] - shift) * scale) @ basis
    return found


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, first + _CHUNK) for first in range(0, n, _CHUNK))


def trained_logits(rows: Floats, anomalous: Bools, *, train: Bools, judged: Bools) -> Floats:
    """(judged.sum(),) logits of the judged rows by a head trained on others.

    Logistic regression with a squared penalty, both classes weighing the same.

    Args:
        rows: (N, K) coordinates.
        anomalous: (N,) labels.
        train: (N,) which rows to train on; both classes must be among them.
        judged: (N,) which rows to judge.
    """
    model = LogisticRegression(
        C=_INVERSE_PENALTY, class_weight="balanced", solver="newton-cholesky", max_iter=300, tol=_TOLERANCE
    )
    # Where the last step finds nothing to gain, Newton's method hands over to a slower one, and says so.
    with HUSHED_SOLVERS:
        model.fit(rows[train].astype(np.float64), anomalous[train])
    logits: Floats = model.decision_function(rows[judged])
    return logits


def draw_folds(anomalous: Bools, units: Sequence[str], *, seed: int) -> Ints | None:
    """(N,) the fold, of at most five, that each image is held out in; images of one unit share a fold.

    None where a class has fewer than two units, or where holding out a fold would leave none of a class.
    """
    numbers = np.unique(np.asarray(units), return_inverse=True)[1]
    n_units = [len(np.unique(numbers[anomalous == which])) for which in (False, True)]
    n_folds = min(_FOLDS, *n_units)
    if n_folds < 2:
        return None
    folds = deal(anomalous, numbers, n_folds, seed=seed)
    left = (set(anomalous[folds != fold].tolist()) for fold in np.unique(folds))
    return folds if all(len(classes) == 2 for classes in left) else None


def out_of_fold_logits(rows: Floats, anomalous: Bools, units: Sequence[str], *, seed: int) -> Floats | None:
    """(N,) logits of images by heads that saw neither them nor others of their unit; None as in `draw_folds`.

    Args:
        rows: (N, K) coordinates.
        anomalous: (N,) labels.
        units: N names; equal names belong together.
        seed: of the folds.
    """
    folds = draw_folds(anomalous, units, seed=seed)
    if folds is None:
        return None
    logits = np.zeros(len(anomalous))
    parts = [folds == fold for fold in np.unique(folds)]
    results = in_order(lambda held: trained_logits(rows, anomalous, train=~held, judged=held), parts)
    for held, found in zip(parts, results, strict=True):
        logits[held] = found
    return logits
