"""The points of the two curves that show every threshold at once, apart from drawing so that others can plot them."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from whycam.evaluation.inputs import anomalous, check
from whycam.types import Curves, Predictions


def curves(predictions: Predictions) -> Curves:
    """ROC and precision-recall points over all thresholds, with scikit-learn's definitions.

    Points between which a curve is straight are dropped. Where all images are of one class, the curves are undefined
    and all four arrays are empty.

    Raises:
        ValueError: the predictions are empty or inconsistent.
        WhyCAMError: a score is not finite.
    """
    check(predictions)
    truth = anomalous(predictions.targets)
    if truth.all() or not truth.any():
        empty = np.empty(0)
        return Curves(empty, empty, empty, empty)
    false_positive_rate, true_positive_rate, _ = roc_curve(truth, predictions.scores, drop_intermediate=True)
    precision, recall, _ = precision_recall_curve(truth, predictions.scores, drop_intermediate=True)
    return Curves(false_positive_rate, true_positive_rate, recall=recall, precision=precision)
