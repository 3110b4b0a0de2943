"""The page in a real browser: what it shows after every move equals what scikit-learn and plain loops get in Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, roc_curve

from whycam.report import words
from whycam.report.contents import ReportInput, WhatIf
from whycam.report.page import render
from whycam.types import Band, Exhibit, Predictions, Threshold

SCRIPTS = Path(words.__file__).parent / "templates"
N, LEVEL, OWN = 110, 0.05, 0.41
CLOSE = (0, 1, 2, 5, 8)
BAND = Band(0.3, 0.6, "test")


def simulated() -> Predictions:
    """Scores of two decimals, so that many of them tie, and targets that are graded for some images."""
    rng = np.random.default_rng(4)
    targets = np.where(rng.random(N) < 0.3, 1.0, 0.0)
    targets[::13] = 0.33
    scores = np.round(np.clip(0.35 + 0.25 * (targets > 0.5) + 0.2 * rng.standard_normal(N), 0, 1), 2)
    scores[:2] = 0.0, 1.0
    return Predictions(tuple(f"line/{i:03}.png" for i in range(N)), targets, scores, (None,) * N)


TEST = simulated()
TRUTH = TEST.targets > 0.5
P_VALUES = np.random.default_rng(5).random(N)


def report_of(
    make_report: Callable[..., ReportInput], test: Predictions, threshold: Threshold, **changes: Any
) -> ReportInput:
    report = make_report(test=test, with_train=False)
    score = "probability" if np.all((test.scores >= 0) & (test.scores <= 1)) else "linear"
    card = replace(report.card, threshold=threshold, model=replace(report.card.model, score=score))
    return replace(report, card=card, evaluation=replace(report.evaluation, threshold=threshold), **changes)


@pytest.fixture(scope="module")
def path(
    make_report: Callable[..., ReportInput],
    make_whatif: Callable[..., WhatIf],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    whatif = make_whatif(TEST, close=CLOSE, p_values=P_VALUES, novel_level=LEVEL)
    report = report_of(make_report, TEST, Threshold(OWN, "test", BAND), whatif=whatif)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report, {}), "utf-8")
    return path


@pytest.fixture(scope="module")
def tab(browser: Any) -> Any:
    """One tab for most tests, as a new one takes as long as a test."""
    return browser.new_context(offline=True).new_page()


@pytest.fixture
def visit(tab: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page of a file; fails on anything in the console and on anything loaded."""
    faults: list[str] = []
    own: set[str] = set()
    listeners = {
        "console": lambda message: faults.append(message.text),
        "pageerror": lambda error: faults.append(str(error)),
        "request": lambda request: request.url.startswith(("data:", *own)) or faults.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)

    def visit(path: Path, *, width: int = 1200) -> Any:
        own.add(path.as_uri())
        tab.set_viewport_size({"width": width, "height": 740})
        tab.set_default_timeout(5000)
        tab.goto(path.as_uri())
        return tab

    yield visit
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert faults == []


@pytest.fixture
def page(visit: Callable[..., Any], path: Path) -> Any:
    return visit(path)


def text(page: Any, name: str) -> str:
    return str(page.locator(f"#what-if-{name}").text_content())


def type_in(page: Any, name: str, value: object) -> None:
    page.locator(f"#what-if-{name}").fill(str(value))


def figure(value: float, *, as_share: bool = True) -> str:
    if np.isnan(value):
        return "undefined"
    return f"{words.share(value)} %" if as_share else words.number(value)


def rates(threshold: float) -> tuple[float, float]:
    """False-alarm rate and recall."""
    called = TEST.scores >= threshold
    return float(called[~TRUTH].mean()), float(called[TRUTH].mean())


def cost_at(threshold: float, *, miss: float, alarm: float, prevalence: float) -> float:
    fpr, recall = rates(threshold)
    return 1000 * (miss * prevalence * (1 - recall) + alarm * (1 - prevalence) * fpr)


