"""Each method against its definition written out, autograd, numpy's SVD or captum; and what all of them promise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.explain.test_maps import SIZE, make_network
from tests.networks.fakes import fake_network
from whycam.card import CellGrid
from whycam.errors import OptionError
from whycam.explain import perturbing
from whycam.explain.ablation import ablation_cam
from whycam.explain.cam import eigen_cam, grad_cam_plus_plus, layer_cam, xgrad_cam
from whycam.explain.explanation import explain
from whycam.explain.methods import METHODS, Method, method_named, title_of
from whycam.explain.perturbing import occlusion, score_cam
from whycam.explain.placement import combined_grid, merge, place
from whycam.networks.classic import ClassicNetwork
from whycam.networks.network import Linearisation, Network
from whycam.networks.pooled import PooledNetwork

WIDE = (46, 71)
REST = (torch.zeros(1), torch.zeros(1))
"""Intercept and logit where a test has no use for them."""


def some_images(n: int = 4, *, size: tuple[int, int] = SIZE, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def alone(features: torch.Tensor, gradients: torch.Tensor, *, activations: torch.Tensor | None = None) -> Linearisation:
    """One entry, whose features are the maps as the layer gives them unless `activations` are these."""
    return Linearisation((features if activations is None else activations,), (features,), (gradients,), *REST)


def linearised(network: Network, images: torch.Tensor) -> Linearisation:
    with torch.no_grad():
        return network.linearise(network.stages(images))


# ---------------------------------------------------------------- names


def test_names() -> None:
    assert [method_named(method) for method in METHODS] == list(METHODS)
    assert len({title_of(method) for method in METHODS}) == len(METHODS) == 9


@pytest.mark.parametrize(
    ("text", "hint"),
    [("gradcam", " Did you mean grad-cam?"), ("Score-CAM", " Did you mean score-cam?"), ("saliency", ""), ("", "")],
)
def test_other_names_are_refused(text: str, hint: str) -> None:
    with pytest.raises(OptionError) as caught:
        method_named(text)
    assert str(caught.value) == (
        "`method` must be grad-cam, grad-cam++, xgrad-cam, hires-cam, layer-cam, eigen-cam, score-cam, ablation-cam or "
        f"occlusion, got {text!r} instead.{hint}"
    )


def test_the_names_need_no_torch() -> None:
    code = "import sys, whycam.explain.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------- what all methods promise


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [make_network, lambda seed: fake_network(seed, views=(0, 3, 4))])
def test_every_method_changes_the_heatmaps_alone(method: Method, make: Callable[[int], Network]) -> None:
    network, images = make(7), some_images().float()
    usual, explanation = explain(network, images), explain(network, images, method=method)
    assert explanation.method == method
    for name in ("logits", "scores", "evidence", "intercepts"):
        assert getattr(explanation, name).tobytes() == getattr(usual, name).tobytes()
    assert explanation.heatmaps.shape == usual.heatmaps.shape
    assert np.isfinite(explanation.heatmaps).all()
    assert (explanation.heatmaps >= 0).all()
    assert explanation.heatmaps.max() > 0
    same = np.allclose(explanation.heatmaps, usual.heatmaps, atol=1e-3 * usual.heatmaps.max())
    assert same is (method == "grad-cam")
    for stage, before in zip(explanation.stages, usual.stages, strict=True):
        assert (stage.name, stage.grid) == (before.name, before.grid)
        assert stage.heatmaps.shape == before.heatmaps.shape
        assert (stage.heatmaps >= 0).all()
        assert stage.evidence.tobytes() == before.evidence.tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [make_network, lambda seed: fake_network(seed, views=(1, 4))])
def test_no_map_depends_on_the_rest_of_the_batch(method: Method, make: Callable[[int], Network]) -> None:
    network, images = make(4).double(), some_images(5)
    together = explain(network, images, method=method).heatmaps
    apart = np.concatenate([explain(network, image[None], method=method).heatmaps for image in images])
    np.testing.assert_allclose(together, apart, atol=1e-10 * together.max())


@pytest.mark.parametrize("method", METHODS)
def test_grey_images_in_one_channel_get_the_map_of_three(method: Method) -> None:
    network, images = fake_network(6, views=(0, 2)).double(), some_images(channels=1)
    one, three = (explain(network, x, method=method).heatmaps for x in (images, images.expand(-1, 3, -1, -1)))
    np.testing.assert_allclose(one, three, atol=1e-10 * three.max())


@pytest.mark.parametrize("method", ["hires-cam", "grad-cam++", "xgrad-cam", "layer-cam", "eigen-cam"])
def test_terms_are_added_up_before_the_relu(method: Method) -> None:
    network, images = fake_network(11, views=(0, 2)).double(), some_images(size=WIDE)
    grids, linear = network.grids(WIDE), linearised(network, images)
    of_entry: dict[str, Callable[[int], torch.Tensor]] = {
        "hires-cam": lambda n: (linear.gradients[n] * linear.features[n]).sum(1),
        "grad-cam++": lambda n: grad_cam_plus_plus(linear, n),
        "xgrad-cam": lambda n: xgrad_cam(linear, n),
        "layer-cam": lambda n: layer_cam(linear, n),
        "eigen-cam": lambda n: eigen_cam(linear, n),
    }
    terms = [of_entry[method](entry).numpy() for entry in range(4)]
    assert min(term.min() for term in terms) < 0 or method == "eigen-cam"  # one sign, by the largest value's
    explanation = explain(network, images, method=method)
    whole = merge(terms, grids, combined_grid(grids, WIDE))
    np.testing.assert_allclose(explanation.heatmaps, np.maximum(whole, 0), atol=1e-12)
    for number, stage in enumerate(explanation.stages):
        own = merge(terms[number::2], grids[number::2], grids[number])
        np.testing.assert_allclose(stage.heatmaps, np.maximum(own, 0), atol=1e-12)


def test_weights_that_are_no_numbers_give_maps_that_are_none() -> None:
    network = fake_network(2)
    network.backbone.first.weight.data[0, 0, 0, 0] = torch.nan
    assert np.isnan(explain(network, some_images().float(), method="eigen-cam").heatmaps).any()


# ---------------------------------------------------------------- closed forms


def test_grad_cam_plus_plus_equals_its_definition_by_three_derivatives_of_the_exponential() -> None:
    network = ClassicNetwork((30, 22)).double()
    network.initialise(torch.Generator().manual_seed(4))
    linear = linearised(network, some_images(1, size=(30, 22)))
    features = linear.features[0]
    weights = torch.zeros(features.shape[1], dtype=torch.float64)
    for k, i, j in np.ndindex(*features.shape[1:]):
        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        one = torch.zeros_like(features)
        one[0, k, i, j] = 1
        score = network.head(F.max_pool2d(features + step * one, 2).flatten(1)).exp().sum()
        (first,) = torch.autograd.grad(score, step, create_graph=True)
        if first == 0:
            continue
        (second,) = torch.autograd.grad(first, step, create_graph=True)
        (third,) = torch.autograd.grad(second, step)
        alpha = second / (2 * second + features[0, k].sum() * third)
        # Equation 5 has relu(dY/dA); the factor exp(y) is one for the whole map.
        weights[k] += (alpha * F.relu(first / score)).detach()
    oracle = (weights[:, None, None] * features[0]).sum(0) / features[0, 0].numel()
    assert oracle.max() > 0
    np.testing.assert_allclose(grad_cam_plus_plus(linear)[0], oracle, rtol=1e-9, atol=1e-12 * float(oracle.max()))


def test_grad_cam_plus_plus_keeps_its_weights_small_where_activations_are_negative() -> None:
    # S g = -2 is where the formula alone would divide by zero.
    features, gradients = torch.full((1, 1, 2, 2), -0.5), torch.full((1, 1, 2, 2), 1.0)
    linear = alone(features, gradients)
    torch.testing.assert_close(grad_cam_plus_plus(linear), torch.full((1, 2, 2), -0.25))


@pytest.mark.parametrize("of_maps", [grad_cam_plus_plus, xgrad_cam])
def test_weights_come_from_the_maps_as_the_layer_gives_them(of_maps: Callable[..., torch.Tensor]) -> None:
    network = fake_network(8, size_hw=SIZE).double()
    linear = linearised(network, some_images())
    for whole, less, slopes in zip(linear.activations, linear.features, linear.gradients, strict=True):
        assert (whole - less).abs().max() > 0.1
        # One map a channel, so that the weights can be read off.
        for k in range(whole.shape[1]):
            own = slice(k, k + 1)
            ratio = of_maps(alone(less[:, own], slopes[:, own], activations=whole[:, own])) / less[:, k]
            torch.testing.assert_close(ratio, of_maps(alone(whole[:, own], slopes[:, own])) / whole[:, k])


def test_xgrad_cam_equals_a_loop_and_keeps_the_evidences_sum() -> None:
    network = make_network(5).double()
    linear = linearised(network, some_images())
    (features,), (gradients,) = linear.features, linear.gradients
    oracle = torch.zeros_like(features[:, 0])
    for n in range(len(features)):
        for a, g in zip(features[n], gradients[n], strict=True):
            if a.sum() > 0:
                oracle[n] += (g * a).sum() / a.sum() * a
    maps = xgrad_cam(linear)
    torch.testing.assert_close(maps, oracle, rtol=0, atol=1e-12 * float(oracle.abs().max()))
    evidence = (gradients * features).sum((1, 2, 3))
    torch.testing.assert_close(maps.sum((1, 2)), evidence, rtol=1e-10, atol=1e-10)


def test_a_silent_channel_has_no_part_in_xgrad_cam() -> None:
    features, gradients = torch.rand(1, 2, 3, 3), torch.ones(1, 2, 3, 3)
    features[:, 1] = 0
    linear = alone(features, gradients)
    torch.testing.assert_close(xgrad_cam(linear), features[:, 0])


@pytest.mark.parametrize("views", [(0,), (0, 1)])
def test_layer_cam_equals_autograd(views: tuple[int, ...]) -> None:
    network, images = fake_network(7, views=views, size_hw=SIZE).double(), some_images()
    maps, logit = differentiable_head(network, images)
    gradients = torch.autograd.grad(logit.sum(), maps)
    linear = linearised(network, images)
    for entry, (a, g) in enumerate(zip(maps, gradients, strict=True)):
        oracle = np.einsum("nkhw,nkhw->nhw", np.maximum(g.numpy(), 0), a.detach().numpy())
        np.testing.assert_allclose(layer_cam(linear, entry), oracle, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 40, 2, 5), (3, 4, 6, 5), (3, 6, 2, 3)])
def test_eigen_cam_equals_numpys_svd(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    gradients = torch.randn(shape, generator=generator, dtype=torch.float64)
    maps = eigen_cam(alone(features, gradients))
    for n in range(len(features)):
        rows = features[n].flatten(1).T.numpy()
        _, _, vt = np.linalg.svd(rows)
        component = rows @ vt[0]
        if component[np.abs(component).argmax()] < 0:
            component = -component
        slope = abs(vt[0] @ gradients[n].mean((1, 2)).numpy())
        np.testing.assert_allclose(maps[n].flatten(), slope * component, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- ablation


def differentiable_head(network: PooledNetwork, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The entries' features as leaves, and the logit computed from them by what PyTorch has for it."""
    with torch.no_grad():
        maps = [x - c for x, c in zip(network.stages(images), network.centres(), strict=True)]
    leaves = [x.requires_grad_(True) for x in maps]
    return leaves, logit_of(network, *leaves)


