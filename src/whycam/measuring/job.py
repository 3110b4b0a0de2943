"""What every measurement of heatmaps needs: the maps, the maps beside them, and which images are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from whycam.data.masks import Masked
from whycam.detector import BATCH, Detector
from whycam.evaluation.bootstrap import clusters
from whycam.explain.baselines import centre_map, edge_map, random_maps
from whycam.explain.placement import place
from whycam.networks.device import as_input
from whycam.networks.network import Network
from whycam.progress import Progress
from whycam.report.measured import CENTRE, EDGES, HEATMAP, RANDOM
from whycam.store.pixels import PixelCache
from whycam.types import Floats, Pixels, Sample

N_RANDOM = 2
MAPS = (HEATMAP, CENTRE, EDGES, *(RANDOM,) * N_RANDOM)
"""Compared on every image."""


@dataclass(frozen=True)
class Job:
    """A network, its images, and where to report to."""

    detector: Detector
    pixels: PixelCache
    seed: int
    progress: Progress

    @property
    def network(self) -> Network:
        """The one that is explained."""
        return self.detector.network

    @property
    def device(self) -> torch.device:
        """Where it works."""
        return self.detector.device

    @property
    def size_hw(self) -> tuple[int, int]:
        """Of its images."""
        return self.detector.card.model.size_hw

    @property
    def resolution(self) -> float:
        """Of the finest layer that is explained, in pixels."""
        return min(grid.stride for grid in self.network.grids(self.size_hw))

    def cells(self, samples: Sequence[Sample], what: str) -> Floats:
        """The heatmaps (N, h, w) of these samples, batch by batch."""
        rows = self.pixels.rows(samples)
        parts = []
        with self.progress.bar(what, len(rows)) as bar:
            for first in range(0, len(rows), BATCH):
                parts.append(self.detector.explain_pixels(self.pixels.read(rows[first : first + BATCH])).heatmaps)
                bar.advance(len(parts[-1]))
        return np.concatenate(parts)

    def maps(self, image: Pixels, cells: Floats, number: int) -> Floats:
        """The heatmap and its baselines in the order of `MAPS`: (M, H, W), the same for the same number."""
        rng = np.random.default_rng([self.seed, number])
        heatmap = place(cells, self.detector.card.heatmap.grid, model_hw=self.size_hw, picture_hw=self.size_hw)
        drawn = random_maps(N_RANDOM, self.size_hw, resolution=self.resolution, rng=rng)
        edges = edge_map(image, resolution=self.resolution)
        return np.stack([heatmap, centre_map(self.size_hw), edges, *drawn])

    def logits(self, images: Pixels) -> Floats:
        """(B,) of images (B, H, W, C)."""
        parts = []
        with torch.no_grad():
            for first in range(0, len(images), BATCH):
                parts.append(self.network(as_input(images[first : first + BATCH], self.device)).cpu().numpy())
        return np.concatenate(parts)


def some_of(samples: Sequence[Sample], n: int, seed: int) -> list[Sample]:
    """At most `n` of the samples at random, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(samples))[:n]
    return [samples[number] for number in sorted(chosen)]


def fewer(found: Masked, n: int, seed: int) -> Masked:
    """At most `n` of the images with masks at random, in their order."""
    chosen = sorted(np.random.default_rng(seed).permutation(len(found.samples))[:n].tolist())
    return replace(
        found, samples=tuple(found.samples[at] for at in chosen), masks=tuple(found.masks[at] for at in chosen)
    )


def groups_of(samples: Sequence[Sample]) -> npt.NDArray[np.intp]:
    """(N,) equal numbers for samples of one group, which intervals draw together."""
    return clusters([sample.group for sample in samples])