def expected(
    threshold: float, *, miss: float = 1, alarm: float = 1, prevalence: float | None = None
) -> dict[str, set[str]]:
    """What the page may say, from scikit-learn; weights make the stated prevalence."""
    called = TEST.scores >= threshold
    cells = confusion_matrix(TRUTH, called, labels=[False, True]).ravel()
    told = {name: {str(n)} for name, n in zip(("tn", "fp", "fn", "tp"), cells, strict=True)}
    share = TRUTH.mean() if prevalence is None else prevalence
    weights = np.where(TRUTH, share / TRUTH.sum(), (1 - share) / (~TRUTH).sum())
    # Where a figure lies just between two roundings, weighting and the page's rates may differ in the last bit.
    for where, weight, bits in (("here", np.ones(N), (1.0,)), ("there", weights, (1 - 1e-12, 1.0, 1 + 1e-12))):
        against = {"sample_weight": weight, "zero_division": np.nan}
        misses, alarms = (1000 * weight[wrong].sum() / weight.sum() for wrong in (TRUTH & ~called, ~TRUTH & called))
        shares = {
            "accuracy": accuracy_score(TRUTH, called, sample_weight=weight),
            "recall": called[TRUTH].mean(),
            "precision": precision_score(TRUTH, called, **against),
            "false_alarm_rate": called[~TRUTH].mean(),
        }
        others = {
            "f1": f1_score(TRUTH, called, **against),
            "misses": misses,
            "alarms": alarms,
            "cost": miss * misses + alarm * alarms,
        }
        told |= {f"{where}-{name}": {figure(value * bit) for bit in bits} for name, value in shares.items()}
        told |= {
            f"{where}-{name}": {figure(value * bit, as_share=False) for bit in bits} for name, value in others.items()
        }
    return told


def check(page: Any, threshold: float, **costs: float) -> None:
    """All the page's figures are those at this threshold and these costs."""
    wanted = expected(threshold, **costs)
    read = "names => names.map(name => document.getElementById(`what-if-${name}`).textContent)"
    for name, shown in zip(wanted, page.evaluate(read, list(wanted)), strict=True):
        assert shown in wanted[name], (name, threshold, costs)


def verdict(score: float, threshold: float) -> str:
    """The page's rule in plain words: the band is in force while the threshold lies in it."""
    if BAND.low <= threshold <= BAND.high and BAND.low <= score < BAND.high:
        return "unsure"
    return "anomalous" if score >= threshold else "normal"


def outcome(place: int, threshold: float) -> str:
    said = verdict(TEST.scores[place], threshold)
    if said == "unsure":
        return said
    right = (said == "anomalous") == TRUTH[place]
    return "right" if right else "miss" if TRUTH[place] else "false-alarm"


def cards(page: Any) -> list[str]:
    """Files in the order shown, all of them."""
    while page.locator("#album-more").is_visible():
        page.locator("#album-more").click()
    return list(page.locator("#album-cards button").evaluate_all("all => all.map(one => one.title)"))


# ---------------------------------------------------------------- figures

EXTREMES = [0.0, 1.0, -3.0, 1.5]
TIES = [0.35, float(np.nextafter(0.35, 1)), float(np.nextafter(0.35, 0)), 0.6, 0.3]


def test_every_figure_is_what_python_gets(page: Any) -> None:
    check(page, OWN)
    assert int((TEST.scores == 0.35).sum()) > 1, "a tie"
    for threshold in (*EXTREMES, *TIES, 0.123456789, OWN):
        type_in(page, "value", repr(threshold))
        check(page, threshold)
        (fp,) = expected(threshold)["fp"]
        assert text(page, "summary").startswith(f"{fp} false alarm")
        assert text(page, "command").startswith("whycam evaluate RUN --threshold ")
        assert float(text(page, "command").split()[-1]) == threshold


