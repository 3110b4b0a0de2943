"""One pass over a batch that yields everything a verdict rests on: logit, score, heatmap, evidence and intercept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whycam.explain.maps import evidence, grad_cam
from whycam.networks.network import Network
from whycam.types import Floats


@dataclass(frozen=True)
class Explanation:
    """The verdict's ground for N images, for the network's last stage."""

    logits: Floats
    """(N,)."""
    scores: Floats
    """(N,)."""
    heatmaps: Floats
    """(N, h, w), >= 0: Grad-CAM."""
    evidence: Floats
    """(N, h, w), signed, in logit units."""
    intercepts: Floats
    """(N,): ``evidence.sum((1, 2)) + intercepts == logits`` for a network of one stage."""


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
    with _for_inference(network):
        linear = network.linearise(network.stages(images))
        return Explanation(
            logits=_array(linear.logit),
            scores=_array(network.scores(linear.logit)),
            heatmaps=_array(grad_cam(linear)),
            evidence=_array(evidence(linear)),
            intercepts=_array(linear.intercept),
        )


def score(network: Network, images: Tensor) -> Floats:
    """The scores (N,) alone, by the cheapest way; arguments and promises as for `explain`."""
    with _for_inference(network):
        return _array(network.scores(network(images)))


def _array(tensor: Tensor) -> Floats:
    array: Floats = np.asarray(tensor.cpu().numpy())
    return array
