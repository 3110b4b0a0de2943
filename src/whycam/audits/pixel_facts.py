"""Measures on every image what should not matter to its class: its border, its light, its grain; in one quick pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from whycam.data.parallel import in_order
from whycam.progress import SILENT, Progress
from whycam.types import Floats, Pixels

Region = tuple[float, float, float, float]
"""left, top, right, bottom as shares of width and height."""
Read = Callable[[npt.NDArray[np.intp]], Pixels]
"""Rows -> their images (n, h, w, 1 or 3), as `PixelCache.read`."""

_Number = TypeVar("_Number", bound=np.number)

GREY_BINS = 32
_BATCH = 32
"""Images a batch: few, as every core holds one batch in several forms."""
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 luma, as Pillow converts."""
_BLACK, _WHITE = 3, 252
"""Grey values up to the one and from the other on count as clipped; JPEG moves clipped pixels by as much."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_MEDIAN_STEP = 7
"""Every so many pixels are enough for a median; a prime, so that no pattern of a picture is in step."""
_BLOCKS = 10
"""Blocks a side that are compared with each other."""
_DETAIL = 0.7
_NOISE_GAIN = 6.0
"""Root of the sum of squares of the noise mask (Immerkaer 1996, Computer Vision and Image Understanding 64:300)."""
_NORMAL_MEDIAN = 0.6744897501960817
"""Median of |x| for a standard normal x."""


@dataclass(frozen=True)
class PixelFacts:
    """What was measured on N images; grey levels run from 0 to 255."""

    patches: Mapping[Region, Floats]
    """Region -> (N, 4): mean, standard deviation, least and largest grey level; of colour images (N, 6): and the means
    of red less green and of blue less green."""
    mean: Floats
    """(N,) grey level."""
    deviation: Floats
    """(N,) standard deviation of the grey levels."""
    quantiles: Floats
    """(N, 7) grey levels below which 1, 5, 25, 50, 75, 95 and 99 % of the pixels are."""
    histogram: Floats
    """(N, 32) shares of pixels by grey level, equal bins."""
    clipped: Floats
    """(N, 2) shares of pixels that are black and white."""
    colour: Floats
    """(N, 6) mean, standard deviation and median of red less green and of blue less green; 0 for grey images."""
    grey: npt.NDArray[np.bool_]
    """(N,) whether an image has no colour at all."""
    laplacian: Floats
    """(N,) variance of the Laplacian, the usual measure of sharpness (Pech-Pacheco et al. 2000, ICPR)."""
    edge: Floats
    """(N,) Laplacian of the sharpest thousandth of the pixels, over the image's range of grey levels (1 to 99 %)."""
    detail: Floats
    """(N,) size that the Laplacian exceeds in 30 % of 10 x 10 blocks; a defect is seldom in so many."""
    noise: Floats
    """(N,) standard deviation of the noise in grey levels, from the median of Immerkaer's mask."""
    unevenness: Floats
    """(N,) standard deviation of the mean brightness of 10 x 10 blocks: near 0 where nothing is in the picture."""


def measure_pixels(
    read: Read, rows: npt.NDArray[np.intp], regions: tuple[Region, ...], *, progress: Progress = SILENT
) -> PixelFacts:
    """Measures the images in these rows, a few at a time on every core; memory does not grow with their pixels.

    Args:
        read: see `Read`; it must be safe to call from several threads.
        rows: (N,) rows of the images, N >= 1.
        regions: the patches to measure, at least one; each has at least one pixel, however small its share.
        progress: hears how far it is.
    """
    batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    parts: list[dict[str, Floats]] = []
    with (
        progress.bar("measuring images", len(rows)) as bar,
        closing(in_order(lambda batch: _measured(read(batch), regions), batches)) as results,
    ):
        for batch, part in zip(batches, results, strict=True):
            parts.append(part)
            bar.advance(len(batch))
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    facts_of_patches = whole.pop("patches")
    patches = {region: facts_of_patches[:, number] for number, region in enumerate(regions)}
    return PixelFacts(patches=patches, grey=whole.pop("grey") > 0, **whole)


def _measured(pixels: Pixels, regions: tuple[Region, ...]) -> dict[str, Floats]:
    coloured = pixels.shape[3] == 3
    values = pixels @ _GREY if coloured else pixels[..., 0]
    levels = np.rint(values).astype(np.uint8) if coloured else pixels[..., 0]
    chroma = _chroma(pixels) if coloured else None
    counts = np.array([Image.fromarray(image).histogram() for image in levels])
    shares = counts / levels[0].size
    quantiles = _quantiles(shares, QUANTILES)
    # Image by image, so that what is worked on stays in the core's own cache.
    grain = [_grain(image) for image in levels]
    laplacian, sharpest, noise = np.array([facts for facts, _ in grain]).T
    detail = np.quantile(np.stack([blocks for _, blocks in grain]), _DETAIL, axis=(1, 2))
    mean, deviation = np.array([_mean_and_deviation(image.reshape(1, -1)) for image in values])[:, :, 0].T
    return {
        "patches": np.array([_patch(values, chroma, region) for region in regions]).swapaxes(0, 1),
        "mean": mean,
        "deviation": deviation,
        "quantiles": quantiles,
        "histogram": shares.reshape(len(shares), GREY_BINS, -1).sum(axis=2),
        "clipped": np.stack([shares[:, : _BLACK + 1].sum(axis=1), shares[:, _WHITE:].sum(axis=1)], axis=1),
        "colour": _colour(chroma) if chroma is not None else np.zeros((len(pixels), 6)),
        "grey": np.full(len(pixels), 1.0) if chroma is None else (~chroma.any(axis=(1, 2, 3))).astype(np.float64),
        "laplacian": laplacian,
        "edge": sharpest / np.maximum(quantiles[:, -1] - quantiles[:, 0], 1.0),
        "detail": detail,
        "noise": noise,
        "unevenness": _unevenness(values.astype(np.float32, copy=False)),
    }