def test_the_slider_moves_everything_in_fine_steps(page: Any) -> None:
    slider = page.locator("#what-if-slider")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("0", "1")
    assert float(slider.get_attribute("step")) <= 0.005
    for value in ("0", "0.35", "0.617", "1"):
        slider.evaluate("(one, value) => { one.value = value; one.dispatchEvent(new Event('input')); }", value)
        check(page, float(value))
        assert float(page.locator("#what-if-value").input_value()) == float(value)
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#what-if-value").input_value() == "0.001"
    check(page, 0.001)
    assert slider.get_attribute("aria-valuetext").startswith("0.00100: ")


def test_costs_and_prevalence_count_at_once(page: Any) -> None:
    type_in(page, "value", 0.5)
    for costs in (
        {"miss": 500, "alarm": 3, "prevalence": 0.01},
        {"miss": 0, "alarm": 2.5, "prevalence": 0.001},
        {"miss": 1e6, "alarm": 0, "prevalence": 0.999},
        {"miss": 7, "alarm": 1, "prevalence": 0.0},
        {"miss": 7, "alarm": 1, "prevalence": 1.0},
    ):
        for name, value in costs.items():
            type_in(page, name, 100 * value if name == "prevalence" else value)
        check(page, 0.5, **costs)
        assert text(page, "own-cost") == figure(cost_at(OWN, **costs), as_share=False)
    # Empty means the test images' own share.
    type_in(page, "prevalence", "")
    check(page, 0.5, miss=7, alarm=1)


def test_what_is_no_number_is_marked_and_changes_nothing(page: Any) -> None:
    for name, value in (("miss", "-1"), ("alarm", ""), ("prevalence", "101"), ("prevalence", "-0.1"), ("value", "")):
        type_in(page, name, value)
        assert page.locator(f"#what-if-{name}").get_attribute("aria-invalid") == "true"
        check(page, OWN)
    for name, value in (("miss", 3), ("alarm", 2), ("prevalence", 40), ("value", 0.7)):
        type_in(page, name, value)
        assert page.locator(f"#what-if-{name}").get_attribute("aria-invalid") == "false"
    check(page, 0.7, miss=3, alarm=2, prevalence=0.4)


@pytest.mark.parametrize(
    ("miss", "alarm", "prevalence"),
    [(1, 1, 0.3), (500, 3, 0.01), (1, 1, 0.001), (1, 50, 0.5), (9, 0, 0.2), (0, 1, 0.2)],
)
def test_the_cheapest_threshold_is_the_cheapest_of_all(page: Any, miss: float, alarm: float, prevalence: float) -> None:
    costs = {"miss": miss, "alarm": alarm, "prevalence": prevalence}
    for name, value in costs.items():
        type_in(page, name, 100 * value if name == "prevalence" else value)
    page.locator("#what-if-cheapest").click()
    chosen = float(page.locator("#what-if-value").input_value())
    least = min(cost_at(threshold, **costs) for threshold in [*np.unique(TEST.scores), 1.01])
    assert cost_at(chosen, **costs) == pytest.approx(least, rel=1e-9, abs=1e-9)
    check(page, chosen, **costs)
    page.locator("#what-if-own").click()
    assert float(page.locator("#what-if-value").input_value()) == OWN
    check(page, OWN, **costs)


def test_the_roc_curve_and_its_point_are_scikit_learns(page: Any) -> None:
    fpr, tpr, _ = roc_curve(TRUTH, TEST.scores, drop_intermediate=False)
    drawn = page.locator("#what-if-roc .curve").get_attribute("points").split()
    assert {f"{50 + 240 * x:.1f},{8 + 240 * (1 - y):.1f}" for x, y in zip(fpr, tpr, strict=True)} == set(drawn)
    for threshold in (0.0, 0.35, 0.8, 1.5):
        type_in(page, "value", threshold)
        x, y = rates(threshold)
        place = [float(page.locator("#what-if-roc .now").get_attribute(name)) for name in ("cx", "cy")]
        assert place == pytest.approx([50 + 240 * x, 8 + 240 * (1 - y)], abs=0.051)
        assert f"{words.share(y)} % of the anomalous" in page.locator("#what-if-roc").get_attribute("aria-label")
    own = [float(page.locator("#what-if-roc .own").get_attribute(name)) for name in ("cx", "cy")]
    x, y = rates(OWN)
    assert own == pytest.approx([50 + 240 * x, 8 + 240 * (1 - y)], abs=0.051)


