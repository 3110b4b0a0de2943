from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whycam.errors import printable
from whycam.report import words
from whycam.report.contents import ReportInput
from whycam.types import (
    Band,
    Constant,
    Estimate,
    Evaluation,
    Exhibit,
    Predictions,
    Reliability,
    ReliabilityBin,
    Threshold,
)

UNDEFINED = Estimate(None, None, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0"), (-0.0, "0"), (0.3, "0.300"), (0.23456, "0.235"), (-1.5, "-1.50"), (12.345, "12.3")],
        *[(123.4, "123"), (999.9, "1,000"), (1234.5, "1,230"), (50_000, "50,000"), (3.4e38, "3.40e+38")],
        *[(0.00001234, "1.23e-05")],
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert words.number(value) == text


@given(st.floats(-1e30, 1e30))
def test_no_number_is_off_by_more_than_its_third_digit(value: float) -> None:
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (1.25, ("0.625", "1.25")),
        (0.0, ("0", "0")),
        (0.002, ("0.00100", "0.00200")),
        (0.00012573, ("0.630 x 10⁻⁴", "1.26 x 10⁻⁴")),
        (9.999e-5, ("0.500 x 10⁻⁴", "1.00 x 10⁻⁴")),
        (3e12, ("1.50 x 10¹²", "3.00 x 10¹²")),
        (5e-324, ("2.47 x 10⁻³²⁴", "4.94 x 10⁻³²⁴")),
    ],
)
def test_both_labels_of_a_colour_scale_have_one_unit(scale: float, labels: tuple[str, str]) -> None:
    assert words.scale_labels(scale) == tuple(label.replace("x", "\N{MULTIPLICATION SIGN}") for label in labels)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.793, "79.3"),
        (1.0, "100"),
        (0.0, "0"),
        (0.5, "50.0"),
        (0.99996, "99.996"),
        (0.9996, "99.96"),
        (1e-5, "0.00100"),
    ],
)
def test_shares(value: float, text: str) -> None:
    assert words.share(value) == text


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_one_mistake_never_reads_100_percent(n: int, wrong: int) -> None:
    text = words.share(n / (n + wrong))
    assert 0 < float(text) < 100


def test_estimates() -> None:
    figure = Estimate(0.793, 0.762, 0.824)
    assert words.estimate(figure) == "0.793 (0.762 to 0.824)"
    assert words.estimate(figure, as_share=True) == "79.3 % (76.2 to 82.4 %)"
    assert words.estimate(Estimate(0.5, None, None)) == "0.500"
    assert words.estimate(UNDEFINED) == "undefined"


@pytest.fixture
def evaluation(make_report: Callable[..., ReportInput]) -> Evaluation:
    """656 test images of which 206 anomalous, 79.3 % right."""
    made = make_report().evaluation
    test = replace(
        made.test,
        n=656,
        n_anomalous=206,
        accuracy=Estimate(0.793, 0.762, 0.824),
        constant=Constant(mae=0.313, accuracy=450 / 656, brier=0.215),
        mae=Estimate(0.235, 0.21, 0.26),
        brier=UNDEFINED,
        confusion_matrix=((349, 101), (35, 171)),
        beats_constant=True,
    )
    return replace(made, test=test)


def test_the_verdict_on_a_good_model(evaluation: Evaluation) -> None:
    assert words.verdict_sentence(evaluation) == (
        "On 656 test images it had not seen, the model is right on 79.3 % (95 % interval 76.2 to 82.4 %); "
        "always saying 'normal' would be right on 68.6 %."
    )
    assert words.mistakes_sentence(evaluation.test) == (
        "It missed 35 of 206 anomalous images and called 101 of 450 normal images anomalous."
    )
    assert "beats the best constant" in words.standing(evaluation.test)


def test_the_verdict_on_a_model_that_sits_on_a_constant(evaluation: Evaluation) -> None:
    test = replace(evaluation.test, beats_constant=False, auroc=Estimate(0.5, 0.5, 0.5))
    assert words.verdict_sentence(replace(evaluation, test=test)).startswith("No better than a constant: on 656 test")
    assert "without looking at it" in words.standing(test)
    assert "another threshold" not in words.standing(test)


def test_a_ranking_better_than_chance_is_not_kept_back(evaluation: Evaluation) -> None:
    test = replace(evaluation.test, beats_constant=False, auroc=Estimate(0.7, 0.65, 0.75))
    assert "another threshold may help" in words.standing(test)


@pytest.mark.parametrize(("n_anomalous", "name"), [(0, "normal"), (656, "anomalous")])
def test_the_verdict_without_both_classes(evaluation: Evaluation, n_anomalous: int, name: str) -> None:
    test = replace(evaluation.test, n_anomalous=n_anomalous, beats_constant=False)
    assert words.verdict_sentence(replace(evaluation, test=test)).startswith(f"All test images are {name}, so nothing")
    assert "both classes" in words.standing(test)