def logit_of(network: PooledNetwork, *maps: torch.Tensor) -> torch.Tensor:
    raw = [x + c for x, c in zip(maps, network.centres(), strict=True)]
    taps = len(raw) // len(network.views)
    logits = []
    for first in range(0, len(raw), taps):
        view = raw[first : first + taps]
        row = torch.cat([x.mean((2, 3)) for x in view] + [x.amax((2, 3)) for x in view], dim=1)
        logits.append(network.head.from_pooled(row))
    return torch.stack(logits).mean(0)


@pytest.mark.parametrize(("hidden", "views"), [(5, (0,)), (5, (0, 1, 6)), (0, (0, 4))])
def test_ablation_cam_of_pooled_networks_equals_captums_ablation(hidden: int, views: tuple[int, ...]) -> None:
    from captum.attr import FeatureAblation

    network = fake_network(12, hidden=hidden, views=views, size_hw=SIZE).double()
    linear = linearised(network, some_images())
    masks, first = [], 0
    for maps in linear.features:
        numbers = torch.arange(first, first + maps.shape[1])
        masks.append(numbers[None, :, None, None].expand(1, *maps.shape[1:]))
        first += maps.shape[1]
    silent = tuple(-c.expand(1, *maps.shape[1:]) for c, maps in zip(network.centres(), linear.features, strict=True))
    with torch.no_grad():
        drops = FeatureAblation(lambda *maps: logit_of(network, *maps)).attribute(
            linear.features, baselines=silent, feature_mask=tuple(masks)
        )
        every = ablation_cam(network, linear)
    for maps, drop, ours, centre in zip(linear.features, drops, every, network.centres(), strict=True):
        norm = (maps + centre).abs().sum((2, 3)).mean(1)
        oracle = (drop * maps).sum(1) / norm[:, None, None]
        assert oracle.abs().max() > 0
        torch.testing.assert_close(ours, oracle, rtol=0, atol=1e-11 * float(oracle.abs().max()))