def test_the_page_words_numbers_as_python_does(tab: Any) -> None:
    rng = np.random.default_rng(0)
    shares = [*rng.random(500), *(1 - rng.random(200) * 1e-4), 0.0, 1.0, 0.1225, *(np.arange(1, 400) / 400)]
    numbers = [*(10 ** rng.uniform(-7, 9, 500) * rng.choice([-1, 1], 500)), 0.0, 12.25, 0.125, 1234.5, 999.95, 1e6]
    code = f"values => {{ {(SCRIPTS / 'words.js').read_text('utf-8')} return [values[0].map(percentage), "
    said = tab.evaluate(f"{code} values[1].map(number), values[2].map(grade)] }}", [shares, numbers, shares[:500]])
    assert said[0] == [f"{words.share(value)} %" for value in shares]
    assert said[1] == [words.number(value) for value in numbers]
    assert said[2] == [words.grade(value) for value in shares[:500]]


# ---------------------------------------------------------------- the gallery


def test_filters_show_the_right_files_at_every_threshold(page: Any) -> None:
    for threshold in (OWN, 0.6, 0.75):
        type_in(page, "value", threshold)
        outcomes = [outcome(place, threshold) for place in range(N)]
        for name in ("false-alarm", "miss", "unsure", "right"):
            files = {TEST.files[place] for place in range(N) if outcomes[place] == name}
            page.locator(f"input[value='{name}']").check()
            found = cards(page)
            assert set(found) == files
            assert len(found) == len(files)
            assert text_of(page, f"album-n-{name}") == str(len(files))
            assert page.locator("#album-cards .tag").count() == page.locator(f"#album-cards .tag.{name}").count()
    page.locator("input[value=novel]").check()
    assert set(cards(page)) == {TEST.files[place] for place in range(N) if P_VALUES[place] <= LEVEL} != set()
    page.locator("input[value=all]").check()
    assert set(cards(page)) == set(TEST.files)
    assert page.locator("#album-cards .novel:visible").count() == int((P_VALUES <= LEVEL).sum())


def text_of(page: Any, name: str) -> str:
    return str(page.locator(f"#{name}").text_content())


def test_the_gallery_is_sorted_as_asked_and_moves_with_the_threshold(page: Any) -> None:
    score = dict(zip(TEST.files, TEST.scores, strict=True))
    place = {file: at for at, file in enumerate(TEST.files)}
    for order, key in (
        ("highest", lambda file: -score[file]),
        ("lowest", lambda file: score[file]),
        ("nearest", lambda file: abs(score[file] - 0.75)),
    ):
        page.locator("#album-order").select_option(order)
        type_in(page, "value", 0.75)
        assert cards(page) == sorted(TEST.files, key=lambda file: (key(file), place[file])), order
    page.locator("#album-order").select_option("mistakes")
    files = cards(page)
    wrong = [file for file in files if outcome(place[file], 0.75) in ("miss", "false-alarm")]
    assert files[: len(wrong)] == wrong
    distances = [abs(score[file] - 0.75) for file in wrong]
    assert distances == sorted(distances, reverse=True)


def test_unsure_images_are_shown_on_the_slider_and_counted_in_their_cells(page: Any) -> None:
    band = page.locator("#what-if-scores .band")
    assert [float(band.get_attribute(name)) for name in ("x", "width")] == pytest.approx([300, 300])
    for threshold, active in ((OWN, True), (0.3, True), (0.6, True), (0.29, False), (0.61, False)):
        type_in(page, "value", threshold)
        assert page.locator("#what-if-left-band").is_visible() != active
        for cell, called, anomalous in (("tn", 0, 0), ("fp", 1, 0), ("fn", 0, 1), ("tp", 1, 1)):
            within = (TEST.scores >= 0.3) & (TEST.scores < 0.6) & ((TEST.scores >= threshold) == called)
            n = int(np.count_nonzero(within & (anomalous == TRUTH))) if active else 0
            assert text(page, f"{cell}-unsure") == (f"{n} of them unsure" if n else "")
        assert float(band.get_attribute("width")) == pytest.approx(300 if active else 0)


