"""The plot that shows whether scores can be taken at their word as probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from whycam.report.axes import BLUE, RED, blank, fit_unit, legend
from whycam.report.words import count, images, number
from whycam.types import Reliability, ReliabilityBin


def reliability_plot(reliability: Reliability) -> Figure:
    """Share of anomalous images over what their scores said, one point a bin with its 95 % interval.

    The red line is perfect, as in the scatter plots. Counts stand in the legend: most bins of a good model lie close
    together at the two ends, where numbers beside the points would cover each other.
    """
    bins = reliability.bins
    error, chance = number(reliability.error), number(reliability.error_by_chance)
    title = f"Reliability on {images(sum(one.n for one in bins), 'test')}"
    x, y = "score: what the model says (mean of a bin)", "what is true (share of the bin that is anomalous)"
    figure, axes = blank(title, x=x, y=y, size_wh=(5.4, 5.8))
    axes.plot([0, 1], [0, 1], color=RED, linewidth=1.8, label="perfect: what it says is what is true")
    axes.errorbar(
        [one.score for one in bins],
        [one.share for one in bins],
        yerr=[[one.share - one.low for one in bins], [one.high - one.share for one in bins]],
        color=BLUE,
        ecolor=BLUE,
        fmt="o-",
        markersize=6.5,
        linewidth=1.0,
        elinewidth=1.6,
        capsize=3.5,
        zorder=3,
        label=f"{_sizes(bins)}; bars are 95 % intervals\nexpected calibration error {error} (by chance about {chance})",
    )
    fit_unit(axes)
    legend(figure, columns=1)
    return figure


def _sizes(bins: Sequence[ReliabilityBin]) -> str:
    """`10 bins of 65 to 66 images`."""
    least, most = (pick(one.n for one in bins) for pick in (min, max))
    each = images(most) if least == most else f"{count(least)} to {images(most)}"
    return f"{count(len(bins))} bin{'' if len(bins) == 1 else 's'} of {each}"
