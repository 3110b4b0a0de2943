"""The compiled backbone against the module in double precision, from which both differ by rounding alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import draw_part
from whycam.networks.backbone import Backbone
from whycam.networks.efficientnet_lite import TAPS, EfficientNetLite0
from whycam.networks.engine import Engine, engine_for
from whycam.networks.pretrained import pretrained


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return pretrained(TAPS)


@pytest.fixture(scope="module")
def engine(network: EfficientNetLite0) -> Engine:
    return Engine(network)


def photos(size_hw: tuple[int, int], channels: int) -> Tensor:
    """A part with a defect, and noise: two images."""
    rng = np.random.default_rng(0)
    part = draw_part(rng, defect=True, side=max(size_hw))[: size_hw[0], : size_hw[1]] / 255
    images = np.stack([np.stack([part] * channels), rng.random((channels, *size_hw))])
    return torch.from_numpy(images.astype(np.float32))


def worst(results: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> float:
    """The largest difference, relative to values above 1."""
    errors = [(r - e).abs() / e.abs().clamp(min=1) for r, e in zip(results, exact, strict=True)]
    return max(error.max().item() for error in errors)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size_hw", [(224, 224), (300, 300), (97, 130), (32, 33)])
def test_maps_and_pooled_values_are_the_modules(
    network: EfficientNetLite0, engine: Engine, size_hw: tuple[int, int], channels: int
) -> None:
    images = photos(size_hw, channels)
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(images.double())
    results = engine(images)
    assert [r.shape for r in results] == [e.shape for e in exact]
    assert worst(results, exact) < 1e-4
    means, maxima = engine.pooled(images)
    assert worst((means,), (torch.cat([maps.mean((2, 3)) for maps in exact], 1),)) < 1e-4
    assert worst((maxima,), (torch.cat([maps.amax((2, 3)) for maps in exact], 1),)) < 1e-4


def test_taps_come_in_the_order_asked_for() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0(("block4", "expand1", "depthwise2")).eval()
    images = photos((64, 48), 3)
    with torch.no_grad():
        assert worst(Engine(network)(images), network(images)) < 1e-4
    assert Engine(network).pooled(images)[0].shape == (2, sum(network.channels))


def test_an_image_gets_the_same_values_in_any_batch(engine: Engine) -> None:
    images = photos((64, 64), 3)
    for together, alone in zip(engine(images), engine(images[1:]), strict=True):
        assert torch.equal(together[1:], alone)


def test_an_engine_keeps_the_weights_it_was_made_with() -> None:
    network = pretrained(("block1",))
    engine = Engine(network)
    images = photos((40, 40), 3)
    with torch.no_grad():
        before = network(images)
        network.layers["block1"].conv.weight.mul_(2)
        assert worst(engine(images), before) < 1e-4
        assert worst(Engine(network)(images), network(images)) < 1e-4


def test_any_memory_layout_and_type_is_taken(engine: Engine) -> None:
    images = photos((40, 50), 3).requires_grad_(True)
    for same in (images.contiguous(memory_format=torch.channels_last), images.double()):
        assert all(map(torch.equal, engine(same), engine(images)))


def test_images_that_cannot_be_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="at least 32 pixels a side"):
        engine(torch.zeros(1, 3, 31, 64))


def test_it_makes_no_noise(network: EfficientNetLite0, capfd: pytest.CaptureFixture[str]) -> None:
    Engine(network)(photos((40, 40), 1))
    assert capfd.readouterr() == ("", "")


def test_only_efficientnet_lite_on_the_cpu_has_an_engine(network: EfficientNetLite0) -> None:
    class Other(Backbone):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return (images,)

        def grids(self, size_hw: tuple[int, int]) -> tuple[()]:
            return ()

    assert isinstance(engine_for(network), Engine)
    assert engine_for(EfficientNetLite0(("block0",)).to("meta")) is None
    assert engine_for(Other()) is None
