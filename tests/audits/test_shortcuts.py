"""Shortcuts: planted ones are named with their place, honest sets are left in peace, intervals do not collapse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tests.audits.pictures import SIDE, Spoil, measured, samples_of, write
from whycam.audits import cue_trials
from whycam.audits.cue_models import auroc, auroc_interval, folds_of, held_out_scores, units_of_each_class
from whycam.audits.cue_trials import BULK_LEVEL, LOW_LEVEL, SURE_LEVEL
from whycam.audits.cues import HISTOGRAM, Measured
from whycam.audits.shortcuts import Shortcuts, find_shortcuts
from whycam.report.words import number
from whycam.types import Pixels, Sample

Planted = Callable[[Spoil], tuple[list[Sample], Shortcuts]]


def shortcuts(samples: list[Sample], *, seed: int = 0) -> Shortcuts:
    return find_shortcuts(measured(samples), [sample.file for sample in samples], seed=seed)


# ---------------------------------------------------------------- figures and intervals


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for n in (5, 40):
        truth = np.arange(n) < n // 3
        for scores in (rng.normal(size=n), rng.integers(0, 4, n).astype(float), np.zeros(n)):
            assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


@pytest.mark.parametrize("area", [0.0, 0.3, 0.5, 0.97, 1.0])
@pytest.mark.parametrize(("n_normal", "n_anomalous"), [(1, 1), (30, 20), (1803, 821)])
def test_interval_solves_newcombes_equation(area: float, n_normal: int, n_anomalous: int) -> None:
    figure = auroc_interval(area, n_normal, n_anomalous, tries=7)
    z = norm.ppf(1 - 0.025 / 7)
    assert figure.low is not None
    assert figure.high is not None
    assert 0 <= figure.low <= area <= figure.high <= 1
    for end in (figure.low, figure.high):
        n = (n_normal + n_anomalous) / 2
        q = (n - 1) * (1 - end) / (2 - end) + (n - 1) * end / (1 + end)
        variance = end * (1 - end) * (1 + q) / (n_normal * n_anomalous)
        assert abs(area - end) == pytest.approx(z * np.sqrt(variance), abs=1e-6)


def test_interval_never_collapses_and_shrinks_with_evidence() -> None:
    lows = [auroc_interval(1.0, n, n).low for n in (2, 5, 20, 100, 1000)]
    assert lows == sorted(lows, key=lambda low: low or 0)
    assert lows[0] is not None
    assert lows[0] < 0.5
    assert lows[2] == pytest.approx(0.9, abs=0.01)
    assert (auroc_interval(1.0, 40, 40, tries=30).low or 1) < (auroc_interval(1.0, 40, 40).low or 0)
    assert (
        (auroc_interval(1.0, 40, 40, tries=30).low or 0) > LOW_LEVEL > (auroc_interval(1.0, 10, 10, tries=30).low or 1)
    )


def test_interval_covers_the_true_auroc() -> None:
    rng = np.random.default_rng(2)
    for shift, n in ((0.0, 15), (2.0, 15), (2.8, 30)):
        true = norm.cdf(shift / np.sqrt(2))
        truth = np.arange(2 * n) < n
        covered = 0
        for _ in range(600):
            figure = auroc_interval(auroc(rng.normal(size=2 * n) + shift * truth, truth), n, n)
            covered += (figure.low or 0) <= true <= (figure.high or 0)
        assert covered / 600 > 0.935


# ---------------------------------------------------------------- models


def test_folds_keep_units_whole_and_classes_balanced() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(300) < 0.3
    units = np.array([f"u{number}" for number in rng.integers(0, 60, 300)])
    folds = folds_of(truth, units, seed=0)
    assert folds is not None
    assert all(len(set(folds[units == unit])) == 1 for unit in set(units))
    assert np.array_equal(folds, folds_of(truth, units, seed=0))
    alone = folds_of(truth, np.arange(300).astype(str), seed=0)
    assert alone is not None
    assert np.ptp([truth[alone == fold].sum() for fold in range(5)]) <= 1
    assert units_of_each_class(truth, units) == (len(set(units[~truth])), len(set(units[truth])))


def test_no_folds_where_a_class_has_too_few_units() -> None:
    truth = np.arange(100) < 20
    assert folds_of(truth, np.where(truth, np.arange(100) % 4, np.arange(100)).astype(str), seed=0) is None


def test_scores_are_out_of_fold() -> None:
    rng = np.random.default_rng(3)
    areas = []
    for seed in range(12):
        truth = np.arange(120) % 2 == 0
        folds = folds_of(truth, np.arange(120).astype(str), seed=seed)
        assert folds is not None
        areas.append(auroc(held_out_scores(rng.normal(size=(120, 8)), rng.random((120, 4)), truth, folds), truth))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)


def test_models_find_what_is_not_monotone_and_do_not_care_about_scale() -> None:
    rng = np.random.default_rng(4)
    truth = np.arange(200) % 4 == 0
    numbers = np.where(truth, rng.uniform(-0.3, 0.3, 200), rng.choice([-1, 1], 200) * rng.uniform(0.5, 1, 200))[:, None]
    folds = folds_of(truth, np.arange(200).astype(str), seed=0)
    assert folds is not None
    shares = np.zeros((200, 0))
    scores = held_out_scores(numbers, shares, truth, folds)
    assert auroc(scores, truth) > 0.97
    assert auroc(numbers[:, 0], truth) < 0.6
    assert held_out_scores(np.exp(5 * numbers) - 3, shares, truth, folds) == pytest.approx(scores, abs=1e-9)


def test_an_unknown_number_is_a_value_of_its_own() -> None:
    truth = np.arange(100) % 2 == 0
    numbers = np.where(truth, np.nan, 1.0)[:, None]
    folds = folds_of(truth, np.arange(100).astype(str), seed=0)
    assert folds is not None
    assert auroc(held_out_scores(numbers, np.zeros((100, 0)), truth, folds), truth) == 1
    nothing = held_out_scores(np.full((100, 1), np.nan), np.zeros((100, 0)), truth, folds)
    assert auroc(nothing, truth) == pytest.approx(0.5, abs=0.05)


# ---------------------------------------------------------------- findings


@pytest.mark.parametrize("seed", range(2))
def test_honest_images_are_left_in_peace(tmp_path: Path, seed: int) -> None:
    found = shortcuts(samples_of(tmp_path, seed=seed), seed=seed)
    assert found.findings == ()
    assert len(found.table) > 20
    assert not any(result.warned for result in found.table)


def bright_edge(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    pixels = pixels.copy()
    pixels[-4:] = np.clip(pixels[-4:] + rng.normal(70, 8), 0, 255)
    return pixels


def mark(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    pixels = pixels.copy()
    pixels[1:6, -6:-1] = 240
    return pixels


def dimmed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return (pixels * 0.5).astype(np.uint8)


def blurred(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.2)))


def tinted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.stack([pixels, np.maximum(pixels, 14) - 14, np.maximum(pixels, 8) - 8], axis=2)


def larger(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((SIDE + 4, SIDE + 4)))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """What is done to anomalous images -> the images and what is found on them, once for all tests."""

    @cache
    def found(spoil: Spoil) -> tuple[list[Sample], Shortcuts]:
        samples = samples_of(tmp_path_factory.mktemp("planted"), spoil=spoil)
        return samples, shortcuts(samples)

    return found


@pytest.mark.parametrize(
    ("spoil", "severity", "start", "region"),
    [
        (bright_edge, "serious", "The bottom border (", (0.15, 0.93, 0.85, 1.0)),
        (mark, "serious", "The top right corner (", (0.85, 0.0, 1.0, 0.15)),
        (dimmed, "serious", "A grey-level histogram alone separates the classes: AUROC ", None),
        (blurred, "warning", "The sharpness alone", None),
        (tinted, "serious", "The file type alone", None),
        (larger, "serious", "The image size alone", None),
    ],
)
def test_planted_shortcuts_are_named(
    planted: Planted, spoil: Spoil, severity: str, start: str, region: tuple[float, ...] | None
) -> None:
    samples, found = planted(spoil)
    first = found.findings[0]
    assert first.kind == "shortcut"
    assert first.severity == severity
    assert first.sentence.startswith(start)
    assert first.figure is not None
    assert (first.figure.value or 0) > 0.95
    assert (first.figure.low or 0) >= LOW_LEVEL
    if region is None:
        assert first.region is None
    else:
        assert first.region is not None
        assert all(outer <= inner + 1e-9 for inner, outer in zip(first.region[:2], region[:2], strict=True))
        assert all(inner <= outer + 1e-9 for inner, outer in zip(first.region[2:], region[2:], strict=True))
    target = {sample.file: sample.target for sample in samples}
    assert [target[file] for file in first.files] == [1, 1, 0, 0]
    assert len(set(first.files)) == 4


def test_a_border_is_told_beside_the_inside(planted: Planted) -> None:
    _, found = planted(bright_edge)
    (finding,) = [finding for finding in found.findings if finding.region]
    best = max((result for result in found.table if result.warned), key=lambda result: result.auroc.value or 0)
    assert best.beside is not None
    assert best.beside < 0.8
    assert f"comparable places inside the image reach {number(best.beside)} at best" in finding.sentence
    assert not any("corner" in finding.sentence for finding in found.findings)


def test_what_the_whole_image_shows_is_not_laid_to_its_border(planted: Planted) -> None:
    _, found = planted(dimmed)
    assert all(finding.region is None for finding in found.findings)
    assert "Each border of the image alone does nearly as well" in found.findings[0].sentence


@pytest.mark.parametrize(
    ("n", "severity", "said"),
    [
        (35, "note", "Most of the pixels do not differ"),
        (60, "warning", "The model may need to look no further"),
    ],
)
def test_dark_spots_make_a_histogram_a_note_until_many_images_show_it(
    tmp_path: Path, n: int, severity: str, said: str
) -> None:
    def spot(pixels: Pixels, rng: np.random.Generator) -> Pixels:
        row, column = rng.integers(12, SIDE - 20, 2)
        pixels = pixels.copy()
        pixels[row : row + 7, column : column + 7] = 5
        return pixels

    found = shortcuts(samples_of(tmp_path, n=(n, n), spoil=spot))
    (finding,) = found.findings
    assert finding.severity == severity
    assert finding.sentence.startswith("A grey-level histogram alone")
    assert said in finding.sentence
    (histogram,) = [result for result in found.table if result.cue == HISTOGRAM]
    assert histogram.beside is not None
    assert histogram.beside < BULK_LEVEL
    assert ((histogram.auroc.low or 0) >= SURE_LEVEL) == (severity == "warning")
    # However many images show it, only the histogram is sure of itself.
    assert [result.cue for result in found.table if result.warned] == [HISTOGRAM] * (severity == "warning")


def camera(defect: bool, number: int) -> dict[int, Any]:
    return {271: "Maker", 272: "Model B" if defect else "Model A"}


def date(defect: bool, number: int) -> dict[int, Any]:
    return {306: f"2023:05:{17 + defect} 10:{number:02}:00"}


def day_by_day(defect: bool, number: int) -> dict[int, Any]:
    return {306: f"2023:05:{1 + number % 28:02} 10:{number:02}:{20 * defect:02}", 272: "Model A"}


@pytest.mark.parametrize(
    ("exif", "told"),
    [
        (camera, "The camera alone separates the classes: AUROC 1.00 (0."),
        (date, "The date taken alone"),
        (day_by_day, None),
    ],
)
def test_cameras_and_dates(tmp_path: Path, exif: Any, told: str | None) -> None:
    findings = shortcuts(samples_of(tmp_path, exif=exif)).findings
    assert [(finding.severity, finding.sentence[: len(told or "")]) for finding in findings] == (
        [("warning", told)] if told else []
    )


def test_file_types_are_told_with_what_they_are(tmp_path: Path) -> None:
    (first, *_) = shortcuts(samples_of(tmp_path, ending=("jpg", "png"))).findings
    assert first.severity == "serious"
    assert "typically JPEG L in normal images, PNG L in anomalous ones" in first.sentence


def test_bytes_alone_are_at_most_a_note(tmp_path: Path) -> None:
    samples = samples_of(tmp_path)
    for sample in samples:
        if not sample.anomalous:
            with sample.path.open("ab") as file:
                file.write(bytes(4000))
    (finding,) = shortcuts(samples).findings
    assert finding.severity == "note"
    assert finding.sentence.startswith("The file size alone")


def test_units_count_not_images(tmp_path: Path) -> None:
    """70 images of 14 parts are 14 pieces of evidence, and of 8 parts none."""
    samples = samples_of(tmp_path, spoil=bright_edge)
    facts = measured(samples)
    low: dict[int, float] = {}
    for n_parts in (4, 7, 30):
        units = [f"{sample.target}-{row % n_parts}" for row, sample in enumerate(samples)]
        found = find_shortcuts(facts, units)
        low[n_parts] = max((result.auroc.low or 0 for result in found.table), default=0)
        assert any(finding.kind == "shortcut" for finding in found.findings) == (n_parts == 30)
    assert low[4] == 0
    assert 0 < low[7] < LOW_LEVEL < low[30]


def test_the_same_every_time_and_examples_of_different_units(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(40, 40), spoil=bright_edge)
    facts = measured(samples)
    units = [f"{sample.target}-{row // 2}" for row, sample in enumerate(samples)]
    first = find_shortcuts(facts, units)
    assert first == find_shortcuts(facts, units)
    unit_of = dict(zip([sample.file for sample in samples], units, strict=True))
    assert len({unit_of[file] for file in first.findings[0].files}) == 4


def test_of_very_many_images_a_part_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(tmp_path, n=(90, 30), spoil=bright_edge)
    facts = measured(samples)
    units = [sample.file if sample.anomalous else f"pair {row // 2}" for row, sample in enumerate(samples)]
    monkeypatch.setattr(cue_trials, "MOST_IMAGES", 80)
    trials = cue_trials.try_cues(facts, units)
    assert trials is not None
    rows = trials.rows.tolist()
    assert sum(samples[row].anomalous for row in rows) == 30
    assert len(rows) == 80
    kept = {units[row] for row in rows}
    assert all(row in rows for row, unit in enumerate(units) if unit in kept)
    assert find_shortcuts(facts, units).findings[0].sentence.startswith("The bottom border (")


@pytest.mark.parametrize(("n", "few"), [(4, "4 anomalous images are"), (1, "1 anomalous image is")])
def test_too_few_images_are_said_to_be_so(n: int, few: str, tmp_path: Path) -> None:
    found = shortcuts(samples_of(tmp_path, n=(20, n), spoil=bright_edge))
    (finding,) = found.findings
    assert found.table == () and finding.severity == "note"
    assert f"the {few} too few, and at least 5 independent ones" in finding.sentence


def test_one_cue_that_all_images_share_is_no_model(tmp_path: Path) -> None:
    """Identical images differ in nothing: the table is empty, and nothing fails."""
    samples = samples_of(tmp_path, n=(10, 10))
    for sample in samples:
        write(sample.path, np.full((SIDE, SIDE), 90, dtype=np.uint8))
    facts: Measured = measured([replace(sample, file="same.png") for sample in samples])
    assert find_shortcuts(facts, [str(row) for row in range(20)]) == Shortcuts((), ())
