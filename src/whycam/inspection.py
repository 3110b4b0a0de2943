"""What a detector says about one image: a frozen value that can save itself as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from whycam.atomic import write_bytes, write_text
from whycam.card import CellGrid, HeatmapCard
from whycam.errors import RunError
from whycam.explain.methods import method_named, title_of
from whycam.report.gallery import panel
from whycam.types import Exhibit, Floats, Segment, Threshold, Verdict

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Which model judged an image."""

    network: str
    """Its name in the card."""
    recipe: str
    run: str | None
    """The run folder as it was given; None where the detector was not loaded from one."""
    created: str
    """When the run's card was made, in UTC."""
    data_fingerprint: str
    """Of the images trained and tested on; see `DataCard.fingerprint`."""
    whycam: str
    """The version that judged the image."""


@dataclass(frozen=True)
class InspectedStage:
    """What one of the network's layers has to say about the image."""

    heatmap: Floats
    """(h, w), >= 0: Grad-CAM of this layer alone."""
    evidence: Floats
    """(h, w), signed, in logit units: this layer's part of the whole."""
    grid: CellGrid
    """Where the layer's cells lie on the model's input."""


@dataclass(frozen=True)
class Inspection:
    """One image's score and verdict, and why: ``evidence.sum() + intercept == logit``."""

    file: str
    origin: Origin
    score: float
    """Higher is more anomalous."""
    logit: float
    verdict: Verdict
    threshold: Threshold
    p_value: float | None
    """Conformal p-value of the guess that the image is of the kind trained on; None where the run cannot tell."""
    novel: bool | None
    """Whether it is unlike all images trained on: the p-value is at most the run's level."""
    evidence: Floats
    """(h, w), signed, in logit units, one value a cell of `drawing.grid`."""
    intercept: float
    heatmap: Floats
    """(h, w), >= 0: Grad-CAM on the same cells."""
    stages: Mapping[str, InspectedStage]
    """The same layer by layer, by the layer's name; all evidence together is the whole."""
    exhibit: Exhibit
    """The image with the heatmap placed on its pixels and the segments cut from it."""
    drawing: HeatmapCard
    """The run's colour scale and segment level."""
    warnings: tuple[str, ...] = ()
    """What must be said about the image's pixels, such as that they lie outside the levels of the training images."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Regions of the heatmap above the run's level, on the pixels of `exhibit.image`."""
        return self.exhibit.segments

    def save(self, folder: str | Path) -> Path:
        """Write panel.png, heatmap.npy, evidence.npy and inspection.json into a new folder.

        Where there are several stages, also stages.npz with "NAME.heatmap" and "NAME.evidence" of each.

        Raises:
            RunError: `folder` exists already.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise RunError(f"{folder} exists already: name a new folder.") from error
        try:
            picture = BytesIO()
            self.panel().save(picture, format="PNG")
            write_bytes(folder / "panel.png", picture.getvalue())
            for name, values in (("heatmap", self.heatmap), ("evidence", self.evidence)):
                buffer = BytesIO()
                np.save(buffer, values, allow_pickle=False)
                write_bytes(folder / f"{name}.npy", buffer.getvalue())
            if len(self.stages) > 1:
                write_bytes(folder / "stages.npz", self._packed_stages())
            write_text(folder / "inspection.json", json.dumps(self.summary(), indent=2, ensure_ascii=False) + "\n")
        except BaseException:
            shutil.rmtree(folder)
            raise
        return folder

    def panel(self) -> Image.Image:
        """Input, heatmap, overlay and segments side by side, with the caption written on."""
        return panel(self.exhibit, scale=self.drawing.scale, method=title_of(method_named(self.drawing.method)))

    def summary(self) -> dict[str, object]:
        """Everything but the maps, ready for JSON."""
        height, width = self.exhibit.image.shape[:2]
        return {
            "schema": SCHEMA,
            "whycam": self.origin.whycam,
            "model": {"network": self.origin.network, "recipe": self.origin.recipe},
            "run": {
                "folder": self.origin.run,
                "created": self.origin.created,
                "data_fingerprint": self.origin.data_fingerprint,
            },
            "file": self.file,
            "warnings": list(self.warnings),
            "score": self.score,
            "logit": self.logit,
            "intercept": self.intercept,
            "verdict": self.verdict,
            "threshold": asdict(self.threshold),
            "novelty": None if self.p_value is None else {"p_value": self.p_value, "novel": self.novel},
            "method": self.drawing.method,
            "layer": self.drawing.layer,
            "stages": [{"name": name, "grid": asdict(stage.grid)} for name, stage in self.stages.items()],
            "picture": {"height": height, "width": width},
            "segments": [
                {"box": list(segment.box), "area": segment.area, "evidence_share": segment.evidence_share}
                for segment in self.segments
            ],
        }

    def _packed_stages(self) -> bytes:
        arrays: dict[str, Any] = {}
        for name, stage in self.stages.items():
            arrays[f"{name}.heatmap"], arrays[f"{name}.evidence"] = stage.heatmap, stage.evidence
        buffer = BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()
