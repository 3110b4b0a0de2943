"""Whether a heatmap lies where the defect is: figures on images whose true defects are known pixel by pixel.

A heatmap may be faithful and miss the defect, where the network itself looks elsewhere; so these figures judge the
network and its explanation together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from whycam.evaluation.comparison import Comparison, compare, mean_figure
from whycam.progress import SILENT, Progress
from whycam.types import Floats

Mask = npt.NDArray[np.bool_]
"""(H, W), true where defective."""
MapsOf = Callable[[int], Floats]
"""The number of an image -> its M maps (M, H, W), the same at every call."""

FPR_LIMIT = 0.3
_BINS = 1024
_QUANTILES = 129


def pointing_game(heatmap: Floats, mask: Mask, *, tolerance: int = 0) -> float:
    """1 where the hottest pixel lies in the mask, else 0 (Zhang et al. 2016, arXiv 1608.00507, section 4.1).

    Where several pixels are the hottest, the share of them that does: the chance that one drawn at random is a hit. A
    map without any order therefore gets the mask's share of the area, as a random one does.

    Args:
        heatmap: (H, W).
        mask: (H, W).
        tolerance: so many pixels beside the mask are a hit too; the paper allows 15.
    """
    if tolerance:
        mask = ndimage.distance_transform_edt(~mask) <= tolerance if mask.any() else mask
    return float(mask[heatmap == heatmap.max()].mean())


def mass_in_mask(heatmap: Floats, mask: Mask) -> float:
    """The share of the heat, >= 0, that lies in the mask; the mask's share of the area where there is no heat.

    That share of the area is what a map gets that is the same everywhere.
    """
    total = float(heatmap.sum())
    return float(heatmap[mask].sum()) / total if total > 0 else float(mask.mean())


def pixel_auroc(heatmap: Floats, mask: Mask) -> float:
    """The chance that a pixel in the mask is hotter than one outside, a tie counting half; NaN where either is none.

    The Mann-Whitney statistic from mid-ranks (Hanley and McNeil 1982).
    """
    n_inside = int(mask.sum())
    n_outside = mask.size - n_inside
    if not n_inside or not n_outside:
        return float("nan")
    ranks = stats.rankdata(heatmap).reshape(mask.shape)
    return float((ranks[mask].sum() - n_inside * (n_inside + 1) / 2) / (n_inside * n_outside))


def localise(
    maps_of: MapsOf,
    names: Sequence[str],
    masks: Sequence[Mask],
    members: npt.NDArray[np.intp],
    *,
    seed: int,
    progress: Progress = SILENT,
) -> tuple[Comparison, ...]:
    """All figures of this module: the means over images of those above, then those over all pixels at once.

    Args:
        maps_of: N images, the heatmap first, then its baselines.
        names: (M,) of the maps, those of one name to be averaged.
        masks: (N,), none of them empty.
        members: (N,) the images' clusters.
        seed: of the intervals.
        progress: where to report to.
    """
    values: dict[str, list[list[float]]] = {"pointing_game": [], "mass_in_mask": [], "mean_pixel_auroc": []}
    measures = (pointing_game, mass_in_mask, pixel_auroc)
    with progress.bar("comparing with masks", 2 * len(masks)) as bar:
        for number, mask in enumerate(masks):
            maps = maps_of(number)
            for measure, found in zip(measures, values.values(), strict=True):
                found.append([measure(one, mask) for one in maps])
            bar.advance()
        pooled = PooledPixels(maps_of, masks, members)
        figures = {name: mean_figure(np.array(found), members) for name, found in values.items()}
        figures |= {"pooled_pixel_auroc": pooled.auroc, "aupro": pooled.aupro}
        n_clusters = int(members.max()) + 1
        compared = tuple(compare(name, figure, names, n_clusters, seed=seed) for name, figure in figures.items())
        bar.advance(len(masks))
    return compared


class PooledPixels:
    """Pixel AUROC and AUPRO over all pixels of N images at once, for any weights of the images.

    Heat is compared across images here, so a method must be comparable. Pixels are counted in 1,024 classes of heat,
    each with about as many pixels; within a class hot and cold cannot be told apart, which changes a figure by less
    than 0.001. An image whose mask is empty counts with its false alarms.
    """

    def __init__(self, maps_of: MapsOf, masks: Sequence[Mask], members: npt.NDArray[np.intp]) -> None:
        """`members` (N,) are the images' clusters, whose weights they take."""
        edges = _edges(maps_of(number) for number in range(len(masks)))
        shape = (int(members.max()) + 1, len(edges), edges.shape[1] + 1)
        self._inside, self._outside, self._regions = (np.zeros(shape) for _ in range(3))
        self._n_regions = np.zeros(shape[0])
        for number, (mask, cluster) in enumerate(zip(masks, members, strict=True)):
            regions, n_regions = ndimage.label(mask, structure=np.ones((3, 3)))
            share = 1.0 / np.bincount(regions.ravel())[regions[mask]]
            self._n_regions[cluster] += n_regions
            for which, (heatmap, cuts) in enumerate(zip(maps_of(number), edges, strict=True)):
                classes = np.searchsorted(cuts, heatmap, side="right")
                hit, n_classes = classes[mask], shape[2]
                self._inside[cluster, which] += np.bincount(hit, minlength=n_classes)
                self._outside[cluster, which] += np.bincount(classes[~mask], minlength=n_classes)
                self._regions[cluster, which] += np.bincount(hit, weights=share, minlength=n_classes)

    def auroc(self, weights: Floats) -> Floats:
        """(clusters, R) weights -> (M, R), NaN where no pixel is inside, or none outside."""
        return self._each(weights, self._inside, None, limit=1.0)

    def aupro(self, weights: Floats) -> Floats:
        """The mean share of each defect that is found, averaged over false-positive rates up to 30 %.

        Bergmann et al. 2021 (International Journal of Computer Vision 129:1038, section 5): per-region overlap over the
        share of false alarms among the pixels outside all masks, its integral up to 0.3 divided by 0.3. Regions are
        connected along sides and corners; small ones count as much as large ones.

        (clusters, R) weights -> (M, R), NaN where there is no region, or no pixel outside.
        """
        return self._each(weights, self._regions, self._n_regions, limit=FPR_LIMIT)

    def _each(self, weights: Floats, found: Floats, n_found: Floats | None, *, limit: float) -> Floats:
        rows = []
        for which in range(found.shape[1]):
            # (classes, R), the hottest first
            hits, alarms = (counts[:, which, ::-1].T @ weights for counts in (found, self._outside))
            total = hits.sum(axis=0) if n_found is None else n_found @ weights
            rows.append(_area(_cumulative(alarms, alarms.sum(axis=0)), _cumulative(hits, total), limit=limit))
        return np.stack(rows)


