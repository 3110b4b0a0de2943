"""What makes a verdict trustworthy, end to end: audits, safe splits, promised thresholds, novelty, measured maps."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from tests.conftest import Command, draw_part, make_parts
from whycam import audit, evaluate, load, score, train
from whycam.audits.audit import SCHEMA
from whycam.errors import GateError, OptionError, RunError
from whycam.evaluation.held_out import HeldOut
from whycam.run_folder import read_held_out, write_held_out
from whycam.training import recipe as recipes
from whycam.workflow import explain, measure


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default recipe on images of 96 x 96 pixels in one view."""
    recipe = replace(recipes.DEFAULT, size_hw=(96, 96), views=1, symmetry="none")
    monkeypatch.setitem(recipes.RECIPES, "default", recipe)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty parts with a given split; five test images are copies of training images, one of them under both names."""
    folder = tmp_path_factory.mktemp("copied") / "parts"
    rng = np.random.default_rng(3)
    lines = []
    for number in range(40):
        anomalous = number % 2
        name = f"{'bad' if anomalous else 'ok'}-{number:02d}.png"
        folder.mkdir(exist_ok=True)
        Image.fromarray(draw_part(rng, defect=bool(anomalous))).save(folder / name)
        lines.append((name, anomalous, "train" if number < 28 else "test"))
    for number in range(5):
        shutil.copy(folder / lines[number][0], folder / f"copy-{number}.png")
        lines.append((f"copy-{number}.png", lines[number][1], "test"))
    text = "file,target,split\n" + "".join(f"{name},{target},{split}\n" for name, target, split in lines)
    (folder / "manifest.csv").write_text(text)
    return folder


def test_an_audit_finds_the_leak_and_writes_a_page(copied: Path, tmp_path: Path) -> None:
    found = audit(copied, out=tmp_path / "audit")
    (leak,) = (item for item in found.findings if item.kind.startswith("leak") and item.severity == "serious")
    assert "5 of 17 test images" in leak.sentence and "--split safe" in leak.sentence
    assert {f"copy-{number}.png" for number in range(5)} <= set(leak.files)
    page = (tmp_path / "audit" / "audit.html").read_text("utf-8")
    assert "copy-0.png" in page and "data:image" in page
    told = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert told["schema"] == SCHEMA and told["n"] == 45
    with pytest.raises(RunError, match="exists already"):
        audit(copied, out=tmp_path / "audit")


def test_strict_is_a_gate(copied: Path, parts: Path, whycam_here: Command) -> None:
    done = whycam_here("audit", copied, "--strict")
    assert done.returncode == 1, done.stderr
    assert "Serious" in done.stdout and "Traceback" not in done.stderr
    loose = whycam_here("audit", copied, "--json")
    assert loose.returncode == 0
    assert {finding["severity"] for finding in json.loads(loose.stdout)["findings"]} & {"serious"}
    assert whycam_here("audit", parts, "--strict").returncode == 0


@pytest.mark.usefixtures("small")
def test_a_safe_split_keeps_copies_on_one_side(copied: Path, tmp_path: Path) -> None:
    run = train(copied, out=tmp_path / "safe", split="safe", epochs=5, device="cpu")
    sides: dict[str, set[str]] = {}
    for row in rows(tmp_path / "safe" / "samples.csv"):
        sides.setdefault(row["sha256"], set()).add(row["split"])
    assert len(sides) == 40 and all(len(side) == 1 for side in sides.values())
    assert run.audit is not None and not run.audit.count("serious")
    leaky = train(copied, out=tmp_path / "given", split="given", epochs=5, device="cpu")
    assert leaky.audit is not None and leaky.audit.count("serious")
    assert "5 of 17 test images" in (tmp_path / "given" / "report.html").read_text("utf-8")
    assert json.loads((tmp_path / "given" / "audit.json").read_text())["findings"]
    with pytest.raises(OptionError, match="`split` must be given or safe"):
        train(copied, out=tmp_path / "no", split="sage")


def test_a_promise_too_large_ends_before_training(parts: Path, tmp_path: Path, whycam_here: Command) -> None:
    with pytest.raises(GateError, match=r"recall >= 0\.\d+ can be promised"):
        train(parts, out=tmp_path / "run", threshold="recall>=0.99")
    assert not (tmp_path / "run").exists()
    done = whycam_here("train", parts, "--out", tmp_path / "run", "--threshold", "recall>=0.99")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("whycam: With ")
    assert not (tmp_path / "run").exists()
    assert whycam_here("train", parts, "--out", tmp_path / "run", "--threshold", "recal>=0.9").returncode == 2


def test_a_threshold_is_chosen_on_held_out_training_images(trained_default: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_default, run)
    held_out = read_held_out(run)
    assert held_out is not None
    train_files = {row["file"] for row in rows(run / "samples.csv") if row["split"] == "train"}
    assert set(held_out.files) == train_files and held_out.how == "out of fold"
    judged = evaluate(run, threshold="youden")
    value = judged.evaluation.threshold.value
    best = max(
        (held_out.scores[held_out.targets == 1] >= cut).mean() - (held_out.scores[held_out.targets == 0] >= cut).mean()
        for cut in [*held_out.scores, 2.0]
    )
    at = (held_out.scores[held_out.targets == 1] >= value).mean() - (
        held_out.scores[held_out.targets == 0] >= value
    ).mean()
    assert at == pytest.approx(best)
    assert load(run).card.threshold.value == value
    for row in rows(run / "predictions.csv"):
        assert row["verdict"] == ("anomalous" if float(row["score"]) >= value else "normal")
    with pytest.raises(OptionError, match="`threshold` belongs to the run"):
        evaluate(run, run, threshold="f1")


def test_scores_in_the_band_are_unsure(
    trained_default: Path, parts: Path, tmp_path: Path, whycam_here: Command
) -> None:
    """Held-out scores that tell nothing apart make a band, and it lies where the run's own scores are."""
    run = tmp_path / "run"
    shutil.copytree(trained_default, run)
    own = [float(row["score"]) for row in rows(run / "predictions.csv")]
    scores = np.tile(np.quantile(own, np.linspace(0, 1, 100)), 2)
    names = tuple(f"{number}.png" for number in range(200))
    write_held_out(run, HeldOut(names, np.repeat([0.0, 1.0], 100), scores, names, "out of fold"))
    evaluate(run, unsure="0.4")
    card = json.loads((run / "card.json").read_text())
    band = card["threshold"]["band"]
    predicted = rows(run / "predictions.csv")
    for row in predicted:
        inside = band["low"] <= float(row["score"]) < band["high"]
        assert (row["verdict"] == "unsure") == inside
    assert {row["verdict"] for row in predicted} == {"normal", "unsure", "anomalous"}
    counts = Counter(row["verdict"] for row in predicted)
    done = whycam_here("score", run, parts, "--out", tmp_path / "scores.csv", "--json")
    printed = json.loads(done.stdout)
    assert printed["images"] == len(own) == sum(counts.values()) and printed["unreadable"] == 0
    assert {verdict: printed[verdict] for verdict in counts} == counts
    assert printed["of_these_novel"] is None  # 30 training images are too few to know what is novel
    test = [row for row in predicted if row["split"] == "test"]
    matrix = json.loads((run / "metrics.json").read_text())["test"]["confusion_matrix"]
    said = [float(row["score"]) >= card["threshold"]["value"] for row in test]
    assert matrix == confusion_matrix([float(row["target"]) > 0.5 for row in test], said, labels=[False, True]).tolist()


