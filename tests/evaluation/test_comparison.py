"""Whether 'beats' keeps its promise, found by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from whycam.evaluation.bootstrap import clusters
from whycam.evaluation.comparison import FEWEST_CLUSTERS, Comparison, compare, mean_estimate, mean_figure
from whycam.types import Floats

MAPS = ("heatmap", "centre", "edges", "random", "random")


def outcome(values: Floats, members: np.ndarray | None = None, *, lower: bool = False, resamples: int = 400):
    members = np.arange(len(values)) if members is None else members
    figure, n_clusters = mean_figure(values, members), int(members.max()) + 1
    return compare("x", figure, MAPS, n_clusters, lower_is_better=lower, seed=0, resamples=resamples)


def draw(rng: np.random.Generator, lead: float, n: int = 24) -> Floats:
    """Values with a large common part: only paired differences can see a small lead."""
    values = 3 * rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 5))
    values[:, 0] += lead
    return values


def test_a_true_lead_is_found_and_none_is_invented() -> None:
    rng = np.random.default_rng(0)
    null = [outcome(draw(rng, 0.0), resamples=200).outcome for _ in range(200)]
    ahead = [outcome(draw(rng, 1.0), resamples=200).outcome for _ in range(30)]
    behind = [outcome(draw(rng, -1.0), resamples=200).outcome for _ in range(30)]
    assert null.count("beats") <= 8  # 2.5 % of 200 and three standard deviations, for one baseline; there are three
    assert null.count("open") > 150
    assert set(ahead) == {"beats"}
    assert set(behind) == {"loses"}


def test_the_best_baseline_is_the_rival() -> None:
    values = np.tile([0.5, 0.2, 0.7, 0.0, 0.8], (8, 1))
    found = outcome(values)
    assert found.rival == "edges"  # the two random maps are averaged before
    assert found.values["random"].value == pytest.approx(0.4)
    assert found.lead.value == pytest.approx(-0.2)
    assert found.outcome == "loses"
    lower = outcome(values, lower=True)
    assert (lower.rival, lower.outcome) == ("centre", "loses")
    assert lower.lead.value == pytest.approx(-0.3)
    values[:, 0] = 0.1
    assert outcome(values, lower=True).outcome == "beats"


def test_all_baselines_must_be_beaten() -> None:
    rng = np.random.default_rng(1)
    values = draw(rng, 1.0)
    values[:, 2] = values[:, 0] + 0.2 * rng.normal(size=24)
    found = outcome(values)
    assert (found.outcome, found.rival) == ("open", "edges")


def test_few_images_decide_nothing() -> None:
    values = np.tile([1.0, 0.0, 0.0, 0.0, 0.0], (FEWEST_CLUSTERS, 1))
    assert outcome(values).outcome == "beats"
    assert outcome(values[:-1]).outcome == "open"
    # Six images of two tiles are two pieces of evidence.
    assert outcome(values, clusters(["a", "a", "a", "b", "b", "b"])).outcome == "open"
    single = outcome(values[:1])
    assert (single.outcome, single.lead.value, single.lead.low) == ("open", 1.0, None)


def test_undefined_values_are_left_out() -> None:
    values = draw(np.random.default_rng(0), 1.0, n=10)
    values[3] = np.nan
    found = outcome(values)
    assert found.values["heatmap"].value == pytest.approx(np.nanmean(values[:, 0]))
    nothing: Comparison = outcome(np.full((10, 5), np.nan))
    assert (nothing.rival, nothing.outcome, nothing.lead.value) == (None, "open", None)


def test_a_mean_has_the_interval_of_its_images() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    found = mean_estimate(values, np.arange(400), seed=0)
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
