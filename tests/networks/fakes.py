"""A backbone small enough to check by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from whycam.card import CellGrid
from whycam.networks.backbone import Backbone
from whycam.networks.heads import PooledHead
from whycam.networks.pooled import PooledNetwork


class FakeBackbone(Backbone):
    """Two unpadded convolutions of strides 4 and 3; softplus, so that no two values are equal."""

    name = "fake"
    taps = ("shallow", "deep")
    channels = (4, 7)
    smallest_side = 11

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, stride=4)
        self.second = torch.nn.Conv2d(4, 7, 3, stride=3)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        self.check(images)
        shallow = F.softplus(self.first(images.expand(-1, 3, -1, -1)))
        return shallow, F.softplus(self.second(shallow))

    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        shallow = [(side - 3) // 4 + 1 for side in size_hw]
        deep = [(side - 3) // 3 + 1 for side in shallow]
        return CellGrid(*shallow, stride=4.0, top=1.0, left=1.0), CellGrid(*deep, stride=12.0, top=5.0, left=5.0)


def fake_network(
    seed: int = 0,
    *,
    hidden: int = 5,
    views: tuple[int, ...] = (0,),
    size_hw: tuple[int, int] | None = None,
) -> PooledNetwork:
    """Random weights and centres, and a head with a random shift and scale; in evaluation mode."""
    head = PooledHead(FakeBackbone.channels, hidden)
    network = PooledNetwork(FakeBackbone(), head, views=views, size_hw=size_hw)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.5, generator=generator)
    network.head.shift.normal_(0, 1, generator=generator)
    network.head.scale.uniform_(0.5, 3, generator=generator)
    network.centre_on([torch.randn(centre.shape, generator=generator) for centre in network.centres()])
    return network.eval()
