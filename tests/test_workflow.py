"""From a folder of photos to a run folder, a detector and its files; the promises of the Python API."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import expit

import whycam
from tests.conftest import make_parts
from tests.networks.fakes import fake_network
from whycam.bundle import SCHEMA
from whycam.data.images import decode, resize
from whycam.detector import Detector
from whycam.errors import DataError, ImageError, OptionError, RunError, one_of
from whycam.explain.placement import combined_grid
from whycam.networks.device import as_input
from whycam.networks.pooled import PooledNetwork
from whycam.store.rows import Rows
from whycam.training.recipe import CENTRED_ON, RECIPES


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_run_folder_holds_what_is_promised(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    promised = {"card.json", "model.safetensors", "samples.csv", "predictions.csv", "history.csv", "metrics.json"}
    assert promised | {"report.html", "plots", "gallery"} <= names
    card = json.loads((trained / "card.json").read_text())
    assert card["model"]["parameters"] == 726_371
    assert card["training"]["recipe"] == "classic"
    assert card["threshold"]["value"] == 0.5
    assert "midpoint" in card["threshold"]["rule"]
    assert (card["data"]["n_train"], card["data"]["n_test"]) == (30, 10)
    assert card["training"]["choices"] == []
    assert [row["epoch"] for row in rows(trained / "history.csv")] == ["1", "2"]


def test_the_default_recipe_says_what_it_is_and_what_it_chose(trained_default: Path) -> None:
    card = json.loads((trained_default / "card.json").read_text())
    assert (card["schema"], card["training"]["recipe"], card["model"]["score"]) == (SCHEMA, "default", "probability")
    assert card["model"]["pooled"]["backbone"] == "efficientnet-lite0"
    assert len(card["training"]["choices"]) >= 3
    page = (trained_default / "report.html").read_text("utf-8")
    for choice in card["training"]["choices"]:
        assert choice in page
    assert "When it says 80 %" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert (trained_default / "plots" / "reliability.png").exists()
    metrics = json.loads((trained_default / "metrics.json").read_text())["test"]
    # A bright blot on a grey part is what anybody can see.
    assert metrics["auroc"]["value"] > 0.9
    assert metrics["brier"]["value"] < metrics["constant"]["brier"]


def test_a_model_that_knows_normal_images_only_is_reported_as_such(parts: Path, tmp_path: Path) -> None:
    lines = ["file,target,split,group"]
    for name, target, n_train in (("normal", 0, 14), ("anomalous", 1, 6)):
        for number, path in enumerate(sorted((parts / name).iterdir())):
            train = number < n_train
            # All anomalous training images show one part, so that they cannot be cross-validated.
            group = "part 7" if train and target else ""
            lines.append(f"{path},{target},{'train' if train else 'test'},{group}")
    (tmp_path / "few.csv").write_text("\n".join(lines))
    run = whycam.train(tmp_path / "few.csv", out=tmp_path / "run", symmetry="none", device="cpu")
    training = run.detector.card.training
    assert (training.epochs_planned, rows(tmp_path / "run" / "history.csv")) == (0, [])
    assert any("knows normal images only" in choice for choice in training.choices)
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "its scores were never calibrated" in page
    assert not (tmp_path / "run" / "plots" / "training_curve.png").exists()
    assert run.evaluation.test.auroc.value > 0.8
    assert whycam.evaluate(tmp_path / "run").evaluation == run.evaluation


def test_predictions_agree_with_samples_and_metrics(either: Path) -> None:
    samples = {row["file"]: row for row in rows(either / "samples.csv")}
    predictions = rows(either / "predictions.csv")
    assert {row["file"] for row in predictions} == set(samples)
    assert all(row["split"] == samples[row["file"]]["split"] for row in predictions)
    metrics = json.loads((either / "metrics.json").read_text())
    for split in ("train", "test"):
        mine = [row for row in predictions if row["split"] == split]
        targets = np.array([float(row["target"]) for row in mine])
        scores = np.array([float(row["score"]) for row in mine])
        assert metrics[split]["mae"]["value"] == pytest.approx(np.abs(scores - targets).mean())
        assert [row["verdict"] == "anomalous" for row in mine] == list(scores >= 0.5)
        (tn, fp), (fn, tp) = metrics[split]["confusion_matrix"]
        assert (tp, fp) == (
            int(((scores >= 0.5) & (targets > 0.5)).sum()),
            int(((scores >= 0.5) & (targets < 0.5)).sum()),
        )
        assert tn + fp + fn + tp == metrics[split]["n"] == len(mine)


@pytest.mark.usefixtures("no_report")
def test_training_again_gives_the_same_bits(parts: Path, trained: Path, tmp_path: Path) -> None:
    whycam.train(parts, out=tmp_path / "again", recipe="classic", epochs=2, device="cpu")
    for name in ("model.safetensors", "samples.csv", "predictions.csv", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.usefixtures("no_report")
def test_the_default_recipe_again_gives_the_same_bits_from_the_features_on_disk(
    parts: Path, trained_default: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rows, "add", lambda *_: pytest.fail("these features are on disk"))
    whycam.train(parts, out=tmp_path / "again", device="cpu")
    for name in ("model.safetensors", "samples.csv", "predictions.csv", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained_default / name).read_bytes()


def test_the_default_recipe_explains_what_normal_images_do_not_have(parts: Path, trained_default: Path) -> None:
    network = whycam.load(trained_default).network
    assert isinstance(network, PooledNetwork)
    train = [row for row in rows(trained_default / "samples.csv") if row["split"] == "train"]
    normal = [parts / row["file"] for row in train if float(row["target"]) == 0]
    assert len(normal) <= CENTRED_ON
    side = RECIPES["default"].size_hw
    images = np.stack([resize(decode(path), side) for path in normal])
    with torch.no_grad():
        stages = network.stages(as_input(images, torch.device("cpu")))
    for centre, maps in zip(network.centres(), stages, strict=True):
        torch.testing.assert_close(centre.float(), maps.mean(dim=0), rtol=2e-3, atol=2e-3)


def test_scores_of_pixels_are_the_recorded_ones_to_the_bit(parts: Path, trained_default: Path) -> None:
    recorded = {row["file"]: row for row in rows(trained_default / "predictions.csv")}
    scored = list(whycam.score(trained_default, parts))
    assert {item.file for item in scored} == set(recorded)
    for item in scored:
        assert (repr(item.score), item.verdict) == (recorded[item.file]["score"], recorded[item.file]["verdict"])


def test_a_loaded_detector_gives_the_recorded_scores(parts: Path, either: Path) -> None:
    detector = whycam.load(either)
    recorded = rows(either / "predictions.csv")
    scores = list(detector.score(parts / row["file"] for row in recorded))
    np.testing.assert_allclose(scores, [float(row["score"]) for row in recorded], atol=1e-5)


def test_an_inspection_adds_up_for_paths_and_arrays_alike(parts: Path, either: Path) -> None:
    detector = whycam.load(either)
    classic = detector.card.training.recipe == "classic"
    path = next((parts / "anomalous").iterdir())
    from_path, from_text, from_array = (
        detector.inspect(path),
        detector.inspect(str(path)),
        detector.inspect(decode(path)),
    )
    for result in (from_path, from_text, from_array):
        assert result.evidence.sum() + result.intercept == pytest.approx(result.logit, abs=1e-5)
        assert result.score == pytest.approx(result.logit if classic else expit(result.logit), abs=1e-6)
        assert result.verdict == ("anomalous" if result.score >= 0.5 else "normal")
        assert result.heatmap.shape == result.evidence.shape == ((77, 77) if classic else (38, 38))
        np.testing.assert_array_equal(result.heatmap, from_path.heatmap)
        assert result.exhibit.heatmap.shape == (64, 64)
        assert result.segments and all(segment.mask.shape == (64, 64) for segment in result.segments)
    rgb = np.repeat(decode(path), 3, axis=2)
    assert detector.inspect(rgb).score == pytest.approx(from_path.score, abs=1e-5)


def test_batches_agree_with_single_images(parts: Path, either: Path) -> None:
    detector = whycam.load(either)
    paths = sorted((parts / "normal").iterdir())[:20]
    together = list(detector.inspect_all(paths))
    for path, result in list(zip(paths, together, strict=True))[::7]:
        alone = detector.inspect(path)
        assert result.score == pytest.approx(alone.score, abs=1e-5)
        np.testing.assert_allclose(result.heatmap, alone.heatmap, atol=1e-5 * max(1e-6, alone.heatmap.max()) + 1e-9)


def test_an_inspection_saves_itself_once(parts: Path, trained: Path, tmp_path: Path) -> None:
    result = whycam.load(trained).inspect(next((parts / "anomalous").iterdir()))
    folder = result.save(tmp_path / "why")
    assert {path.name for path in folder.iterdir()} == {"panel.png", "heatmap.npy", "evidence.npy", "inspection.json"}
    np.testing.assert_array_equal(np.load(folder / "evidence.npy"), result.evidence)
    saved = json.loads((folder / "inspection.json").read_text())
    assert saved["score"] == result.score
    assert len(saved["segments"]) == len(result.segments)
    assert [stage["name"] for stage in saved["stages"]] == ["third convolution"]
    card = json.loads((trained / "card.json").read_text())
    assert (saved["schema"], saved["whycam"]) == (2, version("whycam"))
    assert saved["model"] == {"network": card["model"]["network"], "recipe": "classic"}
    assert saved["run"] == {
        "folder": str(trained),
        "created": card["created"],
        "data_fingerprint": card["data"]["fingerprint"],
    }
    with Image.open(folder / "panel.png") as picture:
        assert picture.width > 2 * picture.height
    with pytest.raises(RunError, match="exists already"):
        result.save(folder)


def test_several_stages_are_saved_one_by_one(parts: Path, trained: Path, tmp_path: Path) -> None:
    card = whycam.load(trained).card
    network = fake_network(1, views=(0, 4))
    grid = combined_grid(network.grids((60, 80)), (60, 80))
    card = replace(card, model=replace(card.model, size_hw=(60, 80)), heatmap=replace(card.heatmap, grid=grid))
    result = Detector(network, card).inspect(next((parts / "anomalous").iterdir()))
    assert result.origin.run is None
    assert result.evidence.sum() + result.intercept == pytest.approx(result.logit, abs=1e-5)
    assert result.heatmap.shape == (8, 10)
    folder = result.save(tmp_path / "why")
    with np.load(folder / "stages.npz", allow_pickle=False) as stages:
        assert set(stages) == {f"{name}.{kind}" for name in ("shallow", "deep") for kind in ("heatmap", "evidence")}
        np.testing.assert_array_equal(stages["deep.heatmap"], result.stages["deep"].heatmap)
        whole = stages["shallow.evidence"].sum() + stages["deep.evidence"].sum()
    assert whole == pytest.approx(result.evidence.sum(), abs=1e-5)
    saved = json.loads((folder / "inspection.json").read_text())
    assert [stage["name"] for stage in saved["stages"]] == ["shallow", "deep"]
    assert saved["stages"][1]["grid"] == asdict(result.stages["deep"].grid)


def test_a_failing_save_leaves_nothing(
    parts: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = whycam.load(trained).inspect(next((parts / "normal").iterdir()))
    monkeypatch.setattr(np, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        result.save(tmp_path / "why")
    assert not (tmp_path / "why").exists()


def test_wrong_arrays_are_refused(trained: Path) -> None:
    detector = whycam.load(trained)
    for array in (np.zeros((5, 5), np.float32), np.zeros((5, 5, 4), np.uint8), np.zeros((2, 5, 5, 3), np.uint8)):
        with pytest.raises(OptionError, match="`image` must be"):
            detector.inspect(array)
    with pytest.raises(ImageError, match=r"nowhere\.png: file not found"):
        detector.inspect("nowhere.png")


def test_evaluating_again_changes_nothing(either: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(either, copy)
    whycam.evaluate(copy)
    for name in ("metrics.json", "predictions.csv"):
        assert (copy / name).read_bytes() == (either / name).read_bytes()
    for folder in ("plots", "gallery"):
        assert {path.name for path in (copy / folder).iterdir()} == {path.name for path in (either / folder).iterdir()}


def test_other_data_are_all_tested_on(either: Path, tmp_path: Path) -> None:
    other = make_parts(tmp_path / "other", n_normal=5, n_anomalous=4, seed=99)
    run = whycam.evaluate(either, other, out=tmp_path / "evaluation")
    assert run.evaluation.train is None
    assert (run.evaluation.test.n, run.evaluation.test.n_anomalous) == (9, 4)
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["train"] is None
    assert (tmp_path / "evaluation" / "report.html").exists()


def test_images_trained_on_are_no_test(parts: Path, trained: Path, tmp_path: Path) -> None:
    mixed = make_parts(tmp_path / "mixed", n_normal=4, n_anomalous=4, seed=77)
    for path in (parts / "normal").iterdir():
        shutil.copy(path, mixed / "normal" / f"old-{path.name}")
    with pytest.raises(DataError, match=r"18 of 32 images were trained on"):
        whycam.evaluate(trained, mixed)


def test_changed_or_missing_images_are_named(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    (data / "normal" / "normal-002.png").unlink()
    shutil.copy(data / "normal" / "normal-001.png", data / "normal" / "normal-003.png")
    with pytest.raises(RunError, match=r"1 of the images .* are gone .* normal/normal-002\.png"):
        whycam.evaluate(tmp_path / "run")
    shutil.copy(data / "normal" / "normal-001.png", data / "normal" / "normal-002.png")
    with pytest.raises(RunError, match=r"2 of the images .* changed, first normal/normal-002\.png has other content"):
        whycam.evaluate(tmp_path / "run")


def test_unreadable_files_are_skipped_by_name_or_fatal(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    (data / "normal" / "empty.png").touch()
    (data / "normal" / "notes.txt").write_text("not an image")
    with pytest.raises(DataError, match=r"normal/empty\.png: the file is empty"):
        whycam.train(data, out=tmp_path / "strict", recipe="classic", epochs=1, strict=True)
    assert not (tmp_path / "strict").exists()
    whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    card = json.loads((tmp_path / "run" / "card.json").read_text())["data"]
    assert card["facts"]["left_out"] == [
        {"file": "normal/notes.txt", "reason": "no image (.txt)", "cause": "no image"},
        {"file": "normal/empty.png", "reason": "the file is empty", "cause": "unreadable"},
    ]
    assert json.loads((tmp_path / "run" / "audit.json").read_text())["data"] == card["facts"]
    assert card["n_train"] + card["n_test"] == 12


def test_too_few_readable_images_stop_before_anything_is_written(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=4)
    (data / "anomalous" / "anomalous-001.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match="Only 3 anomalous images"):
        whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    assert not (tmp_path / "run").exists()


def test_overwriting_waits_until_the_data_are_known_to_be_good(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    with pytest.raises(DataError):
        whycam.train(tmp_path / "nothing", out=copy, overwrite=True)
    assert (copy / "model.safetensors").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="not a WhyCAM run"):
        whycam.train(trained, out=tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "clasic"}, one_of("recipe", tuple(RECIPES), "clasic")),
        ({"epochs": 0}, "`epochs` must be 1 or more, got 0 instead."),
        ({"test_share": 1.0}, "`test_share` must be above 0 and below 1, got 1.0 instead."),
        ({"device": "gpu"}, "`device` must be auto, cpu or cuda, got 'gpu' instead."),
        ({"seed": -1}, "`seed` must be 0 or more and below 2^32, got -1 instead."),
    ],
)
def test_bad_options_are_named(parts: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        whycam.train(parts, out=tmp_path / "run", **options)
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_a_damaged_bundle_is_named(trained: Path, tmp_path: Path) -> None:
    for name, content, message in (
        ("card.json", b"{", "is damaged"),
        ("card.json", f'{{"schema": {SCHEMA}}}'.encode(), "is damaged: created: Field required"),
        ("model.safetensors", b"junk", "is damaged or belongs to another card"),
    ):
        copy = tmp_path / f"{name}-{len(content)}"
        shutil.copytree(trained, copy)
        (copy / name).write_bytes(content)
        with pytest.raises(RunError, match=message):
            whycam.load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"has no model\.safetensors"):
        whycam.load(copy)
    with pytest.raises(RunError, match="no such folder"):
        whycam.load(tmp_path / "nothing")
    with pytest.raises(RunError, match="not a finished run"):
        whycam.load(tmp_path)


def test_scoring_streams_and_names_problems(parts: Path, trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new parts ü"
    folder.mkdir()
    for number, path in enumerate(sorted((parts / "normal").iterdir())[:18]):
        shutil.copy(path, folder / f"Bild {number:02}.PNG")
    (folder / "Bild 05.PNG").write_bytes(b"\x89PNG broken")
    results = list(whycam.score(trained, [folder]))
    assert [result.file for result in results] == [f"Bild {number:02}.PNG" for number in range(18)]
    assert results[5].score is None
    assert results[5].verdict is None
    assert results[5].problem
    detector = whycam.load(trained)
    for result in results[:5] + results[6:]:
        assert result.score == pytest.approx(next(detector.score([folder / result.file])), abs=1e-5)
        assert result.problem == ""
    # It is a stream: the first line comes before the last image was looked at.
    assert next(iter(whycam.score(trained, [folder]))).file == "Bild 00.PNG"
    with pytest.raises(DataError, match=r"Bild 05\.PNG: .*--strict"):
        list(whycam.score(trained, [folder], strict=True))


def test_resized_pixels_reach_the_network_unchanged(parts: Path, trained: Path) -> None:
    path = next((parts / "normal").iterdir())
    detector = whycam.load(trained)
    direct = detector.score_pixels(resize(decode(path), (325, 325))[None])
    assert next(detector.score([path])) == pytest.approx(float(direct[0]))
