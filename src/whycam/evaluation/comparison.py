"""A heatmap's figure beside those of maps that know nothing, and whether the difference could be luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from whycam.evaluation.bootstrap import interval, resampling_weights
from whycam.types import Estimate, Floats

Outcome = Literal["beats", "loses", "open"]
"""`beats` every baseline, `loses` to the best of them, or `open`: cannot be told apart."""

Figure = Callable[[Floats], Floats]
"""(clusters, R) weights >= 0 -> (M, R): a figure of each of M maps in each of R resamples, NaN where undefined."""

FEWEST_CLUSTERS = 6
"""With fewer, all differences may have one sign by chance more often than once in 40 times."""


@dataclass(frozen=True)
class Comparison:
    """One figure of a heatmap and of its baselines, on the same images."""

    name: str
    """Of the figure."""
    lower_is_better: bool
    values: dict[str, Estimate]
    """By map, the heatmap first."""
    rival: str | None
    """The baseline with the best value; None where the figure is undefined."""
    lead: Estimate
    """How much better than the rival the heatmap is, image by image; above 0 is better, whichever way the figure."""
    outcome: Outcome


def compare(
    name: str,
    figure: Figure,
    maps: Sequence[str],
    n_clusters: int,
    *,
    lower_is_better: bool = False,
    seed: int,
    resamples: int = 1000,
) -> Comparison:
    """Compare the first map with all others by the percentile bootstrap of paired differences.

    Every resample draws the same images for all maps, so what is hard about an image cancels. `beats` means that the
    95 % interval of the difference lies above 0 for every baseline: by chance that happens less than once in 40 times.
    `loses` means that it lies below 0 for the rival. Fewer than `FEWEST_CLUSTERS` clusters decide nothing.

    Args:
        name: of the figure.
        figure: of M maps.
        maps: (M,) their names, the one in question first; the figures of maps of one name are averaged.
        n_clusters: of images; see `whycam.evaluation.bootstrap.clusters`.
        lower_is_better: whether a smaller figure is a better one.
        seed: of the resamples.
        resamples: their number.
    """
    names = list(dict.fromkeys(maps))
    rows = np.array([[one == other for other in maps] for one in names], dtype=np.float64)
    averaging = rows / rows.sum(axis=1, keepdims=True)
    values = (averaging @ figure(np.ones((n_clusters, 1))))[:, 0]
    blocks = [averaging @ figure(weights) for weights in resampling_weights(n_clusters, resamples, seed=seed)]
    drawn = np.concatenate(blocks, axis=1)

    sign = -1.0 if lower_is_better else 1.0
    leads = [
        _estimate(sign * (values[0] - values[n]), sign * (drawn[0] - drawn[n]), n_clusters)
        for n in range(1, len(names))
    ]
    best = None if np.isnan(values).any() else int(np.argmax(sign * values[1:]))
    nothing = Estimate(None, None, None)
    return Comparison(
        name=name,
        lower_is_better=lower_is_better,
        values={one: _estimate(values[n], drawn[n], n_clusters) for n, one in enumerate(names)},
        rival=None if best is None else names[1 + best],
        lead=nothing if best is None else leads[best],
        outcome="open" if best is None or n_clusters < FEWEST_CLUSTERS else _outcome(leads, leads[best]),
    )


def mean_figure(values: Floats, members: npt.NDArray[np.intp]) -> Figure:
    """The mean of values (N, M) over the images in which they are not NaN, `members` (N,) being their clusters."""
    n_clusters = int(members.max()) + 1
    defined = ~np.isnan(values)
    sums, counts = np.zeros((n_clusters, values.shape[1])), np.zeros((n_clusters, values.shape[1]))
    np.add.at(sums, members, np.where(defined, values, 0.0))
    np.add.at(counts, members, defined)

    def figure(weights: Floats) -> Floats:
        total, n = sums.T @ weights, counts.T @ weights
        mean: Floats = np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
        return mean

    return figure


def mean_estimate(values: Floats, members: npt.NDArray[np.intp], *, seed: int, resamples: int = 1000) -> Estimate:
    """The mean of values (N,) with its interval, `members` (N,) being the clusters of the images."""
    figure, n_clusters = mean_figure(values[:, np.newaxis], members), int(members.max()) + 1
    drawn = np.concatenate([figure(w)[0] for w in resampling_weights(n_clusters, resamples, seed=seed)])
    return _estimate(float(figure(np.ones((n_clusters, 1)))[0, 0]), drawn, n_clusters)


def _estimate(value: float, drawn: Floats, n_clusters: int) -> Estimate:
    return Estimate(None, None, None) if np.isnan(value) else Estimate(float(value), *interval(drawn, n_clusters))


def _outcome(leads: Sequence[Estimate], lead: Estimate) -> Outcome:
    if all(one.low is not None and one.low > 0 for one in leads):
        return "beats"
    return "loses" if lead.high is not None and lead.high < 0 else "open"