def test_classic_keeps_images_out_for_its_threshold(parts: Path, trained: Path, tmp_path: Path) -> None:
    run = train(parts, out=tmp_path / "run", recipe="classic", epochs=1, threshold="f1", device="cpu")
    held_out = read_held_out(tmp_path / "run")
    assert held_out is not None and held_out.how == "on images kept out of the training"
    train_files = [row["file"] for row in rows(tmp_path / "run" / "samples.csv") if row["split"] == "train"]
    assert 2 <= len(held_out.files) < len(train_files) and set(held_out.files) < set(train_files)
    assert run.evaluation.threshold.rule.startswith("f1")
    with pytest.raises(OptionError, match="this recipe has none"):
        evaluate(trained, threshold="f1")


@pytest.mark.usefixtures("small")
def test_strange_images_are_flagged(tmp_path: Path, whycam_here: Command) -> None:
    data = make_parts(tmp_path / "parts", n_normal=150, n_anomalous=150, seed=5)
    run = train(data, out=tmp_path / "run", epochs=2, symmetry="none", device="cpu")
    assert run.detector.novelty is not None and run.detector.card.novelty is not None
    strange = tmp_path / "strange"
    strange.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(strange / f"noise-{number}.png")
    judged = list(score(tmp_path / "run", strange))
    assert len(judged) == 4 and all(item.novel and item.p_value is not None and item.p_value <= 0.01 for item in judged)
    printed = json.loads(
        whycam_here("score", tmp_path / "run", strange, "--out", tmp_path / "scores.csv", "--json").stdout
    )
    assert printed["images"] == printed["of_these_novel"] == printed["normal"] + printed["anomalous"] == 4
    own = [row["novelty_p"] for row in rows(tmp_path / "run" / "predictions.csv") if row["split"] == "test"]
    assert np.mean([float(p) <= 0.01 for p in own]) <= 0.05
    inspection = run.detector.inspect(strange / "noise-0.png")
    assert inspection.novel and inspection.p_value == pytest.approx(judged[0].p_value)
    assert inspection.summary()["novelty"] == {"p_value": inspection.p_value, "novel": True}
    # The same verdicts from the saved bundle, and from cached features.
    again = load(tmp_path / "run")
    first = next(row for row in rows(tmp_path / "run" / "predictions.csv") if row["split"] == "test")
    ((value, p_value),) = again.judge(data / first["file"])
    assert value == pytest.approx(float(first["score"]), abs=1e-6)
    assert p_value == pytest.approx(float(first["novelty_p"]))


