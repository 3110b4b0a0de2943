"""The classic CNN: three convolutions of five filters, each with max-pooling, then dense 100, 30, 20, one output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whycam.card import CellGrid
from whycam.networks.conv_pool import ConvMaxPool
from whycam.networks.heads import ReluStack, max_pool_with_routes, pull_back_max_pool
from whycam.networks.network import Linearisation, Network

_FILTERS = 5
_HIDDEN = (100, 30, 20)
_CONVOLUTIONS = 3
SMALLEST_SIDE = 22
"""Three unpadded 3 x 3 convolutions, each followed by a halving, leave one cell of it."""


def _shrunk(side: int) -> int:
    for _ in range(_CONVOLUTIONS):
        side = (side - 2) // 2
    return side


class ClassicNetwork(Network):
    """The classic network; the explained layer is the third convolution after its ReLU and before its pooling.

    At 325 x 325 pixels it has 726,371 parameters and an explained layer of 5 x 77 x 77.
    """

    name: ClassVar[str] = "classic CNN"
    layer: ClassVar[str] = "third convolution (after ReLU)"
    score: ClassVar[Literal["linear", "probability"]] = "linear"

    def __init__(self, size_hw: tuple[int, int] = (325, 325)) -> None:
        """`size_hw` is the only input size that the network takes, at least 22 pixels a side (ValueError otherwise)."""
        super().__init__()
        if min(size_hw) < SMALLEST_SIDE:
            raise ValueError(f"`size_hw` must be at least {SMALLEST_SIDE} pixels a side, got {size_hw} instead.")
        self.size_hw = size_hw
        self.first = ConvMaxPool(3, _FILTERS)
        self.second = nn.Conv2d(_FILTERS, _FILTERS, 3)
        self.third = nn.Conv2d(_FILTERS, _FILTERS, 3)
        self.head = ReluStack([_FILTERS * _shrunk(size_hw[0]) * _shrunk(size_hw[1]), *_HIDDEN])

    @property
    def stage_names(self) -> tuple[str, ...]:
        """One stage, one name."""
        return ("third convolution",)

    def initialise(self, generator: torch.Generator) -> None:
        """Glorot-uniform weights and zero biases, Keras' defaults (Glorot and Bengio 2010, equation 16)."""
        for module in self.modules():
            if isinstance(module, ConvMaxPool | nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _before_last(self, images: Tensor) -> Tensor:
        # ReLU after max-pooling gives the same values and gradients as before it, on a quarter of the cells.
        x = F.relu(self.first(images))
        return F.relu(F.max_pool2d(self.second(x), 2))

    def stages(self, images: Tensor) -> tuple[Tensor, ...]:
        """One stage, (N, 5, h, w) with h = ((H - 2) // 2 - 2) // 2 - 2: the third convolution after ReLU."""
        return (F.relu(self.third(self._before_last(images))),)

    def linearise(self, stages: Sequence[Tensor]) -> Linearisation:
        """The logit with its gradient and intercept in closed form; see `Linearisation`."""
        (features,) = stages
        pooled, routes = max_pool_with_routes(features)
        logit, gradient, intercept = self.head.linearise(pooled.flatten(1))
        height, width = features.shape[2:]
        gradients = pull_back_max_pool(gradient.reshape(pooled.shape), routes, (height, width))
        return Linearisation((features,), (features,), (gradients,), intercept, logit)

    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """Cells 4 pixels apart, the first centred on pixel 8.5: the middle of its receptive field."""
        height, width = (((side - 2) // 2 - 2) // 2 - 2 for side in size_hw)
        return (CellGrid(height, width, stride=4.0, top=8.5, left=8.5),)

    def forward(self, images: Tensor) -> Tensor:
        """The logit of each image, (N,)."""
        pooled = F.relu(F.max_pool2d(self.third(self._before_last(images)), 2))
        logit: Tensor = self.head(pooled.flatten(1))
        return logit
