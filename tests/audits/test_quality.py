"""Image quality: single bad pictures are named, pictures that are like the rest of their set are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import binomtest

from tests.audits.pictures import SIDE, measured, samples_of, write
from whycam.audits.findings import Finding
from whycam.audits.quality import find_quality
from whycam.types import Pixels, Sample

RNG = np.random.default_rng(6)


def quality(samples: list[Sample], units: list[str] | None = None) -> list[Finding]:
    return list(find_quality(measured(samples), units or [sample.file for sample in samples]))


def spoilt(samples: list[Sample], rows: list[int], change: Callable[[Pixels], Pixels]) -> set[str]:
    for row in rows:
        write(samples[row].path, change(np.asarray(Image.open(samples[row].path))))
    return {samples[row].file for row in rows}


def covered(pixels: Pixels) -> Pixels:
    return np.clip(RNG.normal(9, 3, pixels.shape), 1, 255).astype(np.uint8)


def empty(pixels: Pixels) -> Pixels:
    return np.full_like(pixels, 131)


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3)))


def dark(pixels: Pixels) -> Pixels:
    return (pixels * 0.25).astype(np.uint8)


def bright(pixels: Pixels) -> Pixels:
    return np.clip(pixels * 2.1, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_good_images_have_no_finding(tmp_path: Path, seed: int) -> None:
    assert quality(samples_of(tmp_path, n=(60, 40), seed=seed)) == []


@pytest.mark.parametrize(
    ("kind", "change"),
    [("blank", covered), ("blank", empty), ("blurred", blurred), ("under-exposed", dark), ("over-exposed", bright)],
)
def test_bad_pictures_are_named_and_only_they(tmp_path: Path, kind: str, change: Callable[[Pixels], Pixels]) -> None:
    samples = samples_of(tmp_path, n=(60, 40))
    files = spoilt(samples, [3, 70], change)
    (finding,) = quality(samples)
    assert finding.kind == kind
    assert finding.severity == "warning"
    assert set(finding.files) == files
    assert finding.n_files == 2
    assert finding.sentence.startswith("2 of 100 images are ")
    assert finding.files[0] in finding.sentence


@pytest.mark.parametrize("change", [blurred, dark, bright])
def test_what_all_images_are_is_no_fault(tmp_path: Path, change: Callable[[Pixels], Pixels]) -> None:
    samples = samples_of(tmp_path, n=(40, 40))
    spoilt(samples, list(range(80)), change)
    assert quality(samples) == []


@pytest.mark.parametrize("ground", [0, 255])
def test_a_part_on_pure_ground_is_well_exposed(tmp_path: Path, ground: int) -> None:
    samples = samples_of(tmp_path, n=(40, 40))

    def cut_out(pixels: Pixels) -> Pixels:
        part = np.full_like(pixels, ground)
        size = RNG.integers(12, 50)
        part[5 : 5 + size, 5 : 5 + size] = pixels[5 : 5 + size, 5 : 5 + size]
        return part

    spoilt(samples, list(range(80)), cut_out)
    assert quality(samples) == []


def test_the_worst_comes_first_and_few_of_many_are_a_note(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(150, 100))
    spoilt(samples, [8], lambda pixels: (pixels * 0.25).astype(np.uint8))
    spoilt(samples, [200], lambda pixels: (pixels * 0.22).astype(np.uint8))
    (finding,) = quality(samples)
    assert finding.severity == "note"
    assert finding.files == (samples[200].file, samples[8].file)


def test_many_are_a_kind_of_their_own(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(60, 40))
    files = spoilt(samples, list(range(50, 70)), bright)
    (finding,) = quality(samples)
    assert (finding.kind, finding.severity) == ("over-exposed", "note")
    assert set(finding.files) <= files
    assert finding.n_files > 10


def test_odd_sizes_and_aspect_ratios(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(40, 40))
    wide = spoilt(samples, [5, 50], lambda pixels: pixels[:40])
    small = spoilt(samples, [7], lambda pixels: np.asarray(Image.fromarray(pixels).resize((52, 52))))
    found = {finding.kind: finding for finding in quality(samples)}
    assert found.keys() == {"aspect ratio", "size"}
    assert found["aspect ratio"].severity == "warning"
    assert set(found["aspect ratio"].files) == wide
    assert "60 x 40 pixels, usual is 1.00 to 1" in found["aspect ratio"].sentence
    assert found["size"].severity == "note"
    assert set(found["size"].files) == small
    assert "the usual 60 x 60 pixels" in found["size"].sentence


def test_sizes_that_all_differ_are_not_odd(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(40, 40))
    for row in range(80):
        spoilt(samples, [row], lambda pixels, cut=row % 5: pixels[: SIDE - cut])
    assert quality(samples) == []
    for row in range(80):
        spoilt(samples, [row], lambda pixels, cut=row % 5: pixels[: SIDE - 10 * cut])
    (finding,) = quality(samples)
    assert (finding.kind, finding.severity) == ("aspect ratio", "note")


def test_grey_among_coloured(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(40, 40))
    coloured = spoilt(samples, [11, 60, 61], lambda pixels: np.stack([pixels, pixels // 2, pixels], axis=2))
    (finding,) = [finding for finding in quality(samples) if finding.kind == "grey and colour"]
    assert set(finding.files) == coloured
    assert finding.sentence.startswith("3 of 80 images are coloured and the others are not")


@pytest.mark.parametrize(("n_anomalous", "severity"), [(1, "warning"), (9, "warning"), (10, "note"), (29, "note")])
def test_few_of_a_class_and_what_follows(tmp_path: Path, n_anomalous: int, severity: str) -> None:
    (finding, *_) = [f for f in quality(samples_of(tmp_path, n=(40, n_anomalous))) if f.kind == "few images"]
    low = binomtest(n_anomalous, n_anomalous, alternative="greater").proportion_ci(0.95).low
    assert finding.severity == severity
    assert f"recall of at least {100 * low:.0f} %" in finding.sentence


def test_enough_images_of_few_parts_are_few(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(40, 40))
    units = [sample.file if sample.anomalous else f"part {row % 12}" for row, sample in enumerate(samples)]
    (finding,) = quality(samples, units)
    high = binomtest(0, 12, alternative="less").proportion_ci(0.95).high
    assert finding.sentence.startswith("Only 12 independent normal images (40 in all): ")
    assert f"false-alarm rate of at most {100 * high:.0f} %" in finding.sentence


def test_imbalance_is_a_note(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(310, 31))
    (finding,) = quality(samples)
    assert (finding.kind, finding.severity) == ("imbalance", "note")
    assert "to call every image normal is right 90.9 % of the time" in finding.sentence
