"""How long a step of a training through the network takes on this machine, by taking a few."""

from __future__ import annotations

import time

import numpy as np
import torch

from whycam.networks.backbone import build_backbone
from whycam.networks.classic import ClassicNetwork
from whycam.networks.efficientnet_lite import EfficientNetLite0
from whycam.training.recipe import ClassicRecipe, FinetuneRecipe
from whycam.training.trainer import LabelledPixels, new_optimizer, train_epochs
from whycam.types import Pixels

_STEPS = 3


def classic_step(recipe: ClassicRecipe, pixels: Pixels, device: torch.device) -> float:
    """Seconds of a step on some of these pixels (n, H, W, 1 or 3)."""
    network = ClassicNetwork(recipe.size_hw)
    network.initialise(torch.Generator().manual_seed(0))
    network.to(device)
    rows = np.arange(2 * recipe.batch_size)
    data = LabelledPixels(lambda some: pixels[np.asarray(some) % len(pixels)], rows, rows % 2.0)
    optimizer = new_optimizer(network, recipe)
    epochs = list(train_epochs(network, optimizer, data, recipe=recipe, seed=0, epochs=range(1, 3)))
    return epochs[-1].seconds / 2


def finetune_step(recipe: FinetuneRecipe, device: torch.device) -> float:
    """Seconds forward and back through the layers beyond the cut, on random maps; the optimiser costs little more."""
    backbone = build_backbone(recipe.backbone, recipe.taps, pretrained=False)
    if not isinstance(backbone, EfficientNetLite0):
        raise TypeError(f"cannot cut {recipe.backbone}")
    backbone.to(device)
    cells, channels = recipe.size_hw, 3
    for name, layer in backbone.row():
        cells, channels = (layer.cells(cells[0]), layer.cells(cells[1])), layer.conv.out_channels
        if name == recipe.cut:
            break
    backbone.requires_grad_(False)
    for _, layer in backbone.row_after(recipe.cut):
        # As in the training, where weights of depthwise convolutions stay.
        layer.conv.weight.requires_grad_(layer.groups == 1)
    maps = torch.rand(recipe.batch_size, channels, *cells, device=device).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        taps = backbone.forward_from(recipe.cut, maps)
        loss = torch.stack([(tap.mean(dim=(2, 3)) + tap.amax(dim=(2, 3))).sum() for tap in taps]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        # A GPU works on while nobody asks for a result; the training asks for its loss.
        loss.item()

    def steps(n: int) -> None:
        for _ in range(n):
            step()

    # In the first two things are set up.
    steps(2)
    begin = time.perf_counter()
    steps(_STEPS)
    return (time.perf_counter() - begin) / _STEPS
