"""Masks beside their images: layers, smoothed edges, inverted ones, another aspect, pixels that EXIF turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whycam.data.images import decode, look
from whycam.data.levels import EIGHT_BIT, Levels
from whycam.data.looks import look_at
from whycam.data.masks import read_mask, read_masks
from whycam.report.data_words import mask_lines, remark_lines
from whycam.types import Dataset, Looks, MaskFacts, Sample

SIZE_HW = (40, 60)
SPOT = np.zeros(SIZE_HW, dtype=bool)
SPOT[5:12, 40:52] = True

_UPRIGHT_TO_STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, -1),
}


def looks_of(samples: Sequence[Sample]) -> Looks:
    facts = {sample.file: look(sample.path) for sample in samples}
    return look_at(Dataset(Path(), "", tuple(samples)), facts, EIGHT_BIT)


def image_file(path: Path, orientation: int = 1, spot: np.ndarray = SPOT) -> Path:
    """A photo whose bright spot, as people see it, is `spot`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = _UPRIGHT_TO_STORED[orientation](np.where(spot, 240, 60).astype(np.uint8))
    if path.suffix == ".tif":
        Image.fromarray(np.ascontiguousarray(stored)).save(path, tiffinfo={0x0112: orientation})
    else:
        Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif.tobytes())
    np.testing.assert_array_equal(decode(path)[..., 0] > 150, spot)
    return path


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(np.ascontiguousarray(values)).save(path)
    return path


def facts(*samples: Sample) -> MaskFacts:
    found = looks_of(samples).masks
    assert found is not None
    return found


def layer(ground: tuple[int, int, int], drawn: tuple[int, int, int, int]) -> np.ndarray:
    pixels = np.full((*SIZE_HW, 4), (*ground, 0), dtype=np.uint8)
    pixels[SPOT] = drawn
    return pixels


@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0), (10, 200, 30)])
@pytest.mark.parametrize("drawn", [(0, 0, 0, 255), (255, 0, 0, 255), (255, 255, 255, 128)])
def test_transparent_ground_is_ground_whatever_lies_under_it(
    tmp_path: Path, ground: tuple[int, int, int], drawn: tuple[int, int, int, int]
) -> None:
    path = mask_file(tmp_path / "m.png", layer(ground, drawn))
    np.testing.assert_array_equal(read_mask(path, SIZE_HW), SPOT)
    grey = Image.open(path).convert("LA")
    grey.save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "la.png", SIZE_HW), SPOT)


