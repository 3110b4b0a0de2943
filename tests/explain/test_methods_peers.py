"""Each method against the package `grad-cam`, in an environment apart: `make bench-peers` runs these tests.

The suite itself holds each method to its definition, autograd or captum (test_maps.py, test_methods.py,
test_faithfulness.py): the package wants torchvision, which WhyCAM does without.

What is compared are the package's weights and maps on the cells, before it resizes them and brings them to [0, 1].
Where the package leaves the paper, the test says so and takes that away.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.explain.test_maps import SIZE, Unfolded, make_network
from tests.explain.test_methods import alone, linearised, logit_of, some_images
from tests.networks.fakes import fake_network
from whycam.explain.ablation import ablation_cam
from whycam.explain.cam import eigen_cam, grad_cam_plus_plus, layer_cam, xgrad_cam
from whycam.explain.explanation import explain
from whycam.explain.imputation import impute
from whycam.explain.maps import evidence
from whycam.explain.perturbing import score_cam
from whycam.explain.placement import place
from whycam.networks.classic import ClassicNetwork
from whycam.networks.network import Linearisation
from whycam.networks.pooled import PooledNetwork

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
VIEWS = (0, 3, 6)
Maps = np.ndarray


@pytest.fixture(scope="module")
def package() -> Iterator[types.ModuleType]:
    """`pytorch_grad_cam`; torchvision, of which it imports helpers that play no part here, may be missing."""
    stand_ins = {} if importlib.util.find_spec("torchvision") else _stand_ins()
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    sys.modules.update(stand_ins)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pytorch_grad_cam
        yield pytorch_grad_cam
    finally:
        for name in stand_ins:
            del sys.modules[name]
        os.environ.pop("TQDM_DISABLE")
        if before is not None:
            os.environ["TQDM_DISABLE"] = before


def _stand_ins() -> dict[str, types.ModuleType]:
    members = {"": (), ".transforms": ("Compose", "Normalize", "ToTensor"), ".transforms.functional": ("resize",)}
    modules = {}
    for suffix, names in members.items():
        module = types.ModuleType(f"torchvision{suffix}")
        for name in names:
            setattr(module, name, None)
        modules[module.__name__] = module
    return modules


class Pooled(torch.nn.Module):
    """A pooled network spelled out, each entry's maps passing a module of their own that the package can hook into.

    Those maps are less their centres, or with them where `whole`.
    """

    def __init__(self, network: PooledNetwork, *, whole: bool = False) -> None:
        super().__init__()
        self.network, self.whole = network, whole
        self.explained = torch.nn.ModuleList(torch.nn.Identity() for _ in network.stage_names)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            stages = self.network.stages(images)
        centres = self.network.centres()
        offsets = [c * (not self.whole) for c in centres]
        leaves = [(x - c).requires_grad_(True) for x, c in zip(stages, offsets, strict=True)]
        whole = [module(x) + c for module, x, c in zip(self.explained, leaves, offsets, strict=True)]
        return logit_of(self.network, *(x - c for x, c in zip(whole, centres, strict=True)))[:, None]


def classic(seed: int = 7) -> tuple[ClassicNetwork, torch.nn.Module, Sequence[torch.nn.Module]]:
    network = make_network(seed).double()
    model = Unfolded(network).double()
    return network, model, [model.explained]


def pooled(seed: int = 7, *, whole: bool = False) -> tuple[PooledNetwork, torch.nn.Module, Sequence[torch.nn.Module]]:
    network = fake_network(seed, views=VIEWS, size_hw=SIZE).double()
    model = Pooled(network, whole=whole)
    return network, model, list(model.explained)


def theirs(method: Callable[..., Any], model: torch.nn.Module, layer: torch.nn.Module, images: torch.Tensor) -> Any:
    """The package's method at work on one layer: (weights (N, K) or None, map (N, h, w)) before its ReLU."""
    targets = [lambda output: output[0]] * len(images)
    with method(model=model, target_layers=[layer]) as cam:
        cam.activations_and_grads(images)[:, 0].sum().backward()
        activations = cam.activations_and_grads.activations[0].numpy()
        gradients = cam.activations_and_grads.gradients[0].numpy()
        given = (images, layer, targets, activations, gradients)
        try:
            weights = cam.get_cam_weights(*given)
        except NotImplementedError:
            weights = None
        return weights, cam.get_cam_image(*given, False)


