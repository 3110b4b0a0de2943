from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whycam.report.colours import colourise
from whycam.report.gallery import BOXES, colour_scale, panel, save_gallery, segments_heading, tiles
from whycam.report.lettering import fit_text, font
from whycam.types import Exhibit, Segment

MakeExhibit = Callable[..., Exhibit]
HOTTEST = tuple(colourise(np.array([[1.0]]), 1.0)[0, 0])


@pytest.mark.parametrize("size_hw", [(24, 24), (8, 8), (300, 300), (40, 400), (600, 60), (1, 900), (500, 700)])
def test_tiles_share_a_sensible_size_and_the_aspect_ratio(make_exhibit: MakeExhibit, size_hw: tuple[int, int]) -> None:
    shown = tiles(make_exhibit(size_hw), 1.0)
    assert len({picture.size for picture in vars(shown).values()}) == 1
    width, height = shown.image.size
    assert max(width, height) <= 420
    assert width * height <= 256 * 256 * 1.02
    assert width / height == pytest.approx(size_hw[1] / size_hw[0], rel=0.05) or min(width, height) == 1
    assert width * height >= 150 * 150 or max(width, height) >= 400


def test_small_images_are_enlarged_in_whole_pixels(make_exhibit: MakeExhibit) -> None:
    exhibit = make_exhibit((24, 24))
    shown = np.asarray(tiles(exhibit, 1.0).image)
    assert np.array_equal(shown, np.repeat(np.repeat(exhibit.image, 10, axis=0), 10, axis=1))


def test_large_images_keep_their_hot_region_in_place(make_exhibit: MakeExhibit) -> None:
    heat = np.asarray(tiles(make_exhibit((512, 512)), 1.0).heatmap)
    hot = np.all(heat == HOTTEST, axis=2)
    expected = np.zeros((256, 256), bool)
    expected[64:128, 64:128] = True
    assert np.array_equal(hot, expected)


def test_a_calm_image_is_shown_as_it_is(make_exhibit: MakeExhibit) -> None:
    shown = tiles(make_exhibit(heatmap=np.zeros((40, 60)), segments=()), 1.0)
    assert shown.overlay.tobytes() == shown.image.tobytes() == shown.segments.tobytes()


def test_a_heatmap_of_another_size_is_refused_by_name(make_exhibit: MakeExhibit) -> None:
    with pytest.raises(ValueError, match=r"part\.png"):
        tiles(make_exhibit(heatmap=np.zeros((3, 3))), 1.0)


@pytest.mark.parametrize("size_hw", [(24, 24), (40, 400), (600, 60)])
@pytest.mark.parametrize("scale", [1.25, 0.0, 0.00012573])
def test_a_panel_holds_its_tiles_its_caption_and_its_scale(
    make_exhibit: MakeExhibit, size_hw: tuple[int, int], scale: float
) -> None:
    exhibit = make_exhibit(size_hw)
    picture = panel(exhibit, scale=scale, method="Grad-CAM")
    shown = tiles(exhibit, scale)
    sheet = np.asarray(picture).astype(int)
    left = 14
    for tile in vars(shown).values():
        found = sheet[84 : 84 + tile.height, left : left + tile.width]
        assert np.array_equal(found, np.asarray(tile))
        left += max(tile.width, 150) + 14
    assert (sheet[8:60, 14:300] < 128).any(), "a caption"
    assert (sheet[84:, left + 26 :] < 128).any(), "values beside the colour bar"
    assert (sheet[-24:-10, 14:600] < 160).any(), "what it does not show"
    # Nothing runs into the edge.
    for edge in (sheet[:6], sheet[-6:], sheet[:, :6], sheet[:, -6:]):
        assert np.all(edge == 255)


