"""Detection and localisation on magnetic tiles, learned from image labels alone, split by tile.

The images are not part of the project: get them from github.com/abin24/Magnetic-tile-defect-datasets (Huang, Qiu and
Yuan 2020, The Visual Computer 36:85), write a manifest.csv (file, label, class, group, mask; each tile a group), and
name the folder: ``WHYCAM_MAGNETIC_TILE=folder python -m benchmarks magnetic_tile``.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.protocols import spread, value
from benchmarks.record import record
from whycam import Run, train
from whycam.data.images import decode_resized
from whycam.data.samples import open_dataset
from whycam.explain.placement import place
from whycam.run_folder import read_samples
from whycam.terminal import TerminalProgress

SEEDS = range(5)
VARIABLE = "WHYCAM_MAGNETIC_TILE"
SIDE = 300


def main() -> None:
    folder = os.environ.get(VARIABLE)
    if not folder:
        print(f"magnetic_tile: left out, as {VARIABLE} does not name the folder with the images.")
        return
    data = open_dataset(folder)
    torn = replace(data, samples=tuple(replace(sample, group=None) for sample in data.samples))
    rows = []
    for name, dataset, seeds in (("by tile", data, SEEDS), ("by image (a leak)", torn, range(1))):
        figures = []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as out:
                run = train(dataset, out=Path(out) / "run", seed=seed, device="cpu", progress=TerminalProgress())
                figures.append({**_detection(run), **_localisation(run)})
        rows.append(
            {"split": name, "seeds": len(figures)} | {key: spread([f[key] for f in figures]) for key in figures[0]}
        )
    record("magnetic_tile", "recipe default, magnetic tiles, image labels only", rows)


def _detection(run: Run) -> dict[str, float]:
    test = run.evaluation.test
    return {"image AUROC": value(test.auroc), "accuracy": value(test.accuracy)}


def _localisation(run: Run) -> dict[str, float]:
    """On the test images that have a mask, at the model's size."""
    samples = [s for s in read_samples(run.folder, Path(run.data.root))[0].samples if s.split == "test" and s.mask]
    size = {"model_hw": (SIDE, SIDE), "picture_hw": (SIDE, SIDE)}
    pixels, labels, images, hits, masses = [], [], [], [], []
    for sample in samples:
        assert sample.mask is not None
        mask = (
            np.array(Image.open(run_path(run, sample.mask)).convert("L").resize((SIDE, SIDE), Image.Resampling.NEAREST))
            > 0
        )
        if not mask.any():
            continue
        explanation = run.detector.explain_pixels(decode_resized(sample.path, (SIDE, SIDE))[None])
        heatmap = place(explanation.heatmaps[0], run.detector.card.heatmap.grid, **size)
        pixels.append(heatmap[::2, ::2].ravel())
        labels.append(mask[::2, ::2].ravel())
        images.append(float(roc_auc_score(mask.ravel(), heatmap.ravel())))
        hits.append(float(mask.ravel()[heatmap.argmax()]))
        masses.append(float(heatmap[mask].sum() / max(heatmap.sum(), 1e-12)))
    return {
        "pixel AUROC, all pixels": float(roc_auc_score(np.concatenate(labels), np.concatenate(pixels))),
        "pixel AUROC, mean of images": float(np.mean(images)),
        "pointing game": float(np.mean(hits)),
        "mass in mask": float(np.mean(masses)),
    }


def run_path(run: Run, mask: Path) -> Path:
    """Where a mask lies: as the table has it, or beside the images."""
    return mask if mask.is_absolute() else Path(run.data.root) / mask


if __name__ == "__main__":
    main()
