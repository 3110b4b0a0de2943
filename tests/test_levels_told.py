"""Images of more than 8 bits from end to end: one mapping, found on training images, told, kept, and used later."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Command, draw_part
from whycam import load, score, train
from whycam.training import recipe as recipes


def wide_parts(folder: Path, *, factor: int, offset: int, n_normal: int = 20, n_anomalous: int = 10) -> Path:
    """Parts as `make_parts` has them, in files of 16 bits."""
    rng = np.random.default_rng(0)
    for name, n, defect in (("normal", n_normal, False), ("anomalous", n_anomalous, True)):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            values = draw_part(rng, defect=defect).astype(np.uint16)
            Image.fromarray(offset + factor * values).save(folder / name / f"{name}-{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data whose grey levels lie between 51,200 and 52,220, and a run on them."""
    folder = tmp_path_factory.mktemp("narrow")
    data = wide_parts(folder / "parts", factor=4, offset=51200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYCAM_CACHE_DIR", str(folder / "cache"))
        patch.setitem(recipes.RECIPES, "default", replace(recipes.DEFAULT, size_hw=(64, 64), views=1))
        train(data, out=folder / "run", device="cpu")
    return data, folder / "run"


def test_narrow_grey_levels_are_found_told_and_kept(narrow: tuple[Path, Path]) -> None:
    data, run = narrow
    card = json.loads((run / "card.json").read_text())
    levels = card["model"]["levels"]
    assert levels["found"] == "range in use" and 51000 < levels["low"] < levels["high"] < 52400
    told = card["data"]["facts"]["looks"]["values"]
    assert told["black"] == levels["low"] and told["n"] == 30
    assert "more than 8 bits" in (run / "report.html").read_text("utf-8")
    # What was found while training is what later images go through.
    detector = load(run)
    with (run / "predictions.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert next(detector.score(data / row["file"])) == pytest.approx(float(row["score"]), abs=1e-5)


def test_an_image_outside_the_levels_is_flagged(
    narrow: tuple[Path, Path], tmp_path: Path, whycam_here: Command
) -> None:
    _, run = narrow
    new = tmp_path / "new"
    new.mkdir()
    part = draw_part(np.random.default_rng(9), defect=False).astype(np.uint16)
    Image.fromarray(51200 + 4 * part).save(new / "a-usual.png")
    Image.fromarray(55000 + 4 * part).save(new / "b-bright.png")
    Image.fromarray(part.astype(np.uint8)).save(new / "c-eight-bits.png")
    usual, bright, eight = score(run, new)
    assert usual.warning == ""
    assert "brighter than white in the training images" in bright.warning
    assert "8 bits a sample" in eight.warning
    done = whycam_here("score", run, new, "--out", tmp_path / "scores.csv", "--json")
    assert done.returncode == 0, done.stderr
    done = whycam_here("explain", run, new / "b-bright.png", "--out", tmp_path / "explained")
    assert f"Warning   {(new / 'b-bright.png').as_posix()}: {bright.warning}" in done.stdout
    inspected = load(run).inspect(new / "b-bright.png")
    assert inspected.summary()["warnings"] == [bright.warning]


def test_a_model_of_8_bits_says_so_of_a_wide_image(trained: Path, tmp_path: Path) -> None:
    wide = wide_parts(tmp_path / "wide", factor=16, offset=0, n_normal=1, n_anomalous=0)
    (item,) = score(trained, wide)
    assert "16 bits a sample, where all training images have 8" in item.warning and item.score is not None


def test_levels_come_from_training_images_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "default", replace(recipes.DEFAULT, size_hw=(64, 64), views=1))
    data = wide_parts(tmp_path / "parts", factor=4, offset=0)
    rows = ["file,target,split"]
    for path in sorted(data.rglob("*.png")):
        number, anomalous = int(path.stem[-3:]), path.stem.startswith("anomalous")
        split = "test" if number % 4 == 0 else "train"
        if split == "test":
            Image.fromarray(np.asarray(Image.open(path)) * 16).save(path)
        rows.append(f"{path.relative_to(data).as_posix()},{int(anomalous)},{split}")
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    run = train(data, out=tmp_path / "run", device="cpu")
    assert (run.detector.card.model.levels.low, run.detector.card.model.levels.high) == (0, 1023)
    codes = dict(run.data.facts.looks.remarks)
    assert set(codes["above levels"]) == {line.split(",")[0] for line in rows[1:] if line.endswith("test")}
