"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; Lite: no squeeze-and-excite, ReLU6), for images of any size.

All layers stand in one row, each named after the tap that it feeds, so that forward pass, cell positions and the
compiled `Engine` walk through the same description.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

from whycam.card import CellGrid
from whycam.errors import OptionError
from whycam.networks.backbone import Backbone
from whycam.networks.names import EFFICIENTNET_LITE0

_BLOCKS = 16
_EPSILON = 1e-3  # TensorFlow's, with which the published weights were trained

INPUT_SCALE, INPUT_MEAN = 255 / 128, 127 / 255
"""The published weights expect (uint8 value - 127) / 128, which is scale * (value in [0, 1] - mean)."""
TAPS = (
    *(f"{part}{n}" for n in range(_BLOCKS) for part in ("expand", "depthwise", "block") if (part, n) != ("expand", 0)),
    "last",
)
"""What can be tapped, in the order of computation; the first block has no expansion."""


class _Group(NamedTuple):
    """Blocks alike but for the first one's stride."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


_GROUPS = (
    _Group(3, 1, 1, 16, 1),
    _Group(3, 2, 6, 24, 2),
    _Group(5, 2, 6, 40, 2),
    _Group(3, 2, 6, 80, 3),
    _Group(5, 1, 6, 112, 3),
    _Group(5, 2, 6, 192, 4),
    _Group(3, 1, 6, 320, 1),
)


class SameConv(nn.Module):
    """Convolution, batch norm and perhaps ReLU6; padded as TensorFlow's `SAME`: the odd cell of zeros at the end."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.relu = relu
        self.residual = residual
        """Whether the output of the block before is added to this layer's."""
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=_EPSILON, momentum=0.01)

    def cells(self, side: int) -> int:
        """The side of the result for an input of `side` cells."""
        return -(-side // self.stride)

    def padding(self, side: int) -> tuple[int, int]:
        """How many cells of zeros a side of `side` cells gets before and after."""
        total = max((self.cells(side) - 1) * self.stride + self.kernel - side, 0)
        return total // 2, total - total // 2

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', ceil(h / stride), ceil(w / stride)), without the residual."""
        (top, bottom), (left, right) = self.padding(x.shape[2]), self.padding(x.shape[3])
        if top == bottom and left == right:
            x = F.conv2d(x, self.conv.weight, None, self.stride, (top, left), groups=self.groups)
        else:
            x = self.conv(F.pad(x, (left, right, top, bottom)))
        x = self.norm(x)
        return F.relu6(x, inplace=True) if self.relu else x


def _row() -> Iterator[tuple[str, SameConv]]:
    """Every layer, made when it is asked for: inverted residuals (Sandler et al. 2018, arXiv 1801.04381) in a row."""
    yield "stem", SameConv(3, 32, 3, stride=2)
    before, number = 32, 0
    for group in _GROUPS:
        for repeat in range(group.repeats):
            wide, after, stride = before * group.expansion, group.channels, group.stride if repeat == 0 else 1
            if group.expansion > 1:
                yield f"expand{number}", SameConv(before, wide, 1)
            yield f"depthwise{number}", SameConv(wide, wide, group.kernel, stride=stride, groups=wide)
            residual = stride == 1 and before == after
            yield f"block{number}", SameConv(wide, after, 1, relu=False, residual=residual)
            before, number = after, number + 1
    yield "last", SameConv(before, 1280, 1)


class EfficientNetLite0(Backbone):
    """The convolutional part up to the deepest tap; the layers beyond it do not exist."""

    name = EFFICIENTNET_LITE0
    smallest_side = 32

    def __init__(self, taps: tuple[str, ...]) -> None:
        """`taps`: any of `TAPS`, each at most once; results come in this order (OptionError otherwise)."""
        super().__init__()
        for tap in taps:
            if tap not in TAPS:
                raise OptionError(
                    f"`taps` must be of block0 to block15, depthwise0 to depthwise15, expand1 to expand15 and last, "
                    f"got {tap!r} instead."
                )
        if not taps or len(set(taps)) < len(taps):
            raise OptionError(f"`taps` must name at least one layer, and none twice, got {taps!r} instead.")
        self.taps = taps
        self.layers = nn.ModuleDict()
        for name, layer in _row():
            self.layers[name] = layer
            if self.layers.keys() >= set(taps):
                break
        widths = {name: layer.conv.out_channels for name, layer in self.row()}
        self.channels = tuple(widths[tap] for tap in taps)

    def row(self) -> Iterator[tuple[str, SameConv]]:
        """All layers in the order of computation, each with its name: `stem`, or the tap that it feeds."""
        return iter(cast("dict[str, SameConv]", self.layers).items())

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of each tap, (N, K, h, w); see `Backbone.forward`."""
        self.check(images)
        return self._walk(self.row(), ((images - INPUT_MEAN) * INPUT_SCALE).expand(-1, 3, -1, -1))

    def forward_from(self, name: str, maps: Tensor) -> tuple[Tensor, ...]:
        """The maps of each tap from those of block `name`, without the layers up to it.

        ValueError for a layer that is no block of this network, or where a tap is not beyond it.
        """
        return self._walk(self.row_after(name), maps)

    def row_after(self, name: str) -> list[tuple[str, SameConv]]:
        """The part of `row` beyond block `name`; errors as for `forward_from`."""
        row = list(self.row())
        names = [layer for layer, _ in row]
        late = row[names.index(name) + 1 :] if name in names and name.startswith("block") else []
        if not {layer for layer, _ in late} >= set(self.taps):
            raise ValueError(f"`name` must be a block before all of {', '.join(self.taps)}, got {name!r} instead.")
        return late

    def _walk(self, row: Iterable[tuple[str, SameConv]], x: Tensor) -> tuple[Tensor, ...]:
        maps: dict[str, Tensor] = {}
        block = x
        for name, layer in row:
            x = layer(x)
            if layer.residual:
                x = x + block
            if name.startswith("block"):
                block = x
            if name in self.taps:
                maps[name] = x
        return tuple(maps[tap] for tap in self.taps)

    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """The middle of each cell's receptive field, as if that went on beyond the rim of the image."""
        rows, columns = (self._cells_along(side) for side in size_hw)
        return tuple(
            CellGrid(rows[tap][0], columns[tap][0], rows[tap][1], rows[tap][2], columns[tap][2]) for tap in self.taps
        )

    def _cells_along(self, side: int) -> dict[str, tuple[int, float, float]]:
        """For every layer along an image side of `side` pixels: number of cells, stride, centre of the first one."""
        found = {}
        stride, first = 1.0, 0.0
        for name, layer in self.row():
            first += stride * ((layer.kernel - 1) / 2 - layer.padding(side)[0])
            stride *= layer.stride
            side = layer.cells(side)
            found[name] = (side, stride, first)
        return found