def test_ablation_cam_in_single_precision_is_as_exact_as_its_terms() -> None:
    network = fake_network(13, hidden=64, views=(0, 1))
    images = some_images()
    with torch.no_grad():
        rough = ablation_cam(network, linearised(network, images.float()))
        fine = ablation_cam(network.double(), linearised(network.double(), images))
    for single, double in zip(rough, fine, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5 * float(double.abs().max()))


# ---------------------------------------------------------------- perturbing


@pytest.mark.parametrize("limit", [2, 5, 32])
def test_score_cam_equals_a_loop(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perturbing, "SCORE_CAM_CHANNELS", limit)
    monkeypatch.setattr(perturbing, "_PASSES", 3)
    network, images = fake_network(14, views=(0, 1), size_hw=WIDE).double(), some_images(2, size=WIDE)
    linear, grids = linearised(network, images), network.grids(WIDE)
    ours = score_cam(network, images, linear)
    for n, image in enumerate(images):
        gray = image.mean((1, 2), keepdim=True)
        logits, owners = [], []
        for entry in (0, 1):  # the first view's
            maps = linear.activations[entry][n]
            order = sorted(range(len(maps)), key=lambda k, maps=maps: -float(maps[k].var()))
            for k in order[:limit]:
                mask = place(maps[k].numpy(), grids[entry], model_hw=WIDE, picture_hw=WIDE)
                mask = torch.from_numpy((mask - mask.min()) / (mask.max() - mask.min()))
                with torch.no_grad():
                    logits.append(float(network((image * mask + gray * (1 - mask))[None])))
                owners.append((entry, k))
        weights = np.exp(logits) / np.exp(logits).sum()
        oracle = [torch.zeros_like(features[n, 0]) for features in linear.features]
        for weight, (entry, k) in zip(weights, owners, strict=True):
            oracle[entry] += weight * linear.features[entry][n, k]
        for mine, expected in zip(ours, oracle, strict=True):
            torch.testing.assert_close(mine[n], expected, rtol=0, atol=1e-10)