def test_another_method_has_its_own_scale(trained_default: Path, parts: Path, tmp_path: Path) -> None:
    image = next((parts / "anomalous").iterdir())
    own, other = (
        next(iter(explain(trained_default, image, out=tmp_path / (method or "own"), method=method)))
        for method in (None, "hires-cam")
    )
    assert isinstance(own, tuple) and isinstance(other, tuple)
    assert own[1].drawing.method == "grad-cam" and other[1].drawing.method == "hires-cam"
    assert own[1].drawing.scale != other[1].drawing.scale
    np.testing.assert_array_equal(own[1].evidence, other[1].evidence)
    assert not np.array_equal(own[1].heatmap, other[1].heatmap)
    assert load(trained_default).card.heatmap.method == "grad-cam"
    run = tmp_path / "run"
    shutil.copytree(trained_default, run)
    evaluate(run, method="xgrad-cam")
    assert load(run).card.heatmap.method == "xgrad-cam"
    assert "XGrad-CAM" in (run / "report.html").read_text("utf-8")
    with pytest.raises(OptionError, match="Did you mean grad-cam"):
        evaluate(run, method="gradcam")


def test_measured_heatmaps_are_in_the_report(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whycam_here: Command
) -> None:
    monkeypatch.setitem(recipes.RECIPES, "default", replace(recipes.DEFAULT, size_hw=(96, 96), views=2))
    run = tmp_path / "run"
    train(parts, out=run, symmetry="none", epochs=5, device="cpu")
    written, measured = measure(run, n_images=2)
    assert written.folder == run and measured.randomisation is not None
    assert json.loads((run / "explained.json").read_text())["method"] == "Grad-CAM"
    page = (run / "report.html").read_text("utf-8")
    assert 'id="explanations"' in page and 'id="audit"' in page
    # Other heatmaps make old measurements void.
    evaluate(run, method="layer-cam")
    assert not (run / "explained.json").exists()
    assert 'id="explanations"' not in (run / "report.html").read_text("utf-8")
    done = whycam_here("explain", run)
    assert done.returncode == 2 and "--measure" in done.stderr
