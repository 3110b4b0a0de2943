"""timm backbones, on a stand-in for timm where it is not installed: what we ask of it and how we pass on its errors."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whycam.errors import MissingDependencyError, OptionError, RunError
from whycam.networks.backbone import build_backbone
from whycam.networks.engine import engine_for
from whycam.networks.timm_backbone import TimmBackbone

MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
WIDTHS = (4, 6, 8)


class Pyramid(nn.Module):
    """Three halvings, as timm's `features_only` models look from outside."""

    def __init__(self, *, output_fmt: str = "NCHW") -> None:
        super().__init__()
        self.output_fmt = output_fmt
        self.levels = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in zip((3, *WIDTHS), WIDTHS, strict=False)
        )
        self.feature_info = SimpleNamespace(
            module_name=lambda: ["act1", "layer1", "layer2"], channels=lambda: list(WIDTHS), reduction=lambda: [2, 4, 8]
        )
        self.pretrained_cfg = {"mean": MEAN, "std": STD, "hf_hub_id": "timm/pyramid.in1k", "url": ""}

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return [m.permute(0, 2, 3, 1) for m in maps] if self.output_fmt == "NHWC" else maps


def create_model(name: str, *, pretrained: bool, features_only: bool) -> nn.Module:
    assert features_only
    if name == "flat":
        raise RuntimeError("features_only not implemented for\nflat models.")
    model = Pyramid(output_fmt="NHWC" if name == "swan" else "NCHW")
    if name == "unpublished":
        model.pretrained_cfg["hf_hub_id"] = None
    if pretrained and name in {"offline", "unpublished"}:
        raise OSError("no route to host")
    for parameter in model.parameters():
        parameter.data.fill_(0.25 if pretrained else 0.5)
    return model


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["pyramid", "swan", "flat", "offline", "unpublished"]
    module: Any = ModuleType("timm")
    module.create_model = create_model
    module.is_model = lambda name: name in names
    module.list_models = lambda: names
    monkeypatch.setitem(sys.modules, "timm", module)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("name", ["pyramid", "swan"])
def test_maps_are_the_models_own_on_normalised_images(name: str) -> None:
    backbone = build_backbone(f"timm:{name}", (), pretrained=True)
    assert (backbone.name, backbone.taps) == (f"timm:{name}", ("act1", "layer1", "layer2"))
    assert (backbone.channels, backbone.smallest_side, backbone.training) == (WIDTHS, 8, False)
    images = torch.rand(2, 3, 33, 48)
    normalised = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    expected = create_model("pyramid", pretrained=True, features_only=True)(normalised)
    with torch.no_grad():
        for result, maps in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(result, maps)
        for grey, rgb in zip(backbone(images[:, :1]), backbone(images[:, :1].expand(-1, 3, -1, -1)), strict=True):
            torch.testing.assert_close(grey, rgb)


@pytest.mark.usefixtures("timm")
def test_weights_are_random_unless_asked_for_and_normalisation_travels_with_them() -> None:
    plain, published = (build_backbone("timm:pyramid", (), pretrained=flag) for flag in (False, True))
    assert plain.weights_digest != published.weights_digest
    assert {"mean", "std"} <= published.state_dict().keys()
    plain.load_state_dict(published.state_dict())
    assert plain.weights_digest == published.weights_digest


@pytest.mark.usefixtures("timm")
def test_levels_are_chosen_by_name() -> None:
    backbone = TimmBackbone("pyramid", ("layer2", "act1"), pretrained=False)
    images = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        everything = TimmBackbone("pyramid", pretrained=False)(images)
        assert all(map(torch.equal, backbone(images), (everything[2], everything[0])))
    assert backbone.channels == (8, 4)
    assert [grid.stride for grid in backbone.grids((16, 16))] == [8.0, 2.0]
    for taps in (("layer3",), ("act1", "act1")):
        with pytest.raises(OptionError, match="`taps` of timm:pyramid must be of act1, layer1, layer2"):
            TimmBackbone("pyramid", taps, pretrained=False)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("size_hw", [(32, 32), (33, 47)])
def test_grids_have_the_maps_cells_and_cover_the_image(size_hw: tuple[int, int]) -> None:
    backbone = build_backbone("timm:pyramid", (), pretrained=False).train()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, *size_hw))
    for grid, level, stride in zip(backbone.grids(size_hw), maps, (2.0, 4.0, 8.0), strict=True):
        assert level.shape[2:] == (grid.height, grid.width)
        assert (grid.stride, grid.top, grid.left) == (stride, (stride - 1) / 2, (stride - 1) / 2)
    assert backbone.training, "the backbone must be left as it was"
    assert next(backbone.parameters()).device.type == "cpu"
    with pytest.raises(OptionError, match="timm:pyramid takes no images of 4 x 40 pixels"):
        backbone.grids((4, 40))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("pyramit", OptionError, "timm has no model 'pyramit': did you mean pyramid?"),
        ("zzz", OptionError, "timm has no model 'zzz': timm.list_models() lists them."),
        (
            "flat",
            OptionError,
            "no feature maps of timm:flat: features_only not implemented for flat models.",
        ),
        ("offline", RunError, "timm:offline could not be loaded from timm/pyramid.in1k (no route to host)"),
        ("offline", RunError, "HF_HOME"),
        ("unpublished", OptionError, "timm:unpublished has no pretrained weights"),
    ],
)
def test_what_timm_cannot_do_is_said_in_one_line(name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        build_backbone(f"timm:{name}", (), pretrained=True)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("timm")
def test_there_is_no_engine() -> None:
    assert engine_for(build_backbone("timm:pyramid", (), pretrained=False)) is None


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "whycam\[timm\]"'):
        build_backbone("timm:resnet18", (), pretrained=False)


def test_a_timm_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    # So it goes with a torchvision that was built for another torch.
    (tmp_path / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(MissingDependencyError, match=r"does not load \(operator torchvision::nms does not exist\)"):
        build_backbone("timm:resnet18", (), pretrained=False)


@pytest.mark.peers
def test_a_real_model() -> None:
    pytest.importorskip("timm", reason="timm is not installed: pip install 'whycam[timm]'", exc_type=ImportError)
    backbone = build_backbone("timm:resnet18", ("layer2", "layer3"), pretrained=False)
    with torch.no_grad():
        maps = backbone(torch.rand(1, 1, 64, 96))
    assert backbone.channels == (128, 256)
    assert [tuple(m.shape[2:]) for m in maps] == [(g.height, g.width) for g in backbone.grids((64, 96))]
