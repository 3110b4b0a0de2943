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
from whycam.explain.ablation import ablation_cam
from whycam.explain.cam import eigen_cam, grad_cam_plus_plus, layer_cam, xgrad_cam
from whycam.explain.maps import evidence, weighted_activation
from whycam.explain.methods import Method
from whycam.explain.perturbing import occlusion, score_cam
from whycam.explain.placement import combined_grid, merge
from whycam.networks.network import Linearisation, Network
from whycam.networks.pooled import PooledNetwork
from whycam.progress import SILENT, Progress
from whycam.types import Floats


@dataclass(frozen=True)
class StageMaps:
    """What one of the network's layers has to say about N images, over all views."""

    name: str
    grid: CellGrid
    """Where the cells of both maps lie: on those of the layer in the first view."""
    heatmaps: Floats
    """(N, h, w), >= 0: this layer alone, by the explanation's method; by Grad-CAM for `occlusion`, which knows none."""
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
    """(N, h, w), >= 0: by `method`, its terms added up over layers and views before the ReLU."""
    evidence: Floats
    """(N, h, w), signed, in logit units."""
    intercepts: Floats
    """(N,): ``evidence.sum((1, 2)) + intercepts == logits``."""
    stages: tuple[StageMaps, ...]
    """The same layer by layer, each on its own cells."""
    plain: Floats | None = None
    """(N, D) pooled features of the images as they are, of a network that pools; novelty is judged by them."""
    method: Method = "grad-cam"
    """What the heatmaps were made by; logits, scores, evidence and intercepts are the same whichever it is."""


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


def explain(
    network: Network, images: Tensor, *, method: Method = "grad-cam", progress: Progress = SILENT
) -> Explanation:
    """Score and explain a batch; the network, its modes and its gradients stay as they were.

    Args:
        network: any of our networks.
        images: (N, 3, H, W) or (N, 1, H, W), float, on the network's device.
        method: what makes the heatmaps. The whole takes less than twice as long as scoring, but about a hundred times
            as long and more by `score-cam` and `occlusion`; see docs/methods.md.
        progress: hears of the passes of these two.
    """
    size_hw = (images.shape[2], images.shape[3])
    with _for_inference(network):
        linear = network.linearise(network.stages(images))
        plain = None
        if isinstance(network, PooledNetwork) and 0 in network.views:
            plain = _array(network.pooled_of_stages(linear.activations))
        names, grids = network.stage_names, network.grids(size_hw)
        terms = [_array(term) for term in _terms(method, network, images, linear, progress)]
        parts = [_array(evidence(linear, entry)) for entry in range(len(names))]
        stages = []
        for name in dict.fromkeys(names):
            own = [entry for entry, other in enumerate(names) if other == name]
            stages.append(_stage(name, [(terms[entry], parts[entry], grids[entry]) for entry in own]))
        onto = combined_grid(grids, size_hw)
        if method == "occlusion":
            whole = occlusion(network, images, onto=onto, progress=progress)
        else:
            whole = merge(terms, grids, onto)
        return Explanation(
            logits=_array(linear.logit),
            scores=_array(network.scores(linear.logit)),
            heatmaps=_relu(whole),
            evidence=merge(parts, grids, onto),
            intercepts=_array(linear.intercept),
            stages=tuple(stages),
            plain=plain,
            method=method,
        )


def score(network: Network, images: Tensor) -> Floats:
    """The scores (N,) alone, by the cheapest way; arguments and promises as for `explain`."""
    with _for_inference(network):
        return _array(network.scores(network(images)))


def pool(network: PooledNetwork, images: Tensor) -> Tensor:
    """The pooled features (V, N, D) that scores rest on; arguments and promises as for `explain`."""
    with _for_inference(network):
        return network.pooled(images)


def score_pooled(network: PooledNetwork, pooled: Tensor) -> Floats:
    """The scores (N,) that belong to pooled features (V, N, D), computed before; promises as for `explain`."""
    with _for_inference(network):
        return _array(network.scores_of_pooled(pooled))


def _terms(
    method: Method, network: Network, images: Tensor, linear: Linearisation, progress: Progress
) -> Sequence[Tensor]:
    """For each entry the method's map (N, h, w) before the ReLU."""
    entries = range(len(network.stage_names))
    match method:
        case "grad-cam" | "occlusion":
            return [weighted_activation(linear, entry) for entry in entries]
        case "grad-cam++":
            return [grad_cam_plus_plus(linear, entry) for entry in entries]
        case "xgrad-cam":
            return [xgrad_cam(linear, entry) for entry in entries]
        case "hires-cam":
            return [evidence(linear, entry) for entry in entries]
        case "layer-cam":
            return [layer_cam(linear, entry) for entry in entries]
        case "eigen-cam":
            return [eigen_cam(linear, entry) for entry in entries]
        case "ablation-cam":
            return ablation_cam(network, linear)
        case "score-cam":
            return score_cam(network, images, linear, progress=progress)


def _stage(name: str, views: Sequence[tuple[Floats, Floats, CellGrid]]) -> StageMaps:
    terms, parts, grids = zip(*views, strict=True)
    return StageMaps(name, grids[0], _relu(merge(terms, grids, grids[0])), merge(parts, grids, grids[0]))


def _relu(maps: Floats) -> Floats:
    # PyTorch's own, so that a single map is to the bit what `grad_cam` makes of it.
    return _array(F.relu(torch.from_numpy(maps)))


def _array(tensor: Tensor) -> Floats:
    array: Floats = np.asarray(tensor.cpu().numpy())
    return array
