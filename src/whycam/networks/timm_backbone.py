"""Any backbone of the package timm (https://github.com/huggingface/pytorch-image-models) that yields feature maps."""

from __future__ import annotations

import copy
import difflib
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from whycam.card import CellGrid
from whycam.errors import MissingDependencyError, OptionError, RunError
from whycam.networks.backbone import Backbone
from whycam.networks.names import TIMM_PREFIX

_INSTALL = 'install it with pip install "whycam[timm]"'


class TimmBackbone(Backbone):
    """The levels of a timm model's feature pyramid, with the normalisation that its weights expect."""

    def __init__(self, model_name: str, taps: tuple[str, ...] = (), *, pretrained: bool) -> None:
        """`taps`: names as timm gives them, such as `layer3`; `()` for all levels.

        Raises:
            MissingDependencyError: timm is not installed or does not load.
            OptionError: timm has no such model, or the model no such tap or no feature maps at all.
            RunError: the pretrained weights are not on this machine and cannot be fetched.
        """
        super().__init__()
        self.name = TIMM_PREFIX + model_name
        self.model = _model(model_name, pretrained=pretrained)
        info = self.model.feature_info
        levels = tuple(str(name) for name in info.module_name())
        unknown = [tap for tap in taps if tap not in levels]
        if unknown or len(set(taps)) < len(taps):
            raise OptionError(
                f"`taps` of {self.name} must be of {', '.join(levels)}, none twice, got {', '.join(taps)} instead."
            )
        self.taps = taps or levels
        self._levels = [levels.index(tap) for tap in self.taps]
        self.channels = tuple(int(info.channels()[level]) for level in self._levels)
        self._strides = [float(info.reduction()[level]) for level in self._levels]
        self.smallest_side = int(max(info.reduction()))
        self._grids: dict[tuple[int, int], tuple[CellGrid, ...]] = {}
        # Buffers, because they belong to the weights and must be saved with them.
        self.mean: Tensor
        self.std: Tensor
        for statistic in ("mean", "std"):
            values = torch.tensor(self.model.pretrained_cfg[statistic], dtype=torch.float32)
            self.register_buffer(statistic, values.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of each tap, (N, K, h, w); see `Backbone.forward`."""
        self.check(images)
        maps = self.model((images - self.mean) / self.std)
        # Swin transformers and their like keep channels last.
        last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        return tuple(maps[level].permute(0, 3, 1, 2) if last else maps[level] for level in self._levels)

    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """Cells one reduction apart, the first in the middle of its tile: an approximation.

        timm tells by how much each level is reduced, not what its cells see, so a model with unpadded convolutions has
        its cells up to some reductions further inside. The number of cells is exact. OptionError for a size that the
        model does not take.
        """
        if size_hw not in self._grids:
            # On the meta device a network computes shapes and nothing else, here in a copy that may be changed.
            shadow = copy.deepcopy(self).to("meta").eval()
            try:
                maps = shadow(torch.empty(1, 3, *size_hw, device="meta"))
            except (AssertionError, RuntimeError, ValueError) as error:
                raise OptionError(
                    f"{self.name} takes no images of {size_hw[0]} x {size_hw[1]} pixels: {_line(error)}."
                ) from error
            self._grids[size_hw] = tuple(
                CellGrid(level.shape[2], level.shape[3], stride, top=(stride - 1) / 2, left=(stride - 1) / 2)
                for level, stride in zip(maps, self._strides, strict=True)
            )
        return self._grids[size_hw]


def _timm() -> ModuleType:
    try:
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"Backbones named {TIMM_PREFIX}… need the package timm: {_INSTALL}.") from error
    # A torchvision that was built for another torch fails with RuntimeError.
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(f"The package timm does not load ({_line(error)}): {_INSTALL}.") from error


def _model(name: str, *, pretrained: bool) -> Any:
    """timm's model with `features_only`; errors as in `TimmBackbone`."""
    timm = _timm()
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() lists them."
        raise OptionError(f"timm has no model {name!r}: {hint}")
    # timm and its download library raise errors of many kinds. Without weights only the model itself can be at fault.
    try:
        bare = timm.create_model(name, pretrained=False, features_only=True)
    except Exception as error:
        raise OptionError(f"timm gives no feature maps of {TIMM_PREFIX}{name}: {_line(error)}.") from error
    if not pretrained:
        return bare
    try:
        return timm.create_model(name, pretrained=True, features_only=True)
    except Exception as error:
        source = bare.pretrained_cfg.get("hf_hub_id") or bare.pretrained_cfg.get("url")
        if not source:
            raise OptionError(f"{TIMM_PREFIX}{name} has no pretrained weights: choose another model.") from error
        raise RunError(
            f"The weights of {TIMM_PREFIX}{name} could not be loaded from {source} ({_line(error)}): load them once on "
            "a machine with network, then copy its Hugging Face cache here and set HF_HOME to it."
        ) from error


def _line(error: Exception) -> str:
    """What the error says, in one line that is not too long."""
    text = " ".join(str(error).split()).rstrip(".")
    return (text if len(text) <= 200 else text[:199] + "…") or type(error).__name__
