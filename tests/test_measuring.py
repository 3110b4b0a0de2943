"""Measuring small networks from end to end: what is looked at, that nothing is changed, and the figures by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from tests.conftest import draw_part
from whycam.card import Card
from whycam.data.images import decode
from whycam.detector import Detector
from whycam.errors import OptionError
from whycam.explain.faithfulness import STEPS
from whycam.explain.placement import combined_grid, place
from whycam.measuring import measure_explanations, to_json
from whycam.networks.classic import ClassicNetwork
from whycam.networks.efficientnet_lite import EfficientNetLite0
from whycam.networks.heads import PooledHead
from whycam.networks.network import Network
from whycam.networks.pooled import PooledNetwork
from whycam.report.explained import sentences
from whycam.report.measured import CENTRE, EDGES, HEATMAP, RANDOM, Measured
from whycam.store.pixels import PixelCache, open_pixels
from whycam.types import Dataset, Sample, Threshold

SIZE = (64, 64)
ALWAYS, NEVER = -1e9, 1e9


def classic() -> Network:
    network = ClassicNetwork(SIZE)
    network.initialise(torch.Generator().manual_seed(1))
    return network


def pooled() -> Network:
    torch.manual_seed(3)
    backbone = EfficientNetLite0(("block2", "depthwise5")).eval()
    return PooledNetwork(backbone, PooledHead(backbone.channels, 8), views=(0, 1), size_hw=SIZE).eval()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, PixelCache]:
    """3 training and 6 test images, of each a third defective, these with masks of their bright blot."""
    folder, rng = tmp_path_factory.mktemp("measuring"), np.random.default_rng(0)
    samples = []
    for number in range(9):
        defect = number % 3 == 0
        image, mask = folder / f"{number}.png", folder / f"{number}-mask.png"
        part = draw_part(rng, defect=defect)
        Image.fromarray(part).save(image)
        Image.fromarray(ndimage.uniform_filter(part.astype(float), 5) > 170).save(mask)
        split = "train" if number < 3 else "test"
        samples.append(Sample(image.name, image, float(defect), split, mask=mask if defect else None))
    dataset = Dataset(folder, "class folders", tuple(samples))
    return dataset, open_pixels(dataset.samples, SIZE, folder=folder / "cache")


@pytest.fixture(scope="module")
def card(trained: Path) -> Card:
    """Of some run; what the small networks differ in is replaced."""
    return Detector.load(trained).card


def detector(make: Callable[[], Network], card: Card, *, threshold: float) -> Detector:
    network = make()
    model = replace(
        card.model,
        network=network.name,
        size_hw=SIZE,
        score=network.score,
        pooled=network.card if isinstance(network, PooledNetwork) else None,
    )
    heatmap = replace(card.heatmap, grid=combined_grid(network.grids(SIZE), SIZE))
    return Detector(network, replace(card, model=model, heatmap=heatmap, threshold=Threshold(threshold, "test")))


def figure(measured: Measured, name: str) -> dict[str, float]:
    found = next(one for one in (*measured.faithfulness.figures, *measured.localisation.figures) if one.name == name)
    return {one: estimate.value for one, estimate in found.values.items()}


@pytest.mark.parametrize("make", [classic, pooled])
def test_all_of_it(make: Callable[[], Network], found: tuple[Dataset, PixelCache], card: Card) -> None:
    dataset, pixels = found
    judge = detector(make, card, threshold=ALWAYS)
    test = [sample for sample in dataset.samples if sample.split == "test"]
    before = {name: values.clone() for name, values in judge._network.state_dict().items()}
    images = pixels.read(pixels.rows(test))
    explained = judge.explain_pixels(images)
    measured = measure_explanations(judge, dataset, pixels, seed=3)

    faithful, located = measured.faithfulness, measured.localisation
    assert (faithful.n_images, faithful.n_alarms, located.n_images) == (6, 6, 2)
    raw = judge.card.model.score == "linear"
    assert [one.name for one in faithful.figures] == ["deletion", "insertion", "road"]
    assert len(faithful.logit_figures) == (0 if raw else 3)
    assert (faithful.deletion_logit is None) == raw
    assert faithful.deletion.values.keys() == {HEATMAP, RANDOM, CENTRE, EDGES}
    for name, curve in faithful.deletion.values.items():
        assert len(curve) == STEPS + 1
        assert curve[0] == pytest.approx(explained.scores.mean(), rel=1e-3)
        assert curve[-1] == pytest.approx(faithful.deleted_score)
        assert faithful.insertion.values[name][-1] == pytest.approx(curve[0])
        assert figure(measured, "deletion")[name] == pytest.approx(np.trapezoid(curve, faithful.deletion.shares))
    flat = np.round(images.mean(axis=(1, 2), keepdims=True)).astype(np.uint8) * np.ones_like(images)
    assert faithful.deleted_score == pytest.approx(judge.score_pixels(flat).mean(), rel=1e-3)

    # The mass in the mask by hand.
    shares, areas = [], []
    for number, sample in enumerate(test):
        if sample.mask:
            heat = place(explained.heatmaps[number], judge.card.heatmap.grid, model_hw=SIZE, picture_hw=SIZE)
            mask = decode(sample.mask)[..., 0] > 0
            shares.append(heat[mask].sum() / heat.sum() if heat.any() else mask.mean())
            areas.append(mask.mean())
    mass = figure(measured, "mass_in_mask")
    assert mass[HEATMAP] == pytest.approx(np.mean(shares), rel=1e-3)
    assert located.area == pytest.approx(np.mean(areas))
    assert mass[RANDOM] == pytest.approx(located.area, rel=0.3)
    # The blots are bright squares on a flat ground, which edges find.
    assert figure(measured, "aupro")[EDGES] > 0.5 > figure(measured, "aupro")[RANDOM]

    assert len(measured.randomisation.levels) == 4
    assert measured.randomisation.levels[-1].rank_correlation.value < 0.9
    assert len(sentences(measured)) == 3
    # Nothing was changed.
    assert all(values.equal(before[name]) for name, values in judge._network.state_dict().items())
    np.testing.assert_array_equal(judge.explain_pixels(images).heatmaps, explained.heatmaps)


def test_the_same_seed_says_the_same(found: tuple[Dataset, PixelCache], card: Card) -> None:
    dataset, pixels = found
    judge = detector(pooled, card, threshold=ALWAYS)
    one, again = (to_json(measure_explanations(judge, dataset, pixels, n_images=2, seed=5)) for _ in range(2))
    assert one == again
    assert json.loads(one)["faithfulness"]["n_images"] == 2
    # Two images decide nothing, whatever they say.
    assert {each["outcome"] for each in json.loads(one)["faithfulness"]["figures"]} == {"open"}


def test_another_method_is_measured_by_its_own_maps(found: tuple[Dataset, PixelCache], card: Card) -> None:
    dataset, pixels = found
    judge = detector(pooled, card, threshold=ALWAYS)
    judge.card = replace(judge.card, heatmap=replace(judge.card.heatmap, method="eigen-cam"))
    measured = measure_explanations(judge, dataset, pixels, n_images=2)
    assert measured.method == "Eigen-CAM"
    # Eigen-CAM never asks the head where a layer is hot, only how much the layer counts.
    head, *_, everything = measured.randomisation.levels
    assert head.rank_correlation.value > 0.99
    assert not head.changed
    assert everything.rank_correlation.value < 0.9


def test_without_alarms_there_is_nothing_to_delete(found: tuple[Dataset, PixelCache], card: Card) -> None:
    dataset, pixels = found
    bare = replace(dataset, samples=tuple(replace(sample, mask=None) for sample in dataset.samples))
    measured = measure_explanations(detector(classic, card, threshold=NEVER), bare, pixels)
    assert measured.faithfulness is None
    assert measured.localisation is None
    assert measured.randomisation is not None
    assert "of 6 test images 0 have the verdict anomalous" in measured.notes[0]
    assert json.loads(to_json(measured))["faithfulness"] is None


def test_one_image_is_too_few(found: tuple[Dataset, PixelCache], card: Card) -> None:
    with pytest.raises(OptionError, match="`n_images` must be at least 2, got 1 instead"):
        measure_explanations(detector(classic, card, threshold=NEVER), *found, n_images=1)