def test_a_channel_that_is_equal_everywhere_hides_the_image() -> None:
    network, images = make_network(3).double(), some_images(1)
    features = torch.ones(1, 5, *network.stages(images)[0].shape[2:], dtype=torch.float64)
    linear = alone(features, features)
    with torch.no_grad():
        maps = score_cam(network, images, linear)
    torch.testing.assert_close(maps[0], features[:, 0])  # equal weights, and no division by zero


@pytest.mark.parametrize("make", [lambda: make_network(2), lambda: fake_network(5, views=(0, 2))])
def test_occlusion_equals_a_loop(make: Callable[[], Network]) -> None:
    network, images = make().double(), some_images(2)
    height, width = 6, 5  # an eighth of 46 and 38; at the ends the steps of 3 and 2 are shorter
    grid = combined_grid(network.grids(SIZE), SIZE)
    total, count = np.zeros((2, *SIZE)), np.zeros(SIZE)
    with torch.no_grad():
        ours = occlusion(network, images, onto=grid)
        for top in [round(x) for x in np.linspace(0, 40, 15)]:
            for left in [round(x) for x in np.linspace(0, 33, 18)]:
                place = (..., slice(top, top + height), slice(left, left + width))
                covered = images.clone()
                covered[place] = images.mean((2, 3), keepdim=True)
                total[place] += (network(images) - network(covered)).numpy()[:, None, None]
                count[place] += 1
    oracle = np.array(
        [[[_at(x, grid, i, j) for j in range(grid.width)] for i in range(grid.height)] for x in total / count]
    )
    np.testing.assert_allclose(ours, oracle, rtol=0, atol=1e-10 * np.abs(oracle).max())


