"""Figures as people read them, in one place, so that terminal, page and plots say the same in the same words."""

from __future__ import annotations

from typing import Literal

import numpy as np

from whycam.data.words import estimate as estimate
from whycam.data.words import interval as interval
from whycam.data.words import number as number
from whycam.data.words import share as share
from whycam.data.words import value as value
from whycam.types import (
    ANOMALOUS_ABOVE,
    Evaluation,
    Exhibit,
    Metrics,
    Predictions,
    Reliability,
    Threshold,
)

Outcome = Literal["miss", "false-alarm", "unsure", "right", "unlabelled"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scale_labels(scale: float) -> tuple[str, str]:
    """The middle and the top of a colour scale: `0.625` and `1.25`.

    Where plain digits would be long, both are multiples of one power of ten, 0.630 and 1.26 times 10⁻⁴, so that they
    compare at a glance.
    """
    if scale == 0 or 1e-3 <= scale < 1e4:
        return number(scale / 2), number(scale)
    top, _, exponent = f"{scale:.2e}".partition("e")
    unit = f"\N{MULTIPLICATION SIGN} 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return f"{number(float(top) / 2)} {unit}", f"{top} {unit}"


def grade(target: float) -> str:
    """A target as short as it can be written: 0, 1, 0.33."""
    return f"{target:.3g}"


def count(n: int) -> str:
    """A whole number: 50,000."""
    return f"{n:,}"


def images(n: int, kind: str = "") -> str:
    """`1 test image`, `656 test images`."""
    return f"{count(n)} {kind + ' ' if kind else ''}image{'' if n == 1 else 's'}"


def commoner(metrics: Metrics) -> str:
    """The verdict of the best constant."""
    return "anomalous" if 2 * metrics.n_anomalous > metrics.n else "normal"


def verdict_sentence(evaluation: Evaluation) -> str:
    """The verdict on the model in one plain sentence, beside what always giving the same answer would get.

    It begins with "No better than a constant" exactly where `beats_constant` is false, save where all test images are
    of one class, so that nothing could be told apart.
    """
    test = evaluation.test
    if test.beats_constant:
        opening = ""
    elif test.n_anomalous in (0, test.n):
        opening = f"All test images are {commoner(test)}, so nothing shows that the model can tell the classes apart: "
    else:
        opening = "No better than a constant: "
    spread = interval(test.accuracy, as_share=True)
    sentence = (
        f"{opening}on {images(test.n, 'test')} it had not seen, "
        f"the model is right on {value(test.accuracy, as_share=True)} "
        + (f"(95 % interval {spread}); " if spread else "(too few images for an interval); ")
        + f"always saying '{commoner(test)}' would be right on {share(test.constant.accuracy)} %."
    )
    return sentence[0].upper() + sentence[1:]


def mistakes_sentence(metrics: Metrics) -> str:
    """How the wrong verdicts divide: `It missed 35 of 206 anomalous images and called 12 of 450 normal images …`"""
    (_, false_alarms), (missed, _) = metrics.confusion_matrix
    n_normal = metrics.n - metrics.n_anomalous
    parts = []
    if metrics.n_anomalous:
        parts.append(f"missed {count(missed)} of {images(metrics.n_anomalous, 'anomalous')}")
    if n_normal:
        parts.append(f"called {count(false_alarms)} of {images(n_normal, 'normal')} anomalous")
    return f"It {' and '.join(parts)}."


def missing_class_sentence(metrics: Metrics) -> str:
    """Which figures cannot be had as there are images of one class alone; empty where there are both."""
    if metrics.n_anomalous not in (0, metrics.n):
        return ""
    figures = {
        "AUROC": metrics.auroc,
        "average precision": metrics.average_precision,
        "balanced accuracy": metrics.balanced_accuracy,
        "recall": metrics.recall,
        "precision": metrics.precision,
        "F1": metrics.f1,
    }
    *names, last = [name for name, figure in figures.items() if figure.value is None]
    hollow = [name for name in ("precision", "F1") if figures[name].value is not None]
    rest = f"; {' and '.join(hollow)} say{'s' if len(hollow) == 1 else ''} nothing without one" if hollow else ""
    other = "normal" if metrics.n_anomalous else "anomalous"
    return f"There is no {other} test image, so {', '.join(names)} and {last} are undefined{rest}."


def unsure_sentences(test: Predictions, threshold: Threshold) -> str:
    """How many test images are `unsure`, how the others are judged, and how the figures count; empty without a band."""
    band = threshold.band
    if band is None:
        return ""
    truth = test.targets > ANOMALOUS_ABOVE
    unsure = (test.scores >= band.low) & (test.scores < band.high)
    wrong = int(np.count_nonzero(((test.scores >= threshold.value) != truth) & ~unsure))
    told = len(truth) - int(unsure.sum())
    rest = (
        f"Of the other {count(told)}, {share(1 - wrong / told)} % are judged rightly. "
        if told
        else "No image gets a verdict. "
    )
    return (
        f"Scores from {number(band.low)} up to {number(band.high)} are called unsure and left to a person: "
        f"{count(int(unsure.sum()))} of {images(len(truth), 'test')}. {rest}"
        f"Where this band comes from: {band.rule}. "
        "Figures, unless they say otherwise, count an unsure image by the side of the threshold on which it lies."
    )


def standing(metrics: Metrics) -> str:
    """What it means that the model beats the best constant, or that it does not, in two or three sentences."""
    # Of probabilities the squared error counts: an honest one is rarely 0 or 1, which the absolute error would reward.
    if metrics.brier.value is not None:
        name, figure, constant, answer = "Brier score", metrics.brier, metrics.constant.brier, "mean"
    else:
        name, figure, constant, answer = "mean absolute error", metrics.mae, metrics.constant.mae, "median"
    better = figure.value is not None and figure.value < constant
    errors = (
        f"Its {name} is {estimate(figure)}; giving every image the {answer} target as its score "
        f"would get {number(constant)}{'' if better else ', which is no worse'}."
    )
    if metrics.beats_constant:
        return f"It beats the best constant by more than chance explains. {errors}"
    if metrics.n_anomalous in (0, metrics.n):
        return f"Test it on images of both classes. {errors}"
    ranks = metrics.auroc.low is not None and metrics.auroc.low > 0.5
    auroc = f"It does rank anomalous images above normal ones more often than chance (AUROC {estimate(metrics.auroc)})"
    return (
        "The same answer for every image, without looking at it, would do as well as this model as far as these images "
        f"can tell. {errors} "
        + (f"{auroc}, so another threshold may help. " if ranks else "")
        + "Do not rely on its verdicts, nor on its heatmaps."
    )


def reliability_sentences(reliability: Reliability) -> str:
    """What scores are worth as probabilities, at the bin that is nearest to 80 % and over all bins."""
    near = min(reliability.bins, key=lambda one: abs(one.score - 0.8))
    spread = f"95 % interval {share(near.low)} to {share(near.high)} %"
    error, chance = (number(100 * value) for value in (reliability.error, reliability.error_by_chance))
    return (
        "When it says 80 %, about 80 of 100 such images should be anomalous. "
        f"Where it said about {100 * near.score:.0f} % ({images(near.n, 'test')}), {share(near.share)} % are anomalous "
        f"({spread}). Over all test images, what it says and what is true lie {error} percentage points apart on "
        "average (the expected calibration error); on this many images, scores that are exactly right would show about "
        f"{chance} by chance."
    )


def split_name(split: str) -> str:
    """What the images of a split are called."""
    return "training" if split == "train" else split


def outcome(exhibit: Exhibit) -> Outcome:
    """`miss` (anomalous, called normal), `false-alarm` (normal, called anomalous), `right`, or `unlabelled`.

    The verdict `unsure` is an outcome of its own: it is neither right nor wrong.
    """
    if exhibit.target is None:
        return "unlabelled"
    if exhibit.verdict == "unsure":
        return "unsure"
    if (exhibit.target > ANOMALOUS_ABOVE) == (exhibit.verdict == "anomalous"):
        return "right"
    return "miss" if exhibit.verdict == "normal" else "false-alarm"


def outcome_words(exhibit: Exhibit) -> str:
    """The outcome for people."""
    return {
        "miss": "mistake: missed anomaly",
        "false-alarm": "mistake: false alarm",
        "unsure": "unsure: left to a person",
        "right": "right",
        "unlabelled": "no target to compare",
    }[outcome(exhibit)]


def segment_count(exhibit: Exhibit) -> str:
    """`1 segment`, `3 segments`."""
    n = len(exhibit.segments)
    return f"{count(n)} segment{'' if n == 1 else 's'}"


def facts(exhibit: Exhibit) -> str:
    """Score, target and verdict of one image in one line."""
    target = "" if exhibit.target is None else f" · target {grade(exhibit.target)}"
    return f"score {number(exhibit.score)}{target} · verdict {exhibit.verdict}"
