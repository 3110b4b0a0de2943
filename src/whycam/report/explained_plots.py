"""The plots of the report's section on measured explanations; apart from its words, which need no matplotlib."""

from __future__ import annotations

import base64
from typing import Any

from matplotlib.figure import Figure

from whycam.report.axes import BLUE, GREY, INK, ORANGE, blank, legend, png
from whycam.report.explained_words import BASELINES
from whycam.report.measured import CENTRE, EDGES, HEATMAP, RANDOM, Curve, Measured

_LINES: dict[str, dict[str, Any]] = {
    HEATMAP: {"color": BLUE, "linewidth": 2.4, "linestyle": "-", "marker": "o", "markersize": 4.5, "zorder": 3},
    RANDOM: {"color": GREY, "linewidth": 1.6, "linestyle": ":"},
    CENTRE: {"color": ORANGE, "linewidth": 1.6, "linestyle": "--"},
    EDGES: {"color": INK, "linewidth": 1.3, "linestyle": "-."},
}


def plots(measured: Measured) -> tuple[tuple[str, str], ...]:
    """What is shown, and the data URI, of each plot of the section; none without figures on faithfulness."""
    found = measured.faithfulness
    if found is None:
        return ()
    removed, inserted = "share of the pixels removed, hottest first", "share of the pixels put back, hottest first"
    score = "mean score" if measured.score == "probability" else "mean raw score"
    curves = (
        ("Deletion: lower is better", found.deletion, removed, score),
        ("Insertion: higher is better", found.insertion, inserted, score),
        ("Deletion, logit: lower is better", found.deletion_logit, removed, "mean logit"),
        ("Insertion, logit: higher is better", found.insertion_logit, inserted, "mean logit"),
    )
    return tuple(
        (title, _data_uri(png(curves_plot(title, curve, x=x, y=y, method=measured.method))))
        for title, curve, x, y in curves
        if curve is not None
    )


def curves_plot(title: str, curve: Curve, *, x: str, y: str, method: str) -> Figure:
    """The mean score over the share of pixels changed, one line a map."""
    figure, axes = blank(title, x=x, y=y)
    for name, line in _LINES.items():
        label = method if name == HEATMAP else BASELINES[name]
        axes.plot(curve.shares, curve.values[name], label=label, **line)
    axes.set_xlim(-0.02, 1.02)
    legend(figure)
    return figure


def _data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