def _at(image: np.ndarray, grid: CellGrid, i: int, j: int) -> float:
    """The pixels' mean at a cell's centre, which lies on one pixel or between two, each way."""
    centre = [
        min(max(first + grid.stride * cell, 0), side - 1)
        for first, cell, side in zip((grid.top, grid.left), (i, j), image.shape, strict=True)
    ]
    rows, columns = ([int(np.floor(c)), int(np.ceil(c))] for c in centre)
    return float(image[np.ix_(rows, columns)].mean())


def test_occlusion_equals_captums_where_the_steps_fit() -> None:
    from captum.attr import Occlusion

    network, images = fake_network(5).double(), some_images(2, size=(32, 48))
    grid = CellGrid(32, 48, stride=1.0, top=0.0, left=0.0)
    with torch.no_grad():
        ours = occlusion(network, images, onto=grid)
        blank = images.mean((2, 3), keepdim=True).expand_as(images)
        oracle = Occlusion(network).attribute(images, (3, 4, 6), strides=(3, 2, 3), baselines=blank)[:, 0]
    # captum adds up in single precision
    np.testing.assert_allclose(ours, oracle, rtol=0, atol=1e-6 * float(oracle.abs().max()))


def test_occlusion_finds_the_only_place_that_counts() -> None:
    class Spot(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :, 40:44, 60:64].mean((1, 2, 3))

    images = torch.zeros(1, 1, 64, 96)
    images[:, :, 40:44, 60:64] = 1
    maps = occlusion(Spot(), images, onto=CellGrid(8, 12, 8.0, 3.5, 3.5))  # type: ignore[arg-type]
    assert np.unravel_index(maps[0].argmax(), (8, 12)) == (5, 7)
    assert maps[0][:3].max() == maps[0][:, :5].max() == 0


@pytest.mark.parametrize(("method", "passes"), [("score-cam", 3 * 11), ("occlusion", 3 * 15 * 18), ("eigen-cam", 0)])
def test_progress_hears_of_every_pass(method: Method, passes: int) -> None:
    class Listener:
        total = done = 0

        @contextmanager
        def bar(self, what: str, total: int) -> Iterator[Listener]:
            self.total += total
            yield self

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.done += steps

        def say(self, text: str) -> None:
            raise AssertionError(text)

    listener = Listener()
    explain(fake_network(1), some_images(3).float(), method=method, progress=listener)
    assert listener.total == listener.done == passes
