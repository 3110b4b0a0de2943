"""Relatives of Grad-CAM in closed form: other weights on the same feature maps and gradients, at almost no cost.

Every function gives the map of one of the network's entries before the ReLU, so that entries can be merged as those of
Grad-CAM are. Where a network explains its maps less what normal images have there (`PooledNetwork`), two things must
not be mixed up: *what is shown* are the features, maps less their centres, as in Grad-CAM; but the *weights* of
Grad-CAM++ and XGrad-CAM divide by sums of activations, which their papers take to be rectified. For features such sums
pass through zero and the weights would mean nothing, so these two (and `ablation_cam`) take the weights from the
activations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.networks.network import Linearisation

_CELLS = (2, 3)


def grad_cam_plus_plus(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063, equation 19) of Y = exp(logit).

    The logit is piecewise linear, so the derivatives of Y are powers of ``g = dy/dA`` and with S_k = sum_ij A_kij

    ``w_k = mean_ij alpha_kij relu(g_kij);  alpha = g^2 / (2 g^2 + S g^3) = 1 / (2 + S g)``

    The paper adds up over the cells, where Grad-CAM takes the mean; it is the mean here, so that layers with different
    numbers of cells can be added: for one layer a constant factor. S counts as 0 where it is negative, which rectified
    maps never are: alpha stays in (0, 1/2].

    Args:
        linearisation: of N images.
        entry: which of the network's feature maps.

    Returns:
        (N, h, w); >= 0 where nothing was taken off rectified maps. In logit units, but no share of the logit.
    """
    features, rising = linearisation.features[entry], F.relu(linearisation.gradients[entry])
    total = F.relu(linearisation.activations[entry].sum(dim=_CELLS, keepdim=True))
    weights = (rising / (2 + total * rising)).mean(dim=_CELLS, keepdim=True)
    return (weights * features).sum(dim=1)


def xgrad_cam(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """XGrad-CAM (Fu et al. 2020, arXiv 2008.02312): gradients averaged with the activations as weights.

    ``w_k = sum_ij g_kij A_kij / sum_ij A_kij``, 0 where the channel is silent; signed, in logit units.

    For rectified maps with nothing taken off, the map has the same sum as the entry's evidence (the paper's axiom of
    conservation). Activations of both signs (a backbone with SiLU or GELU) count with their absolute values, without
    which the weights would grow beyond all bounds wherever they cancel.

    Arguments as for `grad_cam_plus_plus`.

    Returns:
        (N, h, w), signed.
    """
    features, gradients = linearisation.features[entry], linearisation.gradients[entry]
    size = linearisation.activations[entry].abs()
    total = size.sum(dim=_CELLS, keepdim=True)
    weights = (gradients * size).sum(dim=_CELLS, keepdim=True) / torch.where(total > 0, total, 1)
    return (weights * features).sum(dim=1)


def layer_cam(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """LayerCAM (Jiang et al. 2021, doi 10.1109/TIP.2021.3089943): ``sum_k relu(g_kij) A_kij``.

    The evidence, less what cells contribute by a negative gradient.

    Returns:
        (N, h, w), in logit units; >= 0 where the maps are.
    """
    return (F.relu(linearisation.gradients[entry]) * linearisation.features[entry]).sum(dim=1)


def eigen_cam(linearisation: Linearisation, entry: int = -1) -> Tensor:
    """Eigen-CAM (Muhammad and Yeasin 2020, arXiv 2008.00299): the maps' first principal component.

    With the maps as a matrix A (cells x channels) and v its first right singular vector, the component is A v. Nothing
    is taken off beforehand but what the network's maps are without already. The logit plays no part in where it is hot:
    it shows what stands out, not what raised the score. Two things that the paper leaves open:

    - the sign of a singular vector is arbitrary: the component's largest absolute value is made positive (Chung and
      Ying 2025, doi 10.3390/app15137562, equation 13);
    - layers differ in scale: the component is multiplied by ``|v . alpha|``, alpha Grad-CAM's weights: by how far the
      logit moves along v. This makes it logit units, comparable between layers, views and images; for one layer and
      image it is a positive factor.

    Returns:
        (N, h, w), signed.
    """
    features, gradients = linearisation.features[entry], linearisation.gradients[entry]
    rows = features.flatten(2)  # (N, K, cells)
    alpha = gradients.mean(dim=_CELLS)
    if rows.shape[1] < rows.shape[2]:
        v = _first_eigenvector(rows @ rows.mT)
        component = (rows.mT @ v[..., None])[..., 0] * (v * alpha).sum(dim=1, keepdim=True).abs()
    else:
        # By the smaller matrix: A v = s u, and v . alpha = u . (Grad-CAM's map) / s, so that s drops out.
        u = _first_eigenvector(rows.mT @ rows)
        cam = (alpha[:, None] @ rows)[:, 0]
        component = u * (u * cam).sum(dim=1, keepdim=True).abs()
    largest = component.gather(1, component.abs().argmax(dim=1, keepdim=True))
    return (component * torch.where(largest < 0, -1.0, 1.0)).view(len(rows), *features.shape[2:])


def _first_eigenvector(gram: Tensor) -> Tensor:
    """(N, n, n), symmetric -> (N, n); not a number where the matrix is not, instead of LAPACK's error."""
    whole = gram.isfinite().all(dim=(1, 2))
    first = torch.linalg.eigh(torch.where(whole[:, None, None], gram, 0.0)).eigenvectors[..., -1]
    return torch.where(whole[:, None], first, torch.nan)
