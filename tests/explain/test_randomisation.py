"""A network that forgets from its head down, and how alike two maps are."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.networks.fakes import fake_network
from whycam.explain.explanation import explain
from whycam.explain.randomisation import LEVELS, cascade, rank_correlation, structural_similarity
from whycam.networks.classic import ClassicNetwork
from whycam.networks.efficientnet_lite import EfficientNetLite0
from whycam.networks.heads import PooledHead
from whycam.networks.network import Network
from whycam.networks.pooled import PooledNetwork

SIZE = (46, 38)
IMAGES = torch.rand(6, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def classic() -> ClassicNetwork:
    network = ClassicNetwork(SIZE)
    network.initialise(torch.Generator().manual_seed(1))
    return network


def pretrained_like() -> PooledNetwork:
    torch.manual_seed(3)
    backbone = EfficientNetLite0(("depthwise8", "depthwise11")).eval()
    return PooledNetwork(backbone, PooledHead(backbone.channels, 8), views=(0, 1), size_hw=SIZE).eval()


def weights(network: Network) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("make", [classic, partial(fake_network, size_hw=SIZE), pretrained_like])
def test_it_forgets_from_the_head_down(make) -> None:
    network = make()
    before = weights(network)
    matrices = {name for name, values in before.items() if values.ndim > 1}
    gone: list[set[str]] = []
    names = []
    for name in cascade(network, IMAGES, seed=0):
        names.append(name)
        after = weights(network)
        gone.append({one for one in matrices if not torch.equal(after[one], before[one])})
        assert np.isfinite(explain(network, IMAGES).heatmaps).all()
        assert not network.training
    assert tuple(names) == LEVELS
    assert gone[0] == {one for one in matrices if one.startswith("head.")}
    assert all(earlier <= later for earlier, later in pairwise(gone))
    assert gone[-1] == matrices
    # The part nearest to the head goes first.
    others = [one for one in before if one in matrices and not one.startswith("head.")]
    flags = [one in gone[1] for one in others]
    assert flags == sorted(flags)


def test_the_same_seed_forgets_the_same_way() -> None:
    results = []
    for seed in (0, 0, 1):
        network = fake_network(2, size_hw=SIZE)
        results.append([explain(network, IMAGES).heatmaps for _ in cascade(network, IMAGES, seed=seed)])
    for first, second, third in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
        assert not np.allclose(first, third)


def test_layers_that_still_know_keep_their_statistics() -> None:
    network = pretrained_like()
    for module in network.backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    before = {name: values.clone() for name, values in network.named_buffers()}
    levels = cascade(network, IMAGES, seed=0)
    next(levels)
    assert all(torch.equal(values, before[name]) for name, values in network.named_buffers())
    next(levels)
    after = dict(network.named_buffers())
    assert torch.equal(
        after["backbone.layers.stem.norm.running_mean"], before["backbone.layers.stem.norm.running_mean"]
    )
    last = "backbone.layers.depthwise11.norm.running_mean"
    assert not torch.equal(after[last], before[last])


def test_signals_of_a_forgetful_network_do_not_die_out() -> None:
    network = pretrained_like()
    for _ in cascade(network, IMAGES, seed=0):
        pass
    with torch.no_grad():
        pooled = network.pooled(IMAGES).flatten(0, 1)
        given = (pooled - network.head.shift) * network.head.scale
        alone = [network.backbone(IMAGES), network.stages(IMAGES)[:2]]
    alive = network.head.scale > 0
    assert alive.float().mean() > 0.5
    torch.testing.assert_close(given[:, alive].std(0), torch.ones(int(alive.sum())), rtol=1e-2, atol=1e-2)
    # The compiled engine and the module agree, so it was compiled after the last change.
    for own, engine in zip(*alone, strict=True):
        torch.testing.assert_close(own, engine, rtol=1e-3, atol=1e-3)


def test_rank_correlation_by_hand() -> None:
    rising = np.arange(12.0).reshape(1, 3, 4)
    flat = np.zeros((1, 3, 4))
    for one, other, expected in (
        (rising, rising**3, 1.0),
        (rising, -rising, -1.0),
        (rising, flat, 0.0),
        (flat, rising, 0.0),
        (flat, flat + 2, 1.0),
    ):
        assert rank_correlation(one, other)[0] == pytest.approx(expected)
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 5, 6)), rng.random((2, 5, 6))
    for n in range(2):
        ranks = [values[n].ravel().argsort().argsort() for values in (one, other)]
        assert rank_correlation(one, other)[n] == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_structural_similarity_equals_a_loop() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.random((1, 12, 14)), rng.random((1, 12, 14))
    x, y = (3 * (v - v.min()) / np.ptp(v) for v in (x, y))  # only the range is normalised away
    offsets = np.arange(-6, 7)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    a, b = (np.pad(values[0] / 3, 6, mode="symmetric") for values in (x, y))
    total = 0.0
    for row in range(12):
        for column in range(14):
            p, q = (values[row : row + 13, column : column + 13] for values in (a, b))
            mp, mq = (kernel * p).sum(), (kernel * q).sum()
            vp, vq = (kernel * p * p).sum() - mp**2, (kernel * q * q).sum() - mq**2
            cov = (kernel * p * q).sum() - mp * mq
            total += (2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
    assert structural_similarity(x, y)[0] == pytest.approx(total / (12 * 14), abs=1e-6)
    assert structural_similarity(x, 5 * x + 2)[0] == pytest.approx(1.0)
