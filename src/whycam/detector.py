"""A trained model ready to judge images: scores, verdicts and their grounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from whycam.bundle import load_bundle
from whycam.card import Card
from whycam.data.images import Decoded, as_pixels, read_image, resize, shrink
from whycam.data.levels import sentence
from whycam.errors import ImageError, RunError, printable
from whycam.explain.explanation import Explanation, explain, pool, score, score_pooled
from whycam.explain.methods import method_named
from whycam.explain.placement import place, spread
from whycam.explain.segments import find_segments
from whycam.features import Features, Rows
from whycam.inspection import InspectedStage, Inspection, Origin
from whycam.networks.device import as_input, pick_device
from whycam.networks.network import Network
from whycam.networks.novelty import NoveltyModel
from whycam.networks.pooled import PooledNetwork
from whycam.progress import SILENT, Progress
from whycam.store.pixels import PixelCache
from whycam.types import Exhibit, Floats, Pixels

Source = str | Path | Pixels
"""A path, or an array (H, W, 3), (H, W, 1) or (H, W) of uint8."""

BATCH = 16
_ROWS = 1024
_LARGEST_PICTURE = 2048
_T = TypeVar("_T")


class Detector:
    """Scores and explains images with one trained network."""

    def __init__(
        self,
        network: Network,
        card: Card,
        novelty: NoveltyModel | None = None,
        *,
        device: str = "cpu",
        run: str | Path | None = None,
    ) -> None:
        self._device = pick_device(device)
        self._network = network.to(self._device)
        self._network.freeze()
        self.card = card
        self.novelty = novelty
        """What tells images unlike all those trained on; None where the run has none."""
        self._run = None if run is None else printable(run)

    @property
    def network(self) -> Network:
        """The network, frozen: scores and heatmaps are promised of it as it is."""
        return self._network

    @property
    def device(self) -> torch.device:
        """Where the network works."""
        return self._device

    @classmethod
    def load(cls, run: str | Path, *, device: str = "cpu") -> Detector:
        """The detector of a run folder; RunError where the folder holds no finished run."""
        return cls(*load_bundle(Path(run)), device=device, run=run)

    # -------------------------------------------------------------- images of any size

    def score(self, images: Source | Iterable[Source]) -> Iterator[float]:
        """The score of each image, in order; works through a stream of any length in batches.

        Raises:
            ImageError: an image cannot be read; its text begins with the file's name.
        """
        for batch in batches(_several(images)):
            yield from (
                float(value) for value in self.score_pixels(self._prepare(self.read(item).pixels for item in batch))
            )

    def judge(self, images: Source | Iterable[Source]) -> Iterator[tuple[float, float | None]]:
        """The score of each image, and the p-value of its novelty where the run can tell; otherwise as `score`."""
        for batch in batches(_several(images)):
            scores, p_values = self._judged(self._prepare(self.read(item).pixels for item in batch))
            known = [None] * len(scores) if p_values is None else p_values.tolist()
            yield from zip(scores.tolist(), known, strict=True)

    def inspect(self, image: Source, *, first_page: bool = False) -> Inspection:
        """Score and explain one image; ImageError where it cannot be read."""
        return next(self.inspect_all([image], first_page=first_page))

    def inspect_all(self, images: Source | Iterable[Source], *, first_page: bool = False) -> Iterator[Inspection]:
        """Score and explain each image, in order and in batches.

        With `first_page` files of several pages or frames are read by their first, even if the training did not.

        Pictures of more than 2,048 pixels a side are made smaller for the drawing, not for the network; boxes and masks
        are in pixels of `Inspection.exhibit.image`.
        """
        for batch in batches(_several(images)):
            originals, pictures, remarks = [], [], []
            for item in batch:
                read = self.read(item, first_page=first_page)
                originals.append(resize(read.pixels, self.card.model.size_hw))
                pictures.append(shrink(read.pixels, _LARGEST_PICTURE))
                remarks.append(tuple(map(sentence, read.remarks)))
            explanation = self.explain_pixels(self._prepare(originals))
            for number, (item, picture, warnings) in enumerate(zip(batch, pictures, remarks, strict=True)):
                name = printable(item) if isinstance(item, str | Path) else "array"
                yield replace(self._inspection(name, picture, explanation, number), warnings=warnings)

    # -------------------------------------------------------------- pixels of the model's size

    def score_pixels(self, pixels: Pixels) -> Floats:
        """Scores (B,) of images already resized: uint8 (B, H, W, C), C 1 or 3; RunError where one is not finite."""
        return _finite(score(self._network, as_input(pixels, self._device)))

    def _judged(self, pixels: Pixels) -> tuple[Floats, Floats | None]:
        network = self._network
        if self.novelty is None or not isinstance(network, PooledNetwork):
            return self.score_pixels(pixels), None
        pooled = pool(network, as_input(pixels, self._device))
        return _finite(score_pooled(network, pooled)), self.novelty.p_values(
            pooled[network.views.index(0)].cpu().numpy()
        )

    def p_values_cached(self, pixels: PixelCache, rows: Rows) -> Floats | None:
        """The p-values (n,) of novelty of rows that `score_cached` has scored; None where the run cannot tell."""
        if self.novelty is None or not isinstance(self._network, PooledNetwork):
            return None
        features = Features(self._network.backbone, pixels, device=self._device)
        parts = [
            self.novelty.p_values(features.read((0,), rows[first : first + _ROWS])[0].numpy())
            for first in range(0, len(rows), _ROWS)
        ]
        return np.concatenate(parts)

    def score_cached(self, pixels: PixelCache, rows: Rows, *, progress: Progress) -> Floats:
        """Scores (n,) float64 of rows of a pixel cache; features that a network pools are kept for the next time."""
        judge = self._judge_rows(pixels, rows, progress)
        parts = []
        with progress.bar("scoring", len(rows)) as bar:
            for first in range(0, len(rows), BATCH):
                parts.append(_finite(judge(rows[first : first + BATCH])))
                bar.advance(len(parts[-1]))
        return np.concatenate(parts).astype(np.float64)

    def _judge_rows(self, pixels: PixelCache, rows: Rows, progress: Progress) -> Callable[[Rows], Floats]:
        network = self._network
        if not isinstance(network, PooledNetwork):
            return lambda some: self.score_pixels(pixels.read(some))
        features = Features(network.backbone, pixels, device=self._device)
        features.compute(network.views, rows, progress=progress)
        return lambda some: score_pooled(network, features.read(network.views, some).to(self._device))

    def explain_pixels(self, pixels: Pixels, *, progress: Progress = SILENT) -> Explanation:
        """Scores, heatmaps and evidence of images already resized; arguments and errors as for `score_pixels`."""
        method = method_named(self.card.heatmap.method)
        explanation = explain(self._network, as_input(pixels, self._device), method=method, progress=progress)
        _finite(explanation.scores)
        return explanation

    def exhibit(
        self, explanation: Explanation, number: int, picture: Pixels, *, file: str, split: str, target: float | None
    ) -> Exhibit:
        """One image's maps placed on its picture (H, W, C), with segments cut at the run's level."""
        drawing = self.card.heatmap
        sizes = {"model_hw": self.card.model.size_hw, "picture_hw": (picture.shape[0], picture.shape[1])}
        heatmap = place(explanation.heatmaps[number], drawing.grid, **sizes)
        evidence = spread(explanation.evidence[number], drawing.grid, **sizes)
        value = float(explanation.scores[number])
        return Exhibit(
            file=file,
            split=split,
            target=target,
            score=value,
            verdict=self.card.threshold.verdict(value),
            image=np.broadcast_to(picture, (*picture.shape[:2], 3)),
            heatmap=heatmap,
            segments=find_segments(heatmap, evidence, level=drawing.scale * drawing.segment_level),
        )

    def _inspection(self, file: str, picture: Pixels, explanation: Explanation, number: int) -> Inspection:
        exhibit = self.exhibit(explanation, number, picture, file=file, split="", target=None)
        p_value = None
        if self.novelty is not None and explanation.plain is not None:
            p_value = float(self.novelty.p_values(explanation.plain[number : number + 1])[0])
        return Inspection(
            file=file,
            origin=Origin(
                network=self.card.model.network,
                recipe=self.card.training.recipe,
                run=self._run,
                created=self.card.created,
                data_fingerprint=self.card.data.fingerprint,
                whycam=version("whycam"),
            ),
            score=exhibit.score,
            logit=float(explanation.logits[number]),
            verdict=exhibit.verdict,
            threshold=self.card.threshold,
            p_value=p_value,
            novel=None if p_value is None or self.novelty is None else p_value <= self.novelty.level,
            evidence=explanation.evidence[number],
            intercept=float(explanation.intercepts[number]),
            heatmap=explanation.heatmaps[number],
            stages={
                stage.name: InspectedStage(stage.heatmaps[number], stage.evidence[number], stage.grid)
                for stage in explanation.stages
            },
            exhibit=exhibit,
            drawing=self.card.heatmap,
        )

    def read(self, source: Source, *, first_page: bool = False) -> Decoded:
        """The pixels of one image by the levels of the training images, and what must be said about them.

        Raises ImageError, whose text begins with the file's name, OptionError for an array that is no image.
        """
        if isinstance(source, np.ndarray):
            return Decoded(as_pixels(source), ())
        model = self.card.model
        try:
            return read_image(Path(source), levels=model.levels, first_page=first_page or model.first_page)
        except ImageError as error:
            raise ImageError(f"{printable(source)}: {error}") from error

    def _prepare(self, pictures: Iterable[Pixels]) -> Pixels:
        resized = [resize(picture, self.card.model.size_hw) for picture in pictures]
        channels = max(picture.shape[2] for picture in resized)
        shape = (*self.card.model.size_hw, channels)
        return np.stack([np.broadcast_to(picture, shape) for picture in resized])


def batches(items: Iterable[_T], size: int = BATCH) -> Iterator[list[_T]]:
    """Items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _several(images: Source | Iterable[Source]) -> Iterable[Source]:
    """One path or one array is a list of one; text and arrays would otherwise be taken apart."""
    return [images] if isinstance(images, str | Path | np.ndarray) else images


def _finite(scores: Floats) -> Floats:
    if not np.isfinite(scores).all():
        raise RunError("The model gives scores that are no numbers: its weights are damaged. Train again.")
    return scores
