"""A backbone's layers, pooled and judged by a small head: pretrained features, and what each adds to a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from whycam.card import CellGrid, PooledCard
from whycam.networks.backbone import Backbone
from whycam.networks.engine import Engine, engine_for
from whycam.networks.heads import PooledHead, pool, pull_back
from whycam.networks.network import Linearisation, Network
from whycam.networks.views import turn, turn_back, turned_grid

_LARGEST = torch.finfo(torch.float16).max


class PooledNetwork(Network):
    """The logit is the mean over the views of what the head makes of the backbone's pooled maps of that view.

    The entries of `stages` are the first view's layers, then the second view's, and so on. What is explained are these
    maps less their `centres`: less what normal images have in each cell, which is no reason for a verdict. Layers show
    every image's borders and corners as something special, where their kernels see padding; without it, so do heatmaps.
    """

    score: ClassVar[Literal["linear", "probability"]] = "probability"

    def __init__(
        self,
        backbone: Backbone,
        head: PooledHead,
        *,
        views: tuple[int, ...] = (0,),
        size_hw: tuple[int, int] | None = None,
    ) -> None:
        """`views` are numbers of `views.turn`; ValueError without any, or where the head is for other channels.

        With `size_hw` images are always of that size, and `centre_on` can take something off each cell.
        """
        super().__init__()
        if not views:
            raise ValueError("`views` must name at least one view.")
        if head.channels != backbone.channels:
            raise ValueError(f"`head` must be for channels {backbone.channels}, got {head.channels} instead.")
        self.backbone = backbone
        self.head = head
        self.views = views
        self._engine: Engine | None = None
        shapes = [(1, 1)] * len(self.stage_names)
        if size_hw is not None:
            shapes = [(grid.height, grid.width) for grid in self.grids(size_hw)]
        for entry, (channels, shape) in enumerate(zip(backbone.channels * len(views), shapes, strict=True)):
            # Half as large on disk. Whatever is taken off, evidence and intercept add up to the logit.
            self.register_buffer(_centre(entry), torch.zeros(channels, *shape, dtype=torch.float16))

    @property
    def card(self) -> PooledCard:
        """What is needed to build this network again, less its weights."""
        hidden = 0 if self.head.hidden is None else self.head.hidden.out_features
        return PooledCard(self.backbone.name, self.backbone.taps, hidden, self.views)

    def freeze(self) -> None:
        """Evaluation mode; where there is an engine for the backbone, it takes over, with the weights as they are."""
        self.eval()
        self._engine = engine_for(self.backbone)

    @property
    def name(self) -> str:
        """The backbone's name and the kind of head."""
        return f"{self.backbone.name} with pooled head"

    @property
    def layer(self) -> str:
        """All layers that the head reads."""
        return f"{', '.join(self.backbone.taps)} (mean and maximum over the cells)"

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The backbone's layers, again for each view."""
        return self.backbone.taps * len(self.views)

    def stages(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of each view's layers, (N, K, h, w), turned back to the orientation of the images."""
        return tuple(turn_back(maps, view) for view in self.views for maps in self._maps(turn(images, view)))

    def linearise(self, stages: Sequence[Tensor]) -> Linearisation:
        """The logit with its gradient and intercept in closed form; see `Linearisation`."""
        taps, views = len(self.backbone.taps), len(self.views)
        pooled = [pool(maps) for maps in stages]
        rows = [_row(pooled[first : first + taps]) for first in range(0, len(pooled), taps)]
        logit, gradient, intercept = self.head.linearise_pooled(torch.cat(rows))
        slopes = [slope for row in (gradient / views).chunk(views) for slope in self._layers(row)]
        centres = self.centres()
        features, gradients, taken = [], [], torch.zeros_like(logit[: len(logit) // views])
        for (mean, maximum), (_, _, routes), maps, centre in zip(slopes, pooled, stages, centres, strict=True):
            features.append(maps - centre)
            gradients.append(pull_back(mean, maximum, routes, (maps.shape[2], maps.shape[3])))
            # Gradient times centre, summed over channels and cells: in terms of the features the intercept has it too.
            there = centre.to(maps.dtype).expand(maps.shape[1:]).flatten(1)
            at_maxima = there.expand(len(maps), -1, -1).gather(2, routes[..., None])[..., 0]
            taken = taken + (mean * there.mean(dim=1) + maximum * at_maxima).sum(dim=1)
        intercept = _mean(intercept, views) + taken
        return Linearisation(tuple(stages), tuple(features), tuple(gradients), intercept, _mean(logit, views))

    def grids(self, size_hw: tuple[int, int]) -> tuple[CellGrid, ...]:
        """Where the cells of each entry lie on the image, whichever way it was turned for the backbone."""
        return tuple(
            turned_grid(grid, view, size_hw)
            for view in self.views
            for grid in self.backbone.grids(size_hw[::-1] if view % 2 else size_hw)
        )

    def forward(self, images: Tensor) -> Tensor:
        """The logit of each image, (N,); differentiable, also in the backbone's weights and the images."""
        return self.logits_of_pooled(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """What the head takes of N images: (V, N, D), for each of the V views every mean, then every maximum."""
        return torch.stack([self._pooled(turn(images, view)) for view in self.views])

    def logits_of_pooled(self, pooled: Tensor) -> Tensor:
        """The logits (N,) that belong to pooled features (V, N, D)."""
        return _mean(self.head.from_pooled(pooled.flatten(0, 1)), len(pooled))

    def pooled_of_stages(self, stages: Sequence[Tensor]) -> Tensor:
        """What `pooled` gives of the image as it is, (N, D), from what `stages` gives: at hardly any cost."""
        first = self.views.index(0) * len(self.backbone.taps)
        return _row([_values(maps) for maps in stages[first : first + len(self.backbone.taps)]])

    def centres(self) -> tuple[Tensor, ...]:
        """For each entry what is taken off its maps: 0 before `centre_on`; (K, h, w), or (K, 1, 1) without a size."""
        return tuple(self.get_buffer(_centre(entry)) for entry in range(len(self.stage_names)))

    @torch.no_grad()
    def centre_on(self, means: Sequence[Tensor]) -> None:
        """Take off each entry's maps, from now on, their mean (K, h, w) over some images of the network's size."""
        for centre, mean in zip(self.centres(), means, strict=True):
            # Infinity would make every explanation meaningless; any finite number is as exact as another.
            centre.copy_(mean.clamp(-_LARGEST, _LARGEST))

    def scores_of_pooled(self, pooled: Tensor) -> Tensor:
        """The scores (N,) that belong to pooled features (V, N, D)."""
        return self.scores(self.logits_of_pooled(pooled))

    def _pooled(self, images: Tensor) -> Tensor:
        engine = self._engine_for(images)
        if engine is not None:
            return torch.cat(engine.pooled(images), dim=1)
        return _row([_values(maps) for maps in self._maps(images)])

    def _maps(self, images: Tensor) -> tuple[Tensor, ...]:
        engine = self._engine_for(images)
        maps: tuple[Tensor, ...] = self.backbone(images) if engine is None else engine(images)
        return maps

    def _engine_for(self, images: Tensor) -> Engine | None:
        """The engine, where it may stand in for the backbone: it has no gradients and one kind of numbers."""
        wanted = torch.is_grad_enabled() or self.backbone.training
        fits = images.device.type == "cpu" and images.dtype == torch.float32
        return self._engine if fits and not wanted else None

    def _layers(self, row: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The inverse of `_row`: (N, D) -> for each layer, what belongs to its means and to its maxima."""
        parts = torch.split(row, list(self.backbone.channels) * 2, dim=1)
        half = len(parts) // 2
        return list(zip(parts[:half], parts[half:], strict=True))


def _centre(entry: int) -> str:
    return f"centre{entry}"


def _values(maps: Tensor) -> tuple[Tensor, Tensor]:
    if maps.requires_grad:
        means, maxima, _ = pool(maps)
        return means, maxima
    return maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))


def _row(layers: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """For each layer its means and maxima (N, K), and perhaps more -> (N, D), as the head wants it."""
    return torch.cat([layer[0] for layer in layers] + [layer[1] for layer in layers], dim=1)


def _mean(values: Tensor, views: int) -> Tensor:
    """(V * N,) -> (N,)."""
    return values.view(views, len(values) // views).mean(dim=0)
