"""Strangers told from test images, and test images falsely flagged: trained on solar cells, and on magnetic tiles.

Strangers are images of other data sets, and test images changed. Other sets are looked at where WHYCAM_MAGNETIC_TILE
and WHYCAM_COOKIES name their folders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from sklearn.metrics import roc_auc_score

from benchmarks.magnetic_tile import VARIABLE
from benchmarks.record import record
from whycam.data.elpv import elpv_dataset
from whycam.data.samples import open_dataset
from whycam.data.split import split_samples
from whycam.features import Features
from whycam.networks.backbone import Backbone, build_backbone
from whycam.networks.device import as_input
from whycam.networks.engine import engine_for
from whycam.networks.heads import pool_all
from whycam.networks.novelty import NoveltyModel
from whycam.store.pixels import PixelCache, open_pixels
from whycam.terminal import TerminalProgress
from whycam.training.novelty import fit_novelty
from whycam.training.recipe import DEFAULT
from whycam.types import Dataset, Floats

SEEDS = range(5)
N_CHANGED = 300
LEVELS = (0.01, 0.05)
COOKIES = "WHYCAM_COOKIES"
OTHERS = {"magnetic tiles": VARIABLE, "cookies": COOKIES}
_SIDE = 300


def _turned(picture: Image.Image) -> Image.Image:
    middle = tuple(int(value) for value in np.median(np.asarray(picture).reshape(-1, 3), axis=0))
    return picture.rotate(45, resample=Image.Resampling.BILINEAR, fillcolor=middle)


def _patched(picture: Image.Image) -> Image.Image:
    pixels = np.array(picture)
    pixels[90:210, 90:210] = 0
    return Image.fromarray(pixels)


def _enlarged(picture: Image.Image) -> Image.Image:
    return picture.crop((75, 75, 225, 225)).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)


def _four_times(picture: Image.Image) -> Image.Image:
    half = np.array(picture.resize((_SIDE // 2, _SIDE // 2), Image.Resampling.BOX))
    return Image.fromarray(np.tile(half, (2, 2, 1)))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "blurred": lambda picture: picture.filter(ImageFilter.GaussianBlur(4)),
    "inverted": ImageOps.invert,
    "turned by 45 degrees": _turned,
    "a black square": _patched,
    "twice as large": _enlarged,
    "four small ones": _four_times,
}


class Known:
    """A data set's features, and those of its changed images where there are such."""

    def __init__(self, backbone: Backbone, data: Dataset) -> None:
        self.data = data
        self.pixels = open_pixels(data.samples, DEFAULT.size_hw, progress=TerminalProgress())
        features = Features(backbone, self.pixels, device=torch.device("cpu"))
        rows = self.pixels.rows(data.samples)
        features.compute((0,), rows, progress=TerminalProgress())
        self.pooled: Floats = features.read((0,), rows)[0].numpy()
        self.units = np.array([sample.group or self.pixels.digests[sample.file] for sample in data.samples])
        self.anomalous = np.array([sample.anomalous for sample in data.samples])


def main() -> None:
    backbone = build_backbone(DEFAULT.backbone, DEFAULT.taps, pretrained=True)
    own = {"ELPV": Known(backbone, elpv_dataset())}
    for name, variable in OTHERS.items():
        if folder := os.environ.get(variable):
            own[name] = Known(backbone, open_dataset(folder))
    elpv = own["ELPV"]
    chosen = np.sort(np.random.default_rng(0).permutation(len(elpv.data.samples))[:N_CHANGED])
    changed = _changed(backbone, elpv.pixels, elpv.data, chosen)
    rows: list[Mapping[str, object]] = []
    for name, few in (("ELPV", None), ("ELPV", 20), ("magnetic tiles", None)):
        if name in own:
            rows += _measured(name, own, few, changed if name == "ELPV" else {}, chosen)
    record("novelty", "images unlike those of the training, 5 splits each; flags at level 0.01 unless said", rows)


def _changed(backbone: Backbone, pixels: PixelCache, data: Dataset, chosen: np.ndarray) -> dict[str, Floats]:
    """Features of the chosen samples' images, changed in each way."""
    images = pixels.read(pixels.rows([data.samples[at] for at in chosen]))
    pictures = [Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy()) for image in images]
    engine = engine_for(backbone)

    def pooled(batch: np.ndarray) -> Floats:
        inputs = as_input(batch, torch.device("cpu"))
        with torch.no_grad():
            found = pool_all(backbone(inputs)) if engine is None else torch.cat(engine.pooled(inputs), dim=1)
        values: Floats = found.numpy()
        return values

    found = {}
    for name, change in CHANGES.items():
        stack = np.stack([np.asarray(change(picture)) for picture in pictures])
        found[name] = np.concatenate([pooled(batch) for batch in np.array_split(stack, len(stack) // 20)])
    return found


def _measured(
    name: str, known: Mapping[str, Known], few: int | None, changed: Mapping[str, Floats], chosen: np.ndarray
) -> list[Mapping[str, object]]:
    own = known[name]
    found: dict[str, list[float]] = {}
    for seed in SEEDS:
        train, test = _split(own, few, seed)
        model = fit_novelty(own.pooled[train], own.anomalous[train], own.units[train].tolist(), seed=seed)
        assert model is not None
        strangers = {other: one.pooled for other, one in known.items() if other != name}
        strangers |= {change: pooled[np.isin(chosen, test)] for change, pooled in changed.items()}
        for key, value in _figures(model, own.pooled[test], own.anomalous[test], strangers).items():
            found.setdefault(key, []).append(value)
    trained_on = name + ("" if few is None else f", {few} anomalous")
    keys = ("own, normal", "own, anomalous", *(key for key in found if not key.startswith("own")))
    images = dict.fromkeys(key.split("; ")[0] for key in keys)
    return [
        {
            "trained on": trained_on,
            "images": which,
            "AUROC": f"{np.mean(found[f'{which}; auroc']):.4f}" if f"{which}; auroc" in found else "",
            **{f"flagged at {level}": f"{np.mean(found[f'{which}; {level}']):.4f}" for level in LEVELS},
        }
        for which in images
    ]


def _split(own: Known, few: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on; with `few`, only so many anomalous ones to train on."""
    divided, _ = split_samples(replace(own.data), 0.25, seed=seed)
    is_test = np.array([sample.split == "test" for sample in divided.samples])
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    if few is not None:
        kept = np.random.default_rng(seed).permutation(train[own.anomalous[train]])[:few]
        train = np.sort(np.concatenate([train[~own.anomalous[train]], kept]))
    return train, test


def _figures(
    model: NoveltyModel, own: Floats, anomalous: np.ndarray, strangers: Mapping[str, Floats]
) -> dict[str, float]:
    near = model.neighbourhood.distances(own)
    p = model.p_values(own)
    figures = {}
    for level in LEVELS:
        for which, flagged in (("normal", p[~anomalous]), ("anomalous", p[anomalous])):
            figures[f"own, {which}; {level}"] = float(np.mean(flagged <= level))
    for name, pooled in strangers.items():
        far = model.neighbourhood.distances(pooled)
        truth = np.repeat([0, 1], [len(near), len(far)])
        figures[f"{name}; auroc"] = float(roc_auc_score(truth, np.concatenate([near, far])))
        for level in LEVELS:
            figures[f"{name}; {level}"] = float(np.mean(model.p_values(pooled) <= level))
    return figures


if __name__ == "__main__":
    main()
