"""The pooled network against autograd, and against one view at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.fakes import FakeBackbone, fake_network
from whycam.networks.heads import PooledHead, pool, pull_back
from whycam.networks.pooled import PooledNetwork
from whycam.networks.views import turn, turn_back

seeds = st.integers(0, 2**32 - 1)
VIEWS = [(0,), (5,), (0, 1, 4), (0, 1, 2, 3, 4, 5, 6, 7)]


def rand(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def logit_of(network: PooledNetwork, entries: list[torch.Tensor]) -> torch.Tensor:
    """The description, line by line: autograd's `amax` picks the only maximum there is."""
    taps, head = len(network.backbone.taps), network.head
    total = 0
    for first in range(0, len(entries), taps):
        centres = network.centres()[first : first + taps]
        maps = [m + c for m, c in zip(entries[first : first + taps], centres, strict=True)]
        x = torch.cat([m.mean((2, 3)) for m in maps] + [m.amax((2, 3)) for m in maps], dim=1)
        x = (x - head.shift) * head.scale
        y = F.linear(x, head.skip.weight, head.skip.bias)
        if head.hidden is not None:
            hidden = F.relu(F.linear(x, head.hidden.weight, head.hidden.bias))
            y = y + F.linear(hidden, head.output.weight, head.output.bias)
        total = total + y[:, 0]
    return total / len(network.views)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    hidden=st.sampled_from([0, 1, 6]),
    views=st.sampled_from(VIEWS),
    size=st.tuples(st.integers(11, 50), st.integers(11, 50)),
    channels=st.sampled_from([1, 3]),
    sized=st.booleans(),
)
def test_linearises_exactly(
    seed: int, hidden: int, views: tuple[int, ...], size: tuple[int, int], channels: int, sized: bool
) -> None:
    network = fake_network(seed, hidden=hidden, views=views, size_hw=size if sized else None).double()
    images = rand(3, channels, *size, seed=seed)
    with torch.no_grad():
        direct = network(images)
        linear = network.linearise(network.stages(images))
    entries = [maps.detach().requires_grad_(True) for maps in linear.features]
    expected = logit_of(network, entries)
    slopes = torch.autograd.grad(expected.sum(), entries)
    assert len(linear.features) == len(linear.gradients) == len(network.stage_names) == 2 * len(views)
    torch.testing.assert_close(linear.logit, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(linear.logit, direct, rtol=1e-11, atol=1e-11)
    for gradient, slope in zip(linear.gradients, slopes, strict=True):
        torch.testing.assert_close(gradient, slope, rtol=1e-11, atol=1e-12)
    parts = sum((g * a).sum((1, 2, 3)) for g, a in zip(linear.gradients, linear.features, strict=True))
    assert (parts + linear.intercept - linear.logit).abs().max() < 1e-9


@pytest.mark.parametrize("hidden", [0, 32])
def test_evidence_adds_up_in_single_precision(hidden: int) -> None:
    network = fake_network(2, hidden=hidden, views=(0, 3, 6), size_hw=(90, 130))
    images = rand(8, 3, 90, 130, dtype=torch.float32)
    with torch.no_grad():
        linear = network.linearise(network.stages(images))
        parts = sum((g * a).sum((1, 2, 3)) for g, a in zip(linear.gradients, linear.features, strict=True))
        assert (parts + linear.intercept - network(images)).abs().max() < 1e-4


def test_the_head_by_hand() -> None:
    # One channel, so x = (mean, maximum): y = x1 + 2 x2 + 3 + 4 relu(x1 - x2 + 5) + 6, x = (pooled - (1, 2)) * (10, 1).
    head = PooledHead([1], 1).double()
    values = {"shift": [1.0, 2.0], "scale": [10.0, 1.0], "skip.weight": [[1.0, 2.0]], "skip.bias": [3.0]}
    values |= {"hidden.weight": [[1.0, -1.0]], "hidden.bias": [5.0], "output.weight": [[4.0]], "output.bias": [6.0]}
    head.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    pooled = torch.tensor([[2.0, 5.0], [0.0, 5.0]], dtype=torch.float64)  # x = (10, 3), on; and (-10, 3), off
    with torch.no_grad():
        logit, gradient, intercept = head.linearise_pooled(pooled)
        assert head.from_pooled(pooled).tolist() == logit.tolist() == [73.0, 5.0]
    assert gradient.tolist() == [[50.0, -2.0], [10.0, 2.0]]
    assert intercept.tolist() == [-17.0, -5.0]


def test_a_head_without_hidden_units_is_linear() -> None:
    head = PooledHead([2, 3], 0)
    assert set(head.state_dict()) == {"shift", "scale", "skip.weight", "skip.bias"}
    with torch.no_grad():
        _, gradient, intercept = head.linearise_pooled(torch.rand(4, 10))
    torch.testing.assert_close(gradient, head.skip.weight.detach().expand(4, 10), rtol=0, atol=0)
    torch.testing.assert_close(intercept, head.skip.bias.detach().expand(4), rtol=0, atol=0)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, height=st.integers(1, 7), width=st.integers(1, 7), levels=st.integers(1, 4), last=st.booleans())
