"""How fast this machine is, measured in a few seconds on some of the images that it is to work on."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whycam.audits.cues import measure as measure_cues
from whycam.audits.fingerprints import fingerprints_of
from whycam.data.images import decode_resized, digest, read_bytes
from whycam.data.parallel import in_order
from whycam.errors import DataError, ImageError
from whycam.evaluation.metrics import measure as measure_metrics
from whycam.evaluation.threshold import midpoint
from whycam.explain.explanation import explain, score
from whycam.explain.methods import SLOW, Method
from whycam.networks.backbone import Backbone, build_backbone
from whycam.networks.classic import ClassicNetwork
from whycam.networks.device import as_input
from whycam.networks.engine import engine_for
from whycam.networks.heads import PooledHead
from whycam.networks.network import Network
from whycam.networks.pooled import PooledNetwork
from whycam.training.head import fit_classes, n_steps
from whycam.training.recipe import DEFAULT, ClassicRecipe, FinetuneRecipe, HeadSettings, Recipe
from whycam.training.step_speeds import classic_step, finetune_step
from whycam.types import Pixels, Predictions, Sample

_MATRIX = 512
_SCORES = 500
_HIDDEN = 1024
"""Units of a head about as wide as those that are trained."""
_HEAD_EPOCHS = 4
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds that things take on this machine, for these data."""

    start: float
    """To make a network with its weights."""
    read: float
    """To read, decode and resize an image."""
    pooled: Mapping[int, float]
    """Side in pixels -> to compute the features of one view of an image."""
    explained: Mapping[int, float]
    """Side in pixels -> to explain one view of an image by the method asked for."""
    looked: float
    """To look at an image for the audit, features not counted."""
    audited: float
    """To compute an image's features for the audit, where the recipe itself needs none; else 0."""
    head_step: float
    """One step of the head's training."""
    product: float
    """One multiplication and addition in a product of matrices."""
    eigen: float
    """One n-th of an n-th of an n-th of the eigenvectors of a matrix (n, n)."""
    width: int
    """Number of features of an image."""
    figure: float
    """One plain plot."""
    metrics: float
    """Metrics with intervals, for an image."""
    step: Mapping[str, float] = field(default_factory=dict)
    """Recipe -> one step of a training through the network, for the recipes that do so."""
    cut: float = 0.0
    """To compute one view's map at the cut, where the backbone is fine-tuned from there on; else 0."""


def measure(
    samples: Sequence[Sample],
    recipes: Sequence[Recipe],
    *,
    device: torch.device,
    seconds: float,
    method: Method = "grad-cam",
) -> Speeds:
    """The speeds that the cost of `recipes` follows from.

    Args:
        samples: the images; a few of them are read.
        recipes: all with one network, at one size or several.
        device: where training and scoring are to run.
        seconds: about how long measuring may take; it takes longer only where one image does.
        method: what is to make the heatmaps.

    Raises:
        DataError: none of the images looked at can be read.
    """
    first = recipes[0]
    sizes = sorted({recipe.size_hw for recipe in recipes})
    share = seconds / (3 + 3 * len(sizes))
    begin = time.perf_counter()
    backbone = None if isinstance(first, ClassicRecipe) else build_backbone(first.backbone, first.taps, pretrained=True)
    start = time.perf_counter() - begin
    pooled, explained, steps, audited, cut = {}, {}, {}, 0.0, 0.0
    for size_hw in sizes:
        some, pixels, read = _read(samples, size_hw, share)
        network = (_toy(backbone) if backbone is not None else ClassicNetwork(size_hw)).to(device)
        network.freeze()
        images = as_input(pixels, device)
        pooled[size_hw[0]] = _scored(network, images, share)
        explained[size_hw[0]] = _explained(network, images, method, share)
        tuned = next((recipe for recipe in recipes if isinstance(recipe, FinetuneRecipe)), None)
        if tuned is not None and tuned.size_hw == size_hw:
            cut = _cut(tuned, images, share)
            steps[tuned.name] = finetune_step(tuned, device)
        if isinstance(first, ClassicRecipe):
            steps[first.name] = classic_step(first, pixels, device)
            looker = _toy(build_backbone(DEFAULT.backbone, DEFAULT.taps, pretrained=False)).to(device)
            looker.freeze()
            audited = _scored(looker, images, share)
    return Speeds(
        start=start,
        read=read,
        pooled=pooled,
        explained=explained,
        looked=_looked(some, pixels),
        audited=audited,
        head_step=0.0 if isinstance(first, ClassicRecipe) else _head_step(first.head, len(samples)),
        product=_product(),
        eigen=_eigen(),
        width=0 if backbone is None else 2 * sum(backbone.channels),
        figure=_figure(),
        metrics=_metrics(),
        step=steps,
        cut=cut,
    )


