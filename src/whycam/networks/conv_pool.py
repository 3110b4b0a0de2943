"""The first layer made fast: a 3 x 3 convolution and its 2 x 2 max-pooling as one matrix product.

Convolution libraries are built for many channels; with 1 or 3 in and 5 out they spend most of a training step here. All
four positions of a pooling window together see a 4 x 4 patch, so the four results are one product of a (4 K) x (16 C)
matrix with the patches laid out in columns, and pooling is a maximum over four contiguous planes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_KERNEL = 3
_PATCH = 4


class ConvMaxPool(nn.Module):
    """``max_pool2d(conv2d(images, weight, bias), 2)`` with a 3 x 3 kernel and no padding.

    Differentiable in its weight (K, C, 3, 3) and bias (K,), not in the images: it is a network's first layer.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(filters, channels, _KERNEL, _KERNEL))
        self.bias = nn.Parameter(torch.empty(filters))
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), or (N, 1, H, W) for C equal channels -> (N, K, (H - 2) // 2, (W - 2) // 2).

        Among equal values in a pooling window the first in reading order takes the gradient, as in PyTorch.
        ValueError for another number of channels.
        """
        channels, grey = self.weight.shape[1], images.shape[1] == 1
        if not grey and images.shape[1] != channels:
            raise ValueError(f"`images` must have {channels} channels or 1, got shape {tuple(images.shape)} instead.")
        weight = self.weight.sum(dim=1, keepdim=True) if grey else self.weight
        pooled: Tensor = _ConvMaxPool.apply(images, weight, self.bias)  # type: ignore[no-untyped-call]
        return pooled


def _patches(image: Tensor, out_hw: tuple[int, int]) -> Tensor:
    """Every 4 x 4 patch of one image (C, H, W) at stride 2, as a view: (C, 4, 4, h, w)."""
    sc, sh, sw = image.stride()
    return image.as_strided((image.shape[0], _PATCH, _PATCH, *out_hw), (sc, sh, sw, 2 * sh, 2 * sw))


def _widened(weight: Tensor) -> Tensor:
    """The kernel at the four positions of a pooling window, in reading order: (4 K, C * 16)."""
    k, c = weight.shape[:2]
    wide = weight.new_zeros(2, 2, k, c, _PATCH, _PATCH)
    for row in range(2):
        for column in range(2):
            wide[row, column, :, :, row : row + _KERNEL, column : column + _KERNEL] = weight
    return wide.view(4 * k, -1)


def _narrowed(wide: Tensor, channels: int) -> Tensor:
    """The transpose of `_widened`: (4 K, C * 16) -> (K, C, 3, 3), summing the four positions."""
    parts = wide.view(2, 2, -1, channels, _PATCH, _PATCH)
    narrow = parts.new_zeros(parts.shape[2], channels, _KERNEL, _KERNEL)
    for row in range(2):
        for column in range(2):
            narrow += parts[row, column, :, :, row : row + _KERNEL, column : column + _KERNEL]
    return narrow


class _ConvMaxPool(torch.autograd.Function):
    # One image at a time, in buffers that stay in the processor's cache: for a whole batch at once the time goes into
    # fetching fresh memory instead.

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, c, height, width = images.shape
        k, h, w = len(weight), (height - 2) // 2, (width - 2) // 2
        wide = _widened(weight)
        columns = images.new_empty(c, _PATCH, _PATCH, h, w)
        positions = images.new_empty(4 * k, h * w)
        # Channels last in memory, as the next convolution is fastest with.
        pooled = images.new_empty(n, h, w, k)
        wins = images.new_empty((n, 3, k, h * w), dtype=torch.bool)
        for number in range(n):
            columns.copy_(_patches(images[number], (h, w)))
            torch.mm(wide, columns.view(len(wide.T), -1), out=positions)
            first, second, third, fourth = positions.view(4, k, -1)
            torch.ge(first, second, out=wins[number, 0])
            torch.ge(third, fourth, out=wins[number, 1])
            torch.maximum(first, second, out=first)
            torch.maximum(third, fourth, out=third)
            torch.ge(first, third, out=wins[number, 2])
            torch.maximum(first, third, out=first)
            torch.add(first.view(k, h, w).permute(1, 2, 0), bias, out=pooled[number])
        ctx.save_for_backward(images, wins)
        return pooled.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        images, wins = ctx.saved_tensors
        n, c = images.shape[:2]
        k, h, w = gradients[0].shape[1:]
        columns = images.new_empty(c, _PATCH, _PATCH, h, w)
        routed = images.new_empty(4, k, h * w)
        weight_gradient = images.new_zeros(4 * k, c * _PATCH * _PATCH)
        for number in range(n):
            gradient = gradients[0][number].reshape(k, -1)
            torch.mul(gradient, wins[number, 2], out=routed[0])
            torch.sub(gradient, routed[0], out=routed[2])
            for pair, wins_in_pair in ((0, wins[number, 0]), (2, wins[number, 1])):
                torch.mul(routed[pair], ~wins_in_pair, out=routed[pair + 1])
                routed[pair].sub_(routed[pair + 1])
            columns.copy_(_patches(images[number], (h, w)))
            weight_gradient.addmm_(routed.view(4 * k, -1), columns.view(weight_gradient.shape[1], -1).T)
        return None, _narrowed(weight_gradient, c), gradients[0].sum(dim=(0, 2, 3))