def test_a_palette_with_a_transparent_colour_and_an_empty_layer(tmp_path: Path) -> None:
    picture = Image.fromarray(SPOT.astype(np.uint8))
    palette = picture.convert("P")
    palette.putdata(SPOT.astype(np.uint8).ravel().tolist())
    palette.putpalette([255, 255, 255, 0, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    np.testing.assert_array_equal(read_mask(tmp_path / "p.png", SIZE_HW), SPOT)
    empty = mask_file(tmp_path / "e.png", np.full((*SIZE_HW, 4), (255, 255, 255, 0), dtype=np.uint8))
    assert not read_mask(empty, SIZE_HW).any()


def test_a_black_and_white_mask_with_its_margin_cut_away_keeps_its_ground(tmp_path: Path) -> None:
    pixels = np.zeros((*SIZE_HW, 4), dtype=np.uint8)
    pixels[2:-2, 2:-2, 3] = 255
    pixels[SPOT] = 255
    np.testing.assert_array_equal(read_mask(mask_file(tmp_path / "m.png", pixels), SIZE_HW), SPOT)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_smoothed_edges_are_cut_in_the_middle(tmp_path: Path, dtype: type, top: int) -> None:
    values = np.where(SPOT, top, 0)
    values[4, 40:52], values[12, 40:52] = top // 4, top * 3 // 4
    expected = SPOT.copy()
    expected[12, 40:52] = True
    np.testing.assert_array_equal(read_mask(mask_file(tmp_path / "m.png", values.astype(dtype)), SIZE_HW), expected)


def test_numbers_of_labels_are_all_defective_and_so_is_a_thin_faint_line(tmp_path: Path) -> None:
    values = np.zeros(SIZE_HW, dtype=np.uint8)
    values[2:8, 2:8], values[20:26, 2:8], values[20:26, 20:26] = 1, 85, 255
    np.testing.assert_array_equal(read_mask(mask_file(tmp_path / "labels.png", values), SIZE_HW), values > 0)
    values = np.where(SPOT, 255, 0).astype(np.uint8)
    values[30, 5:50] = 90
    np.testing.assert_array_equal(read_mask(mask_file(tmp_path / "line.png", values), SIZE_HW), values > 0)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_size_says_which_pixels_a_mask_was_drawn_on(tmp_path: Path, orientation: int, suffix: str) -> None:
    photo = image_file(tmp_path / f"a{suffix}", orientation)
    upright = mask_file(tmp_path / "u.png", SPOT.astype(np.uint8))
    stored = mask_file(tmp_path / "s.png", _UPRIGHT_TO_STORED[orientation](SPOT.astype(np.uint8)))
    for path in (upright, stored):
        np.testing.assert_array_equal(read_mask(path, SIZE_HW, image=photo), SPOT)
    found = facts(Sample("u", photo, target=1.0, mask=upright), Sample("s", photo, target=1.0, mask=stored))
    assert found == MaskFacts(2, 2, turned=("s",))
    assert "1 drawn on stored pixels that EXIF turns" in mask_lines(found)[1]


def test_where_the_size_does_not_say_it_the_upright_pixels_are_assumed_and_told(tmp_path: Path) -> None:
    mask = mask_file(tmp_path / "m.png", SPOT.astype(np.uint8))
    samples = [Sample(str(n), image_file(tmp_path / f"{n}.png", n), target=1.0, mask=mask) for n in (1, 2, 3, 4)]
    square = np.zeros((40, 40), dtype=bool)
    square[3:9, 20:30] = True
    path = mask_file(tmp_path / "sq.png", square.astype(np.uint8))
    samples.append(Sample("6", image_file(tmp_path / "6.png", 6, square), target=1.0, mask=path))
    found = facts(*samples)
    assert found == MaskFacts(5, 5, assumed_upright=("2", "3", "4", "6"))
    assert "taken for upright, as people see them: 2, 3, 4, 6" in mask_lines(found)[1]
    for sample, spot in zip(samples, [SPOT] * 4 + [square], strict=True):
        assert sample.mask is not None
        np.testing.assert_array_equal(read_mask(sample.mask, spot.shape, image=sample.path), spot)


def test_a_mask_with_an_orientation_of_its_own_is_turned_by_that(tmp_path: Path) -> None:
    photo, mask = image_file(tmp_path / "a.png", 6), image_file(tmp_path / "m.png", 6)
    shown = np.asarray(Image.open(mask)) > 150
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(shown).save(mask, exif=exif.tobytes())
    np.testing.assert_array_equal(read_mask(mask, SIZE_HW, image=photo), SPOT)
    assert facts(Sample("a", photo, target=1.0, mask=mask)) == MaskFacts(1, 1)


def test_another_aspect_is_named_with_both_sizes_and_another_size_is_not(tmp_path: Path) -> None:
    photo = image_file(tmp_path / "a.png")
    wide = mask_file(tmp_path / "wide.png", np.kron(SPOT, np.ones((1, 3))).astype(np.uint8))
    small = mask_file(tmp_path / "small.png", SPOT[::3, ::3].astype(np.uint8))
    found = facts(Sample("w", photo, target=1.0, mask=wide), Sample("s", photo, target=1.0, mask=small))
    assert found == MaskFacts(2, 2, other_aspect=(("w", (180, 40), (60, 40)),))
    assert mask_lines(found)[1].endswith("w (180 x 40, image 60 x 40)")


def test_inverted_masks_are_named_and_measure_nothing_where_all_are(tmp_path: Path) -> None:
    photo = image_file(tmp_path / "a.png")
    right = mask_file(tmp_path / "right.png", SPOT.astype(np.uint8) * 255)
    inverted = mask_file(tmp_path / "inverted.png", (~SPOT).astype(np.uint8) * 255)
    good, *bad = (Sample(str(n), photo, target=1.0, mask=inverted if n else right) for n in range(3))
    assert facts(good, *bad).inverted == ("1", "2")
    some, every = read_masks((good, *bad), SIZE_HW), read_masks(bad, SIZE_HW)
    assert len(some.masks) == 3 and "2 masks of 3 cover more than half" in some.notes[0] and "1, 2" in some.notes[0]
    assert not every.masks and every.notes[0].startswith("All 2 masks cover more than half of their image")
    assert "heatmaps are not measured by them" in mask_lines(facts(*bad))[1]


def test_sizes_are_those_that_people_see(tmp_path: Path) -> None:
    samples = [Sample(str(n), image_file(tmp_path / f"{n}.png", n), target=1.0) for n in (1, 6)]
    looks = looks_of(samples)
    assert looks.sizes == (((60, 40), 2),) and looks.masks is None


def test_masks_that_cannot_be_read_are_named_when_the_data_are_opened(tmp_path: Path) -> None:
    photo = image_file(tmp_path / "a.png")
    (tmp_path / "m.png").write_bytes(b"\x89PNG")
    found = facts(Sample("a", photo, target=1.0, mask=tmp_path / "m.png"))
    assert [(item.file, item.reason) for item in found.unreadable] == [("a", "not a readable mask")]


def test_exif_behind_the_pixels_of_a_png_is_found(tmp_path: Path) -> None:
    photo = image_file(tmp_path / "a.png", 6)
    data = photo.read_bytes()
    at = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[at : at + 4])
    chunk, rest = data[at : at + length], data[:at] + data[at + length :]
    photo.write_bytes(rest[:-12] + chunk + rest[-12:])
    np.testing.assert_array_equal(decode(photo)[..., 0] > 150, SPOT)
    assert looks_of([Sample("a", photo, target=1.0)]).sizes == (((60, 40), 1),)


def test_masks_that_show_nothing_are_named(tmp_path: Path) -> None:
    samples = []
    for name, drawn in (("a", SPOT), ("b", SPOT & False)):
        image, mask = (
            image_file(tmp_path / f"{name}.png"),
            mask_file(tmp_path / f"{name}_mask.png", drawn * np.uint8(255)),
        )
        samples.append(Sample(f"{name}.png", image, target=1.0, mask=mask))
    found = facts(*samples)
    assert found.empty == ("b.png",) and not found.inverted
    assert "1 shows no defect at all: b.png" in mask_lines(found)


@pytest.mark.parametrize("wide", [False, True])
def test_another_depth_than_in_training_is_told_of_a_set(tmp_path: Path, wide: bool) -> None:
    values = np.full((8, 8), 90, np.uint8)
    values[0] = 200
    Image.fromarray(values.astype(np.uint16) * 16 if wide else values).save(tmp_path / "a.png")
    sample = Sample("a.png", tmp_path / "a.png", target=0.0)
    levels = {True: EIGHT_BIT, False: Levels(0, 4095, "bits in use")}
    own = replace(levels[False], mixed=not wide)
    data = Dataset(tmp_path, "", (sample,))
    found = look_at(data, {"a.png": look(sample.path)}, levels[wide])
    assert found.remarks == (("wide" if wide else "eight bits", ("a.png",)),)
    assert "their brightness may be on another scale: 1 image, a.png" in remark_lines(found)[0]
    assert not look_at(data, {"a.png": look(sample.path)}, own).remarks