def agree(ours: torch.Tensor, expected: Maps, *, tolerance: float = 1e-5) -> None:
    assert ours.shape == expected.shape
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    assert largest.min() > 0
    np.testing.assert_array_less(np.abs(ours.numpy() - expected), np.broadcast_to(tolerance * largest, expected.shape))


@pytest.mark.parametrize("make", [classic, pooled])
@pytest.mark.parametrize(("name", "ours"), [("HiResCAM", evidence), ("LayerCAM", layer_cam)])
def test_products_of_gradients_and_activations(package: Any, make: Any, name: str, ours: Any) -> None:
    network, model, layers = make()
    linear = linearised(network, some_images())
    for entry, layer in enumerate(layers):
        _, expected = theirs(getattr(package, name), model, layer, some_images())
        agree(ours(linear, entry), expected)


# The package adds an epsilon below the line, 1e-6 in Grad-CAM++ and 1e-7 in XGrad-CAM, which the papers do not have: of
# no weight where gradients are not tiny, as here, where the heads' weights are made large.
@pytest.mark.parametrize("make", [classic, pooled])
@pytest.mark.parametrize(
    ("name", "ours"), [("GradCAM", None), ("GradCAMPlusPlus", grad_cam_plus_plus), ("XGradCAM", xgrad_cam)]
)
def test_weighted_activations(package: Any, make: Any, name: str, ours: Any) -> None:
    if make is pooled:
        network, model, layers = pooled(whole=True)
        network.head.rescale(1e4, 0.0)
    else:
        network, model, layers = classic()
        network.head.output.weight.data.mul_(1e3)
    images = some_images()
    linear = linearised(network, images)
    for entry, layer in enumerate(layers):
        weights, expected = theirs(getattr(package, name), model, layer, images)
        if make is pooled:
            # Their weights, found on the whole maps; shown are the maps less their centres.
            expected = np.einsum("nk,nkhw->nhw", weights, linear.features[entry].numpy())
        if ours is None:
            agree(_signed_grad_cam(linear, entry), expected)
        elif ours is grad_cam_plus_plus:
            # The mean over the cells, where the paper adds up.
            agree(ours(linear, entry) * expected[0].size, expected)
        else:
            agree(ours(linear, entry), expected)


def _signed_grad_cam(linear: Linearisation, entry: int) -> torch.Tensor:
    return (linear.gradients[entry].mean((2, 3), keepdim=True) * linear.features[entry]).sum(1)


# The package takes each channel's mean over the image off before the decomposition, which the paper does not; on maps
# that have none left both are the same. Its sign is arbitrary; that of its Seg-Eigen-CAM is by the rule used here.
@pytest.mark.parametrize("make", [classic, pooled])
def test_eigen_cam(package: Any, make: Any) -> None:
    from pytorch_grad_cam.utils.svd_on_activations import (
        get_2d_projection,
        get_2d_projection_with_sign_correction,
    )

    network, _, layers = make()
    linear = linearised(network, some_images())
    for entry in range(len(layers)):
        level = linear.features[entry] - linear.features[entry].mean((2, 3), keepdim=True)
        ours = eigen_cam(alone(level, linear.gradients[entry]))
        ours = ours / ours.flatten(1).abs().amax(1)[:, None, None]
        corrected = get_2d_projection_with_sign_correction(level.numpy()).astype(np.float64)
        agree(ours, corrected / np.abs(corrected).max((1, 2), keepdims=True))
        free = np.abs(get_2d_projection(level.numpy()).astype(np.float64))
        agree(ours.abs(), free / free.max((1, 2), keepdims=True))


