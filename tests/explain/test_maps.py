"""Grad-CAM and evidence against autograd and captum, and the promise to leave the model as found."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.fakes import fake_network
from whycam.explain.explanation import explain, score
from whycam.explain.maps import evidence, grad_cam
from whycam.explain.methods import METHODS
from whycam.explain.placement import combined_grid, merge
from whycam.networks.classic import ClassicNetwork
from whycam.networks.pooled import PooledNetwork

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


@pytest.mark.parametrize("make", [make_network, fake_network])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("call", [*(partial(explain, method=method) for method in METHODS), explain, score])
def test_the_model_is_left_as_found(call, training: bool, make) -> None:
    network = make(6).train(training)
    network.head.train(not training)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    call(network, torch.rand(2, 3, *SIZE))
    assert network.training is training
    assert network.head.training is not training
    assert all((parameter.grad == 1).all() and parameter.requires_grad for parameter in network.parameters())
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_the_model_is_left_as_found_when_explaining_fails() -> None:
    network = make_network(7).train()
    with pytest.raises(ValueError, match="channels"):
        explain(network, torch.rand(2, 2, *SIZE))
    assert network.training
    assert torch.is_grad_enabled()


def test_a_single_stage_is_the_whole_to_the_bit() -> None:
    network, images = make_network(8), torch.rand(3, 3, *SIZE)
    explanation = explain(network, images)
    with torch.no_grad():
        linear = network.linearise(network.stages(images))
    (stage,) = explanation.stages
    assert stage.name == "third convolution"
    assert stage.grid == network.grids(SIZE)[0]
    for maps, expected in (
        (explanation.heatmaps, grad_cam(linear)),
        (stage.heatmaps, grad_cam(linear)),
        (explanation.evidence, evidence(linear)),
        (stage.evidence, evidence(linear)),
    ):
        assert maps.dtype == np.float32
        assert maps.tobytes() == expected.numpy().tobytes()


class PooledUnfolded(torch.nn.Module):
    """The head alone on one view, each layer's maps passing a module of their own that tools can hook into."""

    def __init__(self, network: PooledNetwork) -> None:
        super().__init__()
        self.network = network
        self.explained = torch.nn.ModuleList(torch.nn.Identity() for _ in network.backbone.taps)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            tapped = self.network.backbone(images)
        head = self.network.head
        # What is explained are the maps less their centres.
        centres = self.network.centres()
        centred = [(x - c).requires_grad_(True) for x, c in zip(tapped, centres, strict=True)]
        maps = [module(x) + c for module, x, c in zip(self.explained, centred, centres, strict=True)]
        pooled = torch.cat([x.mean((2, 3)) for x in maps] + [x.amax((2, 3)) for x in maps], dim=1)
        return head.from_pooled(pooled)[:, None]


def test_each_stages_maps_equal_captums() -> None:
    from captum.attr import LayerGradCam, LayerGradientXActivation

    network, images = fake_network(3, size_hw=SIZE).double(), torch.rand(6, 3, *SIZE, dtype=torch.float64)
    unfolded = PooledUnfolded(network)
    for stage, module in zip(explain(network, images).stages, unfolded.explained, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cam = LayerGradCam(unfolded, module).attribute(images, target=0, relu_attributions=True)[:, 0].detach()
            product = LayerGradientXActivation(unfolded, module).attribute(images, target=0).sum(1).detach()
        assert cam.max() > 0
        np.testing.assert_allclose(stage.heatmaps, cam, atol=1e-12)
        np.testing.assert_allclose(stage.evidence, product, atol=1e-12)


@pytest.mark.parametrize("views", [(0,), (3,), (0, 1, 4), tuple(range(8))])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_all_stages_and_views_add_up(views: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    network = fake_network(9, views=views, size_hw=(46, 71)).to(dtype)
    images = torch.rand(4, 1, 46, 71, generator=torch.Generator().manual_seed(1), dtype=dtype)
    explanation = explain(network, images)
    assert explanation.evidence.shape == explanation.heatmaps.shape == (4, 6, 9)
    total = explanation.evidence.sum((1, 2)) + explanation.intercepts
    np.testing.assert_allclose(total, explanation.logits, rtol=0, atol=tolerance)
    by_stage = sum(stage.evidence.sum((1, 2)) for stage in explanation.stages)
    np.testing.assert_allclose(by_stage + explanation.intercepts, explanation.logits, rtol=0, atol=tolerance)
    np.testing.assert_allclose(explanation.scores, score(network, images), rtol=1e-5)
    assert [stage.name for stage in explanation.stages] == ["shallow", "deep"]
    assert [stage.grid for stage in explanation.stages] == list(network.grids((46, 71))[:2])


def test_terms_are_added_up_before_the_relu() -> None:
    network = fake_network(11, views=(0, 2), size_hw=(46, 71)).double()
    images = torch.rand(4, 3, 46, 71, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    explanation = explain(network, images)
    grids = network.grids((46, 71))
    with torch.no_grad():
        linear = network.linearise(network.stages(images))
    terms = []
    for features, gradients in zip(linear.features, linear.gradients, strict=True):
        weights = gradients.numpy().mean((2, 3))
        terms.append(np.einsum("nk,nkhw->nhw", weights, features.numpy()))
    whole = merge(terms, grids, combined_grid(grids, (46, 71)))
    assert whole.max() > 0
    assert min(term.min() for term in terms) < 0
    np.testing.assert_allclose(explanation.heatmaps, np.maximum(whole, 0), atol=1e-12)
    for number, stage in enumerate(explanation.stages):
        own = merge(terms[number::2], grids[number::2], grids[number])
        np.testing.assert_allclose(stage.heatmaps, np.maximum(own, 0), atol=1e-12)
