"""What every network promises: feature maps, and a head that can be written down as an affine function of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from whycam.card import CellGrid


@dataclass(frozen=True)
class Linearisation:
    """The head, around one batch of feature maps, as the affine function that it is there.

    For every image, ``logit == sum over entries and cells of gradient * features + intercept`` exactly (up to
    rounding), because a head of linear layers, ReLU and max- or average-pooling is piecewise linear (HiResCAM, arXiv
    2011.08891, section 3, has the proof for one linear layer; the masks of ReLU and max extend it to all of them).
    """

    activations: tuple[Tensor, ...]
    """For each entry (N, K, h, w): the maps as the layer gives them."""
    features: tuple[Tensor, ...]
    """For each entry (N, K, h, w): the feature maps A that are explained, activations less what the network takes off
    them, which is the same for every image."""
    gradients: tuple[Tensor, ...]
    """For each entry (N, K, h, w): dy/dA, in closed form."""
    intercept: Tensor
    """(N,): what the logit would be with all features at zero and the head's masks as they are."""
    logit: Tensor
    """(N,)."""


class Network(nn.Module, ABC):
    """A convolutional part that yields feature maps, and a piecewise linear head that turns them into one logit."""

    score: ClassVar[Literal["linear", "probability"]]

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the architecture, for people and for the card."""

    @property
    @abstractmethod
    def layer(self) -> str:
        """The name of the explained layer or layers, for people."""

    @property
    @abstractmethod
    def stage_names(self) -> tuple[str, ...]:
        """The name of each entry of `stages`; the same name where entries show the same layer in other views."""

    @abstractmethod
    def stages(self, images: Tensor) -> tuple[Tensor, ...]:
        """The feature maps of `images`, as the layers give them.

        Args:
            images: (N, 3, H, W), or (N, 1, H, W) where all are grey, in the network's value range.

        Returns:
            One (N, K, h, w) tensor an entry, each in the orientation of the image. A network has an entry for each
            layer that its head reads (a stage), the last stage last, and for each view of the image that it looks at.
        """

    @abstractmethod
    def linearise(self, stages: Sequence[Tensor]) -> Linearisation:
        """The logit of `stages`, and its gradient and intercept in closed form: no autograd and no second pass."""

    @abstractmethod
    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """Where the cells of each entry of `stages` lie on an input of `size_hw` pixels."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """The logit of each image, (N,): the cheapest way there, differentiable."""

    def freeze(self) -> None:
        """Evaluation mode, and whatever makes judging fast from now on; the weights must not change any more."""
        self.eval()

    @property
    def n_parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def scores(self, logit: Tensor) -> Tensor:
        """The score that belongs to each logit: the logit itself, or its sigmoid."""
        return torch.sigmoid(logit) if self.score == "probability" else logit