def test_heat_can_be_taken_off_the_pictures(page: Any) -> None:
    picture = page.locator(f"#album-cards button[title='{TEST.files[CLOSE[0]]}'] img")
    page.locator("#album-order").select_option("lowest")
    warm = picture.get_attribute("src")
    page.locator("#album-heat").uncheck()
    plain = picture.get_attribute("src")
    assert warm != plain
    assert {warm[:23], plain[:23]} == {"data:image/webp;base64,"}
    assert page.evaluate("() => Promise.all([...document.querySelectorAll('#album-cards img')].map(i => i.decode()))")


# ---------------------------------------------------------------- one image


def test_a_close_up_says_all_about_its_image(page: Any, make_exhibit: Callable[..., Exhibit]) -> None:
    page.locator("#album-order").select_option("lowest")
    page.locator(f"#album-cards button[title='{TEST.files[0]}']").click()
    dialog = page.locator("#close-up")
    assert dialog.is_visible()
    assert text_of(page, "close-up-name") == TEST.files[0]
    facts = dialog.locator("dl > div").all_text_contents()
    meaning = "novel, at most" if P_VALUES[0] <= LEVEL else "not novel, above"
    assert facts == [
        *("Score0", "Verdictnormal", f"Target{words.grade(TEST.targets[0])}"),
        f"Novelty p-value{words.number(P_VALUES[0])} ({meaning} 0.0500)",
    ]
    for name in ("overlay", "image"):
        assert page.locator(f"#close-up-{name}").evaluate("one => one.decode().then(() => one.naturalWidth)") == 60
    (segment,) = make_exhibit().segments
    bars = page.locator("#close-up-bars li")
    assert bars.all_text_contents() == ["Segment 190.0 %", "Outside the segments10.0 %"]
    assert segment.evidence_share == 0.9
    widths = bars.locator(".track span").evaluate_all("all => all.map(one => parseFloat(one.style.width))")
    assert widths == pytest.approx([90, 10])
    box = page.locator("#close-up-boxes .box")
    assert [float(box.get_attribute(name)) for name in ("x", "y", "width", "height")] == [15, 10, 15, 10]


def test_an_image_without_a_heatmap_says_how_to_get_one(page: Any) -> None:
    page.locator("#album-order").select_option("highest")
    page.locator(f"#album-cards button[title='{TEST.files[np.argmax(TEST.scores)]}']").click()
    without = next(place for place in np.argsort(-TEST.scores, kind="stable") if place not in CLOSE)
    while text_of(page, "close-up-name") != TEST.files[without]:
        page.keyboard.press("ArrowRight")
    assert page.locator("#close-up-no-heat").is_visible()
    assert "whycam explain RUN IMAGE --out DIR" in text_of(page, "close-up-no-heat")
    assert not page.locator("#close-up-heat").is_visible()
    assert not page.locator("#close-up-evidence").is_visible()
    assert page.locator("#close-up-image").evaluate("one => one.decode().then(() => one.naturalWidth)") == 60


