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
        return _linearise(self._hidden(), self.output, inputs)


def _linearise(hidden: Sequence[nn.Linear], last: nn.Linear, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # The intercept is what the biases alone contribute through the same masks: zeros sent along beside the inputs.
    x, bias_only = inputs, torch.zeros_like(inputs[:, :1])
    masks = []
    for number, layer in enumerate(hidden):
        x = layer(x)
        mask = (x > 0).to(x.dtype)
        x = x * mask
        bias_only = (layer.bias if number == 0 else F.linear(bias_only, layer.weight, layer.bias)) * mask
        masks.append(mask)
    output = last(x)[:, 0]
    intercept = F.linear(bias_only, last.weight, last.bias)[:, 0] if masks else last.bias.expand(len(inputs))
    gradient = last.weight.expand(len(inputs), -1)
    for layer, mask in zip(reversed(hidden), reversed(masks), strict=True):
        gradient = (gradient * mask) @ layer.weight
    return output, gradient, intercept


class PooledHead(nn.Module):
    """A small head on pooled feature maps: ``y = skip(x) + output(relu(hidden(x)))``, ``x = (pooled - shift) * scale``.

    Of maps with C_1, ..., C_S channels it takes every channel's mean over the cells, then every channel's maximum:
    (N, D) with D = 2 * (C_1 + ... + C_S). `shift` and `scale` (D,) are buffers, 0 and 1 until somebody fills them.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: Sequence[int], hidden: int) -> None:
        """`channels` are C_1, ..., C_S; without `hidden` units (0) the head is linear, and has no `output` either."""
        super().__init__()
        width = 2 * sum(channels)
        self.channels = tuple(channels)
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.skip = nn.Linear(width, 1)
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.output = nn.Linear(hidden, 1) if hidden else None

    @classmethod
    def of(
        cls,
        channels: Sequence[int],
        *,
        shift: Tensor,
        scale: Tensor,
        skip: tuple[Tensor, float],
        hidden: tuple[Tensor, Tensor],
        output: tuple[Tensor, float],
    ) -> PooledHead:
        """A head with these weights and biases: `skip` (D,), `hidden` (H, D) with (H,), `output` (H,)."""
        head = cls(channels, len(hidden[1]))
        head.shift.copy_(shift)
        head.scale.copy_(scale)
        values = {
            "skip.weight": skip[0][None],
            "skip.bias": torch.tensor([skip[1]]),
            "hidden.weight": hidden[0],
            "hidden.bias": hidden[1],
            "output.weight": output[0][None],
            "output.bias": torch.tensor([output[1]]),
        }
        with torch.no_grad():
            for name, parameter in head.named_parameters():
                parameter.copy_(values[name])
        return head

    def from_pooled(self, pooled: Tensor, *, factors: Tensor | None = None) -> Tensor:
        """The logits (N,) of pooled features (N, D), differentiable; `factors` (N, H) of hidden units are dropout's."""
        x = (pooled - self.shift) * self.scale
        logit: Tensor = self.skip(x)[:, 0]
        if self.hidden is not None and self.output is not None:
            units = F.relu(self.hidden(x))
            logit = logit + self.output(units if factors is None else units * factors)[:, 0]
        return logit

    @torch.no_grad()
    def rescale(self, slope: float, intercept: float) -> None:
        """Change the weights in place so that ``y`` becomes ``slope * y + intercept``."""
        for layer in (self.skip, self.output):
            if layer is not None:
                layer.weight.mul_(slope)
                layer.bias.mul_(slope)
        self.skip.bias.add_(intercept)

    def linearise_pooled(self, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logit as an affine function of the pooled features (N, D); returns as `ReluStack.linearise`."""
        x = (pooled - self.shift) * self.scale
        logit, gradient, intercept = _linearise((), self.skip, x)
        if self.hidden is not None and self.output is not None:
            parts = _linearise((self.hidden,), self.output, x)
            logit, gradient, intercept = logit + parts[0], gradient + parts[1], intercept + parts[2]
        gradient = gradient * self.scale
        # Large terms that cancel: `sum` adds them in pairs, more exactly than a matrix product.
        return logit, gradient, intercept - (gradient * self.shift).sum(dim=1)


def pool_all(layers: Sequence[Tensor]) -> Tensor:
    """What a `PooledHead` takes of the maps (N, C, h, w) of each layer: (N, D), every mean, then every maximum."""
    pooled = [pool(maps) for maps in layers]
    return torch.cat([means for means, _, _ in pooled] + [maxima for _, maxima, _ in pooled], dim=1)


def pool(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and maximum of each map over its cells, and the flat index that each maximum came from.

    Among equal values (frequent: ReLU6 clips at both ends) the first in reading order wins, also for autograd.

    Args:
        maps: (N, C, h, w).

    Returns:
        means (N, C), maxima (N, C) and routes (N, C), integer.
    """
    maxima, indices = F.adaptive_max_pool2d(maps.detach(), 1, return_indices=True)
    routes = indices[..., 0, 0]
    if maps.requires_grad:
        # By hand, as training runs in deterministic mode, where PyTorch refuses this pooling's own backward on CUDA.
        return maps.mean(dim=(2, 3)), maps.flatten(2).gather(2, routes[..., None])[..., 0], routes
    return maps.mean(dim=(2, 3)), maxima[..., 0, 0], routes


def pull_back(mean_gradient: Tensor, max_gradient: Tensor, routes: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The gradients (N, C) of means and maxima sent back to the cells: evenly, and to where the maximum came from.

    Returns:
        (N, C, h, w) with (h, w) = `size_hw`.
    """
    n, c = mean_gradient.shape
    cells = size_hw[0] * size_hw[1]
    flat = (mean_gradient / cells)[..., None].repeat(1, 1, cells)
    flat.scatter_add_(2, routes[..., None], max_gradient[..., None])
    return flat.view(n, c, *size_hw)


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
