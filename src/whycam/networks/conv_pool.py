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
        """
        grey = images.shape[1] == 1
        weight = self.weight.sum(dim=1, keepdim=True) if grey else self.weight
        pooled: Tensor = _ConvMaxPool.apply(images, weight, self.bias)  # type: ignore[no-untyped-call]
        return pooled


def _patches(images: Tensor, out_hw: tuple[int, int]) -> Tensor:
    """Every 4 x 4 patch at stride 2 as a column: (C * 16, N * h * w)."""
    n, c, _, _ = images.shape
    sn, sc, sh, sw = images.stride()
    windows = images.as_strided((c, _PATCH, _PATCH, n, *out_hw), (sc, sh, sw, sn, 2 * sh, 2 * sw))
    return windows.reshape(c * _PATCH * _PATCH, -1)


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
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        n, c, height, width = images.shape
        k = len(weight)
        out_hw = ((height - 2) // 2, (width - 2) // 2)
        columns = _patches(images, out_hw)
        positions = (_widened(weight) @ columns).view(4, k, -1)
        top = torch.maximum(positions[0], positions[1])
        bottom = torch.maximum(positions[2], positions[3])
        pooled = torch.maximum(top, bottom).add_(bias[:, None])
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(columns, positions[0] >= positions[1], positions[2] >= positions[3], top >= bottom)
            ctx.channels = c
        # The caller's layers want (N, K, h, w); this is a view, channels outermost in memory.
        return pooled.view(k, n, *out_hw).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        columns, first_in_top, first_in_bottom, top_wins = ctx.saved_tensors
        gradient = gradients[0].transpose(0, 1).reshape(gradients[0].shape[1], -1)
        routed = gradient.new_empty(4, *gradient.shape)
        to_top = gradient * top_wins
        to_bottom = gradient - to_top
        torch.mul(to_top, first_in_top, out=routed[0])
        torch.sub(to_top, routed[0], out=routed[1])
        torch.mul(to_bottom, first_in_bottom, out=routed[2])
        torch.sub(to_bottom, routed[2], out=routed[3])
        weight_gradient = _narrowed(routed.view(-1, routed.shape[2]) @ columns.T, ctx.channels)
        return None, weight_gradient, gradient.sum(dim=1)
