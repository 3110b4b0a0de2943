"""The one look that all plots share, and the honest ways out where there is nothing, or too wide a range, to draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import NullLocator, SymmetricalLogLocator

from whycam.types import Floats

# Okabe and Ito's colours, told apart with any colour vision; the red line is the convention for perfect prediction.
BLUE = "#0072B2"
ORANGE = "#E69F00"
RED = "#D00000"
INK = "#1F2328"
GREY = "#6E7781"
GRID = "#E3E6EA"

_DOTS_PER_INCH = 160
_WIDE = 20.0
"""Scores beyond this (raw linear outputs that have run off) are drawn on a symmetric log scale, which is said."""


def blank(title: str, *, x: str, y: str, size_wh: tuple[float, float] = (5.4, 4.4)) -> tuple[Figure, Axes]:
    """An empty plot of `size_wh` inches with a title and labelled axes."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=size_wh, dpi=_DOTS_PER_INCH, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor="white")
    axes.set_title(title, fontsize=12, fontweight="bold", color=INK, loc="left", pad=10)
    axes.set_xlabel(x, fontsize=10.5, color=INK)
    axes.set_ylabel(y, fontsize=10.5, color=INK)
    axes.tick_params(labelsize=9.5, colors=INK, length=3, color=GREY)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    return figure, axes


def legend(figure: Figure, *, columns: int = 2) -> None:
    """The legend below the plot, where it covers no data; nothing where nothing is labelled."""
    if any(axes.get_legend_handles_labels()[1] for axes in figure.axes):
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9.5, labelcolor=INK)


def say(axes: Axes, sentences: Sequence[str]) -> None:
    """Words in the middle of the plot, about what cannot be drawn; nothing where there are none."""
    if sentences:
        ground = {"facecolor": "white", "edgecolor": GRID, "boxstyle": "round,pad=0.6"}
        text = axes.text(0.5, 0.5, "\n".join(sentences), fontsize=10, color=INK, ha="center", va="center", bbox=ground)
        text.set_transform(axes.transAxes)


def fit_unit(axes: Axes) -> None:
    """Both axes over [0, 1], square, with a little air."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def fit_scores(axes: Axes, scores: Floats, *, threshold: float, along: Literal["x", "y"]) -> None:
    """Fit one axis to scores, with the threshold and [0, 1] always in sight and a little room around."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    low, high = min(0.0, threshold, float(scores.min())), max(1.0, threshold, float(scores.max()))
    if max(-low, high) > _WIDE:
        # However many decades there are, [0, 1] keeps about a fifth of the axis: that is where targets lie.
        decades = float(np.log10(max(high, 1.0)) + np.log10(max(-low, 1.0)))
        axes.set(**{f"{along}scale": SymmetricalLogScale(axis, linthresh=1.0, linscale=max(1.0, 0.3 * decades))})
        locator = SymmetricalLogLocator(linthresh=1.0, base=10.0)
        locator.set_params(numticks=7)
        axis.set_major_locator(locator)
        axis.set_minor_locator(NullLocator())
        axis.set_label_text(f"{axis.get_label_text()}, symmetric log scale")
    transform = axis.get_transform()
    inner = transform.transform(np.array([low, high]))
    air = 0.05 * float(inner[1] - inner[0])
    limits = transform.inverted().transform(np.array([inner[0] - air, inner[1] + air]))
    axes.set(**{f"{along}lim": tuple(limits)})


def bin_edges(axes: Axes, n_bins: int) -> list[float]:
    """Edges of bins over the whole x axis that look equally wide on its scale."""
    transform = axes.xaxis.get_transform()
    low, high = transform.transform(np.array(axes.get_xlim()))
    return [float(edge) for edge in transform.inverted().transform(np.linspace(low, high, n_bins + 1))]


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
