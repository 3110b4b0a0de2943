"""The classic network to the letter: sizes, initial weights, and what it computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from whycam.networks.classic import ClassicNetwork


def plain_forward(network: ClassicNetwork, images: torch.Tensor) -> torch.Tensor:
    """The description, line by line."""
    x = images
    for layer in (network.first, network.second, network.third):
        x = F.max_pool2d(F.relu(F.conv2d(x, layer.weight, layer.bias)), 2)
    x = x.flatten(1)
    for dense in network.head.hidden:
        x = F.relu(F.linear(x, dense.weight, dense.bias))
    return F.linear(x, network.head.output.weight, network.head.output.bias)[:, 0]


@pytest.fixture(scope="module")
def network() -> ClassicNetwork:
    network = ClassicNetwork()
    network.initialise(torch.Generator().manual_seed(0))
    return network


def test_parameter_count_is_the_published_one(network: ClassicNetwork) -> None:
    assert network.n_parameters == 726_371


def test_layers_have_the_described_widths(network: ClassicNetwork) -> None:
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(5, 3, 3, 3), (5, 5, 3, 3), (5, 5, 3, 3), (100, 7220), (30, 100), (20, 30), (1, 20)]


def test_weights_start_glorot_uniform_and_biases_at_zero(network: ClassicNetwork) -> None:
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        receptive = parameter[0, 0].numel() if parameter.ndim == 4 else 1
        limit = np.sqrt(6 / (receptive * (parameter.shape[0] + parameter.shape[1])))
        assert parameter.abs().max() <= limit
        if parameter.numel() > 100:
            assert parameter.abs().max() > 0.9 * limit
            assert parameter.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.15)


def test_forward_and_gradient_equal_the_plain_description(network: ClassicNetwork) -> None:
    images = torch.rand(2, 3, 325, 325)
    network.zero_grad()
    result = network(images)
    result.abs().mean().backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    expected = plain_forward(network, images)
    expected.abs().mean().backward()
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
    for got, parameter in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-3, atol=1e-6 + 1e-4 * parameter.grad.abs().max().item())


def test_a_grey_image_scores_as_its_three_equal_channels(network: ClassicNetwork) -> None:
    grey = torch.rand(3, 1, 325, 325)
    with torch.no_grad():
        torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-6)


def test_cells_lie_in_the_middle_of_their_receptive_fields() -> None:
    # What a cell sees is found with autograd: the input pixels that change it, for average-like positive weights.
    network = ClassicNetwork((61, 61)).double()
    for parameter in network.parameters():
        parameter.data.fill_(0.01)
    (grid,) = network.grids((61, 61))
    assert network.stages(torch.rand(1, 3, 61, 61, dtype=torch.float64))[0].shape[2:] == (grid.height, grid.width)
    base = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    for cell in (0, 5, grid.height - 1):
        seen = []
        for pixel in range(61):
            lit = base.clone()
            lit[0, 0, pixel, :] = 1.0
            changed = network.stages(lit)[0] - network.stages(base)[0]
            if changed[0, 0, cell].abs().max() > 0:
                seen.append(pixel)
        assert (min(seen) + max(seen)) / 2 == grid.top + grid.stride * cell


def test_too_small_an_input_is_refused() -> None:
    assert ClassicNetwork((22, 22)).n_parameters > 0
    with pytest.raises(ValueError, match="at least 22"):
        ClassicNetwork((21, 40))
