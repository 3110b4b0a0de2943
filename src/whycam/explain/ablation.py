"""Ablation-CAM without its cost: what the logit loses with each channel, found in the head alone, thousands at a time.

A pooled head sees a channel as two numbers, its mean and its maximum. Without the channel both change, and with them
every hidden unit by a known amount: a few operations a unit instead of another pass.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.networks.heads import PooledHead, pool
from whycam.networks.network import Linearisation, Network
from whycam.networks.pooled import PooledNetwork


def ablation_cam(network: Network, linearisation: Linearisation) -> tuple[Tensor, ...]:
    """Ablation-CAM (Desai and Ramaswamy 2020, doi 10.1109/WACV45572.2020.9093360), of each entry.

    ``w_k = (y - y_k) / norm;  map = sum_k w_k A_k``, with y_k the logit where channel k of this entry alone is 0 in all
    cells: silent, as the layer gives it. As in Grad-CAM++ the weights are those of the activations, for only there does
    a positive drop mean that more of the channel raises the logit; what is shown are the features (see
    `whycam.explain.cam`).

    The paper's slope has the norm of A_k below the line, then y in its stead for all channels. A logit may be 0 or
    negative, where dividing by it makes no sense or turns the map over. So it is the entry's norm here: the L1 norms of
    its channels on average. For one layer and image this changes the map by a positive factor (where y > 0); it
    leaves logit units, comparable between layers, views and images.

    Args:
        network: that made `linearisation`.
        linearisation: of N images.

    Returns:
        For each entry (N, h, w), signed, before the ReLU.
    """
    if isinstance(network, PooledNetwork):
        drops = _pooled_drops(network, linearisation)
    else:
        drops = tuple(_drops(network, linearisation, entry) for entry in range(len(linearisation.features)))
    return tuple(map(_weighted, linearisation.activations, linearisation.features, drops))


def _weighted(activations: Tensor, features: Tensor, drops: Tensor) -> Tensor:
    norm = activations.abs().sum(dim=(2, 3)).mean(dim=1).clamp(min=torch.finfo(features.dtype).tiny)
    return ((drops / norm[:, None])[..., None, None] * features).sum(dim=1)


def _drops(network: Network, linearisation: Linearisation, entry: int) -> Tensor:
    """y - y_k for each channel of one entry, (N, K), by as many passes of the head."""
    stages = list(linearisation.activations)
    maps = stages[entry]
    drops = []
    for channel in range(maps.shape[1]):
        stages[entry] = maps.clone()
        stages[entry][:, channel] = 0
        drops.append(linearisation.logit - network.linearise(stages).logit)
    return torch.stack(drops, dim=1)


def _pooled_drops(network: PooledNetwork, linearisation: Linearisation) -> tuple[Tensor, ...]:
    """y - y_k for each entry, (N, K)."""
    head, views = network.head, len(network.views)
    pooled = [pool(maps) for maps in linearisation.activations]
    taps = len(pooled) // views
    drops: list[Tensor] = []
    for first in range(0, len(pooled), taps):
        means, maxima = (torch.cat([layer[n] for layer in pooled[first : first + taps]], dim=1) for n in (0, 1))
        drops += torch.split(_drops_of_view(head, means, maxima) / views, list(head.channels), dim=1)
    return tuple(drops)


def _drops_of_view(head: PooledHead, means: Tensor, maxima: Tensor) -> Tensor:
    """What one view's logit loses with each channel, (N, C), of whose maps these are mean and maximum, each (N, C)."""
    channels = means.shape[1]
    x = (torch.cat([means, maxima], dim=1) - head.shift) * head.scale
    # Without the channel, mean and maximum are both 0.
    less_mean, less_maximum = means * head.scale[:channels], maxima * head.scale[channels:]
    skip = head.skip.weight[0]
    drops = less_mean * skip[:channels] + less_maximum * skip[channels:]
    if head.hidden is None or head.output is None:
        return drops
    # (C, H): what a step of the mean, and one of the maximum, does to each unit.
    by_mean, by_maximum = (part.T.contiguous() for part in torch.split(head.hidden.weight, channels, dim=1))
    for row, units in enumerate(head.hidden(x)):
        ablated = torch.addcmul(units, less_mean[row, :, None], by_mean, value=-1)
        ablated.addcmul_(less_maximum[row, :, None], by_maximum, value=-1).relu_()
        # Subtracted before they are weighed and added up: the sums nearly cancel.
        drops[row] += (F.relu(units) - ablated) @ head.output.weight[0]
    return drops
