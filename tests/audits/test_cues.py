"""Cues: the right numbers from the right pixels, headers read without decoding, names that give nothing away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter, laplace

from tests.audits.pictures import SIDE, measured, samples_of, write
from whycam.audits.cues import cues_of
from whycam.audits.file_facts import date_in, read_file_facts
from whycam.audits.pixel_facts import QUANTILES, measure_pixels
from whycam.errors import DataError
from whycam.types import Sample

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (37, 40, 50, 3), dtype=np.uint8)
WHOLE = ((0.0, 0.0, 1.0, 1.0),)
GREY = RNG.integers(0, 256, (20, 33, 30, 1), dtype=np.uint8)


def test_patches_are_those_of_plain_slices() -> None:
    regions = ((0.15, 0.0, 0.85, 0.1), (0.9, 0.8, 1.0, 1.0), (0.0, 0.0, 0.001, 0.001))
    rows = np.arange(37)[::-1]
    facts = measure_pixels(lambda wanted: COLOUR[wanted], rows, regions)
    signed = COLOUR[::-1].astype(float)
    grey = signed @ [0.299, 0.587, 0.114]
    for region, (down, across) in zip(
        regions, ((slice(0, 4), slice(8, 42)), (slice(32, 40), slice(45, 50)), (slice(0, 1), slice(0, 1))), strict=True
    ):
        patch = grey[:, down, across].reshape(37, -1)
        red, green, blue = (signed[:, down, across, channel].reshape(37, -1).mean(axis=1) for channel in range(3))
        expected = [patch.mean(1), patch.std(1), patch.min(1), patch.max(1), red - green, blue - green]
        assert facts.patches[region] == pytest.approx(np.stack(expected, axis=1), abs=1e-3)


def test_whole_image_figures_are_those_of_numpy_and_scipy() -> None:
    facts = measure_pixels(lambda rows: GREY[rows], np.arange(20), WHOLE)
    images = GREY[..., 0].astype(float)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    for row, image in enumerate(images):
        inner = laplace(image)[1:-1, 1:-1]
        assert facts.mean[row] == pytest.approx(image.mean(), rel=1e-5)
        assert facts.deviation[row] == pytest.approx(image.std(), rel=1e-5)
        assert facts.laplacian[row] == pytest.approx(inner.var(), rel=1e-9)
        assert facts.quantiles[row] == pytest.approx(np.quantile(image, QUANTILES, method="inverted_cdf"))
        assert facts.histogram[row] == pytest.approx(np.histogram(image, 32, (0, 256))[0] / image.size)
        assert facts.clipped[row] == pytest.approx([(image <= 3).mean(), (image >= 252).mean()])
        grain = np.median(np.abs(convolve(image, mask)[1:-1, 1:-1])) / (6 * 0.6745)
        assert facts.noise[row] == pytest.approx(grain, rel=0.02)
        largest = [
            np.abs(block).max() for band in np.split(inner[:30, :20], 10) for block in np.split(band, 10, axis=1)
        ]
        assert facts.detail[row] == pytest.approx(np.quantile(largest, 0.7))
    assert facts.grey.all()
    assert not facts.colour.any()


def test_colour_is_measured_and_grey_told_apart() -> None:
    images = COLOUR.copy()
    images[3] = images[3, ..., :1]
    facts = measure_pixels(lambda rows: images[rows], np.arange(37), WHOLE)
    red_less_green = images[..., 0].astype(float) - images[..., 1]
    assert np.flatnonzero(facts.grey).tolist() == [3]
    assert facts.colour[:, 0] == pytest.approx(red_less_green.mean(axis=(1, 2)), abs=1e-3)
    assert facts.colour[:, 2] == pytest.approx(red_less_green.std(axis=(1, 2)), rel=1e-4)
    assert not facts.colour[3].any()


def test_noise_and_sharpness_are_on_their_scales() -> None:
    """White noise of 5 grey levels is found as 5; an edge that is blurred with sigma 3 has 0.24 / 9 of its height."""
    step = np.where(np.arange(300) < 150, 60.0, 180.0) * np.ones((300, 1))
    noisy = np.full((300, 300), 128) + RNG.normal(0, 5, (300, 300))
    images = np.stack([noisy, step, gaussian_filter(step, 3)])[..., np.newaxis].round().astype(np.uint8)
    facts = measure_pixels(lambda rows: images[rows], np.arange(3), WHOLE)
    assert facts.noise[0] == pytest.approx(5, rel=0.05)
    assert facts.edge[1] == pytest.approx(1, abs=0.02)
    assert facts.edge[2] == pytest.approx(0.242 / 9, rel=0.35)
    assert facts.unevenness[0] < 0.5 < 50 < facts.unevenness[1]


def test_tiny_images_and_batches_do_not_matter() -> None:
    images = RNG.integers(0, 256, (50, 2, 2, 1), dtype=np.uint8)
    facts = measure_pixels(lambda rows: images[rows], np.arange(50), ((0.0, 0.0, 1.0, 0.03),))
    assert facts.mean == pytest.approx(images.mean(axis=(1, 2, 3)), rel=1e-5)
    assert not facts.laplacian.any()
    assert np.isfinite(facts.edge).all()


def test_headers_say_how_an_image_was_made(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    tags = {271: "Maker", 272: "M\x001 ", 305: "Editor", 274: 6, 306: "2022:08:11 17:19:23"}
    write(tmp_path / "2021-03-04 a.jpg", pixels, exif=tags)
    write(tmp_path / "b.png", pixels[..., 0], exif={272: "Phone"})
    Image.fromarray(pixels).save(tmp_path / "c.jpg", quality=30)
    first, second, third = read_file_facts([Sample(p.name, p) for p in sorted(tmp_path.iterdir())])
    assert (first.size_hw, first.type, first.orientation) == ((30, 20), "JPEG RGB", 6)
    assert (first.camera, first.software) == ("Maker M 1", "Editor")
    assert first.taken == 1660238363.0
    assert first.named == 1614816000.0
    assert first.n_bytes == (tmp_path / "2021-03-04 a.jpg").stat().st_size
    assert (second.size_hw, second.type, second.camera, second.taken) == ((20, 30), "PNG L", "Phone", None)
    assert second.quantisation is None
    assert third.quantisation is not None
    assert first.quantisation is not None
    assert third.quantisation > 2 * first.quantisation


def test_no_pixel_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(tmp_path, n=(2, 2))

    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", load)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert [facts.size_hw for facts in read_file_facts(samples)] == [(SIDE, SIDE)] * 4


def test_damaged_metadata_say_nothing_and_a_lost_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(path, exif=b"Exif\x00\x00broken, and badly so")
    (facts,) = read_file_facts([Sample("a.jpg", path)])
    assert (facts.camera, facts.taken, facts.orientation) == ("", None, 0)
    with pytest.raises(DataError, match=r"lost\.png cannot be opened"):
        read_file_facts([Sample("lost.png", tmp_path / "lost.png")])


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("IMG_20230517_101502", 1684318502.0),
        ("2023-05-17", 1684281600.0),
        ("scan 2023.05.17-10.15", 1684318500.0),
        ("part-20231345", None),
        ("1234202305171", None),
        ("2023-02-30", None),
        ("tile_743", None),
    ],
)
def test_dates_in_names(name: str, seconds: float | None) -> None:
    assert date_in(name) == seconds


def test_what_never_changes_is_no_cue(tmp_path: Path) -> None:
    names = {cue.name for cue in cues_of(measured(samples_of(tmp_path, n=(6, 6))))}
    assert {"brightness", "grey-level histogram", "top border (3 % of the height)", "file size"} <= names
    assert not names & {"file type", "camera", "image size", "colour", "date taken", "name pattern", "grey or colour"}


def test_a_mark_in_a_corner_is_in_no_border(tmp_path: Path) -> None:
    samples = samples_of(tmp_path, n=(6, 6))
    before = {cue.name: cue for cue in cues_of(measured(samples))}
    for sample in samples:
        pixels = np.asarray(Image.open(sample.path)).copy()
        pixels[: SIDE * 15 // 100, : SIDE * 15 // 100] = 255
        write(sample.path, pixels)
    after = {cue.name: cue for cue in cues_of(measured(samples))}
    changed = {
        name
        for name, cue in before.items()
        if cue.kind == "place" and (name not in after or not np.array_equal(after[name].numbers, cue.numbers))
    }
    assert changed == {"top left corner (5 % of the sides)", "top left corner (15 % of the sides)"}


def test_borders_and_corners_are_compared_with_places_of_their_own_form_inside(tmp_path: Path) -> None:
    for cue in cues_of(measured(samples_of(tmp_path, n=(3, 3)))):
        if cue.kind != "place":
            assert cue.region is None
            continue
        assert cue.region is not None
        left, top, right, bottom = cue.region
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert min(left, top, 1 - right, 1 - bottom) == pytest.approx(0)
        assert len(cue.rivals) == 5
        assert all(rival.shape == cue.numbers.shape for rival in cue.rivals)


def test_a_word_of_one_class_is_its_name_and_a_shared_word_is_not(tmp_path: Path) -> None:
    names = ["good_line_001", "good_hall_002", "good_line_003", "scratch_line_1", "scratch_hall_2", "scratch_hall_31"]
    samples = []
    for row, name in enumerate(names):
        write(tmp_path / f"{name}.png", RNG.integers(0, 256, (8, 8), dtype=np.uint8))
        samples.append(Sample(f"x/{name}.png", tmp_path / f"{name}.png", target=float(row > 2)))
    (cue,) = [cue for cue in cues_of(measured(samples, side=8)) if cue.name == "name pattern"]
    assert cue.numbers[:, 0].tolist() == [3, 3, 3, 1, 1, 2]
    assert sorted(map(tuple, cue.shares.T.tolist())) == [(0, 1, 0, 0, 1, 1), (1, 0, 1, 1, 0, 0)]
