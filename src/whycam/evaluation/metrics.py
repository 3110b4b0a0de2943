"""All figures about one set of images from one pass, so that every figure and its interval share their definition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from whycam.errors import OptionError
from whycam.evaluation.bootstrap import clusters, interval, resampling_weights
from whycam.evaluation.constant import beats_constant, best_constant, gains
from whycam.evaluation.inputs import anomalous, check
from whycam.evaluation.ranking import Ranking
from whycam.types import Estimate, Floats, Metrics, Predictions, Threshold


def measure(
    predictions: Predictions, threshold: Threshold, *, probabilities: bool, seed: int = 0, resamples: int = 1000
) -> Metrics:
    """Every figure of `Metrics` with its 95 % percentile bootstrap interval (whole groups are resampled together).

    Errors (mae, rmse, brier) are taken to the target as it is, graded or not. Yes-or-no figures compare target > 0.5
    with score >= threshold. A figure that is undefined is Estimate(None, None, None), never NaN: auroc, average
    precision and balanced accuracy where a class is missing, recall without anomalous images, precision where nothing
    is called anomalous, f1 = 2 tp / (2 tp + fp + fn) where that denominator is 0, brier unless `probabilities`.
    A figure may have a value and no interval: see `whycam.evaluation.bootstrap.interval`.
    What `beats_constant` means is defined in `whycam.evaluation.constant.beats_constant`.

    Args:
        predictions: N >= 1 images with targets in [0, 1] and finite scores.
        threshold: the score at or above which an image is called anomalous.
        probabilities: whether scores are probabilities, in [0, 1]; raw linear outputs have no Brier score.
        seed: of the resamples; the same seed gives the same intervals.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: the predictions are empty, inconsistent, or have targets (with `probabilities` also scores)
            outside [0, 1].
        WhyCAMError: a score is not finite.
        OptionError: `resamples` is below 1.
    """
    check(predictions)
    if resamples < 1:
        raise OptionError(f"`resamples` must be at least 1, got {resamples} instead.")
    targets = np.asarray(predictions.targets, dtype=np.float64)
    scores = np.asarray(predictions.scores, dtype=np.float64)
    if probabilities and not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("`predictions.scores` must lie in [0, 1] where they are probabilities.")

    truth, called = anomalous(targets), scores >= threshold.value
    members = clusters(predictions.groups)
    n_clusters = int(members.max()) + 1
    columns = _columns(targets, scores, called)
    # (clusters, columns): additive figures need no more than this, however many images a cluster has.
    sums = np.stack([np.bincount(members, weights=column, minlength=n_clusters) for column in columns.values()], axis=1)
    ranking = Ranking(truth, scores, members=members)

    def figures(weights: Floats) -> dict[str, Floats]:
        totals = dict(zip(columns, sums.T @ weights, strict=True))
        ranked = {"auroc": ranking.auroc(weights), "average_precision": ranking.average_precision(weights)}
        return _ratios(totals) | ranked

    values = {name: float(value[0]) for name, value in figures(np.ones((n_clusters, 1))).items()}
    blocks = [
        figures(weights) for weights in resampling_weights(n_clusters, resamples, seed=seed, n_images=len(scores))
    ]
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in values}

    def estimate(name: str) -> Estimate:
        if np.isnan(values[name]):
            return Estimate(None, None, None)
        return Estimate(values[name], *interval(drawn[name], n_clusters))

    leads = ("mae_gain", "accuracy_gain", "brier_gain") if probabilities else ("mae_gain", "accuracy_gain")
    return Metrics(
        n=len(scores),
        n_anomalous=int(np.count_nonzero(truth)),
        mae=estimate("mae"),
        rmse=estimate("rmse"),
        accuracy=estimate("accuracy"),
        balanced_accuracy=estimate("balanced_accuracy"),
        f1=estimate("f1"),
        precision=estimate("precision"),
        recall=estimate("recall"),
        auroc=estimate("auroc"),
        average_precision=estimate("average_precision"),
        brier=estimate("brier") if probabilities else Estimate(None, None, None),
        confusion_matrix=_confusion_matrix(truth, called),
        constant=best_constant(targets),
        beats_constant=beats_constant(*map(estimate, leads), auroc=estimate("auroc")),
    )


def undefined(metrics: Metrics) -> dict[str, str]:
    """Why figures are undefined, by their names; empty where all are defined."""
    n_normal = metrics.n - metrics.n_anomalous
    missing = "no normal image" if not n_normal else "no anomalous image" if not metrics.n_anomalous else ""
    reasons = {
        "balanced_accuracy": missing,
        "f1": "no anomalous image, and none called so",
        "precision": "no image called anomalous",
        "recall": "no anomalous image",
        "auroc": missing,
        "average_precision": missing,
        "brier": "scores that are no probabilities",
    }
    return {name: reason for name, reason in reasons.items() if getattr(metrics, name).value is None}


def _confusion_matrix(
    truth: npt.NDArray[np.bool_], called: npt.NDArray[np.bool_]
) -> tuple[tuple[int, int], tuple[int, int]]:
    def count(true: bool, verdict: bool) -> int:
        return int(np.count_nonzero((truth == true) & (called == verdict)))

    return (count(False, False), count(False, True)), (count(True, False), count(True, True))


def _columns(targets: Floats, scores: Floats, called: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """What one image adds to each sum that figures are made of; (N,) float64 each."""
    truth = anomalous(targets)
    error = scores - targets
    mae_gain, accuracy_gain, brier_gain = gains(targets, scores, called=called)
    return {
        "n": np.ones(len(scores)),
        "absolute": np.abs(error),
        "squared": error**2,
        "tn": (~truth & ~called).astype(np.float64),
        "fp": (~truth & called).astype(np.float64),
        "fn": (truth & ~called).astype(np.float64),
        "tp": (truth & called).astype(np.float64),
        "mae_gain": mae_gain,
        "accuracy_gain": accuracy_gain,
        "brier_gain": brier_gain,
    }


def _ratios(totals: Mapping[str, Floats]) -> dict[str, Floats]:
    """(R,) figures out of (R,) sums, NaN exactly where a denominator is 0."""
    n, tn, fp, fn, tp = (totals[name] for name in ("n", "tn", "fp", "fn", "tp"))

    def over(numerator: Floats, denominator: Floats) -> Floats:
        ratio: Floats = np.divide(numerator, denominator, out=np.full(n.shape, np.nan), where=denominator > 0)
        return ratio

    recall, specificity = over(tp, tp + fn), over(tn, tn + fp)
    return {
        "mae": over(totals["absolute"], n),
        "rmse": np.sqrt(over(totals["squared"], n)),
        "accuracy": over(tp + tn, n),
        "balanced_accuracy": (recall + specificity) / 2,
        "f1": over(2 * tp, 2 * tp + fp + fn),
        "precision": over(tp, tp + fp),
        "recall": recall,
        "brier": over(totals["squared"], n),
        "mae_gain": over(totals["mae_gain"], n),
        "accuracy_gain": over(totals["accuracy_gain"], n),
        "brier_gain": over(totals["brier_gain"], n),
    }
