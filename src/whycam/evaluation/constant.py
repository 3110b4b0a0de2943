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
    mae_gain, accuracy_gain = constant_results(targets)
    return Constant(mae=float(mae_gain.mean()), accuracy=float(accuracy_gain.mean()))


def constant_results(targets: Floats) -> tuple[Floats, Floats]:
    """(N,) absolute error of the median target as every score, and (N,) whether the commoner class is right (0 or 1).

    No constant has a smaller mean absolute error than the median. Of equally common classes it is `normal`.
    """
    truth = anomalous(targets)
    commoner = bool(2 * np.count_nonzero(truth) > truth.size)
    return np.abs(targets - np.median(targets)), np.asarray(truth == commoner, dtype=np.float64)


def gains(targets: Floats, scores: Floats, *, called: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """What each image adds to the model's lead over the best constant, positive where the model is better.

    Args:
        targets: (N,) in [0, 1].
        scores: (N,) finite.
        called: (N,) whether the model calls the image anomalous.

    Returns:
        (N,) lead in absolute error and (N,) lead in right verdicts (-1, 0 or 1).
    """
    constant_error, constant_right = constant_results(targets)
    right = np.asarray(called == anomalous(targets), dtype=np.float64)
    return constant_error - np.abs(targets - scores), right - constant_right


def beats_constant(mae_gain: Estimate, accuracy_gain: Estimate, *, auroc: Estimate) -> bool:
    """Whether a model is better than the best constant by more than chance explains.

    True when both hold:

    1. The 95 % interval of its lead in mean absolute error, or that of its lead in accuracy, lies above 0. The lead is
       paired: constant and model are compared on the same images of the same resamples, and the constant stays the one
       that is best for the whole set.
    2. The 95 % interval of its AUROC lies above 0.5. Where the AUROC is undefined (a class is missing) this is waived.

    A model that gives every image the same score has an AUROC of exactly 0.5 in every resample, so it never passes.
    A missing interval (a single image or group, say) counts as not shown.
    """
    leads = any(gain.low is not None and gain.low > 0 for gain in (mae_gain, accuracy_gain))
    ranks = auroc.value is None or (auroc.low is not None and auroc.low > 0.5)
    return leads and ranks
