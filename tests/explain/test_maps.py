"""Grad-CAM and evidence against autograd and captum, and the promise to leave the model as found."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from whycam.explain.explanation import explain, score
from whycam.explain.maps import evidence, grad_cam
from whycam.networks.classic import ClassicNetwork

SIZE = (46, 38)


class Unfolded(torch.nn.Module):
    """The same network spelled out in PyTorch's own layers, for tools that hook into one."""

    def __init__(self, network: ClassicNetwork) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 5, 3)
        self.first.load_state_dict(network.first.state_dict())
        self.second, self.third, self.head = network.second, network.third, network.head
        self.explained = torch.nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.first(images)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        x = F.max_pool2d(self.explained(self.third(x)), 2)
        return self.head(x.flatten(1))[:, None]


def make_network(seed: int) -> ClassicNetwork:
    network = ClassicNetwork(SIZE)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.5, generator=generator)
    return network


def autograd_maps(network: ClassicNetwork, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    features = network.stages(images)[0].detach().requires_grad_(True)
    logit = network.head(F.max_pool2d(features, 2).flatten(1))
    (gradient,) = torch.autograd.grad(logit.sum(), features)
    cam = F.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))
    return cam.detach(), (gradient * features).sum(1).detach()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 5),
    precision=st.sampled_from([(torch.float32, 1e-5), (torch.float64, 1e-12)]),
)
def test_both_maps_equal_autograd(seed: int, n: int, precision: tuple[torch.dtype, float]) -> None:
    dtype, tolerance = precision
    network = make_network(seed).to(dtype)
    images = torch.rand(n, 3, *SIZE, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    cam, contributions = autograd_maps(network, images)
    with torch.no_grad():
        linear = network.linearise(network.stages(images))
        closed_cam, closed_evidence = grad_cam(linear), evidence(linear)
        # Relative to the terms summed up: they may cancel to almost nothing.
        largest = (linear.gradients[0] * linear.features[0]).abs().sum(1).max()
    for closed, oracle in ((closed_cam, cam), (closed_evidence, contributions)):
        assert closed.shape == oracle.shape
        assert (closed - oracle).abs().max() <= tolerance * largest


def test_grad_cam_equals_captums() -> None:
    from captum.attr import LayerGradCam

    network = make_network(2)
    images = torch.rand(12, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    unfolded = Unfolded(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's hooks use a deprecated call
        oracle = LayerGradCam(unfolded, unfolded.explained).attribute(images, target=0, relu_attributions=True)[:, 0]
    result = torch.from_numpy(explain(network, images).heatmaps)
    assert oracle.max() > 0
    assert (result - oracle.detach()).abs().max() <= 1e-5 * oracle.max()


def test_evidence_equals_captums_gradient_times_activation_before_averaging() -> None:
    from captum.attr import LayerGradientXActivation

    network = make_network(4)
    images = torch.rand(6, 3, *SIZE)
    unfolded = Unfolded(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        per_channel = LayerGradientXActivation(unfolded, unfolded.explained).attribute(images, target=0)
    oracle = per_channel.sum(1).detach()
    result = torch.from_numpy(explain(network, images).evidence)
    assert (result - oracle).abs().max() <= 1e-5 * oracle.abs().max()


def test_an_explanation_adds_up_and_agrees_with_scoring() -> None:
    network = make_network(5)
    images = torch.rand(7, 1, *SIZE)
    explanation = explain(network, images)
    total = explanation.evidence.sum((1, 2)) + explanation.intercepts
    np.testing.assert_allclose(total, explanation.logits, rtol=1e-4, atol=1e-4 * np.abs(explanation.logits).max())
    np.testing.assert_allclose(explanation.scores, score(network, images), rtol=1e-5, atol=1e-5)
    assert (explanation.heatmaps >= 0).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("call", [explain, score])
def test_the_model_is_left_as_found(call, training: bool) -> None:
    network = make_network(6).train(training)
    network.second.train(not training)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    call(network, torch.rand(2, 3, *SIZE))
    assert network.training is training
    assert network.second.training is not training
    assert all((parameter.grad == 1).all() and parameter.requires_grad for parameter in network.parameters())
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_the_model_is_left_as_found_when_explaining_fails() -> None:
    network = make_network(7).train()
    with pytest.raises(ValueError, match="channels"):
        explain(network, torch.rand(2, 2, *SIZE))
    assert network.training
    assert torch.is_grad_enabled()
