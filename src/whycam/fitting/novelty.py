"""Learns from a run's training images what others must be unlike to be called novel."""

from __future__ import annotations

import numpy as np
import torch

from whycam.card import NoveltyCard
from whycam.features import Features
from whycam.fitting.held_out import units_of
from whycam.fitting.plan import cpu_threads, training_samples
from whycam.networks.network import Network
from whycam.networks.novelty import NoveltyModel
from whycam.networks.pooled import PooledNetwork
from whycam.progress import SILENT, Progress
from whycam.store.pixels import PixelCache
from whycam.training.novelty import fit_novelty, rows_to_learn_from
from whycam.types import Dataset

_METHOD = "distance from the nearest training images in pooled features, conformal p-values class by class"


def learn_novelty(
    network: Network, dataset: Dataset, pixels: PixelCache, *, seed: int, device: str, progress: Progress = SILENT
) -> tuple[NoveltyModel, NoveltyCard] | None:
    """What tells strange images; None where the network pools no features, or training images are too few."""
    if not isinstance(network, PooledNetwork):
        return None
    samples = training_samples(dataset, pixels)
    anomalous = np.array([sample.anomalous for sample in samples])
    chosen = rows_to_learn_from(anomalous, seed=seed)
    samples = [samples[at] for at in chosen]
    rows = pixels.rows(samples)
    features = Features(network.backbone, pixels, device=torch.device(device))
    features.compute((0,), rows, progress=progress)
    units = units_of(samples, pixels)
    with cpu_threads(1):
        model = fit_novelty(features.read((0,), rows)[0].numpy(), anomalous[chosen], units, seed=seed)
    return None if model is None else (model, NoveltyCard(model.level, _METHOD))