# The package divides by the logit, whatever its sign; ours divides by the maps' mean norm. Where the lowest value of a
# layer's maps is not 0, the package ablates with -10,000,000 in place of the paper's 0; it is given a plain zero.
@pytest.mark.parametrize("make", [classic, pooled])
def test_ablation_cam(package: Any, make: Any) -> None:
    from pytorch_grad_cam.ablation_layer import AblationLayer

    class Zeroing(AblationLayer):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            for number, maps in enumerate(self.activations):
                maps[self.indices[number]] = 0
            return self.activations

    network, model, layers = pooled(whole=True) if make is pooled else classic()
    images = some_images()
    linear = linearised(network, images)
    with torch.no_grad():
        ours = ablation_cam(network, linear)
    for entry, layer in enumerate(layers):
        with package.AblationCAM(model=model, target_layers=[layer], ablation_layer=Zeroing()) as cam:
            with torch.no_grad():
                cam.activations_and_grads(images)
            features = linear.features[entry].numpy()
            expected = cam.get_cam_image(images, layer, [lambda output: output[0]] * len(images), features, None)
        norm = linear.activations[entry].abs().sum((2, 3)).mean(1)
        agree(ours[entry] * (norm / linear.logit)[:, None, None], expected)


# The package stretches the maps over the image, corner to corner, which would put cells where they do not lie: in its
# place comes our placement. It multiplies the image with the mask, so that what is hidden becomes 0: it is given images
# less their mean colour. Its softmax is over the channels of one layer, so ours is shown one layer at a time.
@pytest.mark.parametrize("make", [classic, pooled])
def test_score_cam(package: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _, layers = make()
    grids = network.grids(SIZE)
    for image in some_images(3)[:, None]:
        linear = linearised(network, image)
        gray = image.mean((2, 3), keepdim=True)
        for entry in range(len(layers)):
            monkeypatch.setattr(
                torch.nn,
                "UpsamplingBilinear2d",
                lambda size, entry=entry: (
                    lambda maps: torch.from_numpy(place(maps.numpy(), grids[entry], model_hw=SIZE, picture_hw=size))
                ),
            )
            hooked = torch.nn.Identity()
            model = torch.nn.Sequential(hooked, _Shifted(network, gray))
            with package.ScoreCAM(model=model, target_layers=[hooked]) as cam:
                activations = linear.activations[entry].numpy()
                weights = cam.get_cam_weights(image - gray, hooked, [lambda output: output[0]], activations, None)
            expected = np.einsum("nk,nkhw->nhw", weights, linear.features[entry].numpy())
            shown = alone(linear.features[entry], linear.gradients[entry], activations=linear.activations[entry])
            with torch.no_grad():
                (ours,) = score_cam(_OneLayer(network, entry), image, shown)
            agree(ours, expected)


class _OneLayer:
    """All of a network that `score_cam` looks at, with a single entry."""

    def __init__(self, network: Any, entry: int) -> None:
        self.network, self.entry = network, entry
        self.stage_names = ("the only one",)

    def grids(self, size_hw: tuple[int, int]) -> tuple[Any, ...]:
        return (self.network.grids(size_hw)[self.entry],)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


class _Shifted(torch.nn.Module):
    def __init__(self, network: torch.nn.Module, gray: torch.Tensor) -> None:
        super().__init__()
        self.network, self.gray = network, gray

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images + self.gray)[:, None]


def test_the_heatmaps_of_the_classic_network_are_theirs_rectified(package: Any) -> None:
    network, model, (layer,) = classic()
    images = some_images()
    for method, name in (("layer-cam", "LayerCAM"), ("hires-cam", "HiResCAM"), ("grad-cam", "GradCAM")):
        _, expected = theirs(getattr(package, name), model, layer, images)
        agree(torch.from_numpy(explain(network, images, method=method).heatmaps), np.maximum(expected, 0))


def test_imputation_equals_theirs(package: Any) -> None:
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    rng = np.random.default_rng(0)
    image, missing = rng.uniform(0, 255, (30, 32, 3)), rng.random((30, 32)) < 0.6
    imputer = NoisyLinearImputer(noise=0.0)
    oracle = imputer(torch.from_numpy(image.transpose(2, 0, 1)).float(), torch.from_numpy(1.0 - missing).float())
    ours = impute(image[None], missing[None], tolerance=1e-4)[0]
    np.testing.assert_allclose(ours, oracle.numpy().transpose(1, 2, 0), atol=0.02)
