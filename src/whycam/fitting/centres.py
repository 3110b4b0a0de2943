"""What normal images have in each cell of the network's maps, so that heatmaps show what is special to an image."""

from __future__ import annotations

import numpy as np

from whycam.features import Features
from whycam.networks.pooled import PooledNetwork
from whycam.progress import Progress
from whycam.store.pixels import PixelCache
from whycam.training.recipe import CENTRED_ON
from whycam.types import Sample


def centre(
    network: PooledNetwork,
    features: Features,
    samples: list[Sample],
    pixels: PixelCache,
    *,
    seed: int,
    progress: Progress,
) -> None:
    """Centre the network's maps on some of its normal training images.

    Args:
        network: made for images of this size.
        features: of the network's backbone as it is now.
        samples: training images, some of them normal.
        pixels: theirs.
        seed: of the draw.
        progress: hears of every image.
    """
    normal = [sample for sample in samples if not sample.anomalous]
    drawn = np.random.default_rng(seed).permutation(len(normal))[:CENTRED_ON]
    rows = pixels.rows([normal[index] for index in drawn])
    network.centre_on(features.mean_maps(network.views, rows, progress=progress))