def test_the_whole_page_works_from_the_keyboard(page: Any) -> None:
    keys = page.keyboard

    def focused() -> str:
        return str(page.evaluate("() => document.activeElement.id || document.activeElement.value"))

    def tab_to(name: str, *, most: int = 12) -> None:
        for _ in range(most):
            keys.press("Tab")
            if focused() == name:
                # What is in focus is in sight, and has a ring around it or around its label.
                ring = page.evaluate(
                    "() => [document.activeElement, document.activeElement.nextElementSibling]"
                    ".some(one => one && getComputedStyle(one).outlineStyle === 'solid')"
                )
                assert ring, name
                return
        raise AssertionError(f"{name} is not reached")

    tab_to("what-if-slider")
    keys.press("End")
    check(page, 1.0)
    tab_to("what-if-value")
    keys.press("Control+a")
    keys.type("0.55")
    check(page, 0.55)
    tab_to("what-if-own")
    keys.press("Enter")
    check(page, OWN)
    tab_to("what-if-miss")
    keys.press("Control+a")
    keys.type("20")
    check(page, OWN, miss=20)
    tab_to("what-if-cheapest")
    keys.press("Space")
    chosen = float(page.locator("#what-if-value").input_value())
    check(page, chosen, miss=20)
    tab_to("all")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert focused() == "miss"
    keys.press("ArrowLeft")
    files = [TEST.files[place] for place in range(N) if outcome(place, chosen) == "false-alarm"]
    assert set(page.locator("#album-cards button").evaluate_all("all => all.map(one => one.title)")) <= set(files)
    tab_to("album-order")
    tab_to("album-heat")
    keys.press("Tab")
    first = page.evaluate("() => document.activeElement.title")
    assert first == page.locator("#album-cards button").first.get_attribute("title")
    keys.press("Enter")
    dialog = page.locator("#close-up")
    assert dialog.is_visible()
    assert text_of(page, "close-up-name") == first
    assert text_of(page, "close-up-place") == f"1 of {len(files)}"
    listed = page.locator("#album-cards button").evaluate_all("all => all.map(one => one.title)")
    keys.press("ArrowRight")
    assert text_of(page, "close-up-name") == listed[1]
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    assert text_of(page, "close-up-place") == f"{len(files)} of {len(files)}"
    # The browser's own frame is the body; nothing else behind the dialog is reached.
    reached = "() => document.activeElement.tagName === 'BODY' || !!document.activeElement.closest('dialog')"
    for _ in range(8):
        keys.press("Tab")
        assert page.evaluate(reached)
    keys.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("() => document.activeElement.title") == first


def test_more_images_come_on_request_and_the_keyboard_goes_on_there(page: Any) -> None:
    assert page.locator("#album-cards button").count() == 48
    page.locator("#album-more").focus()
    page.keyboard.press("Enter")
    assert page.locator("#album-cards button").count() == 96
    titles = page.locator("#album-cards button").evaluate_all("all => all.map(one => one.title)")
    assert page.evaluate("() => document.activeElement.title") == titles[48]
    assert text_of(page, "album-status") == f"96 images of {N} shown."


# ---------------------------------------------------------------- any screen, any data


def test_a_phone_needs_no_sideways_scrolling(visit: Callable[..., Any], path: Path) -> None:
    page = visit(path, width=360)
    fits = "() => document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    type_in(page, "miss", 123456789)
    type_in(page, "prevalence", 0.00123)
    page.locator("#album-cards button").first.click()
    assert page.evaluate(fits)
    assert page.locator("#close-up").evaluate("one => one.scrollWidth <= one.clientWidth")
    cut = """() => [...document.querySelectorAll('.dial *, .bench *, .picks *')].filter(one => {
        const box = one.getBoundingClientRect(); return box.width && (box.right > innerWidth || box.left < 0);
    }).map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    overlong = """() => [...document.querySelectorAll('.metrics td, .metrics td *')]
        .filter(one => one.scrollWidth > one.clientWidth && getComputedStyle(one).display !== 'inline')
        .map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(overlong) == []