def test_among_equal_maxima_the_first_wins(seed: int, height: int, width: int, levels: int, last: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, levels, (2, 3, height, width), generator=generator).double()
    maps = maps.contiguous(memory_format=torch.channels_last) if last else maps
    pull = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    means, maxima, routes = pool(maps)
    np.testing.assert_array_equal(routes, maps.numpy().reshape(2, 3, -1).argmax(2))
    torch.testing.assert_close(maxima, maps.amax((2, 3)), rtol=0, atol=0)
    torch.testing.assert_close(means, maps.mean((2, 3)))
    # PyTorch's sliding max-pooling, its window the whole map, also sends the gradient to the first.
    tracked = maps.clone().requires_grad_(True)
    oracle = (F.max_pool2d(tracked, (height, width))[..., 0, 0] * pull[1] + tracked.mean((2, 3)) * pull[0]).sum()
    (expected,) = torch.autograd.grad(oracle, tracked)
    own_means, own_maxima, _ = pool(tracked)
    (own,) = torch.autograd.grad((own_maxima * pull[1] + own_means * pull[0]).sum(), tracked)
    torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pull_back(pull[0], pull[1], routes, (height, width)), expected, rtol=1e-12, atol=1e-12)


def test_training_gradients_equal_the_plain_descriptions() -> None:
    network = fake_network(4, views=(0, 1)).double()
    images = rand(3, 3, 40, 31).requires_grad_(True)
    wanted = [images, *network.parameters()]
    torch.use_deterministic_algorithms(True)
    try:
        results = torch.autograd.grad(network(images).square().sum(), wanted)
    finally:
        torch.use_deterministic_algorithms(False)
    entries = [maps - centre for maps, centre in zip(network.stages(images), network.centres(), strict=True)]
    expected = torch.autograd.grad(logit_of(network, entries).square().sum(), wanted)
    for result, oracle in zip(results, expected, strict=True):
        assert oracle.abs().max() > 0
        torch.testing.assert_close(result, oracle, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("views", VIEWS)
def test_the_logit_is_the_mean_over_the_views(views: tuple[int, ...]) -> None:
    network, images = fake_network(5, views=views).double(), rand(2, 3, 40, 31)
    single = PooledNetwork(network.backbone, network.head)
    with torch.no_grad():
        expected = torch.stack([single(turn(images, view)) for view in views]).mean(0)
        torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def test_stages_stand_upright_under_their_names() -> None:
    network, images = fake_network(5, views=(0, 1, 6)), rand(2, 3, 40, 31, dtype=torch.float32)
    assert network.stage_names == ("shallow", "deep", "shallow", "deep", "shallow", "deep")
    with torch.no_grad():
        stages = network.stages(images)
        expected = turn_back(network.backbone(turn(images, 1))[1], 1)
        torch.testing.assert_close(stages[3], expected, rtol=0, atol=0)
    assert [maps.shape[2:] for maps in stages] == [(grid.height, grid.width) for grid in network.grids((40, 31))]


def test_features_are_maps_less_what_images_have_there() -> None:
    network, images = fake_network(6, views=(0, 1), size_hw=(40, 31)), rand(6, 3, 40, 31, dtype=torch.float32)
    with torch.no_grad():
        before = network(images)
        means = [maps.mean(dim=0) for maps in network.stages(images)]
        network.centre_on(means)
        linear = network.linearise(network.stages(images))
        torch.testing.assert_close(network(images), before, rtol=0, atol=0)
    for activations, features, mean in zip(linear.activations, linear.features, means, strict=True):
        torch.testing.assert_close(features, activations - mean, rtol=0, atol=2e-3)
        assert features.mean(dim=0).abs().max() < 2e-3 < activations.mean(dim=0).abs().max()
    with pytest.raises(RuntimeError, match="size"):
        network.centre_on([mean[:, 1:] for mean in means])


def test_means_beyond_half_precision_leave_explanations_finite() -> None:
    network, images = fake_network(6, size_hw=(40, 31)), rand(2, 3, 40, 31, dtype=torch.float32)
    with torch.no_grad():
        stages = network.stages(images)
        network.centre_on([maps.mean(dim=0) + 1e6 for maps in stages])
        linear = network.linearise(stages)
    assert linear.intercept.isfinite().all()
    assert all(maps.isfinite().all() for maps in linear.features)


def test_every_entrys_cells_lie_where_they_look() -> None:
    # Kernels of ones see a small spot from exactly the cells whose receptive field it is in; these surround it.
    views = tuple(range(8))
    network = fake_network(views=views).double()
    for parameter in network.backbone.parameters():
        parameter.data.fill_(1.0)
    size = (90, 117)
    dark = torch.zeros(1, 3, *size, dtype=torch.float64)
    for row, column in ((45, 30), (30, 80), (61, 61)):
        lit = dark.clone()
        lit[..., row - 6 : row + 7, column - 6 : column + 7] = 1.0
        for before, after, grid in zip(network.stages(dark), network.stages(lit), network.grids(size), strict=True):
            change = (after - before)[0].sum(0)
            change = change / change.sum()
            rows = grid.top + grid.stride * torch.arange(grid.height)
            columns = grid.left + grid.stride * torch.arange(grid.width)
            assert abs((change.sum(1) * rows).sum() - row) <= grid.stride / 4
            assert abs((change.sum(0) * columns).sum() - column) <= grid.stride / 4


def test_pooled_features_stand_for_the_images() -> None:
    network, images = fake_network(7, views=(0, 3)), rand(5, 1, 40, 31, dtype=torch.float32)
    with torch.no_grad():
        pooled = network.pooled(images)
        assert pooled.shape == (2, 5, 22)
        shallow, deep = network.backbone(turn(images, 3))
        expected = [shallow.mean((2, 3)), deep.mean((2, 3)), shallow.amax((2, 3)), deep.amax((2, 3))]
        torch.testing.assert_close(pooled[1], torch.cat(expected, dim=1))
        torch.testing.assert_close(network.logits_of_pooled(pooled), network(images), rtol=0, atol=0)
        scores = network.scores_of_pooled(pooled)
        torch.testing.assert_close(scores, network.scores(network(images)), rtol=0, atol=0)
    assert ((scores > 0) & (scores < 1)).all()


def test_the_engine_stands_in_only_for_frozen_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = fake_network(8, views=(0, 1)), rand(2, 3, 30, 30, dtype=torch.float32)
    calls: list[str] = []

    class Engine:
        def __call__(self, turned: torch.Tensor) -> tuple[torch.Tensor, ...]:
            calls.append("maps")
            return network.backbone(turned)

        def pooled(self, turned: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            calls.append("pooled")
            maps = network.backbone(turned)
            return torch.cat([m.mean((2, 3)) for m in maps], 1), torch.cat([m.amax((2, 3)) for m in maps], 1)

    with torch.no_grad():
        before = network(images)
    monkeypatch.setattr("whycam.networks.pooled.engine_for", lambda backbone: Engine())
    network.freeze()
    with torch.no_grad():
        assert torch.allclose(network(images), before)
        network.stages(images)
        assert calls == ["pooled", "pooled", "maps", "maps"]
        network.train()(images)
        network.eval().double()(images.double())
    network(images.double())
    assert len(calls) == 4


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one view"):
        PooledNetwork(FakeBackbone(), PooledHead((4, 7), 0), views=())
    with pytest.raises(ValueError, match=r"channels \(4, 7\), got \(4, 8\)"):
        PooledNetwork(FakeBackbone(), PooledHead((4, 8), 0))


def test_it_says_what_it_is() -> None:
    network = fake_network()
    assert network.name == "fake with pooled head"
    assert network.layer == "shallow, deep (mean and maximum over the cells)"
    assert network.score == "probability"