def _edges(maps: Iterator[Floats]) -> Floats:
    """Rising limits between classes of heat for each of M maps, (M, classes - 1), from the quantiles of all images."""
    quantiles = np.stack([np.quantile(each, np.linspace(0, 1, _QUANTILES), axis=(1, 2)) for each in maps], axis=2)
    limits = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges: Floats = np.quantile(quantiles.transpose(1, 0, 2).reshape(quantiles.shape[1], -1), limits, axis=1).T
    return edges


def _cumulative(counts: Floats, total: Floats) -> Floats:
    """(classes, R) -> (classes + 1, R): which share of the total is at least as hot; NaN where the total is 0."""
    shares = np.full((len(counts) + 1, counts.shape[1]), np.nan)
    np.divide(np.cumsum(counts, axis=0), total, out=shares[1:], where=total > 0)
    shares[0] = np.where(total > 0, 0.0, np.nan)
    return shares


def _area(x: Floats, y: Floats, *, limit: float) -> Floats:
    """The integral of y over x from 0 to `limit`, divided by it: (points, R) each, x rising from 0 to 1 -> (R,)."""
    step, rise = np.diff(x, axis=0), np.diff(y, axis=0)
    width = np.clip(limit - x[:-1], 0.0, step)
    part = np.divide(width, step, out=np.zeros_like(step), where=step > 0)
    area: Floats = (width * (y[:-1] + rise * part / 2)).sum(axis=0) / limit
    return area
