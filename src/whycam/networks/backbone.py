"""What every backbone promises: feature maps of chosen layers, and where their cells lie on the image."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from whycam.card import CellGrid
from whycam.errors import OptionError
from whycam.networks.names import EFFICIENTNET_LITE0, TIMM_PREFIX


class Backbone(nn.Module, ABC):
    """The convolutional part of a network, usually pretrained; `taps` name the layers whose maps it gives out."""

    name: str
    taps: tuple[str, ...]
    channels: tuple[int, ...]
    """Of each tap's maps."""
    smallest_side: int
    """Images must have at least as many pixels a side."""

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of each tap, (N, K, h, w), from images in [0, 1]: (N, 3, H, W), or (N, 1, H, W) where all are grey.

        ValueError for images with other channels or fewer than `smallest_side` pixels a side.
        """

    @abstractmethod
    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """Where the cells of each tap lie on an image of `size_hw` pixels."""

    @property
    def weights_digest(self) -> str:
        """SHA-256 over names and values of all weights and buffers: with `name` and `taps` it determines the maps."""
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def check(self, images: Tensor) -> None:
        """ValueError for images that `forward` does not take."""
        if images.ndim != 4 or images.shape[1] not in (1, 3) or min(images.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"`images` must have shape (N, 3 or 1, H, W) with at least {self.smallest_side} pixels a side, "
                f"got {tuple(images.shape)} instead."
            )


def build_backbone(name: str, taps: tuple[str, ...], *, pretrained: bool) -> Backbone:
    """The backbone of that name, in evaluation mode.

    Args:
        name: `efficientnet-lite0`, or `timm:` and a model name of the package timm.
        taps: the layers whose maps are wanted; for timm also `()`, all levels of its pyramid.
        pretrained: with the published weights; otherwise with random ones, to be loaded into.

    Raises:
        OptionError: an unknown name or tap, or a timm model without feature maps.
        MissingDependencyError: the package with the weights, or timm, is not installed.
        RunError: the weights cannot be read or fetched.
    """
    # Here, because these modules need the class above.
    from whycam.networks.efficientnet_lite import EfficientNetLite0
    from whycam.networks.pretrained import pretrained as pretrained_lite
    from whycam.networks.timm_backbone import TimmBackbone

    if name == EFFICIENTNET_LITE0:
        return pretrained_lite(taps) if pretrained else EfficientNetLite0(taps).eval()
    if name.startswith(TIMM_PREFIX):
        return TimmBackbone(name.removeprefix(TIMM_PREFIX), taps, pretrained=pretrained).eval()
    raise OptionError(f"`backbone` must be {EFFICIENTNET_LITE0} or {TIMM_PREFIX}NAME, got {name!r} instead.")
