"""Closed-form gradients against autograd, on networks and inputs that hypothesis makes up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from whycam.networks.classic import ClassicNetwork
from whycam.networks.conv_pool import ConvMaxPool
from whycam.networks.heads import ReluStack, max_pool_with_routes, pull_back_max_pool

seeds = st.integers(0, 2**32 - 1)


def randomised(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.7, generator=generator)
    return module.double()


@settings(max_examples=60, deadline=None)
@given(seed=seeds, widths=st.lists(st.integers(1, 12), min_size=1, max_size=5), n=st.integers(1, 6))
def test_stack_is_the_affine_function_it_says(seed: int, widths: list[int], n: int) -> None:
    stack = randomised(ReluStack(widths), seed)
    inputs = torch.randn(n, widths[0], generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    inputs.requires_grad_(True)
    expected = stack(inputs)
    (slope,) = torch.autograd.grad(expected.sum(), inputs)
    with torch.no_grad():
        output, gradient, intercept = stack.linearise(inputs)
    torch.testing.assert_close(output, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((gradient * inputs).sum(1) + intercept, output, rtol=1e-9, atol=1e-9)


def test_intercept_is_what_the_biases_contribute() -> None:
    # By hand: y = 2 relu(3 x + 1) + 5. At x = 1 the unit is on: slope 6, intercept 7; at x = -1 it is off: 0 and 5.
    stack = ReluStack([1, 1]).double()
    with torch.no_grad():
        for parameter, value in zip(stack.parameters(), (3.0, 1.0, 2.0, 5.0), strict=True):
            parameter.fill_(value)
        output, gradient, intercept = stack.linearise(torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
    assert output.tolist() == [13.0, 5.0]
    assert gradient.tolist() == [[6.0], [0.0]]
    assert intercept.tolist() == [7.0, 5.0]


@settings(max_examples=40, deadline=None)
@given(seed=seeds, height=st.integers(2, 9), width=st.integers(2, 9), levels=st.integers(1, 4))
def test_pulling_back_a_max_pool_equals_autograd_with_ties(seed: int, height: int, width: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few distinct values, so that most windows have ties.
    features = torch.randint(0, levels + 1, (2, 3, height, width), generator=generator).double().requires_grad_(True)
    weights = torch.randn(2, 3, height // 2, width // 2, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad((F.max_pool2d(features, 2) * weights).sum(), features)
    _, routes = max_pool_with_routes(features.detach())
    torch.testing.assert_close(pull_back_max_pool(weights, routes, (height, width)), expected, rtol=0, atol=0)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    size=st.tuples(st.integers(4, 13), st.integers(4, 13)),
    channels=st.sampled_from([1, 3]),
    levels=st.sampled_from([1, 2, 200]),
)
def test_fused_convolution_and_pooling_equal_pytorchs(
    seed: int, size: tuple[int, int], channels: int, levels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    fused = randomised(ConvMaxPool(3, 5), seed)
    # One level makes flat images: every window is a tie, and the gradient must go where PyTorch sends it.
    images = torch.randint(0, levels, (2, channels, *size), generator=generator).double()
    weight, bias = (p.detach().clone().requires_grad_(True) for p in fused.parameters())
    expected = F.max_pool2d(F.conv2d(images.expand(2, 3, *size), weight, bias), 2)
    pull = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (expected * pull).sum().backward()
    result = fused(images)
    (result * pull).sum().backward()
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(fused.weight.grad, weight.grad, rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(fused.bias.grad, bias.grad, rtol=1e-10, atol=1e-10)


def test_fused_convolution_takes_any_memory_layout() -> None:
    fused = randomised(ConvMaxPool(3, 5), 0)
    images = torch.rand(2, 3, 11, 9, dtype=torch.float64)
    for layout in (torch.channels_last, torch.contiguous_format):
        torch.testing.assert_close(fused(images.contiguous(memory_format=layout)), fused(images), rtol=0, atol=0)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=st.tuples(st.integers(22, 48), st.integers(22, 48)), channels=st.sampled_from([1, 3]))
def test_classic_network_linearises_exactly(seed: int, size: tuple[int, int], channels: int) -> None:
    network = randomised(ClassicNetwork(size), seed)
    images = torch.rand(3, channels, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    (features,) = network.stages(images)
    features = features.detach().requires_grad_(True)
    pooled = F.max_pool2d(features, 2)
    expected = network.head(pooled.flatten(1))
    (slope,) = torch.autograd.grad(expected.sum(), features)
    with torch.no_grad():
        linear = network.linearise([features])
        direct = network(images)
    scale = expected.abs().max().item() + 1.0
    torch.testing.assert_close(linear.logit, direct, rtol=1e-10, atol=1e-10 * scale)
    torch.testing.assert_close(linear.gradients[0], slope, rtol=1e-10, atol=1e-12)
    total = (linear.gradients[0] * linear.features[0]).sum((1, 2, 3)) + linear.intercept
    torch.testing.assert_close(total, direct, rtol=1e-9, atol=1e-9 * scale)


def test_evidence_adds_up_in_single_precision() -> None:
    network = ClassicNetwork()
    network.initialise(torch.Generator().manual_seed(1))
    images = torch.rand(4, 3, 325, 325)
    with torch.no_grad():
        linear = network.linearise(network.stages(images))
        total = (linear.gradients[0] * linear.features[0]).sum((1, 2, 3)) + linear.intercept
        assert (total - network(images)).abs().max() < 1e-5
