"""Whether a heatmap depends on what the network learned: the same map from a network that has forgotten it.

Some explanations are little more than edge detectors and look alike whatever the weights are (Adebayo et al. 2018,
arXiv 1810.03292). No figure about a trained network can show that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy import ndimage, stats
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from whycam.networks.network import Network
from whycam.networks.pooled import PooledNetwork
from whycam.types import Floats

LEVELS = ("head", "head and last third of the layers", "head and last two thirds of the layers", "all layers")
"""Which layers have forgotten, each level including those before it."""

_SSIM_SIGMA = 1.5
_SSIM_C1, _SSIM_C2 = 0.01**2, 0.03**2


def cascade(network: Network, images: Tensor, *, seed: int) -> Iterator[str]:
    """Re-initialise a network in place from its head down, level by level (Adebayo et al. 2018, section 3.1).

    Weights are drawn anew (He et al. 2015, arXiv 1502.01852: normal with variance 2 / fan-in), biases are 0, norms
    the identity. What training takes from the images rather than learns is taken from `images` again: statistics of
    batch norms, mean and spread of pooled features, and mean maps. Without them signals of a deep network would die
    out, and the map would change for a reason that has nothing to do with what was learned. Layers that still know keep
    theirs. Mean maps are those of `images`, of which some may be anomalous.

    Args:
        network: a copy that nobody else uses; frozen and fit for explaining whenever a name is yielded.
        images: (N, C, H, W), N >= 2, as for `explain`.
        seed: of the weights; the same seed gives the same ones.

    Yields:
        Each of `LEVELS`, as soon as the network is at it.
    """
    generator = torch.Generator().manual_seed(seed)
    forgotten: list[nn.Module] = []
    for name, modules in zip(LEVELS, _levels(network), strict=True):
        with torch.no_grad():
            for module in modules:
                _forget(module, generator)
            network.freeze()
            if isinstance(network, PooledNetwork) and name != LEVELS[0]:
                forgotten += modules
                _take_statistics(network, [norm for norm in forgotten if isinstance(norm, _BatchNorm)], images)
        yield name


def rank_correlation(before: Floats, after: Floats) -> Floats:
    """Spearman's rank correlation of each pair of maps (N, h, w): (N,) in [-1, 1].

    0 where exactly one of the two is the same everywhere, as a map without any order has none in common with the
    other; 1 where both are.
    """
    result = np.zeros(len(before))
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        flat = [bool(np.ptp(values) == 0) for values in (one, other)]
        if not any(flat):
            result[number] = stats.spearmanr(one, other, axis=None).statistic
        elif all(flat):
            result[number] = 1.0
    return result


def structural_similarity(before: Floats, after: Floats) -> Floats:
    """The structural similarity of each pair of maps (N, h, w): (N,) in [-1, 1].

    With Gaussian windows of 1.5 cells (Wang et al. 2004, IEEE Transactions on Image Processing 13:600, equation 13),
    each map first brought to [0, 1] by its own minimum and maximum, as heat has no scale across networks.
    """
    x, y = (_unit(np.asarray(maps, dtype=np.float64)) for maps in (before, after))

    def window(values: Floats) -> Floats:
        smooth: Floats = ndimage.gaussian_filter(values, (0.0, _SSIM_SIGMA, _SSIM_SIGMA))
        return smooth

    mean_x, mean_y = window(x), window(y)
    var_x, var_y = window(x * x) - mean_x**2, window(y * y) - mean_y**2
    covariance = window(x * y) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    similarity /= (mean_x**2 + mean_y**2 + _SSIM_C1) * (var_x + var_y + _SSIM_C2)
    result: Floats = similarity.mean(axis=(1, 2))
    return result


def _unit(maps: Floats) -> Floats:
    low, high = (pick(maps, axis=(1, 2), keepdims=True) for pick in (np.min, np.max))
    unit: Floats = np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low)
    return unit


def _levels(network: Network) -> list[list[nn.Module]]:
    """The modules that have weights of their own: the head's, then the others' from the last to the first."""
    weighted = {
        name: module for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))
    }
    head = [module for name, module in weighted.items() if name.split(".")[0] == "head"]
    others = [module for name, module in weighted.items() if name.split(".")[0] != "head"][::-1]
    cuts = [round(part * len(others) / 3) for part in range(4)]
    return [head, *(others[first:last] for first, last in pairwise(cuts))]


def _forget(module: nn.Module, generator: torch.Generator) -> None:
    for parameter in module.parameters(recurse=False):
        values = torch.zeros(parameter.shape)
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(values, generator=generator)
        elif parameter is getattr(module, "weight", None):
            values.fill_(1.0)
        parameter.copy_(values)


def _take_statistics(network: PooledNetwork, norms: Sequence[_BatchNorm], images: Tensor) -> None:
    """The batch norms' statistics, mean and spread of what the head is given, and centres, found on the images."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches, of which there is one
        norm.train()
    network.backbone(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.freeze()
    network.centre_on([maps.mean(dim=0) for maps in network.stages(images)])
    pooled = network.pooled(images).flatten(0, 1)
    spread = pooled.std(dim=0)
    network.head.shift.copy_(pooled.mean(dim=0))
    network.head.scale.copy_(torch.where(spread > 0, 1 / spread.clamp_min(torch.finfo(spread.dtype).eps), 0.0))