def _chroma(pixels: Pixels) -> Floats:
    """(n, 2, h, w) red less green, blue less green."""
    # One plane after the other, as sums over every second number are slow.
    red, green, blue = (pixels[..., channel].astype(np.float32) for channel in range(3))
    return np.stack([red - green, blue - green], axis=1)


def _colour(chroma: Floats) -> Floats:
    planes = chroma.reshape(*chroma.shape[:2], -1)
    medians = np.median(planes[:, :, ::_MEDIAN_STEP], axis=2)
    return np.concatenate([planes.mean(axis=2), planes.std(axis=2), medians], axis=1)


def _patch(values: Floats | Pixels, chroma: Floats | None, region: Region) -> Floats:
    rows, columns = _span(region[1], region[3], values.shape[1]), _span(region[0], region[2], values.shape[2])
    patch = values[:, rows, columns].reshape(len(values), -1)
    facts = [*_mean_and_deviation(patch), patch.min(axis=1), patch.max(axis=1)]
    if chroma is not None:
        facts += list(chroma[:, :, rows, columns].reshape(len(values), 2, -1).mean(axis=2).T)
    return np.stack(facts, axis=1).astype(np.float64)


def _mean_and_deviation(rows: Floats | Pixels) -> tuple[Floats, Floats]:
    """(n,) each, of rows (n, p)."""
    centred = rows.astype(np.float32)
    mean = centred.mean(axis=1)
    centred -= mean[:, np.newaxis]
    return mean, np.sqrt(np.einsum("np,np->n", centred, centred) / rows.shape[1])


def _span(start: float, stop: float, length: int) -> slice:
    first = min(round(start * length), length - 1)
    return slice(first, max(first + 1, round(stop * length)))


def _quantiles(shares: Floats, wanted: tuple[float, ...]) -> Floats:
    """(n, len(wanted)) the lowest level up to which at least the wanted share of the pixels lies."""
    upto = np.cumsum(shares, axis=1)
    # A little less is asked for, as shares add up to a little less than 1.
    return np.stack([(upto >= share - 1e-9).argmax(axis=1) for share in wanted], axis=1).astype(np.float64)


def _grain(levels: Pixels) -> tuple[tuple[float, float, float], npt.NDArray[np.int16]]:
    """Variance of the Laplacian of an image (h, w), its size at the sharpest thousandth, noise; its size in blocks."""
    if min(levels.shape) < 3:
        return (0.0, 0.0, 0.0), np.zeros((1, 1), dtype=np.int16)
    signed = levels.astype(np.int16)
    twice = 2 * signed
    across = signed[:, :-2] + signed[:, 2:]
    across -= twice[:, 1:-1]
    laplacian = signed[:-2, 1:-1] + signed[2:, 1:-1]
    laplacian -= twice[1:-1, 1:-1]
    laplacian += across[1:-1]
    mask = across[:-2] + across[2:]
    mask -= 2 * across[1:-1]
    mean = laplacian.sum(dtype=np.int64) / laplacian.size
    sizes = np.abs(laplacian, out=laplacian)
    counts = np.bincount(sizes.ravel())
    variance = np.square(np.arange(len(counts))) @ counts / sizes.size - mean**2
    noise = _upto(np.bincount(np.abs(mask, out=mask).ravel()), 0.5) / (_NOISE_GAIN * _NORMAL_MEDIAN)
    return (float(variance), _upto(counts, 0.999), noise), _blocks(sizes[np.newaxis], np.maximum)[0]


def _upto(counts: npt.NDArray[np.intp], share: float) -> float:
    """A quantile of whole numbers >= 0, straight within the step that it falls into, from how often each is there."""
    upto = np.cumsum(counts) / counts.sum()
    level = int((upto >= share - 1e-9).argmax())
    below = float(upto[level - 1]) if level else 0.0
    return level - 0.5 + (share - below) / (float(upto[level]) - below) if level else 0.0


def _unevenness(values: Floats) -> Floats:
    sums = _blocks(values, np.add)
    n_pixels = (values.shape[1] // sums.shape[1]) * (values.shape[2] // sums.shape[2])
    spread: Floats = (sums / n_pixels).reshape(len(sums), -1).std(axis=1)
    return spread


def _blocks(values: npt.NDArray[_Number], over: np.ufunc) -> npt.NDArray[_Number]:
    """(n, 10, 10) the sum or the maximum of each block of images (n, h, w), less a rest at their right and bottom."""
    n, height, width = values.shape
    down, across = min(_BLOCKS, height), min(_BLOCKS, width)
    cut = values[:, : height // down * down, : width // across * across]
    # Whole rows first: numbers side by side are reduced at once.
    rows = over.reduce(cut.reshape(n, down, height // down, -1), axis=2)
    blocks: npt.NDArray[_Number] = over.reduce(rows.reshape(n, down, across, -1), axis=3)
    return blocks
