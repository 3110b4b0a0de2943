"""Data that hold next to nothing: told in one line, or measured with figures that are finite; never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.conftest import Command, draw_part
from whycam import audit, train
from whycam.errors import WhyCAMError
from whycam.training import recipe as recipes

Draw = Callable[[int, bool], Image.Image]
"""The picture of this number, normal or anomalous."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(
        recipes.DEFAULT, size_hw=(64, 64), views=1, symmetry="none", head=recipes.HeadSettings(epochs=4, folds=2)
    )
    monkeypatch.setitem(recipes.RECIPES, "default", small)
    monkeypatch.setattr("whycam.workflow.auditing.DEFAULT", small)


def part(number: int, *, defect: bool = False) -> Image.Image:
    return Image.fromarray(draw_part(np.random.default_rng(number), defect=defect))


def make(folder: Path, n_normal: int, n_anomalous: int, draw: Draw) -> Path:
    """PNGs, no two of which have the same bytes."""
    number = 0
    for name, n in (("normal", n_normal), ("anomalous", n_anomalous)):
        (folder / name).mkdir(parents=True)
        for _ in range(n):
            note = PngInfo()
            note.add_text("number", str(number))
            draw(number, name == "anomalous").save(folder / name / f"{number:03}.png", pnginfo=note)
            number += 1
    return folder


def transparent(number: int, anomalous: bool) -> Image.Image:
    image = part(number, defect=anomalous).convert("RGBA")
    image.putalpha(0)
    return image


def plain(number: int, anomalous: bool, *, side: int = 32) -> Image.Image:
    return Image.new("L", (side, side), 100 + number + 60 * anomalous)


def one_dot(number: int, anomalous: bool) -> Image.Image:
    image = Image.new("L", (64, 64), 120)
    image.putpixel((number % 60, 3), 121)
    return image


ONE_PICTURE: dict[str, tuple[int, int, Draw]] = {
    "one part": (12, 8, lambda number, anomalous: part(0)),
    "one white": (12, 8, lambda number, anomalous: Image.new("RGB", (40, 30), "white")),
    "one pixel each, all grey": (6, 6, lambda number, anomalous: Image.new("L", (1, 1), 77)),
    "one colour in several sizes": (6, 6, lambda number, anomalous: Image.new("RGB", (5 + number, 9), (9, 99, 199))),
    "four and one": (4, 1, lambda number, anomalous: part(0)),
}
LITTLE: dict[str, tuple[int, int, Draw]] = {
    "one picture a class": (12, 8, lambda number, anomalous: part(int(anomalous), defect=anomalous)),
    "two pictures in both classes": (12, 8, lambda number, anomalous: part(number % 2)),
    "all but one alike": (12, 8, lambda number, anomalous: part(int(number == 3))),
    "normal ones alike": (12, 8, lambda number, anomalous: part(number * anomalous, defect=anomalous)),
    "anomalous ones alike": (12, 8, lambda number, anomalous: part(0 if anomalous else number)),
    "plain greys": (12, 8, plain),
    "one pixel each": (12, 8, lambda number, anomalous: plain(number, anomalous, side=1)),
    "one row each": (12, 8, lambda number, anomalous: Image.new("L", (90, 1), 90 + number)),
    "a dot's difference": (12, 8, one_dot),
    "blank but for one": (12, 8, lambda number, anomalous: part(1) if number == 15 else Image.new("L", (64, 64), 255)),
    "three": (2, 1, lambda number, anomalous: part(number, defect=anomalous)),
    "two of each": (2, 2, lambda number, anomalous: part(number, defect=anomalous)),
    "no normal": (0, 5, lambda number, anomalous: part(number)),
    "no anomalous": (5, 0, lambda number, anomalous: part(number)),
}
DRAWN = ("one picture a class", "two pictures in both classes", "plain greys", "three")
"""Of these the report is drawn too, which takes most of the time."""


def numbers(value: object) -> Iterator[float]:
    """All numbers in what JSON has."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float):
        yield value


def one_object(text: str) -> dict[str, object]:
    """What a command with --json printed: one line with one object, in which nothing is NaN or infinite."""
    assert text.count("\n") == 1
    value = json.loads(text)
    assert isinstance(value, dict) and all(np.isfinite(number) for number in numbers(value))
    return value


@pytest.mark.parametrize("name", ONE_PICTURE)
def test_one_picture_is_told_in_one_line(name: str, tmp_path: Path, whycam_here: Command) -> None:
    n_normal, n_anomalous, draw = ONE_PICTURE[name]
    data = make(tmp_path / "data", n_normal, n_anomalous, draw)
    for command in (("audit", data), ("train", data, "--out", tmp_path / "run")):
        done = whycam_here(*command, "--json")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"All {n_normal + n_anomalous} images in " in line and "the same picture" in line
        assert one_object(done.stdout) == {"error": line.removeprefix("whycam: ")}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", LITTLE)
def test_little_is_measured_or_refused_in_words(
    name: str, tmp_path: Path, whycam_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make(tmp_path / "data", *LITTLE[name])
    if name not in DRAWN:
        monkeypatch.setattr("whycam.judging.write_report", lambda *_, **__: None)
    for command in (("audit", data), ("train", data, "--out", tmp_path / "run", "--device", "cpu")):
        done = whycam_here(*command, "--json")
        assert done.returncode in (0, 2), done.stderr
        said = one_object(done.stdout)
        assert ("error" in said) == (done.returncode == 2)


def test_all_transparent_is_never_a_traceback(tmp_path: Path) -> None:
    data = make(tmp_path / "data", 12, 8, transparent)
    try:
        audit(data)
        train(data, out=tmp_path / "run", device="cpu")
    except WhyCAMError as error:
        assert "image" in str(error)


def test_equal_pixels_are_copies_whatever_the_bytes(tmp_path: Path) -> None:
    """Three parts as three files each, one of them in both classes; all files differ."""
    data = make(tmp_path / "data", 12, 8, lambda number, odd: part(min(number % 7, 4) if odd else number, defect=odd))
    for side, name in (("normal", "a"), ("normal", "b"), ("anomalous", "c")):
        note = PngInfo()
        note.add_text("number", name)
        part(2).save(data / side / f"copy-{name}.png", pnginfo=note)
    found = {finding.kind: finding for finding in audit(data).findings}
    assert {"normal/002.png", "normal/copy-a.png", "normal/copy-b.png", "anomalous/copy-c.png"} == set(
        found["contradicting-copies"].files
    )
    assert {"normal/copy-a.png", "normal/copy-b.png"} <= set(found["copies"].files)


def test_a_class_of_one_picture_is_serious(tmp_path: Path) -> None:
    data = make(tmp_path / "data", *LITTLE["normal ones alike"])
    (found,) = (finding for finding in audit(data).findings if finding.kind == "one picture")
    assert found.severity == "serious" and len(found.files) == 12
    assert found.sentence.startswith("All 12 normal images are the same picture")
