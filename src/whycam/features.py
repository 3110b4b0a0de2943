"""Pooled features of a data set's images: each computed once, kept on disk by content, and read by row."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whycam.data.cache import PixelCache
from whycam.data.feature_cache import FeatureCache, open_features
from whycam.networks.backbone import Backbone
from whycam.networks.device import as_input
from whycam.networks.engine import engine_for
from whycam.networks.heads import pool
from whycam.networks.views import NAMES, turn
from whycam.progress import SILENT, Progress
from whycam.types import Floats

Rows = npt.NDArray[np.integer]

_BATCH = 32
_CHUNK = 256
_HELD_BYTES = 1 << 29
"""A view whose features need no more memory than this is held; others are read from disk as they are wanted."""


class Features:
    """The pooled features of a backbone for the images of a pixel cache, in any of the views.

    What a file holds decides, not its name: with the same weights, size and view, an image is never computed twice.
    """

    def __init__(self, backbone: Backbone, pixels: PixelCache, *, device: torch.device) -> None:
        self._backbone = backbone.to(device).eval()
        self._device = device
        self._engine = engine_for(backbone) if device.type == "cpu" else None
        self._pixels = pixels
        self._digests = np.array([pixels.digests[file] for file in pixels.files])
        self._weights = backbone.weights_digest
        self._caches: dict[int, FeatureCache] = {}
        self._held: dict[int, Floats] = {}
        self._known: dict[int, npt.NDArray[np.bool_]] = {}
        self.width = 2 * sum(backbone.channels)

    def compute(self, views: tuple[int, ...], rows: Rows, *, progress: Progress = SILENT) -> None:
        """Make sure that the features of these rows are on disk, for each of the views."""
        for view in views:
            cache = self._cache(view)
            wanted = set(cache.missing(self._digests[rows].tolist()))
            first_of = {self._digests[row]: row for row in reversed(rows.tolist())}
            todo = sorted(first_of[digest] for digest in wanted)
            if not todo:
                continue
            with progress.bar(f"computing features, image {NAMES[view]}", len(todo)) as bar:
                for first in range(0, len(todo), _CHUNK):
                    chunk = np.array(todo[first : first + _CHUNK])
                    parts = []
                    for begin in range(0, len(chunk), _BATCH):
                        batch = chunk[begin : begin + _BATCH]
                        parts.append(self._pooled(batch, view))
                        bar.advance(len(batch))
                    cache.add(self._digests[chunk].tolist(), np.concatenate(parts))

    def read(self, views: tuple[int, ...], rows: Rows) -> Tensor:
        """Features (V, n, D) of rows that were computed before: every mean, then every maximum."""
        return torch.from_numpy(np.stack([self._read(view, rows) for view in views]))

    def _read(self, view: int, rows: Rows) -> Floats:
        cache = self._cache(view)
        if len(self._digests) * self.width * 4 > _HELD_BYTES:
            return cache.read(self._digests[rows].tolist())
        if view not in self._held:
            self._held[view] = np.zeros((len(self._digests), self.width), dtype=np.float32)
            self._known[view] = np.zeros(len(self._digests), dtype=np.bool_)
        unknown = rows[~self._known[view][rows]]
        if len(unknown):
            self._held[view][unknown] = cache.read(self._digests[unknown].tolist())
            self._known[view][unknown] = True
        values: Floats = self._held[view][rows]
        return values

    def _cache(self, view: int) -> FeatureCache:
        if view not in self._caches:
            key = {
                "backbone": self._backbone.name,
                "weights": self._weights,
                "taps": list(self._backbone.taps),
                "view": view,
                "size_hw": list(self._pixels.size_hw),
                "pillow": version("pillow"),
                "pooled": "means, maxima",
                "engine": self._device.type if self._engine is None else "onnxruntime",
            }
            self._caches[view] = open_features(key, self.width)
        return self._caches[view]

    def _pooled(self, rows: Rows, view: int) -> Floats:
        images = turn(as_input(self._pixels.read(rows), self._device), view)
        with torch.no_grad():
            if self._engine is not None:
                means, maxima = self._engine.pooled(images)
            else:
                layers = [pool(maps)[:2] for maps in self._backbone(images)]
                means, maxima = (torch.cat(parts, dim=1) for parts in zip(*layers, strict=True))
        values: Floats = torch.cat([means, maxima], dim=1).cpu().numpy()
        return values
