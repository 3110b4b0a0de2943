"""What a backbone makes of a data set's images: each computed once, kept on disk by content, and read by row."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whycam.card import CellGrid
from whycam.errors import OptionError, RunError
from whycam.networks.backbone import Backbone
from whycam.networks.device import as_input
from whycam.networks.engine import engine_for
from whycam.networks.heads import pool_all
from whycam.networks.views import NAMES, turn, turn_back
from whycam.progress import SILENT, Progress
from whycam.store.folder import CAP_VARIABLE, cap_bytes
from whycam.store.pixels import PixelCache
from whycam.store.rows import Rows as RowStore
from whycam.store.rows import open_rows
from whycam.types import Floats

Rows = npt.NDArray[np.integer]
Views = npt.NDArray[np.integer]
"""A number of `networks.views` for each row."""

_BATCH = 64
"""At the end of each, all cores but one wait for the last image."""
_CHUNK = 256
_HELD_BYTES = 1 << 29
"""A view whose features need no more memory than this is held; others are read from disk as they are wanted."""


class _Stored(ABC):
    """Rows of numbers for the images of a pixel cache, in any of the views.

    What a file holds decides, not its name: with the same weights, size and view, an image is never computed twice.
    """

    _kind: str
    """For people."""
    _pooled: str
    """For the key."""

    def __init__(self, backbone: Backbone, pixels: PixelCache, *, width: int, device: torch.device) -> None:
        self._backbone = backbone.to(device).eval()
        self._device = device
        self._engine = engine_for(backbone) if device.type == "cpu" else None
        self._pixels = pixels
        self._names = np.array(pixels.names)
        self._weights = backbone.weights_digest
        self._caches: dict[int, RowStore] = {}
        self.width = width

    @abstractmethod
    def _computed(self, images: Tensor) -> Tensor:
        """(n, width) on the device, from images of one view."""

    def compute(self, views: tuple[int, ...], rows: Rows, *, progress: Progress = SILENT) -> None:
        """Make sure that the numbers of these rows are on disk, for each of the views."""
        for view in views:
            cache = self._cache(view)
            wanted = set(cache.missing(self._names[rows].tolist()))
            first_of = {self._names[row]: row for row in reversed(rows.tolist())}
            todo = sorted(first_of[digest] for digest in wanted)
            if not todo:
                continue
            with progress.bar(f"computing {self._kind}, image {NAMES[view]}", len(todo)) as bar:
                for first in range(0, len(todo), _CHUNK):
                    chunk = np.array(todo[first : first + _CHUNK])
                    parts = []
                    for begin in range(0, len(chunk), _BATCH):
                        batch = chunk[begin : begin + _BATCH]
                        parts.append(self._of_rows(batch, view))
                        bar.advance(len(batch))
                    cache.add(self._names[chunk].tolist(), _finite(np.concatenate(parts)))

    def _of_rows(self, rows: Rows, view: int) -> Floats:
        with torch.no_grad():
            values: Floats = self._computed(turn(as_input(self._pixels.read(rows), self._device), view)).cpu().numpy()
        return values

    def _cache(self, view: int) -> RowStore:
        if view not in self._caches:
            self._caches[view] = open_rows(self._key(view, self._pooled))
        return self._caches[view]

    def _key(self, view: int, pooled: str) -> dict[str, object]:
        return {
            "backbone": self._backbone.name,
            "weights": self._weights,
            "taps": list(self._backbone.taps),
            "view": view,
            "size_hw": list(self._pixels.size_hw),
            "pillow": version("pillow"),
            "pooled": pooled,
            "engine": self._device.type if self._engine is None else "onnxruntime",
        }

    def _maps(self, images: Tensor) -> tuple[Tensor, ...]:
        maps: tuple[Tensor, ...] = self._backbone(images) if self._engine is None else self._engine(images)
        return maps


class Features(_Stored):
    """The pooled features of a backbone: every mean over the cells, then every maximum."""

    _kind = "features"
    _pooled = "means, maxima"

    def __init__(self, backbone: Backbone, pixels: PixelCache, *, device: torch.device) -> None:
        super().__init__(backbone, pixels, width=2 * sum(backbone.channels), device=device)
        self._held: dict[int, Floats] = {}
        self._known: dict[int, npt.NDArray[np.bool_]] = {}

    def read(self, views: tuple[int, ...], rows: Rows) -> Tensor:
        """Features (V, n, D) of rows that were computed before: every mean, then every maximum."""
        return torch.from_numpy(np.stack([self._read(view, rows) for view in views]))

    def _read(self, view: int, rows: Rows) -> Floats:
        cache = self._cache(view)
        if len(self._names) * self.width * 4 > _HELD_BYTES:
            return cache.read(self._names[rows].tolist())
        if view not in self._held:
            self._held[view] = np.zeros((len(self._names), self.width), dtype=np.float32)
            self._known[view] = np.zeros(len(self._names), dtype=np.bool_)
        unknown = rows[~self._known[view][rows]]
        if len(unknown):
            self._held[view][unknown] = cache.read(self._names[unknown].tolist())
            self._known[view][unknown] = True
        values: Floats = self._held[view][rows]
        return values

    def _computed(self, images: Tensor) -> Tensor:
        if self._engine is not None:
            return torch.cat(self._engine.pooled(images), dim=1)
        return pool_all(self._backbone(images))

    def mean_maps(self, views: tuple[int, ...], rows: Rows, *, progress: Progress = SILENT) -> list[Tensor]:
        """The mean over these rows of each layer's maps in the first view, then in the second, and so on.

        Each is (K, h, w), turned back to the orientation of the images. They are kept on disk for these very rows.
        """
        digest = hashlib.sha256("\n".join(self._names[rows].tolist()).encode()).hexdigest()
        means = []
        for view in views:
            shapes = [
                (channels, grid.height, grid.width)
                for channels, grid in zip(self._backbone.channels, self._grids(view), strict=True)
            ]
            sizes = [int(np.prod(shape)) for shape in shapes]
            cache = open_rows(self._key(view, "mean maps"))
            if cache.missing([digest]):
                cache.add([digest], _finite(self._mean_map(rows, view, progress)[None]))
            parts = torch.split(torch.from_numpy(cache.read([digest])[0]), sizes)
            means += [turn_back(part.view(shape), view) for part, shape in zip(parts, shapes, strict=True)]
        return means

    def _grids(self, view: int) -> tuple[CellGrid, ...]:
        height, width = self._pixels.size_hw
        return self._backbone.grids((width, height) if view % 2 else (height, width))

    def _mean_map(self, rows: Rows, view: int, progress: Progress) -> Floats:
        """All layers' mean maps one after another, float32."""
        total: Floats = np.zeros(())
        with progress.bar(f"computing mean maps, image {NAMES[view]}", len(rows)) as bar:
            for first in range(0, len(rows), _BATCH):
                batch = rows[first : first + _BATCH]
                with torch.no_grad():
                    maps = self._maps(turn(as_input(self._pixels.read(batch), self._device), view))
                total = total + np.concatenate([m.double().sum(dim=0).flatten().cpu().numpy() for m in maps])
                bar.advance(len(batch))
        return (total / len(rows)).astype(np.float32)


