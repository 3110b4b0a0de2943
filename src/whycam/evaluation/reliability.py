"""Whether a score of 0.8 means 80 %: a model can rank perfectly and still be far too sure of itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.evaluation.inputs import anomalous, check
from whycam.types import Floats, Predictions, Reliability, ReliabilityBin

_MOST_BINS = 10
_FEWEST_IMAGES = 10
"""A bin should hold at least so many images: a share of fewer says next to nothing."""
_NORMAL_QUANTILE = 1.959963984540054
_DRAWS = 200


def reliability(predictions: Predictions, *, seed: int = 0) -> Reliability:
    """Observed shares of anomalous images beside the scores that predicted them, and the expected calibration error.

    Bins have equal counts: their edges are the quantiles of the scores, and equal scores share a bin, so that bins may
    be fewer and unequal. There are 10, or fewer so that each has about 10 images. An image counts as anomalous where
    its target is above 0.5, as everywhere where a yes or no is needed: a score is the probability of exactly that, also
    where targets are graded. Shares have Wilson's interval (Wilson 1927, Journal of the American Statistical
    Association 22:209), which takes images as independent: with many images a group it is too narrow.

    The error is ``sum_b n_b / N * |mean score of b - share of b|`` (Naeini, Cooper and Hauskrecht 2015, AAAI; Guo et
    al. 2017, arXiv 1706.04599, equation 3, there with bins of equal width). Few images make it larger than 0 even for a
    perfect model; `error_by_chance` is its mean over 200 drawings of labels from the scores themselves (consistency
    resampling: Broecker and Smith 2007, Weather and Forecasting 22:651).

    Args:
        predictions: N >= 1 images with targets and scores in [0, 1].
        seed: of the drawings.

    Raises:
        ValueError: the predictions are empty or inconsistent, or a score lies outside [0, 1].
        WhyCAMError: a score is not finite.
    """
    check(predictions)
    scores = np.asarray(predictions.scores, dtype=np.float64)
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("`predictions.scores` must lie in [0, 1]: only probabilities can be reliable.")
    truth = anomalous(predictions.targets).astype(np.float64)
    bins = _bins(scores)
    counts = np.bincount(bins)
    said, found = (np.bincount(bins, weights=values) / counts for values in (scores, truth))
    rng = np.random.default_rng(seed)
    by_chance = [_error(bins, (rng.random(len(scores)) < scores).astype(np.float64), said) for _ in range(_DRAWS)]
    return Reliability(
        bins=tuple(
            ReliabilityBin(int(n), float(score), float(share), *wilson(float(share), int(n)))
            for n, score, share in zip(counts, said, found, strict=True)
        ),
        error=_error(bins, truth, said),
        error_by_chance=float(np.mean(by_chance)),
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval (Wilson 1927) of a share observed in `n` >= 1 images; it never leaves [0, 1]."""
    z2 = _NORMAL_QUANTILE**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5 / (1 + z2 / n)
    # At a share of 0 or 1 the interval ends exactly there, which rounding must not miss.
    low, high = (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)
    return max(0.0, low), min(1.0, high)


def _bins(scores: Floats) -> npt.NDArray[np.intp]:
    """(N,) the number of each score's bin, from 0, none of them empty."""
    wanted = min(_MOST_BINS, max(1, len(scores) // _FEWEST_IMAGES))
    edges = np.quantile(scores, np.linspace(0, 1, wanted + 1)[1:-1])
    return np.unique(np.searchsorted(edges, scores), return_inverse=True)[1]


def _error(bins: npt.NDArray[np.intp], truth: Floats, said: Floats) -> float:
    counts = np.bincount(bins)
    found = np.bincount(bins, weights=truth) / counts
    return float(np.abs(said - found) @ counts / len(truth))
