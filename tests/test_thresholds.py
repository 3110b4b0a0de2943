"""Thresholds that no score can reach are refused before anything is done; one class alone can be evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import whycam
from tests.conftest import Command, make_parts
from whycam.errors import OptionError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("threshold", ["95", "1.5", "-0.1", "nan", "1e999"])
def test_a_run_stays_as_it_was(trained_default: Path, tmp_path: Path, threshold: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_default, run)
    with pytest.raises(OptionError, match="`threshold` must be"):
        whycam.evaluate(run, threshold=threshold)
    assert contents(run) == contents(trained_default)


@pytest.mark.parametrize("recipe", [None, "default", "finetune"])
def test_nothing_is_trained_for_a_threshold_out_of_reach(parts: Path, tmp_path: Path, recipe: str | None) -> None:
    with pytest.raises(OptionError, match=r"got 95 instead: did you mean 0\.95\?"):
        whycam.train(parts, out=tmp_path / "run", recipe=recipe, threshold="95")
    assert not (tmp_path / "run").exists()


def test_a_raw_score_may_have_any_threshold(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert whycam.evaluate(run, threshold="-95").detector.card.threshold.value == -95


@pytest.mark.parametrize(("name", "other"), [("normal", "anomalous"), ("anomalous", "normal")])
@pytest.mark.parametrize("layout", ["folder", "table"])
def test_one_class_alone_is_evaluated_with_what_cannot_be_had(
    trained_default: Path, tmp_path: Path, whycam_here: Command, name: str, other: str, layout: str
) -> None:
    data = make_parts(tmp_path / "new", n_normal=5, n_anomalous=5, seed=41)
    shutil.rmtree(data / other)
    if layout == "table":
        lines = [f"{path.relative_to(data)},{int(name == 'anomalous')}" for path in sorted(data.rglob("*.png"))]
        data = data / "list.csv"
        data.write_text("\n".join(("file,target", *lines)))
    done = whycam_here("evaluate", trained_default, data, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    said = f"There is no {other} test image, so AUROC, average precision"
    assert said in done.stdout
    page = (tmp_path / "out" / "report.html").read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    assert said in page
    test = json.loads((tmp_path / "out" / "metrics.json").read_text())["test"]
    assert test["n"] == 5 and test["auroc"]["value"] is None
    assert test["undefined"]["auroc"] == f"no {other} image"


def test_one_class_alone_is_nothing_to_train_on(tmp_path: Path, whycam_here: Command) -> None:
    data = make_parts(tmp_path / "data", n_normal=1, n_anomalous=5, seed=41)
    shutil.rmtree(data / "normal")
    done = whycam_here("train", data, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "No normal image in" in done.stderr and "Traceback" not in done.stderr