def test_only_the_strongest_of_many_segments_are_boxed(make_exhibit: MakeExhibit) -> None:
    exhibit = make_exhibit((256, 256), image=np.full((256, 256, 3), 90, np.uint8))
    segments = []
    for place in range(BOXES + 3):
        mask = np.zeros((256, 256), bool)
        left = 10 + 30 * place
        mask[100:110, left : left + 10] = True
        segments.append(Segment(mask, (left - 5, 95, left + 15, 115), 0.01, evidence_share=place / 100))
    few, many = (replace(exhibit, segments=tuple(segments[:n])) for n in (BOXES, len(segments)))
    assert [segments_heading(each) for each in (few, many)] == ["5 segments", "8 segments (5 boxed)"]
    drawn = np.asarray(tiles(many, 1.0).segments)
    boxed = [bool(np.all(drawn[95, segment.box[0] : segment.box[2]] == 255)) for segment in segments]
    assert boxed == [False] * 3 + [True] * BOXES
    cyan = [bool(np.all(drawn[100, segment.box[0] + 5] == (0, 229, 255))) for segment in segments]
    assert all(cyan)


def test_captions_tell_mistakes_from_right_verdicts(make_exhibit: MakeExhibit) -> None:
    pictures = [
        panel(make_exhibit(target=target, verdict=verdict), scale=1.0, method="Grad-CAM").crop((0, 0, 10**3, 60))
        for target, verdict in ((1.0, "normal"), (0.0, "normal"), (0.0, "unsure"), (None, "normal"))
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_an_image_of_no_split_is_not_given_one(make_exhibit: MakeExhibit) -> None:
    bare, test = (np.asarray(panel(make_exhibit(split=name), scale=1.0, method="Grad-CAM")) for name in ("", "test"))
    inked = [int(np.flatnonzero((sheet[37:54] < 128).any(axis=(0, 2))).max()) for sheet in (bare, test)]
    assert inked[1] - inked[0] > font(14).getlength("test image")


def test_long_names_keep_their_two_ends_and_fit() -> None:
    face = font(16)
    name = "line 7/" + "überprüft очень длинное " * 20 + "cell0815.png"
    shown = fit_text(name, face, width=300)
    assert face.getlength(shown) <= 300
    assert shown.startswith("line 7/")
    assert shown.endswith("cell0815.png")
    assert "…" in shown
    assert fit_text("short.png", face, width=300) == "short.png"
    assert fit_text(name, face, width=0) == "…"


def test_the_gallery_is_numbered_in_order_and_named_by_outcome(make_exhibit: MakeExhibit, tmp_path: Path) -> None:
    exhibits = [
        make_exhibit(file="a/überprüft № 7.png"),
        make_exhibit(file="..<script>/../x.tar.jpeg", target=0.0, verdict="anomalous"),
        make_exhibit(file="/", target=0.0, verdict="unsure"),
        make_exhibit(file="z" * 300 + ".png", target=None),
    ]
    paths = save_gallery(tmp_path, exhibits, scale=1.0, method="Grad-CAM")
    assert [path.name for path in paths] == [
        "001_miss_überprüft-7.png",
        "002_false-alarm_x.tar.png",
        "003_unsure_image.png",
        f"004_unlabelled_{'z' * 40}.png",
    ]
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "gallery", *paths])
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width > 600


def test_an_earlier_gallery_is_replaced_and_nothing_else(make_exhibit: MakeExhibit, tmp_path: Path) -> None:
    save_gallery(tmp_path, [make_exhibit(file="old.png"), make_exhibit()], scale=1.0, method="Grad-CAM")
    (tmp_path / "gallery" / "my notes.png").write_bytes(b"mine")
    save_gallery(tmp_path, [make_exhibit(file="new.png")], scale=1.0, method="Grad-CAM")
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {"001_miss_new.png", "my notes.png"}


def test_the_colour_scale_runs_from_cold_to_hot() -> None:
    bar = colour_scale(50, 4)
    assert bar.size == (50, 4)
    assert bar.getpixel((0, 0)) == tuple(colourise(np.array([[0.0]]), 1.0)[0, 0])
    assert bar.getpixel((49, 3)) == HOTTEST
