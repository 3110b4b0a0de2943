"""The command line: output, exit codes, and one clear line for every mistake.

Some commands run in real processes. The others run in this one, which saves their imports.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import Command, make_parts
from whycam.cli import app
from whycam.data import elpv
from whycam.training import recipe as recipes


def whycam(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "whycam.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, check=False, env=os.environ | {"COLUMNS": "120"}
    )


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("whycam: ")
    for word in words:
        assert word in lines[0]


def test_train_tells_people_what_happened(parts: Path, tmp_path: Path, whycam_here: Command) -> None:
    done = whycam_here("train", parts, "--out", tmp_path / "run", "--recipe", "classic", "--epochs", "1", "--seed", "0")
    assert done.returncode == 0, done.stderr
    for words in (
        "40 images",
        "30 images to train, 10 to test",
        "best constant",
        "mean absolute error",
        "AUROC",
        "report.html",
    ):
        assert words in done.stdout
    # One epoch on thirty images teaches nothing, and that must be said in words.
    assert "No better than a constant" in done.stdout
    assert "training" in done.stderr
    assert "loss" in done.stderr
    assert "Brier" not in done.stdout


def test_the_default_recipe_says_what_it_chose(trained_default: Path, tmp_path: Path, whycam_here: Command) -> None:
    done = whycam_here("evaluate", trained_default, "--out", tmp_path / "evaluation")
    assert done.returncode == 0, done.stderr
    card = json.loads((trained_default / "card.json").read_text())
    chosen = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("Chosen")]
    assert chosen == card["training"]["choices"]
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("Brier")]
    assert "0.240" in row  # 12 of 30 training images, and 4 of 10 test images, are anomalous
    assert "Its Brier score is" in done.stdout


def test_json_is_one_object_and_nothing_else(parts: Path, tmp_path: Path) -> None:
    done = whycam("train", parts, "--out", tmp_path / "run", "--recipe", "classic", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    printed = json.loads(done.stdout)
    assert printed["metrics"] == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert done.stderr == ""


def test_explain_writes_a_folder_an_image(parts: Path, either: Path, tmp_path: Path, whycam_here: Command) -> None:
    images = sorted((parts / "anomalous").iterdir())[:2]
    done = whycam_here("explain", either, *images, "--out", tmp_path / "why")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == [path.stem for path in images]
    assert all((tmp_path / "why" / path.stem / "panel.png").exists() for path in images)
    assert str(images[0]) in done.stdout
    assert_one_line(whycam_here("explain", either, *images, "--out", tmp_path / "why"), "exists already", "--out")


def test_score_writes_a_table(parts: Path, either: Path, tmp_path: Path, whycam_here: Command) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "bad.jpg").write_bytes(b"")
    out = tmp_path / "predictions.csv"
    done = whycam_here("score", either, parts / "normal", tmp_path / "new", "--out", out)
    assert done.returncode == 0, done.stderr
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "score", "verdict", "novelty_p", "novel", "problem", "warning"]
    assert len(rows) == 25
    assert [row["problem"] for row in rows if not row["score"]] == ["the file is empty"]
    assert "1 unreadable" in done.stdout
    again = whycam_here("score", either, parts / "normal", tmp_path / "new", "--out", tmp_path / "again.csv", "--json")
    counts = json.loads(again.stdout)
    assert counts["images"] == 25 == sum(counts[name] for name in ("normal", "anomalous", "unsure", "unreadable"))
    assert counts["unreadable"] == 1
    # Without novelty it is not said that nothing is novel.
    assert (counts["of_these_novel"] is None) == all(row["novel"] == "" for row in rows)
    assert_one_line(whycam_here("score", either, parts, "--out", out), "exists already")
    streamed = whycam_here("score", either, parts / "normal", "--out", "-")
    assert streamed.returncode == 0
    assert streamed.stdout.splitlines()[0] == "file,score,verdict,novelty_p,novel,problem,warning"
    assert len(streamed.stdout.splitlines()) == 25


def test_a_reader_that_leaves_early_is_no_error(parts: Path, trained: Path) -> None:
    command = f"{sys.executable} -m whycam.cli score {trained} {parts} --out - | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "file,score,verdict,novelty_p,novel,problem,warning\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere", "--out", "run"], ["nowhere"]),
        (["train", "PARTS"], ["--out"]),
        (["train", "PARTS", "--out", "run", "--epochs", "many"], ["--epochs", "integer"]),
        (["train", "PARTS", "--out", "run", "--recipe", "magic"], ["`recipe` must be default", "'magic'"]),
        (["train", "PARTS", "--out", "run", "--epoch", "3"], ["--epoch"]),
        (["train", "PARTS", "--out", "run", "--resume"], ["does not exist", "--resume"]),
        (["evaluate", "nowhere"], ["nowhere", "no such folder"]),
        (["evaluate", "PARTS"], ["not a finished run"]),
        (["explain", "RUN", "nowhere.png", "--out", "why"], ["nowhere.png"]),
        (["score", "RUN", "nowhere", "--out", "p.csv"], ["nowhere"]),
        (["score", "RUN", "PARTS", "--out", "no/such/p.csv"], ["cannot be written"]),
        (["score", "RUN", "PARTS", "--out", "-", "--json"], ["--json"]),
        (["trian", "PARTS"], ["trian"]),
    ],
)
def test_every_mistake_is_one_line(
    parts: Path, trained: Path, tmp_path: Path, whycam_here: Command, arguments: list[str], words: list[str]
) -> None:
    places = {"PARTS": str(parts), "RUN": str(trained)}
    done = whycam_here(*(places.get(argument, argument) for argument in arguments), cwd=tmp_path)
    if "--json" in arguments:
        assert json.loads(done.stdout)["error"]
        done.stdout = ""
    assert_one_line(done, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["train", "nowhere", "--out", "run"], ["score", "RUN", "nowhere", "--out", "p.csv"], ["trian"]]
)
def test_a_mistake_is_one_line_in_a_process_of_its_own(trained: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert_one_line(whycam(*(str(trained) if argument == "RUN" else argument for argument in arguments), cwd=tmp_path))


def test_all_mistakes_of_a_table_come_at_once(tmp_path: Path, whycam_here: Command) -> None:
    data = make_parts(tmp_path / "data", n_normal=5, n_anomalous=5)
    lines = [
        "file,target",
        "normal/normal-000.png,0",
        "normal/normal-001.png,1.5",
        "gone.png,0",
        "anomalous/anomalous-000.png,",
    ]
    (data / "manifest.csv").write_text("\n".join(lines))
    done = whycam_here("train", data, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert [line.split("row ")[1][0] for line in done.stderr.strip().splitlines()] == ["3", "4", "5"]
    assert "1.5" in done.stderr
    assert "gone.png" in done.stderr


def test_strict_names_the_file(tmp_path: Path, whycam_here: Command) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    (data / "normal" / "half.jpg").write_bytes(b"\xff\xd8\xff")
    done = whycam_here("train", data, "--out", tmp_path / "run", "--strict")
    assert done.returncode == 2
    complaints = [line for line in done.stderr.splitlines() if line.startswith("whycam: ")]
    assert len(complaints) == 1
    assert "normal/half.jpg" in complaints[0]
    assert not (tmp_path / "run").exists()


def test_the_demo_prints_its_licence_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("elpv_dataset", reason="the example data are not installed")
    # Every eightieth image, small and in one view: all 2,624 take minutes.
    small = replace(recipes.DEFAULT, size_hw=(64, 64), views=1, symmetry="none")
    monkeypatch.setitem(recipes.RECIPES, "default", small)
    everything = elpv.elpv_dataset()
    few = replace(everything, samples=everything.samples[::80])
    monkeypatch.setattr(elpv, "elpv_dataset", lambda: few)
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--epochs", "4"])
    assert done.exit_code == 0, done.output
    assert "CC BY-NC-SA 4.0" in done.stdout
    assert "33 images in" in done.stdout
    assert (tmp_path / "demo" / "report.html").exists()
