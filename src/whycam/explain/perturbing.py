"""Methods that change the image and look what the whole network makes of it: dear, but they ask the network itself.

What is hidden takes on the image's mean colour, so that nothing is added that the image does not have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from whycam.card import CellGrid
from whycam.explain.placement import place
from whycam.networks.network import Linearisation, Network
from whycam.progress import SILENT, Bar, Progress
from whycam.types import Floats

SCORE_CAM_CHANNELS = 32
"""Of each layer so many channels at most mask the image: those whose values differ most between the cells."""
OCCLUSION_SHARE = 1 / 8
"""The patch's sides as shares of the image's."""
_PASSES = 32
"""Images that go through the network together."""


def score_cam(
    network: Network, images: Tensor, linearisation: Linearisation, *, progress: Progress = SILENT
) -> tuple[Tensor, ...]:
    """Score-CAM (Wang et al. 2020, arXiv 1910.01279, definition 3 and algorithm 1), of each entry.

    ``w = softmax_k(y(X o H_k));  map = sum_k w_k A_k``, with H_k channel k's activations placed on the pixels and
    brought to [0, 1] by their own minimum and maximum, and X o H_k the image blended with its mean colour where H_k is
    below 1 (the paper's baseline; its logit would cancel in the softmax).

    - Only the first view's maps mask the image; the other views have maps of 0. Their logits count all the same.
    - Only the `SCORE_CAM_CHANNELS` channels of a layer with the largest variance over the cells take part (the idea of
      Faster-Score-CAM; all of them where there are no more), and a channel that is equal everywhere is no mask at all.
    - One softmax spans the channels of all layers, so that a layer counts as much as its masks keep of the score; with
      one layer it is the paper's.

    The weights add up to 1 for every image: the map says where, not how much. It is no calmer on a normal image.

    Args:
        network: any of our networks.
        images: (N, C, H, W), as for `explain`.
        linearisation: of these images.
        progress: hears of every pass.

    Returns:
        For each entry (N, h, w), in units of the activations, before the ReLU.
    """
    size_hw = (images.shape[2], images.shape[3])
    grids = network.grids(size_hw)
    shown = [network.stage_names.index(name) for name in dict.fromkeys(network.stage_names)]
    channels = [min(SCORE_CAM_CHANNELS, linearisation.features[entry].shape[1]) for entry in shown]
    maps = [torch.zeros_like(features[:, 0]) for features in linearisation.features]
    with progress.bar("masking images", len(images) * sum(channels)) as bar:
        for number, image in enumerate(images):
            chosen = []
            for entry, count in zip(shown, channels, strict=True):
                spread = linearisation.activations[entry][number].flatten(1).var(dim=1, correction=0)
                chosen.append(spread.topk(count).indices)
            hiding = [linearisation.activations[entry][number][own] for own, entry in zip(chosen, shown, strict=True)]
            masks = torch.cat([_masks(own, grids[entry], size_hw) for own, entry in zip(hiding, shown, strict=True)])
            blank = _mean_colour(image)
            copies = (torch.lerp(blank, image, masks[some]) for some in _slices(len(masks)))
            weights = torch.split(torch.softmax(_logits(network, copies, bar), dim=0), channels)
            for entry, own, weight in zip(shown, chosen, weights, strict=True):
                maps[entry][number] = (weight[:, None, None] * linearisation.features[entry][number][own]).sum(dim=0)
    return tuple(maps)


def occlusion(network: Network, images: Tensor, *, onto: CellGrid, progress: Progress = SILENT) -> Floats:
    """Occlusion (Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2): how far the logit falls when a patch is hidden.

    The patch measures an eighth of the image each way and moves by about half of itself, at even steps from edge to
    edge: 225 passes for most images. A pixel's value is the mean over the patches that cover it; a cell's is that of
    the pixels at its centre. No feature map plays a part, so the map belongs to all layers and views together.

    Args:
        network: any of our networks.
        images: (N, C, H, W), as for `explain`.
        onto: where the cells of the result lie.
        progress: hears of every pass.

    Returns:
        (N, h, w) float64 on the cells of `onto`, signed, in logit units a patch, before the ReLU.
    """
    height, width = images.shape[2:]
    rows, columns = _starts(height), _starts(width)
    patch_hw = _patch(height), _patch(width)
    places = [(top, left) for top in rows for left in columns]
    whole = network(images)
    drops = []
    with progress.bar("covering parts of images", len(images) * len(places)) as bar:
        for image, logit in zip(images, whole, strict=True):
            copies = (_covered(image, places[some], patch_hw) for some in _slices(len(places)))
            drops.append(logit - _logits(network, copies, bar))
    table = torch.stack(drops).view(len(images), len(rows), len(columns)).double().cpu().numpy()
    by_row = _cells_of_patches(rows, patch_hw[0], height, onto.top + onto.stride * np.arange(onto.height))
    by_column = _cells_of_patches(columns, patch_hw[1], width, onto.left + onto.stride * np.arange(onto.width))
    result: Floats = by_row @ table @ by_column.T
    return result


def _logits(network: Network, batches: Iterable[Tensor], bar: Bar) -> Tensor:
    """The logits of all images (B, C, H, W) of all batches, one after another."""
    logits = []
    for batch in batches:
        logits.append(network(batch))
        bar.advance(len(batch))
    return torch.cat(logits)


def _covered(image: Tensor, places: Sequence[tuple[int, int]], patch_hw: tuple[int, int]) -> Tensor:
    """Copies (P, C, H, W) of one image, each with a patch of its mean colour at one of the places (top, left)."""
    copies = image.expand(len(places), -1, -1, -1).clone()
    for copy, (top, left) in zip(copies, places, strict=True):
        copy[:, top : top + patch_hw[0], left : left + patch_hw[1]] = _mean_colour(image)
    return copies


def _slices(count: int) -> Iterator[slice]:
    for first in range(0, count, _PASSES):
        yield slice(first, min(first + _PASSES, count))


def _mean_colour(image: Tensor) -> Tensor:
    """(C, H, W) -> (C, 1, 1)."""
    return image.mean(dim=(1, 2), keepdim=True)


def _masks(features: Tensor, grid: CellGrid, size_hw: tuple[int, int]) -> Tensor:
    """(K, h, w) -> (K, 1, H, W) in [0, 1]; all 0 where a channel is equal everywhere."""
    placed = place(features.cpu().numpy(), grid, model_hw=size_hw, picture_hw=size_hw)
    masks = torch.from_numpy(placed).to(features.device, features.dtype)[:, None]
    low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
    return (masks - low) / torch.where(high > low, high - low, 1)


def _patch(side: int) -> int:
    return max(1, round(side * OCCLUSION_SHARE))


def _starts(side: int) -> list[int]:
    """Where patches begin along one side of so many pixels."""
    patch = _patch(side)
    count = math.ceil((side - patch) / max(1, patch // 2)) + 1
    return [round(start) for start in np.linspace(0, side - patch, count).tolist()]


def _cells_of_patches(starts: Sequence[int], patch: int, side: int, centres: Floats) -> Floats:
    """(cells, patches) weights whose rows sum to 1: the patches over the pixels at each cell's centre."""
    pixels = np.arange(side)
    first = np.array(starts)
    covering = ((pixels[:, None] >= first) & (pixels[:, None] < first + patch)).astype(np.float64)
    covering /= covering.sum(axis=1, keepdims=True)
    at = np.clip(centres, 0, side - 1)
    weights: Floats = np.maximum(0.0, 1.0 - np.abs(at[:, None] - pixels)) @ covering
    return weights