class Maps(_Stored):
    """The whole maps of a backbone's one tap, for square images."""

    _kind = "maps"
    _pooled = "no"

    def __init__(self, backbone: Backbone, pixels: PixelCache, *, device: torch.device) -> None:
        """ValueError where the backbone has more than one tap, or the images are not square."""
        if len(backbone.taps) != 1 or len(set(pixels.size_hw)) != 1:
            raise ValueError("`backbone` must have one tap, and `pixels` square images.")
        (grid,) = backbone.grids(pixels.size_hw)
        self.shape = (*backbone.channels, grid.height, grid.width)
        super().__init__(backbone, pixels, width=int(np.prod(self.shape)), device=device)

    def compute(self, views: tuple[int, ...], rows: Rows, *, progress: Progress = SILENT) -> None:
        """As for features; OptionError where the disk cache may not become large enough to hold all of them."""
        needed = 4 * self.width * len(set(self._names[rows].tolist())) * len(views)
        if needed > cap_bytes():
            # Rounded up, so that the number shown is enough.
            raise OptionError(
                f"`{CAP_VARIABLE}` must be at least {1.005 * needed / 1e9:.3g} to fine-tune on so many images, "
                f"got {cap_bytes() / 1e9:g} instead: set it higher, or train with --recipe default."
            )
        super().compute(views, rows, progress=progress)

    def read(self, views: Views, rows: Rows) -> Tensor:
        """The maps (n, K, h, w) of rows that were computed before, each in its own view of `views` (n,)."""
        values = np.empty((len(rows), self.width), dtype=np.float32)
        for view in np.unique(views).tolist():
            chosen = views == view
            values[chosen] = self._cache(view).read(self._names[rows[chosen]].tolist())
        return torch.from_numpy(values).view(len(rows), *self.shape)

    def _computed(self, images: Tensor) -> Tensor:
        (maps,) = self._maps(images)
        return maps.flatten(1).contiguous()


def _finite(values: Floats) -> Floats:
    if not np.isfinite(values).all():
        raise RunError("The network gives numbers that are not finite: its weights are damaged.")
    return values
