"""The recipe `finetune` from images to a network whose evidence adds up."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import make_parts
from whycam import run_folder
from whycam.data.samples import open_dataset
from whycam.data.split import split_samples
from whycam.errors import DataError, OptionError, RunError
from whycam.features import Features, Maps
from whycam.fitting import centres
from whycam.fitting.fit import fit
from whycam.fitting.held_out import keep_out, mean_and_error
from whycam.fitting.plan import Fitted, plan, training_samples
from whycam.networks.backbone import build_backbone
from whycam.networks.device import as_input
from whycam.networks.pooled import PooledNetwork
from whycam.networks.views import turn, turn_back
from whycam.progress import SILENT
from whycam.store.pixels import PixelCache, open_pixels
from whycam.training.checkpoint import load_checkpoint
from whycam.training.recipe import CENTRED_ON, DEFAULT, FINETUNE, HeadSettings, choose_recipe
from whycam.types import Dataset, EpochRecord

ALWAYS, NEVER = -1e9, 1e9
RECIPE = replace(
    FINETUNE, size_hw=(64, 64), symmetry="flip", epochs=3, head=HeadSettings(epochs=4, folds=2), clear=ALWAYS
)


@pytest.fixture(scope="module")
def data(parts: Path) -> tuple[Dataset, PixelCache]:
    dataset, _ = split_samples(open_dataset(parts), 0.25, seed=0)
    return dataset, open_pixels(dataset.samples, RECIPE.size_hw)


def run(folder: Path, data: tuple[Dataset, PixelCache], recipe=RECIPE, *, resume: bool = False) -> Fitted:
    folder.mkdir(exist_ok=True)
    planned, checkpoint = plan(folder, *data, recipe, seed=0, device="cpu", resume=resume)
    return fit(folder, *data, recipe, planned=planned, checkpoint=checkpoint, progress=SILENT)


@pytest.fixture(scope="module")
def fitted(
    shared: Path, data: tuple[Dataset, PixelCache], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Fitted]:
    folder = tmp_path_factory.mktemp("runs") / "finetuned"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYCAM_CACHE_DIR", str(shared / "cache"))
        return folder, run(folder, data)


def test_evidence_adds_up_and_loss_falls(data: tuple[Dataset, PixelCache], fitted: tuple[Path, Fitted]) -> None:
    folder, result = fitted
    network = result.network
    assert isinstance(network, PooledNetwork)
    assert network.views == (0, 4)
    images = as_input(data[1].read(np.arange(6)), torch.device("cpu"))
    with torch.no_grad():
        found = network.linearise(network.stages(images))
        expected = network(images)
    evidence = sum((f * g).flatten(1).sum(1) for f, g in zip(found.features, found.gradients, strict=True))
    torch.testing.assert_close(evidence + found.intercept, expected, rtol=1e-3, atol=1e-3)
    losses = [record.loss for record in result.history]
    assert losses[-1] < losses[0]
    assert [record.epoch for record in run_folder.read_history(folder)] == [1, 2, 3]
    assert not result.card.interrupted
    assert (result.card.recipe, result.card.epochs_done, result.card.epochs_planned) == ("finetune", 3, 3)


def test_its_maps_are_centred_on_normal_images_it_was_trained_on(
    data: tuple[Dataset, PixelCache], fitted: tuple[Path, Fitted]
) -> None:
    network = fitted[1].network
    assert isinstance(network, PooledNetwork)
    train, _ = keep_out(training_samples(*data), data[1], RECIPE.validation_share, seed=0)
    normal = [sample for sample in train if not sample.anomalous]
    assert 10 < len(normal) <= CENTRED_ON
    with torch.no_grad():
        stages = network.stages(as_input(data[1].read(data[1].rows(normal)), torch.device("cpu")))
    assert len(stages) == len(network.centres()) == 6
    for centre, maps in zip(network.centres(), stages, strict=True):
        assert centre.shape == maps.shape[1:]
        torch.testing.assert_close(centre.float(), maps.mean(dim=0), rtol=2e-3, atol=2e-3)


def test_they_are_centred_on_a_few_images_only(
    data: tuple[Dataset, PixelCache], fitted: tuple[Path, Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = copy.deepcopy(fitted[1].network)
    assert isinstance(network, PooledNetwork)
    features = Features(network.backbone, data[1], device=torch.device("cpu"))
    seen = []
    monkeypatch.setattr(features, "mean_maps", lambda views, rows, progress: seen.append(rows) or network.centres())
    monkeypatch.setattr(centres, "CENTRED_ON", 5)
    for seed in (0, 0, 1):
        centres.centre(network, features, training_samples(*data), data[1], seed=seed, progress=SILENT)
    assert [len(set(rows.tolist())) for rows in seen] == [5, 5, 5]
    assert (seen[0] == seen[1]).all() and (seen[0] != seen[2]).any()


def test_mean_maps_are_computed_once(data: tuple[Dataset, PixelCache], monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = build_backbone(RECIPE.backbone, ("block4", "depthwise8"), pretrained=True)
    rows, views = np.array([5, 1, 2]), (0, 3)
    pixels = open_pixels(data[0].samples, (96, 64))
    found = Features(backbone, pixels, device=torch.device("cpu")).mean_maps(views, rows)
    with torch.no_grad():
        images = as_input(pixels.read(rows), torch.device("cpu"))
        expected = [turn_back(maps, view).mean(dim=0) for view in views for maps in backbone(turn(images, view))]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    again = Features(backbone, pixels, device=torch.device("cpu"))
    monkeypatch.setattr(again, "_maps", None)
    torch.testing.assert_close(again.mean_maps(views, rows), found, rtol=0, atol=0)
    with pytest.raises(TypeError):  # other images
        again.mean_maps(views, rows[:2])


def test_the_backbone_is_tuned_beyond_the_cut_alone(fitted: tuple[Path, Fitted]) -> None:
    network = fitted[1].network
    assert isinstance(network, PooledNetwork)
    before = build_backbone(RECIPE.backbone, RECIPE.taps, pretrained=True).state_dict()
    changed = {name for name, value in network.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed} == {
        *(f"expand{n}" for n in range(8, 16)),
        *(f"depthwise{n}" for n in range(8, 16)),
        *(f"block{n}" for n in range(8, 15)),
    }
    assert not [name for name in changed if "running" in name or (".depthwise" in name and ".conv." in name)]


def test_what_was_chosen_is_told(fitted: tuple[Path, Fitted]) -> None:
    tuning, views, weights, calibration, auroc = fitted[1].card.choices
    assert tuning.startswith("Fine-tuning: log loss on held-out") and tuning.endswith("fine-tuned network is taken.")
    assert views == "Views: the image as it is, mirrored."
    assert weights.startswith("Weights: ") and weights.count("%") == 4 and "log loss on held-out" in weights
    assert "were kept out of the training" in calibration
    assert "AUROC" in auroc and "take the interval seriously" in auroc


def test_without_a_clear_gain_it_is_the_recipe_default(data: tuple[Dataset, PixelCache], tmp_path: Path) -> None:
    result = run(tmp_path / "finetune", data, replace(RECIPE, epochs=1, clear=NEVER))
    plain = replace(DEFAULT, size_hw=RECIPE.size_hw, symmetry=RECIPE.symmetry, head=RECIPE.head)
    expected = run(tmp_path / "default", data, plain)
    for name, value in expected.network.state_dict().items():
        assert torch.equal(result.network.state_dict()[name], value), name
    assert result.held_out is not None and expected.held_out is not None
    np.testing.assert_array_equal(result.held_out.scores, expected.held_out.scores)
    tuning, *rest = result.card.choices
    assert "not better by 1e+09 of these, so the network stays as it was, as in the recipe default." in tuning
    assert tuple(rest) == expected.card.choices
    assert (result.card.recipe, result.card.epochs_done) == ("finetune", 1)


def test_the_error_of_a_mean_counts_units() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 1, 50)
    mean, error = mean_and_error(values, [str(n) for n in range(50)])
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std() / 50**0.5)
    # Each value four times over says nothing new.
    assert mean_and_error(np.repeat(values, 4), [str(n // 4) for n in range(200)]) == (
        pytest.approx(mean),
        pytest.approx(error),
    )


def test_a_training_stopped_after_an_epoch_goes_on_to_the_same_bits(
    data: tuple[Dataset, PixelCache],
    fitted: tuple[Path, Fitted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = run_folder.write_history

    def stop(folder: Path, history: tuple[EpochRecord, ...]) -> None:
        write(folder, history)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        calls = iter((stop, write))
        patch.setattr(run_folder, "write_history", lambda folder, history: next(calls)(folder, history))
        stopped = run(tmp_path / "run", data)
    assert not torch.are_deterministic_algorithms_enabled()
    assert stopped.card.interrupted and stopped.card.epochs_done == 1
    resumed = run(tmp_path / "run", data, resume=True)
    assert [record.loss for record in resumed.history] == [record.loss for record in fitted[1].history]
    for name, value in fitted[1].network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


def test_other_epochs_are_another_plan(data: tuple[Dataset, PixelCache], fitted: tuple[Path, Fitted]) -> None:
    assert load_checkpoint(fitted[0]) is not None
    with pytest.raises(RunError, match=r"epochs \(3, now 4\)"):
        plan(fitted[0], *data, replace(RECIPE, epochs=4), seed=0, device="cpu", resume=True)


def test_too_few_anomalies_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    dataset = open_dataset(make_parts(tmp_path / "few", n_normal=24, n_anomalous=8))
    dataset, _ = split_samples(dataset, 0.25, seed=0)
    pixels = open_pixels(dataset.samples, RECIPE.size_hw)
    with pytest.raises(DataError, match=r"6 anomalous training images are too few to train on.*--recipe default"):
        plan(tmp_path / "run", dataset, pixels, RECIPE, seed=0, device="cpu", resume=False)
    assert not (tmp_path / "run").exists()


def test_maps_are_read_each_in_its_own_view(data: tuple[Dataset, PixelCache]) -> None:
    backbone = build_backbone(RECIPE.backbone, ("block7",), pretrained=True)
    maps = Maps(backbone, data[1], device=torch.device("cpu"))
    rows, views = np.array([4, 2, 4]), np.array([5, 0, 0])
    maps.compute((0, 5), rows)
    found = maps.read(views, rows)
    for number, (row, view) in enumerate(zip(rows, views, strict=True)):
        image = turn(as_input(data[1].read(np.array([row])), torch.device("cpu")), int(view))
        with torch.no_grad():
            torch.testing.assert_close(found[number], backbone(image)[0][0], rtol=1e-4, atol=1e-4)


def test_a_cache_that_may_not_hold_the_maps_is_told(
    data: tuple[Dataset, PixelCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = Maps(build_backbone(RECIPE.backbone, ("block7",), pretrained=True), data[1], device=torch.device("cpu"))
    monkeypatch.setenv("WHYCAM_CACHE_GB", "0.0001")
    with pytest.raises(OptionError, match="`WHYCAM_CACHE_GB` must be at least ") as caught:
        maps.compute((0, 4), np.arange(40))
    told = float(str(caught.value).split("at least ")[1].split()[0])
    assert 0 < 4 * maps.width * 40 * 2 / 1e9 <= told, "the number shown is enough"


def test_numbers_that_are_not_finite_are_kept_nowhere(
    data: tuple[Dataset, PixelCache], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_DIR", str(tmp_path))
    features = Features(
        build_backbone(RECIPE.backbone, ("block7",), pretrained=True), data[1], device=torch.device("cpu")
    )
    monkeypatch.setattr(features, "_computed", lambda images: torch.full((len(images), features.width), torch.nan))
    with pytest.raises(RunError, match="numbers that are not finite"):
        features.compute((0,), np.arange(4))
    assert not list(tmp_path.glob("*/*.rows"))


def test_the_recipe_takes_epochs_and_symmetry_but_no_other_backbone() -> None:
    assert choose_recipe("finetune", epochs=2, symmetry="none") == replace(FINETUNE, epochs=2, symmetry="none")
    assert choose_recipe("finetune", backbone="efficientnet-lite0") == FINETUNE
    with pytest.raises(OptionError, match="recipe finetune needs the backbone efficientnet-lite0"):
        choose_recipe("finetune", backbone="timm:resnet18")
