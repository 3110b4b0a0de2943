"""One pass over a batch that yields everything a verdict rests on: logit, score, heatmap, evidence and intercept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.card import CellGrid
from whycam.explain.maps import evidence, weighted_activation
from whycam.explain.placement import combined_grid, merge
from whycam.networks.network import Network
from whycam.networks.pooled import PooledNetwork
from whycam.types import Floats


@dataclass(frozen=True)
class StageMaps:
    """What one of the network's layers has to say about N images, over all views."""

    name: str
    grid: CellGrid
    """Where the cells of both maps lie: on those of the layer in the first view."""
    heatmaps: Floats
    """(N, h, w), >= 0: Grad-CAM of this layer alone."""
    evidence: Floats
    """(N, h, w), signed, in logit units: this layer's part of the whole."""


@dataclass(frozen=True)
class Explanation:
    """The verdict's ground for N images, over all the network's layers and views, on the cells of `combined_grid`."""

    logits: Floats
    """(N,)."""
    scores: Floats
    """(N,)."""
    heatmaps: Floats
    """(N, h, w), >= 0: Grad-CAM, its terms added up over layers and views before the ReLU."""
    evidence: Floats
    """(N, h, w), signed, in logit units."""
    intercepts: Floats
    """(N,): ``evidence.sum((1, 2)) + intercepts == logits``."""
    stages: tuple[StageMaps, ...]
    """The same layer by layer, each on its own cells."""


@contextmanager
def _for_inference(network: Network) -> Iterator[None]:
    """Evaluation mode and no autograd; every module's mode is put back afterwards, also when something raises."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def explain(network: Network, images: Tensor) -> Explanation:
    """Score and explain a batch; the network, its modes and its gradients stay as they were.

    Args:
        network: any of our networks.
        images: (N, 3, H, W) or (N, 1, H, W), float, on the network's device.
    """
    size_hw = (images.shape[2], images.shape[3])
    with _for_inference(network):
        linear = network.linearise(network.stages(images))
        names, grids = network.stage_names, network.grids(size_hw)
        terms = [_array(weighted_activation(linear, entry)) for entry in range(len(names))]
        parts = [_array(evidence(linear, entry)) for entry in range(len(names))]
        stages = []
        for name in dict.fromkeys(names):
            own = [entry for entry, other in enumerate(names) if other == name]
            stages.append(_stage(name, [(terms[entry], parts[entry], grids[entry]) for entry in own]))
        onto = combined_grid(grids, size_hw)
        return Explanation(
            logits=_array(linear.logit),
            scores=_array(network.scores(linear.logit)),
            heatmaps=_relu(merge(terms, grids, onto)),
            evidence=merge(parts, grids, onto),
            intercepts=_array(linear.intercept),
            stages=tuple(stages),
        )


def score(network: Network, images: Tensor) -> Floats:
    """The scores (N,) alone, by the cheapest way; arguments and promises as for `explain`."""
    with _for_inference(network):
        return _array(network.scores(network(images)))


def score_pooled(network: PooledNetwork, pooled: Tensor) -> Floats:
    """The scores (N,) that belong to pooled features (V, N, D), computed before; promises as for `explain`."""
    with _for_inference(network):
        return _array(network.scores_of_pooled(pooled))


def _stage(name: str, views: Sequence[tuple[Floats, Floats, CellGrid]]) -> StageMaps:
    terms, parts, grids = zip(*views, strict=True)
    return StageMaps(name, grids[0], _relu(merge(terms, grids, grids[0])), merge(parts, grids, grids[0]))


def _relu(maps: Floats) -> Floats:
    # PyTorch's own, so that a single map is to the bit what `grad_cam` makes of it.
    return _array(F.relu(torch.from_numpy(maps)))


def _array(tensor: Tensor) -> Floats:
    array: Floats = np.asarray(tensor.cpu().numpy())
    return array