def test_everything_that_can_be_set_has_a_name(page: Any) -> None:
    unnamed = """() => [...document.querySelectorAll('input, select, button, svg[role=img], dialog')].filter(one =>
        !(one.labels?.length || one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
          || one.textContent.trim())).map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(unnamed) == []


def test_without_scripts_the_still_gallery_is_there(browser: Any, path: Path) -> None:
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    page.goto(path.as_uri())
    assert page.locator("#still figure").count() == 2
    assert page.locator("#still figure").first.is_visible()
    for hidden in ("#what-if-title", "#album", "#close-up", "#what-if-link"):
        assert not page.locator(hidden).is_visible()
    assert page.get_by_text("The script of this page has not run here").is_visible()


def test_with_scripts_the_still_gallery_makes_room(page: Any) -> None:
    assert not page.locator("#still").is_visible()
    assert page.locator("#album").is_visible()


@pytest.mark.parametrize("spread", [1.0, 1e-5, 3e37])
def test_scores_that_are_any_numbers(
    visit: Callable[..., Any],
    make_report: Callable[..., ReportInput],
    make_whatif: Callable[..., WhatIf],
    tmp_path: Path,
    spread: float,
) -> None:
    rng = np.random.default_rng(6)
    targets = (np.arange(40) % 3 == 0).astype(float)
    scores = spread * (targets + rng.standard_normal(40)) - spread
    test = Predictions(tuple(f"{i}.png" for i in range(40)), targets, scores, (None,) * 40)
    report = report_of(make_report, test, Threshold(0.5, "test"), whatif=make_whatif(test), reliability=None)
    path = tmp_path / "report.html"
    path.write_text(render(report, {}), "utf-8")
    page = visit(path)

    def agrees() -> float:
        # Not what is written: the command has every digit.
        threshold = float(text(page, "command").split()[-1])
        expected = confusion_matrix(targets > 0.5, scores >= threshold).ravel()
        assert [int(text(page, cell)) for cell in ("tn", "fp", "fn", "tp")] == expected.tolist()
        return threshold

    slider = page.locator("#what-if-slider")
    assert agrees() == 0.5
    slider.focus()
    page.keyboard.press("Home")
    assert agrees() <= scores.min()
    page.keyboard.press("End")
    assert agrees() > scores.max()
    page.keyboard.press("PageDown")
    agrees()
    page.locator("#what-if-cheapest").click()
    chosen = agrees()
    mistakes = [np.count_nonzero((scores >= t) != (targets > 0.5)) for t in [*scores, np.inf]]
    assert np.count_nonzero((scores >= chosen) != (targets > 0.5)) == min(mistakes)
    assert page.locator("#what-if-wide").is_visible() == (spread > 10)
    page.locator("input[value=novel]").check()
    assert page.get_by_text("Novelty was not measured in this run.").is_visible()
    page.locator("input[value=unsure]").check()
    assert page.get_by_text("This run has no band of unsure scores").is_visible()
    page.locator("input[value=all]").check()
    page.locator("#album-cards button").first.click()
    assert "Novelty" not in str(page.locator("#close-up dl").text_content())


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_missing_class_leaves_figures_undefined(
    visit: Callable[..., Any],
    make_report: Callable[..., ReportInput],
    make_whatif: Callable[..., WhatIf],
    tmp_path: Path,
    target: float,
) -> None:
    evil = "</script><script>document.title='x'</script><!--.png"
    test = Predictions((evil, "b.png"), np.full(2, target), np.array([0.2, 0.8]), (None, None))
    report = report_of(make_report, test, Threshold(0.5, "test"), whatif=make_whatif(test, close=(0,)))
    path = tmp_path / "report.html"
    path.write_text(render(report, {}), "utf-8")
    page = visit(path)
    assert text(page, "here-recall" if target == 0 else "here-false_alarm_rate") == "undefined"
    assert text(page, "here-accuracy") == "50.0 %"
    assert re.search(r"No curve: all are (normal|anomalous)\.", text(page, "roc"))
    page.locator("#what-if-cheapest").click()
    assert text(page, "here-cost") == "0"
    type_in(page, "prevalence", 20)
    assert text(page, "there-cost") == "undefined"
    assert page.locator("#what-if-cheapest").is_disabled()
    assert set(page.locator("#album-cards button").evaluate_all("all => all.map(one => one.title)")) == {evil, "b.png"}
    assert page.title() == "WhyCAM report: cells"
