"""Whether a heatmap shows what the score rests on: pixels taken away, or given back, in the order of their heat.

Needs nothing of the network but its answers, so that every method, and every map that knows nothing, is measured alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from whycam.explain.baselines import random_maps
from whycam.explain.imputation import NOISE, impute
from whycam.types import Floats, Pixels

Score = Callable[[Pixels], Floats]
"""uint8 (B, H, W, C) -> (B,), higher where more anomalous."""

STEPS = 6
SHARES: Floats = np.linspace(0.0, 1.0, STEPS + 1) ** 2
"""(S + 1,) shares of the pixels removed or inserted: closest at the beginning, where curves are steepest."""
ROAD_SHARES = (0.1, 0.5, 0.9)
"""Shares of the pixels removed for ROAD."""

_BLUR = 5 / 224


@dataclass(frozen=True)
class Perturbed:
    """The scores of one image, its pixels removed in the order of each of M maps."""

    deletion: Floats
    """(M, S + 1): with the hottest `SHARES` of the pixels replaced by the image's mean colour."""
    insertion: Floats
    """(M, S + 1): blurred, with the hottest `SHARES` of the pixels as they were."""
    most_first: Floats
    """(M, P): with the hottest `ROAD_SHARES` of the pixels imputed."""
    least_first: Floats
    """(M, P): with the coldest imputed."""


def perturb(image: Pixels, maps: Floats, score: Score, *, resolution: float, rng: np.random.Generator) -> Perturbed:
    """Deletion and insertion (Petsiuk, Das and Saenko 2018, arXiv 1806.07421, section 4.2) and ROAD (Rong et al. 2022,
    arXiv 2202.00449), for several maps of one image.

    Deletion replaces by a constant; insertion starts from the image blurred by a Gaussian of 5 pixels in 224. ROAD
    fills removed pixels in from their neighbours and adds noise, so that their outline does not give them away.
    Pixels of equal heat (all of a map that is zero) go in the order of a random map, so that a map without any heat
    is exactly as good as a random one. `score` is called once, with ``3 + M * (2 * (S - 1) + 2 * P)`` images.

    Args:
        image: (H, W, C).
        maps: (M, H, W), higher where more important; all in the same pixels as the image.
        score: of perturbed images.
        resolution: of the random order among pixels of equal heat, in pixels.
        rng: of that order, and of the noise.
    """
    size_hw = image.shape[:2]
    (ties,) = random_maps(1, (size_hw[0], size_hw[1]), resolution=resolution, rng=rng)
    hotter = np.stack([_hotter(one, ties) for one in maps])
    constant = np.broadcast_to(np.round(image.mean(axis=(0, 1))).astype(np.uint8), image.shape)
    soft = _blurred(image)
    batch: list[Pixels] = [image, constant, soft]
    for inside, outside in ((constant, image), (image, soft)):
        batch += [np.where((one < share)[..., np.newaxis], inside, outside) for one in hotter for share in SHARES[1:-1]]
    removed = [one < share for one in hotter for share in ROAD_SHARES]
    removed += [one >= 1 - share for one in hotter for share in ROAD_SHARES]
    batch += list(_noisily_imputed(image, np.stack(removed), rng))

    scores = np.asarray(score(np.stack(batch)), dtype=np.float64)
    whole, none, smooth = (np.full((len(maps), 1), float(scores[which])) for which in range(3))
    inner = 3 + 2 * len(maps) * (STEPS - 1)
    deleted, inserted = scores[3:inner].reshape(2, len(maps), STEPS - 1)
    most, least = scores[inner:].reshape(2, len(maps), len(ROAD_SHARES))
    return Perturbed(
        deletion=np.concatenate([whole, deleted, none], axis=1),
        insertion=np.concatenate([smooth, inserted, whole], axis=1),
        most_first=most,
        least_first=least,
    )


def area(curves: Floats) -> Floats:
    """The area under curves (..., S + 1) over `SHARES`, by the trapezoidal rule: (...,), in the score's units."""
    result: Floats = np.asarray(np.trapezoid(curves, SHARES, axis=-1))
    return result


def road(most_first: Floats, least_first: Floats) -> Floats:
    """How much the coldest pixels may go before the hottest, (LeRF - MoRF) / 2, averaged over `ROAD_SHARES`.

    (..., P) each -> (...,); 0 by chance, and higher is better. As the package grad-cam has it (`ROADCombined`).
    """
    result: Floats = (least_first - most_first).mean(axis=-1) / 2
    return result


def _hotter(heatmap: Floats, ties: Floats) -> Floats:
    """(H, W): which share of the pixels comes before each, the hottest first, in [0, 1)."""
    order = np.lexsort((ties.ravel(), np.asarray(heatmap).ravel()))[::-1]
    before = np.empty(heatmap.size)
    before[order] = np.arange(heatmap.size) / heatmap.size
    return before.reshape(heatmap.shape)


def _blurred(image: Pixels) -> Pixels:
    sigma = [_BLUR * image.shape[0], _BLUR * image.shape[1], 0]
    soft: Pixels = np.round(ndimage.gaussian_filter(image.astype(np.float32), sigma)).astype(np.uint8)
    return soft


def _noisily_imputed(image: Pixels, removed: npt.NDArray[np.bool_], rng: np.random.Generator) -> Pixels:
    """The image with each of the masks (K, H, W) filled in: (K, H, W, C)."""
    images = np.broadcast_to(image.astype(np.float32), (len(removed), *image.shape))
    filled = impute(images, removed)
    noise = 255 * NOISE * rng.standard_normal(filled.shape, dtype=np.float32) * removed[..., np.newaxis]
    result: Pixels = np.clip(np.round(filled + noise), 0, 255).astype(np.uint8)
    return result
