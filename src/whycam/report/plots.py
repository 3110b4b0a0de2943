"""The plots of a run, drawn from values that evaluation computed; each figure is an object, never global state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from whycam.atomic import write_bytes
from whycam.progress import SILENT, Progress
from whycam.report.axes import BLUE, GREY, INK, ORANGE, RED, bin_edges, blank, fit_scores, fit_unit, legend, png, say
from whycam.report.contents import ReportInput
from whycam.report.reliability_plot import reliability_plot
from whycam.report.words import count, estimate, grade, images, number, share, split_name
from whycam.types import ANOMALOUS_ABOVE, Curves, EpochRecord, Floats, Metrics, Predictions, Split, Threshold

_MAE = "mean absolute error"
_SQUARE = (5.4, 5.8)
_GOLDEN = (5**0.5 - 1) / 2

NAMES = (
    *("training_curve", "confusion_train", "confusion_test", "scatter_train", "scatter_test"),
    *("roc", "precision_recall", "scores", "reliability"),
)
"""All the plots there can be."""

CurveSets = Sequence[tuple[Split, Metrics, Curves]]
"""What shares one curve plot: the test images first, then, where known, the training images."""


def draw_plots(report: ReportInput) -> Iterator[tuple[str, bytes]]:
    """Name (without suffix) and PNG bytes of every plot, drawn one after another as they are asked for.

    Without training predictions there are no training plots, without a history no training curve, and where scores are
    no probabilities no reliability plot.
    """
    train, test, threshold = report.evaluation.train, report.evaluation.test, report.evaluation.threshold
    sets: list[tuple[Split, Metrics, Curves]] = [("test", test, report.test_curves)]
    if train and report.train_curves:
        sets.append(("train", train, report.train_curves))
    if report.history:
        loss = report.card.training.loss
        constant = train.constant.mae if train and loss == _MAE else None
        yield "training_curve", png(training_curve(report.history, loss=loss, constant_mae=constant))
    if train:
        yield "confusion_train", png(confusion(train, split="train"))
    yield "confusion_test", png(confusion(test, split="test"))
    if report.train:
        yield "scatter_train", png(scatter(report.train, threshold, split="train"))
    yield "scatter_test", png(scatter(report.test, threshold, split="test"))
    yield "roc", png(roc(sets))
    yield "precision_recall", png(precision_recall(sets))
    yield "scores", png(score_histogram(report.test, threshold))
    if report.reliability:
        yield "reliability", png(reliability_plot(report.reliability))


def save_plots(folder: Path, report: ReportInput, *, progress: Progress = SILENT) -> dict[str, Path]:
    """Write every plot to `folder`/plots/NAME.png and return the paths by name.

    Plots of an earlier evaluation that cannot be drawn this time are removed.

    Raises:
        OSError: a file cannot be written.
    """
    paths = {name: folder / "plots" / f"{name}.png" for name in NAMES}
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    written = {}
    with progress.bar("drawing the plots", len(paths)) as bar:
        for name, content in draw_plots(report):
            write_bytes(paths[name], content)
            written[name] = paths[name]
            bar.advance()
        for name in paths.keys() - written.keys():
            paths[name].unlink(missing_ok=True)
            bar.advance()
    return written


def training_curve(history: Sequence[EpochRecord], *, loss: str, constant_mae: float | None = None) -> Figure:
    """Training loss by epoch, with a line at the best constant's error on the same images where that is given."""
    figure, axes = blank("Training", x="epoch", y=f"training loss\n({loss})")
    epochs, losses = [record.epoch for record in history], [record.loss for record in history]
    marker = "o" if len(history) <= 40 else ""
    axes.plot(epochs, losses, color=BLUE, linewidth=1.8, marker=marker, markersize=4, label="network")
    if constant_mae is not None:
        label = f"best constant on the training images: {number(constant_mae)}"
        axes.axhline(constant_mae, color=ORANGE, linewidth=1.8, linestyle="--", label=label)
    axes.set_ylim(0, 1.08 * max(*losses, constant_mae or 0.0) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    margin = 0.5 + 0.02 * (epochs[-1] - epochs[0])
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    legend(figure, columns=1)
    return figure


def confusion(metrics: Metrics, *, split: Split) -> Figure:
    """How verdicts and targets fall together: counts, and their share of the row (of the true class)."""
    figure, axes = blank(f"Verdicts on {images(metrics.n, split_name(split))}", x="verdict", y="target")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    names = ("normal", "anomalous")
    axes.set_xticks([0, 1], names, fontsize=11)
    axes.set_yticks([0, 1], names, fontsize=11, rotation=90, va="center")
    axes.tick_params(length=0)
    shading = np.zeros((2, 2))
    for row, (name, cells) in enumerate(zip(names, metrics.confusion_matrix, strict=True)):
        total = sum(cells)
        for column, n in enumerate(cells):
            shading[row, column] = n / total if total else 0.0
            ink = "white" if shading[row, column] > 0.78 else INK
            below = f"{share(n / total)} % of {name}" if total else f"no {name} images"
            axes.text(column, row - 0.06, count(n), ha="center", va="center", color=ink, fontsize=22, fontweight="bold")
            axes.text(column, row + 0.2, below, ha="center", va="center", color=ink, fontsize=10.5)
    axes.imshow(shading, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    axes.axhline(0.5, color="white", linewidth=3)
    axes.axvline(0.5, color="white", linewidth=3)
    return figure


def scatter(predictions: Predictions, threshold: Threshold, *, split: Split) -> Figure:
    """Score over target, one point an image, with the red line of perfect prediction and the threshold.

    Where targets take few values, points are spread sideways so that they can be told apart; the axis says by how much.
    """
    targets, scores = predictions.targets, predictions.scores
    spread = _spread(targets)
    x = "target" + (f" (points spread sideways by up to {grade(spread)})" if spread else "")
    figure, axes = blank(f"Scores of {images(len(scores), split_name(split))}", x=x, y="score", size_wh=_SQUARE)
    # Multiples of the golden ratio fill the width evenly and follow no random stream that data may have come from.
    across = targets + spread * (2 * np.modf(np.arange(len(targets)) * _GOLDEN)[0] - 1)
    wrong = (targets > ANOMALOUS_ABOVE) != (scores >= threshold.value)
    crowd = min(1.0, (1000 / len(scores)) ** 0.5)
    size, alpha = 5 + 22 * crowd, 0.12 + 0.48 * crowd
    for chosen, colour, marker, name in ((~wrong, BLUE, "o", "right"), (wrong, ORANGE, "^", "mistake")):
        axes.scatter(across[chosen], scores[chosen], s=size, c=colour, marker=marker, linewidths=0, alpha=alpha)
        # The legend's own mark: those in the plot may be too faint to tell a colour from.
        axes.plot(
            [], [], ls="", color=colour, marker=marker, markersize=6, label=f"{name} ({count(int(chosen.sum()))})"
        )
    axes.plot([0, 1], [0, 1], color=RED, linewidth=1.8, label="perfect prediction (score = target)")
    _threshold_line(axes.axhline, threshold)
    axes.set_xlim(-0.09, 1.09)
    axes.set_xticks(np.union1d(targets, [0.0, 1.0]) if spread else np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(lambda tick, _: grade(tick))
    fit_scores(axes, scores, threshold=threshold.value, along="y")
    legend(figure)
    return figure


def roc(sets: CurveSets) -> Figure:
    """Share of anomalous images found over share of normal images falsely called, for every threshold."""
    x, y = "false alarms (share of the normal images)", "found (share of the anomalous images)"
    figure, axes = blank("ROC curve", x=x, y=y, size_wh=_SQUARE)
    missing = []
    for split, metrics, curves in sets:
        if not curves.true_positive_rate.size:
            missing.append(_no_curve(split, metrics))
            continue
        label = f"{split_name(split)}: AUROC {estimate(metrics.auroc)}"
        axes.plot(curves.false_positive_rate, curves.true_positive_rate, **_line(split), label=label)
        (tn, fp), (fn, tp) = metrics.confusion_matrix
        _operating_point(axes, fp / (fp + tn), tp / (tp + fn), split)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.2, linestyle=":", label="chance: AUROC 0.500")
    fit_unit(axes)
    say(axes, missing)
    legend(figure, columns=1)
    return figure


def precision_recall(sets: CurveSets) -> Figure:
    """Share of true alarms over share of anomalous images found, with the share that random alarms would have."""
    x, y = "recall (share of the anomalous images found)", "precision (share of true alarms)"
    figure, axes = blank("Precision and recall", x=x, y=y, size_wh=_SQUARE)
    missing = []
    for split, metrics, curves in sets:
        if not curves.recall.size:
            missing.append(_no_curve(split, metrics))
            continue
        label = f"{split_name(split)}: average precision {estimate(metrics.average_precision)}"
        axes.plot(curves.recall, curves.precision, **_line(split), drawstyle="steps-post", label=label)
        if metrics.recall.value is not None and metrics.precision.value is not None:
            _operating_point(axes, metrics.recall.value, metrics.precision.value, split)
    test, test_curves = sets[0][1:]
    if test_curves.recall.size:
        chance = test.n_anomalous / test.n
        label = f"chance: {number(chance)}, the share of anomalous test images"
        axes.axhline(chance, color=GREY, linewidth=1.2, linestyle=":", label=label)
    fit_unit(axes)
    say(axes, missing)
    legend(figure, columns=1)
    return figure


def score_histogram(predictions: Predictions, threshold: Threshold) -> Figure:
    """How the scores of either class are spread, with the threshold between the verdicts."""
    scores, truth = predictions.scores, predictions.targets > ANOMALOUS_ABOVE
    figure, axes = blank(f"Scores of {images(len(scores), 'test')} by class", x="score", y="images")
    fit_scores(axes, scores, threshold=threshold.value, along="x")
    edges = bin_edges(axes, 50)
    for chosen, colour, name in ((~truth, BLUE, "normal"), (truth, ORANGE, "anomalous")):
        label = f"{name} ({count(int(chosen.sum()))})" if chosen.any() else f"no {name} test images"
        if chosen.any():
            axes.hist(
                scores[chosen], edges, histtype="stepfilled", facecolor=f"{colour}66", edgecolor=colour, label=label
            )
        else:
            axes.add_patch(Rectangle((0, 0), 0, 0, facecolor="none", label=label))
    _threshold_line(axes.axvline, threshold)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, columns=3)
    return figure


def _spread(targets: Floats) -> float:
    """How far points may move sideways: well short of half the gap between targets; 0 unless those are a few grades."""
    grades = np.unique(targets)
    gap = float(np.diff(grades).min()) if grades.size > 1 else 1.0
    return min(0.04, 0.3 * gap) if grades.size <= 12 and gap >= 0.05 else 0.0


def _threshold_line(draw: Callable[..., object], threshold: Threshold) -> None:
    draw(threshold.value, color=INK, linewidth=1.3, linestyle="--", label=f"threshold {number(threshold.value)}")


def _line(split: Split) -> dict[str, Any]:
    """Training figures flatter, so their curve is thin and stands behind."""
    if split == "test":
        return {"color": BLUE, "linewidth": 2.2, "zorder": 3}
    return {"color": ORANGE, "linewidth": 1.4, "linestyle": "--", "zorder": 2}


def _operating_point(axes: Axes, x: float, y: float, split: Split) -> None:
    """Where the threshold in use lies on a curve."""
    label = "at the threshold" if split == "test" else None
    axes.plot([x], [y], marker="o", markersize=8, color=_line(split)["color"], mec=INK, ls="", zorder=4, label=label)


def _no_curve(split: Split, metrics: Metrics) -> str:
    name = "anomalous" if metrics.n_anomalous else "normal"
    return f"No curve: all {images(metrics.n, split_name(split))} are {name}."
