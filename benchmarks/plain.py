"""The classic network and its training step as anyone would write them in PyTorch: what ours is compared with."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from whycam.networks.classic import ClassicNetwork


class PlainClassic(nn.Module):
    """Three times convolution, ReLU, pooling; then dense layers."""

    def __init__(self, weights: ClassicNetwork) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, 5, 3) for channels in (3, 5, 5))
        widths = (weights.head.hidden[0].in_features, 100, 30, 20, 1)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        for mine, theirs in zip(self.parameters(), weights.parameters(), strict=True):
            mine.data.copy_(theirs.data)
        self.explained = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for convolution in self.convolutions[:2]:
            x = F.max_pool2d(F.relu(convolution(x)), 2)
        x = F.max_pool2d(self.explained(self.convolutions[2](x)), 2).flatten(1)
        for dense in self.dense[:-1]:
            x = F.relu(dense(x))
        return self.dense[-1](x)
