"""Trains the head on pooled features: a second or two for thousands of images, as the backbone never runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.errors import WhyCAMError
from whycam.networks.heads import PooledHead
from whycam.training.recipe import HeadSettings
from whycam.training.subspace import Subspace
from whycam.types import ANOMALOUS_ABOVE, Floats

Bools = npt.NDArray[np.bool_]

_IMAGES_A_DIRECTION = 10
"""Along directions that fewer images have found, known images lie otherwise than new ones."""
_OF_PROJECTIONS = 0.25
"""No more directions than this share of the coordinates."""
_WEIGHT_OF_THE_REST = 4.0
_TINY = 1e-6
_FEWEST_STEPS = 200
_RARE_SHARE = 0.2
_LEAST_CERTAIN = 1 / 3


@dataclass(frozen=True)
class Part:
    """A function of coordinates c (n, K): ``y = output . relu(hidden c + offsets) + skip . c + bias``."""

    hidden: Tensor
    """(H, K)."""
    offsets: Tensor
    """(H,)."""
    output: Tensor
    """(H,)."""
    skip: Tensor
    """(K,)."""
    bias: float

    def logits(self, coordinates: Tensor) -> Floats:
        """The mean over the views of y for coordinates (V, n, K'), the first K of which count: (n,) float64."""
        c = coordinates[..., : self.skip.shape[0]]
        y = F.relu(c @ self.hidden.T + self.offsets) @ self.output + c @ self.skip
        mean: Floats = y.double().mean(dim=0).numpy() + self.bias
        return mean

    def along(self, basis: Tensor) -> Part:
        """The same function of features (n, D) whose coordinates are those along the rows of `basis` (K' >= K, D)."""
        basis = basis[: len(self.skip)]
        return replace(self, hidden=self.hidden @ basis, skip=self.skip @ basis)


def assemble(
    parts: Sequence[Part], slopes: Sequence[float], intercept: float, subspace: Subspace, channels: Sequence[int]
) -> PooledHead:
    """The head on pooled features whose logit is ``sum_j slopes_j * parts_j + intercept``.

    Parts are functions of features as the subspace scales them, all D of them.
    """
    pairs = list(zip(parts, slopes, strict=True))
    return PooledHead.of(
        channels,
        shift=subspace.shift,
        scale=subspace.scale,
        skip=(
            torch.stack([slope * part.skip for part, slope in pairs]).sum(dim=0),
            intercept + sum(slope * part.bias for part, slope in pairs),
        ),
        hidden=(torch.cat([part.hidden for part in parts]), torch.cat([part.offsets for part in parts])),
        output=(torch.cat([slope * part.output for part, slope in pairs]), 0.0),
    )


def fit_classes(
    coordinates: Tensor,
    targets: Floats,
    settings: HeadSettings,
    *,
    seed: int,
    done: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Part:
    """A small ReLU network that tells the classes apart, by cross-entropy; an epoch shows one random view of an image.

    The less sure a target, the less its image counts (`certainty`). Images of the rarer class are repeated until they
    make up a fifth. The same arguments give the same weights, bit for bit, whatever the number of threads: it works on
    one, as steps are so small that threads spend most of their time waiting for each other, on a busy machine nearly
    all.

    Args:
        coordinates: (V, N, K), of which the first `settings.directions` are used.
        targets: (N,) in [0, 1], of both classes.
        settings: how to train.
        seed: of weights, order, views and dropout.
        done: called after every epoch with its number, from 1, and its mean loss.

    Raises:
        WhyCAMError: the loss is no longer finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _fit_classes(coordinates, targets, settings, seed, done)
    finally:
        torch.set_num_threads(threads)


def _fit_classes(
    coordinates: Tensor, targets: Floats, settings: HeadSettings, seed: int, done: Callable[[int, float], None]
) -> Part:
    anomalous = targets > ANOMALOUS_ABOVE
    generator = torch.Generator().manual_seed(seed)
    used = coordinates[..., : settings.directions]
    spread = used.std().clamp(min=1e-6)
    x = used / spread
    width = x.shape[2]
    n = settings.hidden
    weights = {"hidden": torch.empty(n, width), "offsets": torch.empty(n), "output": torch.empty(n)}
    for name, weight in weights.items():
        # Where PyTorch's own linear layers begin: within one over the root of their number of inputs.
        weight.uniform_(-1, 1, generator=generator).mul_((n if name == "output" else width) ** -0.5)
    weights["bias"] = torch.zeros(())
    for weight in weights.values():
        weight.requires_grad_()
    chosen = torch.from_numpy(_repeated(anomalous))
    wanted = torch.from_numpy(anomalous.astype(np.float32))
    counts = torch.from_numpy(certainty(targets).astype(np.float32))
    batch, rounds = _lengths(len(chosen), settings)
    steps = n_steps(len(chosen), settings)
    optimizer = torch.optim.AdamW(
        weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps, pct_start=0.1)
    for epoch in range(1, settings.epochs + 1):
        batches = [
            rows
            for _ in range(rounds)
            for rows in torch.split(chosen[torch.randperm(len(chosen), generator=generator)], batch)
        ]
        total = 0.0
        for rows in batches:
            views = torch.randint(len(x), (len(rows),), generator=generator)
            hidden = F.relu(x[views, rows] @ weights["hidden"].T + weights["offsets"])
            kept = torch.rand(hidden.shape, generator=generator) >= settings.dropout
            y = (hidden * kept / (1 - settings.dropout)) @ weights["output"] + weights["bias"]
            loss = F.binary_cross_entropy_with_logits(y, wanted[rows], counts[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        mean = total / (rounds * len(chosen))
        if not np.isfinite(mean):
            raise WhyCAMError(f"The head's loss became {mean} in epoch {epoch}: train with another --seed.")
        done(epoch, mean)
    found = {name: weight.detach() for name, weight in weights.items()}
    return Part(found["hidden"] / spread, found["offsets"], found["output"], torch.zeros(width), float(found["bias"]))


def certainty(targets: Floats) -> Floats:
    """How much images count whose classes are told apart: 1 for targets 0 and 1, less for graded ones between.

    That is ``|2 t - 1|``, how far a target lies from saying nothing, but at least a third.
    """
    counts: Floats = np.abs(2 * targets - 1).clip(_LEAST_CERTAIN, 1)
    return counts


def fit_distance(normal: Tensor) -> Part:
    """How far an image lies from the normal ones, which needs no anomalies, as a piecewise linear function.

    ``d(c) = mean_k |v_k . (c - m)| / sqrt(lambda_k) + 4 mean_j |r_j| / s_j``, with the mean m, the first principal
    directions v_k and variances lambda_k of normal images, the rest ``r = c - m - sum_k v_k (v_k . (c - m))`` and the
    mean size s_j of each of its coordinates: the Mahalanobis distance of probabilistic principal components (Tipping
    and Bishop 1999, Journal of the Royal Statistical Society B 61:611), with absolute values in place of squares, so
    that evidence for it adds up. As |u| = 2 relu(u) - u, it has one hidden unit for each term.

    There is one direction for every ten images. Along more of them the images that found the directions would lie
    elsewhere than new ones do, which have most of their length in the rest.

    Args:
        normal: (V, n, K) coordinates of normal images along directions that these images have not helped to find.
    """
    n, width = normal.shape[1:]
    c = normal.flatten(0, 1).double()
    middle = c.mean(dim=0)
    variances, vectors = torch.linalg.eigh((c - middle).T @ (c - middle) / len(c))
    kept = min(n // _IMAGES_A_DIRECTION, int(_OF_PROJECTIONS * width))
    first = vectors.flip(1)[:, :kept].T
    rest = torch.eye(width, dtype=torch.float64) - first.T @ first
    sizes = ((c - middle) @ rest).abs().mean(dim=0)
    weights = torch.cat(
        [
            1 / (kept * (variances.flip(0)[:kept].clamp(min=0) + _TINY).sqrt()),
            _WEIGHT_OF_THE_REST / (width * (sizes + _TINY)),
        ]
    )
    rows = weights[:, None] * torch.cat([first, rest])
    offsets = rows @ middle
    return Part(
        hidden=rows.float(),
        offsets=-offsets.float(),
        output=torch.full((len(rows),), 2.0),
        skip=-rows.sum(dim=0).float(),
        bias=float(offsets.sum()),
    )


def n_steps(n: int, settings: HeadSettings) -> int:
    """How many steps `fit_classes` takes on n images, repeated ones counted."""
    batch, rounds = _lengths(n, settings)
    return settings.epochs * rounds * -(-n // batch)


def _lengths(n: int, settings: HeadSettings) -> tuple[int, int]:
    """Images in a batch, and how often an epoch goes through all of them.

    There are at least 200 steps, however few the images; what is told are `settings.epochs` stretches of equal length.
    """
    batch = min(settings.batch_size, max(8, n // 8))
    return batch, -(-_FEWEST_STEPS // (-(-n // batch) * settings.epochs))


def _repeated(anomalous: Bools) -> npt.NDArray[np.intp]:
    """All indices, those of the rarer class repeated until they are a fifth."""
    rare, common = sorted((np.flatnonzero(anomalous == which) for which in (False, True)), key=len)
    times = max(1, round(_RARE_SHARE / (1 - _RARE_SHARE) * len(common) / len(rare)))
    return np.concatenate([common, np.tile(rare, times)])