def test_the_verdict_on_a_single_image(make_report: Callable[..., ReportInput]) -> None:
    report = make_report(test=Predictions(("a.png",), np.array([1.0]), np.array([0.9]), (None,)))
    sentence = words.verdict_sentence(report.evaluation)
    assert "on 1 test image it" in sentence
    assert "too few images" in sentence


def test_a_model_better_only_in_its_verdicts_is_said_to_be(evaluation: Evaluation) -> None:
    test = replace(evaluation.test, mae=Estimate(0.4, 0.3, 0.5))
    assert "which is no worse" in words.standing(test)
    assert "which is no worse" not in words.standing(evaluation.test)


def test_probabilities_are_judged_by_their_brier_score(evaluation: Evaluation) -> None:
    test = replace(evaluation.test, brier=Estimate(0.1, 0.08, 0.12), mae=Estimate(0.4, 0.3, 0.5))
    assert words.standing(test) == (
        "It beats the best constant by more than chance explains. Its Brier score is 0.100 (0.0800 to 0.120); giving "
        "every image the mean target as its score would get 0.215."
    )
    assert "which is no worse" in words.standing(replace(test, brier=Estimate(0.3, 0.2, 0.4)))


def test_what_a_score_is_worth_is_said_in_plain_words() -> None:
    bins = (ReliabilityBin(66, 0.05, 0.03, 0.01, 0.1), ReliabilityBin(65, 0.83, 0.75, 0.64, 0.84))
    text = words.reliability_sentences(Reliability(bins, error=0.0391, error_by_chance=0.0236))
    assert "When it says 80 %, about 80 of 100 such images should be anomalous." in text
    assert "Where it said about 83 % (65 test images), 75.0 % are anomalous (95 % interval 64.0 to 84.0 %)." in text
    assert "3.91 percentage points apart on average (the expected calibration error)" in text
    assert "would show about 2.36 by chance" in text


@pytest.mark.parametrize(
    ("target", "score", "expected"),
    [
        *[(1.0, 0.2, "miss"), (0.67, 0.2, "miss"), (0.0, 0.5, "false-alarm"), (0.33, 0.2, "right")],
        *[(1.0, 0.5, "right"), (None, 0.9, "unlabelled")],
    ],
)
def test_outcomes(make_exhibit: Callable[..., Exhibit], target: float | None, score: float, expected: str) -> None:
    verdict = Threshold(0.5, "test").verdict(score)
    exhibit = make_exhibit(target=target, score=score, verdict=verdict)
    assert words.outcome(exhibit) == expected
    assert ("mistake" in words.outcome_words(exhibit)) == (
        exhibit.verdict != "unsure"
        and exhibit.target is not None
        and (exhibit.target > 0.5) != (exhibit.verdict == "anomalous")
    )
    assert ("target" in words.facts(exhibit)) == (target is not None)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_an_unsure_verdict_is_an_outcome_of_its_own(make_exhibit: Callable[..., Exhibit], target: float) -> None:
    exhibit = make_exhibit(target=target, verdict="unsure")
    assert words.outcome(exhibit) == "unsure"
    assert words.outcome_words(exhibit) == "unsure: left to a person"
    assert words.facts(exhibit).endswith("verdict unsure")
    assert words.outcome(replace(exhibit, target=None)) == "unlabelled"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.4, 0.6, "2 of 5 test images. Of the other 3, 66.7 % are judged rightly. Where"),
        (0.5, 0.5, "0 of 5 test images. Of the other 5, 60.0 % are judged rightly. Where"),
        (0.0, 1.0, "5 of 5 test images. No image gets a verdict. Where"),
    ],
)
def test_a_band_is_told_with_what_it_leaves(low: float, high: float, text: str) -> None:
    scores = np.array([0.1, 0.4, 0.5, 0.6, 0.9])
    test = Predictions(tuple("abcde"), np.array([0.0, 1, 1, 0, 1]), scores, (None,) * 5)
    said = words.unsure_sentences(test, Threshold(0.5, "test", Band(low, high, "a promise")))
    assert text in said
    assert "comes from: a promise." in said
    assert words.unsure_sentences(test, Threshold(0.5, "test")) == ""


@given(st.text(st.characters()))
def test_any_name_can_be_shown(name: str) -> None:
    shown = printable(name)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_undecodable_bytes_of_a_name_become_escapes() -> None:
    assert printable("caf\udce9\n.png") == r"caf\xe9\n.png"
    assert printable("Zelle № 7 ü.png") == "Zelle № 7 ü.png"
