"""Grad-CAM and evidence, computed from the head's closed-form gradient: no autograd, no hooks, no second pass."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from whycam.networks.network import Linearisation


def weighted_activation(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """Grad-CAM before its ReLU, ``sum_k alpha_k A_k`` with ``alpha_k = mean_ij dy/dA_kij``: (N, h, w), signed.

    Under mean pooling its sum over the cells is the layer's contribution to the logit. Layers may therefore be added
    where each one's map has been divided among the same cells.
    """
    features, gradients = linearisation.features[entry], linearisation.gradients[entry]
    alpha = gradients.mean(dim=(2, 3), keepdim=True)
    return (alpha * features).sum(dim=1)


def grad_cam(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """Grad-CAM heatmaps (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2), for the logit.

    ``alpha_k = mean_ij dy/dA_kij;  heatmap = ReLU(sum_k alpha_k A_k)``

    Args:
        linearisation: of N images.
        entry: which of the network's feature maps.

    Returns:
        (N, h, w), >= 0, not rescaled: comparable between images.
    """
    return F.relu(weighted_activation(linearisation, entry))


def evidence(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """Evidence maps, known as HiResCAM (Draelos and Carin 2020, arXiv 2011.08891, equation 5).

    ``E_ij = sum_k dy/dA_kij * A_kij``; over all entries and cells, evidence and intercept sum to the logit exactly.

    Returns:
        (N, h, w), signed, in logit units.
    """
    return (linearisation.gradients[entry] * linearisation.features[entry]).sum(dim=1)