def _clock(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _read(samples: Sequence[Sample], size_hw: tuple[int, int], seconds: float) -> tuple[list[Sample], Pixels, float]:
    """Some samples from all over the data, their images (n, H, W, 1 or 3), and seconds an image."""

    def read(sample: Sample) -> Pixels | None:
        try:
            digest(read_bytes(sample.path))
            return decode_resized(sample.path, size_hw)
        except ImageError:
            return None

    drawn = [samples[index] for index in np.random.default_rng(0).permutation(len(samples))[:64]]
    begin, n, some, found = time.perf_counter(), 0, list[Sample](), list[Pixels]()
    with closing(in_order(read, drawn)) as results:
        for sample, pixels in zip(drawn, results, strict=True):
            n += 1
            if pixels is not None:
                some.append(sample)
                found.append(pixels)
            if len(found) >= 8 and time.perf_counter() - begin > seconds:
                break
    if not found:
        raise DataError(f"None of {n} images looked at can be decoded, first {drawn[0].file}.")
    shape = (*size_hw, max(pixels.shape[2] for pixels in found))
    return some, np.stack([np.broadcast_to(pixels, shape) for pixels in found]), (time.perf_counter() - begin) / n


def _looked(samples: Sequence[Sample], pixels: Pixels) -> float:
    """Seconds an image for what tells copies, and for cues."""

    def work() -> None:
        batches = (pixels[first : first + _BATCH] for first in range(0, len(pixels), _BATCH))
        deque(in_order(fingerprints_of, batches), maxlen=0)
        measure_cues(samples, lambda rows: pixels[rows])

    work()
    return _clock(work) / len(samples)


def _scored(network: Network, images: Tensor, seconds: float) -> float:
    return _per_image(lambda batch: score(network, batch), images, seconds)


def _explained(network: Network, images: Tensor, method: Method, seconds: float) -> float:
    if method in SLOW:
        # Hundreds of passes for a single image; what is set up before the first hardly counts.
        return _clock(lambda: explain(network, images[:1], method=method))
    return _per_image(lambda batch: explain(network, batch, method=method), images, seconds)


def _per_image(work: Callable[[Tensor], object], images: Tensor, seconds: float) -> float:
    """Seconds an image, the first batch, in which things are set up, not counted."""
    batch = images.repeat(-(-_BATCH // len(images)), 1, 1, 1)[:_BATCH]
    work(batch[:1])
    begin, n = time.perf_counter(), 0
    while not n or time.perf_counter() - begin < seconds / 2:
        work(batch)
        n += len(batch)
    return (time.perf_counter() - begin) / n


def _toy(backbone: Backbone) -> Network:
    """The network of one view that the recipe default would make, with random weights in its head."""
    width = 2 * sum(backbone.channels)
    head = PooledHead.of(
        backbone.channels,
        shift=torch.zeros(width),
        scale=torch.ones(width),
        skip=(torch.zeros(width), 0.0),
        hidden=(torch.rand(_HIDDEN, width) - 0.5, torch.zeros(_HIDDEN)),
        output=(torch.rand(_HIDDEN) - 0.5, 0.0),
    )
    return PooledNetwork(backbone, head)


def _cut(recipe: FinetuneRecipe, images: Tensor, seconds: float) -> float:
    backbone = build_backbone(recipe.backbone, (recipe.cut,), pretrained=False).to(images.device).eval()
    maps = engine_for(backbone) or backbone
    with torch.no_grad():
        return _per_image(maps, images, seconds)


def _head_step(settings: HeadSettings, n: int) -> float:
    """Of training on random coordinates of the right shape."""
    n = min(max(n, 8), 1024)
    settings = replace(settings, epochs=_HEAD_EPOCHS)
    coordinates = torch.randn(1, n, settings.directions, generator=torch.Generator().manual_seed(0))
    targets = np.arange(n) % 2.0
    # In the first steps of a process things are set up; a few hundred images have so few steps that it would count.
    fit_classes(coordinates, targets, replace(settings, epochs=1), seed=0)
    return _clock(lambda: fit_classes(coordinates, targets, settings, seed=0)) / n_steps(n, settings)


def _product() -> float:
    matrix = torch.rand(_MATRIX, _MATRIX, dtype=torch.float64)
    _ = matrix @ matrix
    return _clock(lambda: matrix @ matrix) / _MATRIX**3


def _eigen() -> float:
    matrix = torch.rand(_MATRIX, _MATRIX, dtype=torch.float64)
    return _clock(lambda: torch.linalg.eigh(matrix + matrix.T)) / _MATRIX**3


def _figure() -> float:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def draw() -> None:
        figure = Figure(figsize=(5, 4), dpi=150, layout="constrained")
        figure.add_subplot().scatter(range(50), range(50))
        FigureCanvasAgg(figure).print_png(io.BytesIO())  # type: ignore[no-untyped-call]

    draw()
    return _clock(draw)


def _metrics() -> float:
    rng = np.random.default_rng(0)
    predictions = Predictions(
        files=("",) * _SCORES,
        targets=np.arange(_SCORES) % 2.0,
        scores=rng.random(_SCORES),
        groups=(None,) * _SCORES,
    )
    return _clock(lambda: measure_metrics(predictions, midpoint(), probabilities=True, seed=0)) / _SCORES
