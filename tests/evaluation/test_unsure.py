"""Bands: both promises at once, as often as stated, and no band where none is needed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from whycam.errors import GateError, OptionError
from whycam.evaluation.held_out import HeldOut
from whycam.evaluation.promise_rules import FalseAlarmRule, RecallRule
from whycam.evaluation.rule_text import parse_rule, parse_unsure
from whycam.evaluation.threshold import midpoint
from whycam.evaluation.unsure import Unsure, choose_band
from whycam.types import Threshold


def drawn(rng: np.random.Generator, n: int, apart: float) -> HeldOut:
    targets = np.repeat([0.0, 1.0], n)
    names = tuple(map(str, range(2 * n)))
    return HeldOut(names, targets, rng.normal(apart * targets, 1), names, "out of fold")


@pytest.mark.parametrize(
    ("text", "recall", "false_alarms"),
    [
        ("recall>=0.99 false-alarms<=0.01", 0.99, 0.01),
        (" False-Alarms <= 0.01,  recall \u2265 .99", 0.99, 0.01),
        ("0.02", 0.98, 0.02),
        ("0.07", 0.93, 0.07),
    ],
)
def test_texts_are_read_and_written(text: str, recall: float, false_alarms: float) -> None:
    unsure = parse_unsure(text)
    assert unsure == Unsure(RecallRule(recall), FalseAlarmRule(false_alarms))
    assert parse_unsure(unsure.text) == unsure


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "95",
        "-0.1",
        "nan",
        "inf",
        "1e999",
        "0",
        "recall>=0.9",
        "recall>=0.9 recall>=0.8",
        "f1",
        "recall>=0.9 false-alarms",
    ],
)
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_unsure(text)
    assert str(caught.value).startswith("`unsure` ") and "\n" not in str(caught.value)


def test_both_promises_are_kept_together() -> None:
    unsure, rng = parse_unsure("recall>=0.95 false-alarms<=0.1"), np.random.default_rng(0)
    kept = 0
    for _ in range(1000):
        band = choose_band(unsure, midpoint(), drawn(rng, 200, 1.5), confidence=0.9).band
        assert band is not None
        kept += norm.cdf(band.low - 1.5) <= 0.05 and norm.sf(band.high) <= 0.1
    assert binom.ppf(1e-4, 1000, 0.9) <= kept <= 980


def test_the_band_is_that_of_both_rules_at_half_the_doubt() -> None:
    data = drawn(np.random.default_rng(1), 300, 1.5)
    unsure = parse_unsure("0.05")
    found = choose_band(unsure, Threshold(1.0, "1: given"), data, confidence=0.9)
    assert found.band is not None
    assert found.band.low == parse_rule("recall>=0.95").choose(data, confidence=0.95).value
    assert found.band.high == parse_rule("false-alarms<=0.05").choose(data, confidence=0.95).value
    assert (found.value, found.rule) == (1.0, "1: given")
    assert found.band.rule.startswith("recall>=0.95 false-alarms<=0.05: with 90 % confidence both hold: at least 95 % ")
    assert "at most 5 % of new normal images of the same kind score at or above the upper end" in found.band.rule
    share = np.mean((data.scores[300:] >= found.band.low) & (data.scores[300:] < found.band.high))
    assert f"; {100 * share:.3g} % of the anomalous and " in found.band.rule


@pytest.mark.parametrize(("value", "end"), [(-9.0, "low"), (9.0, "high")])
def test_a_threshold_outside_moves_to_the_nearest_end(value: float, end: str) -> None:
    data = drawn(np.random.default_rng(1), 300, 1.5)
    found = choose_band(parse_unsure("0.05"), Threshold(value, "given"), data)
    assert found.band is not None
    assert found.value == getattr(found.band, end)
    assert found.rule.startswith(f"given; moved from {value:.3g} to {found.value:.3g} by --unsure")


@pytest.mark.parametrize("value", [-9.0, 3.0, 9.0])
def test_where_one_threshold_keeps_both_there_is_no_band(value: float) -> None:
    data = drawn(np.random.default_rng(2), 300, 6.0)
    found = choose_band(parse_unsure("0.05"), Threshold(value, "given"), data)
    assert found.band is None
    assert "no score needs to be unsure, as with 95 % confidence both hold: " in found.rule
    for rule in ("recall>=0.95", "false-alarms<=0.05"):
        limit = parse_rule(rule).choose(data, confidence=0.975).value
        assert found.value <= limit if rule.startswith("recall") else found.value >= limit
    assert ("moved" in found.rule) == (value != 3.0)


def test_all_that_cannot_be_promised_is_told_at_once() -> None:
    targets, units = np.repeat([0.0, 1.0], [50, 20]), list(map(str, range(70)))
    with pytest.raises(GateError) as caught:
        parse_unsure("0.01").check(targets, units)
    assert "With 20 anomalous images recall >= 0.831 can be promised at 97.5 % confidence" in str(caught.value)
    assert "With 50 normal images a false-alarm rate <= 0.072 can be" in str(caught.value)
    assert "\n" not in str(caught.value)
    parse_unsure("recall>=0.83 false-alarms<=0.08").check(targets, units)
    with pytest.raises(GateError, match=r"With 20 anomalous images \(out of fold\)"):
        names = tuple(units)
        choose_band(parse_unsure("0.01"), midpoint(), HeldOut(names, targets, np.arange(70.0), names, "out of fold"))
