"""What a model must beat: trained on absolute error, a network can sit on one number and still look half right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whycam.evaluation.inputs import anomalous
from whycam.types import Constant, Estimate, Floats


def best_constant(targets: Floats) -> Constant:
    """The figures of the best constant for this very set, chosen with its targets known.

    Args:
        targets: (N,) in [0, 1].
    """
    absolute, right, squared = constant_results(targets)
    return Constant(mae=float(absolute.mean()), accuracy=float(right.mean()), brier=float(squared.mean()))


def constant_results(targets: Floats) -> tuple[Floats, Floats, Floats]:
    """What the best constant gets on each image, three times (N,).

    Absolute error of the median target as every score, whether the commoner class is right (0 or 1), and squared error
    of the mean target as every score. No constant has a smaller mean absolute error than the median, nor a smaller mean
    squared error than the mean. Of equally common classes it is `normal`.
    """
    truth = anomalous(targets)
    commoner = bool(2 * np.count_nonzero(truth) > truth.size)
    right = np.asarray(truth == commoner, dtype=np.float64)
    return np.abs(targets - np.median(targets)), right, (targets - targets.mean()) ** 2


def gains(targets: Floats, scores: Floats, *, called: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """What each image adds to the model's lead over the best constant, positive where the model is better.

    Args:
        targets: (N,) in [0, 1].
        scores: (N,) finite.
        called: (N,) whether the model calls the image anomalous.

    Returns:
        (N,) lead in absolute error, (N,) lead in right verdicts (-1, 0 or 1) and (N,) lead in squared error.
    """
    absolute, constant_right, squared = constant_results(targets)
    right = np.asarray(called == anomalous(targets), dtype=np.float64)
    return absolute - np.abs(targets - scores), right - constant_right, squared - (targets - scores) ** 2


def beats_constant(*leads: Estimate, auroc: Estimate) -> bool:
    """Whether a model is better than the best constant by more than chance explains.

    True when both hold:

    1. The 95 % interval of one of its leads lies above 0: in mean absolute error, in accuracy or, where scores are
       probabilities, in Brier score (an honest probability of a rare anomaly is small, so that it gains little in the
       first two). A lead is paired: constant and model are compared on the same images of the same resamples, and the
       constant stays the one that is best for the whole set.
    2. The 95 % interval of its AUROC lies above 0.5. Where the AUROC is undefined (a class is missing) this is waived.

    A model that gives every image the same score has an AUROC of exactly 0.5 in every resample, so it never passes.
    A missing interval (a single image or group, say) counts as not shown.
    """
    better = any(lead.low is not None and lead.low > 0 for lead in leads)
    ranks = auroc.value is None or (auroc.low is not None and auroc.low > 0.5)
    return better and ranks
