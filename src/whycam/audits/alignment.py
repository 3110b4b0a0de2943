"""Lays one texture on another that may show the same turned, mirrored, moved or zoomed, and says how well they agree.

Every tenth degree is tried, mirrored and not; the best of these are improved step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

from whycam.audits.textures import Textures
from whycam.types import Floats

_Ints = npt.NDArray[np.intp]
_Images = tuple[Floats, Floats, Floats, Floats]
"""(P, S, S) each: the texture of the first image, where it is a picture, and the same of the second."""

_TURNS = 36
_FARTHEST = 3
"""Of 16 pixels a side: how far the middle may have moved before the first step."""
_ASPECT_STEP = 0.15
"""In logarithms; images whose aspect ratios differ by less are turned in one way."""
_TRIED = 2
_FIRST_STEPS, _COARSE_STEPS, _FINE_STEPS = 2, 3, 2
_LONGEST_STEP = 0.1
_RIDGE = 1e-2
_LEAST_OVERLAP = 0.3
_MOST_ZOOM = 1.6
_MOST_STRETCH = 1.25


@dataclass(frozen=True)
class Laid:
    """How the second image of each of P pairs lies on the first."""

    agreement: Floats
    """(P,) correlation of textures at half their size."""
    maps: Floats
    """(P, 2, 2) from places on the first image to places on the second, rows first, both in [-1, 1]."""
    shifts: Floats
    """(P, 2) likewise."""


class Aligner:
    """Lays images of one set of textures on each other."""

    def __init__(self, textures: Textures) -> None:
        """Args: textures: of N images."""
        self._textures = textures
        n = len(textures.values)
        self._small = np.empty((n, 32, 32), dtype=np.float32)
        self._small_valid = np.empty((n, 32, 32), dtype=np.float32)
        self._spectra = np.empty((2, n, 16, 9), dtype=np.complex64)
        self._soft = np.zeros((n, 34 * 34), dtype=np.float32)
        self._lengths = np.empty(n, dtype=np.float32)
        for block in (slice(first, first + 256) for first in range(0, n, 256)):
            small = _halved(textures.values[block].astype(np.float32))
            self._small[block] = small
            self._small_valid[block] = _halved(textures.valid[block].astype(np.float32))
            soft = gaussian_filter(small, (0, 0.8, 0.8), mode="constant")
            self._soft[block] = np.pad(soft, ((0, 0), (1, 1), (1, 1))).reshape(len(soft), -1)
            tiny = _halved(soft)
            self._lengths[block] = np.sqrt((tiny * tiny).sum(axis=(1, 2)))
            for mirrored in (0, 1):
                self._spectra[mirrored, block] = np.conj(rfft2(tiny[:, :, ::-1] if mirrored else tiny))
        self._aspects = np.round(np.log(textures.halves[:, 1] / textures.halves[:, 0]) / _ASPECT_STEP).astype(np.intp)

    def batches(self, pairs: _Ints, size: int = 128) -> list[_Ints]:
        """The places of pairs (P, 2) in batches that `laid` takes, those of a second image together."""
        first, second = pairs.T
        kinds = np.stack([self._aspects[second], self._aspects[first]], axis=1)
        order = np.lexsort((second, kinds[:, 1], kinds[:, 0]))
        edges = np.flatnonzero((np.diff(kinds[order], axis=0) != 0).any(axis=1)) + 1
        return [part[begin : begin + size] for part in np.split(order, edges) for begin in range(0, len(part), size)]

    def laid(self, pairs: _Ints) -> Laid:
        """The second image of each pair of one batch, (P, 2), laid on the first: turned, mirrored, moved and zoomed."""
        first, second = pairs.T
        aspect = self._textures.halves[first, 1] / self._textures.halves[first, 0]
        small = (self._small[first], self._small_valid[first], self._small[second], self._small_valid[second])
        agreement = np.full(len(pairs), -2, dtype=np.float32)
        maps, shifts = np.empty((len(pairs), 2, 2), np.float32), np.empty((len(pairs), 2), np.float32)
        for start in zip(*self._starts(pairs), strict=True):
            found = _stepped(small, *start, _FIRST_STEPS, aspect)
            value, _ = _correlation(small, *found)
            better = value > agreement
            agreement[better], maps[better], shifts[better] = value[better], found[0][better], found[1][better]
        maps, shifts = _stepped(small, maps, shifts, _COARSE_STEPS, aspect)
        agreement, overlap = _correlation(small, maps, shifts)
        return Laid(agreement * np.minimum(overlap / (2 * _LEAST_OVERLAP), 1), maps, shifts)

    def _starts(self, pairs: _Ints) -> tuple[Floats, Floats]:
        """Maps (2, P, 2, 2) and shifts (2, P, 2): the best two turns, tried at a quarter of the size."""
        first, second = pairs.T
        sources, at = np.unique(second, return_inverse=True)
        angles = np.arange(_TURNS) * (2 * np.pi / _TURNS)
        aspects = [np.exp(np.array([-0.5, 0.5]) * self._aspects[row] * _ASPECT_STEP) for row in (first[0], second[0])]
        maps = np.stack([_turn(angle) for angle in angles]) * aspects[0] / aspects[1][:, np.newaxis]
        turned = _sampled(self._soft[sources], maps)
        lengths = np.sqrt((turned * turned).sum(axis=(2, 3)))[at]
        spectra = rfft2(turned)
        agreement = np.empty((2, len(pairs), _TURNS), dtype=np.float32)
        places = np.empty((2, len(pairs), _TURNS), dtype=np.intp)
        span = 2 * _FARTHEST + 1
        for mirrored in (0, 1):
            product = spectra[at]
            product *= self._spectra[mirrored, first][:, np.newaxis]
            found = irfft2(product, s=(16, 16), overwrite_x=True)
            around = np.arange(-_FARTHEST, _FARTHEST + 1)
            near = found[:, :, around[:, np.newaxis], around].reshape(len(pairs), _TURNS, span * span)
            places[mirrored] = near.argmax(axis=2)
            best = np.take_along_axis(near, places[mirrored][:, :, np.newaxis], axis=2)[:, :, 0]
            agreement[mirrored] = best / (lengths * self._lengths[first][:, np.newaxis] + 1e-6)
        every = agreement.transpose(1, 0, 2).reshape(len(pairs), -1)
        chosen = np.argpartition(-every, _TRIED, axis=1)[:, :_TRIED]
        reflected, turn = np.divmod(chosen, _TURNS)
        rows = np.arange(len(pairs))[:, np.newaxis]
        down, right = np.divmod(places[reflected, rows, turn], span)
        moved = (np.stack([down, right], axis=2) - _FARTHEST) / np.float32(8)
        shifts = np.einsum("ptij,ptj->pti", maps[turn], moved)
        signs = np.stack([np.ones(reflected.shape), np.where(reflected, -1, 1)], axis=2)
        signed = (maps[turn] * signs[:, :, np.newaxis]).astype(np.float32)
        return signed.swapaxes(0, 1), shifts.astype(np.float32).swapaxes(0, 1)

    def agreement(self, pairs: _Ints, laid: Laid) -> Floats:
        """(P,) how well the textures of pairs agree when laid on each other yet more closely; -1 where they cannot be.

        Correlation where both images are, of textures whose spectra are levelled by the root of their strength, so that
        stripes and edges that many images have do not outweigh what only one has.
        """
        first, second = pairs.T
        aspect = self._textures.halves[first, 1] / self._textures.halves[first, 0]
        values, valid = self._textures.values, self._textures.valid
        target, target_valid, source, source_valid = (
            part[rows].astype(np.float32) for rows in (first, second) for part in (values, valid)
        )
        full = (target, target_valid, source, source_valid)
        maps, shifts = _stepped(full, laid.maps, laid.shifts, _FINE_STEPS, aspect)
        maps, shifts = _stepped(full, maps, shifts, 1, None)
        agreement, overlap = _correlation(full, maps, shifts, levelled=True)
        return np.where((overlap >= _LEAST_OVERLAP) & self._plausible(pairs, maps), agreement, np.float32(-1))

    def _plausible(self, pairs: _Ints, maps: Floats) -> npt.NDArray[np.bool_]:
        """(P,) whether maps neither zoom nor stretch more than augmentations do."""
        halves = self._textures.halves
        real = maps * halves[pairs[:, 1]][:, :, np.newaxis] / halves[pairs[:, 0]][:, np.newaxis, :]
        values = np.linalg.svd(real, compute_uv=False)
        most, least = values[:, 0], np.maximum(values[:, 1], 1e-6)
        fine: npt.NDArray[np.bool_] = (most < _MOST_ZOOM) & (least > 1 / _MOST_ZOOM) & (most / least < _MOST_STRETCH)
        return fine


def _turn(angle: float) -> Floats:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _halved(images: Floats) -> Floats:
    n, side, _ = images.shape
    found: Floats = images.reshape(n, side // 2, 2, side // 2, 2).mean(axis=(2, 4))
    return found


def _grid(side: int) -> Floats:
    grid: Floats = ((2 * np.arange(side) + 1) / side - 1).astype(np.float32)
    return grid


def _sampled(padded: Floats, maps: Floats) -> Floats:
    """(n, T, 16, 16) images (n, 34 * 34), of which the rim is 0, seen through maps (T, 2, 2)."""
    grid = _grid(16)
    places = maps[:, :, :1, np.newaxis] * grid[:, np.newaxis] + maps[:, :, 1:, np.newaxis] * grid
    places = np.clip((places + 1) * 16 + 0.5, 0, 32.999)
    corner = places.astype(np.intp)
    part = (places - corner).astype(np.float32)
    down, right = part[:, 0], part[:, 1]
    at = corner[:, 0] * 34 + corner[:, 1]
    found = padded[:, at] * ((1 - down) * (1 - right))
    for step, share in ((1, (1 - down) * right), (34, down * (1 - right)), (35, down * right)):
        found += padded[:, at + step] * share
    return found


def warped(images: Floats, maps: Floats, shifts: Floats) -> Floats:
    """(P, S, S): each image seen through its map, linearly interpolated, 0 outside.

    Args:
        images: (P, S, S) float32.
        maps: (P, 2, 2) and
        shifts: (P, 2): from a place of the result to a place of the image, rows first, both in [-1, 1].
    """
    n, side, _ = images.shape
    grid = _grid(side)
    padded = np.zeros((n, side + 2, side + 2), dtype=np.float32)
    padded[:, 1:-1, 1:-1] = images
    corners, parts = [], []
    for axis in (0, 1):
        across, along, shift = (values[:, np.newaxis, np.newaxis] for values in (*maps[:, axis].T, shifts[:, axis]))
        places = (along * grid + (across * grid[:, np.newaxis] + (shift + 1))) * np.float32(side / 2) + np.float32(0.5)
        np.clip(places, 0, np.float32(side + 0.999), out=places)
        corner = places.astype(np.int32)
        corners.append(corner)
        parts.append(places - corner)
    wide = side + 2
    at = corners[0] * wide + corners[1] + (np.arange(n, dtype=np.int32) * (wide * wide))[:, np.newaxis, np.newaxis]
    flat = padded.ravel()
    above, below = flat.take(at), flat.take(at + wide)
    above += parts[1] * (flat.take(at + 1) - above)
    below += parts[1] * (flat.take(at + wide + 1) - below)
    above += parts[0] * (below - above)
    found: Floats = above
    return found


def _correlation(images: _Images, maps: Floats, shifts: Floats, *, levelled: bool = False) -> tuple[Floats, Floats]:
    """(P,) correlations where both are, and (P,) the share of the target where that is."""
    target, target_valid, source, source_valid = images
    both = warped(source_valid, maps, shifts) * target_valid
    wanted, now = target * both, warped(source, maps, shifts) * both
    if levelled:
        wanted, now = _levelled(wanted) * both, _levelled(now) * both
    lengths = np.sqrt((wanted * wanted).sum(axis=(1, 2)) * (now * now).sum(axis=(1, 2)))
    found: Floats = (wanted * now).sum(axis=(1, 2)) / (lengths + 1e-6)
    return found, both.mean(axis=(1, 2))


def _levelled(images: Floats) -> Floats:
    spectra = rfft2(images)
    strength = gaussian_filter(np.abs(spectra), (0, 1, 1), mode="wrap", truncate=2)
    strength /= strength.mean(axis=(1, 2), keepdims=True) + 1e-9
    found: Floats = irfft2(spectra / np.sqrt(strength + 0.05), s=images.shape[1:])
    return found


def _stepped(images: _Images, maps: Floats, shifts: Floats, steps: int, aspect: Floats | None) -> tuple[Floats, Floats]:
    """Maps and shifts after steps of Gauss and Newton (Lucas and Kanade 1981), on textures brought to equal strength.

    Steps turn, zoom and move, where `aspect` (P,) says how much wider than high the target is; else they also stretch.
    """
    target, target_valid, source, source_valid = images
    n, side, _ = target.shape
    right = _grid(side)
    down = right[:, np.newaxis]
    both = warped(source_valid, maps, shifts) * target_valid
    for _ in range(steps):
        now = warped(source, maps, shifts)
        falling, rising = np.zeros_like(now), np.zeros_like(now)
        falling[:, 1:-1] = (now[:, 2:] - now[:, :-2]) * (side / 4)
        rising[:, :, 1:-1] = (now[:, :, 2:] - now[:, :, :-2]) * (side / 4)
        falling *= both
        rising *= both
        if aspect is None:
            slopes = [falling, rising, falling * down, falling * right, rising * down, rising * right]
        else:
            wide = aspect[:, np.newaxis, np.newaxis]
            slopes = [falling, rising, falling * down + rising * right, falling * right * wide - rising * down / wide]
        table = np.stack(slopes, axis=1).reshape(n, len(slopes), -1)
        wanted = np.sqrt((target * target * both).sum(axis=(1, 2), keepdims=True)) + 1e-6
        length = np.sqrt((now * now * both).sum(axis=(1, 2), keepdims=True))
        error = ((target * (length / wanted) - now) * both).reshape(n, -1, 1)
        normal = table @ table.transpose(0, 2, 1)
        ridge = _RIDGE * np.trace(normal, axis1=1, axis2=2) / len(slopes) + 1e-6
        normal += ridge[:, np.newaxis, np.newaxis] * np.eye(len(slopes), dtype=np.float32)
        step = np.linalg.solve(normal, table @ error)[:, :, 0]
        step = np.clip(step, -_LONGEST_STEP, _LONGEST_STEP).astype(np.float32)
        change = np.empty((n, 2, 2), dtype=np.float32)
        if aspect is None:
            change[:] = step[:, 2:].reshape(n, 2, 2)
        else:
            change[:, 0, 0] = change[:, 1, 1] = step[:, 2]
            change[:, 0, 1], change[:, 1, 0] = step[:, 3] * aspect, -step[:, 3] / aspect
        shifts = shifts + np.einsum("pij,pj->pi", maps, step[:, :2])
        maps = maps + maps @ change
    return maps, shifts
