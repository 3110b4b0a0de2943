"""Head parts that know their own gradient: linear once their 0/1 masks are fixed, so pulling back needs no autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReluStack(nn.Module):
    """Dense layers with ReLU between them and one linear output: (N, D) -> (N,)."""

    def __init__(self, widths: Sequence[int]) -> None:
        """`widths` are the input width and the hidden widths; the single output is added."""
        super().__init__()
        pairs = list(zip(widths, [*widths[1:], 1], strict=True))
        self.hidden = nn.ModuleList()
        for before, after in pairs[:-1]:
            self.hidden.append(nn.Linear(before, after))
        self.output = nn.Linear(*pairs[-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """The output for each row, (N,)."""
        x = inputs
        for layer in self._hidden():
            x = F.relu(layer(x))
        output: Tensor = self.output(x)
        return output[:, 0]

    def _hidden(self) -> list[nn.Linear]:
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    def linearise(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The output as an affine function of the inputs.

        Args:
            inputs: (N, D).

        Returns:
            output (N,), gradient (N, D) and intercept (N,) with ``output == (gradient * inputs).sum(1) + intercept``.
            At a pre-activation of exactly 0 the gradient is 0, as autograd has it.
        """
        # The intercept is what the biases alone contribute through the same masks: zeros sent along beside the inputs.
        x, bias_only = inputs, torch.zeros_like(inputs[:, :1])
        masks = []
        for number, layer in enumerate(self._hidden()):
            x = layer(x)
            mask = (x > 0).to(x.dtype)
            x = x * mask
            bias_only = (layer.bias if number == 0 else F.linear(bias_only, layer.weight, layer.bias)) * mask
            masks.append(mask)
        output = self.output(x)[:, 0]
        last = self.output
        intercept = F.linear(bias_only, last.weight, last.bias)[:, 0] if masks else last.bias.expand(len(inputs))
        gradient = last.weight.expand(len(inputs), -1)
        for layer, mask in zip(reversed(self._hidden()), reversed(masks), strict=True):
            gradient = (gradient * mask) @ layer.weight
        return output, gradient, intercept


def max_pool_with_routes(features: Tensor) -> tuple[Tensor, Tensor]:
    """2 x 2 max-pooling, (N, K, h, w) -> (N, K, h // 2, w // 2), and the flat index that each maximum came from.

    Among equal values the first in reading order wins, as in autograd.
    """
    pooled, routes = F.max_pool2d(features, 2, return_indices=True)
    return pooled, routes


def pull_back_max_pool(gradient: Tensor, routes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The gradient (N, K, h // 2, w // 2) of a pooled map, sent back to where the maxima came from: (N, K, h, w)."""
    n, k = gradient.shape[:2]
    flat = gradient.new_zeros(n, k, size_hw[0] * size_hw[1])
    flat.scatter_(2, routes.flatten(2), gradient.flatten(2))
    return flat.view(n, k, *size_hw)
