"""How often promised thresholds keep their promise: on simulated scores of known truth, and on real images.

Simulated: 1,000 data sets a case. Real: many random splits, each with a head trained and its threshold chosen out of
fold, as `train` does; on the test images of a split, mistakes can only be counted. If test images were drawn like the
held-out ones, the number of mistakes would follow a beta-binomial distribution, whatever the scores: what it says
stands beside what was found.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import beta, betabinom, binom, norm

from benchmarks.magnetic_tile import VARIABLE
from benchmarks.record import record
from whycam.data.elpv import elpv_dataset
from whycam.data.samples import open_dataset
from whycam.data.split import split_samples
from whycam.evaluation.inputs import anomalous
from whycam.evaluation.promise_rules import PromiseRule, RecallRule
from whycam.evaluation.promises import safe_limit
from whycam.evaluation.rule_text import parse_rule
from whycam.evaluation.threshold import Cuts
from whycam.features import Features
from whycam.fitting.default import learn
from whycam.fitting.plan import training_samples
from whycam.networks.backbone import build_backbone
from whycam.progress import SILENT
from whycam.store.pixels import open_pixels
from whycam.training.checkpoint import Plan
from whycam.training.recipe import DEFAULT
from whycam.types import Dataset

DRAWS = 1000
SPLITS = range(100, 130)
EPOCHS = 15
RULES = ("recall>=0.9", "false-alarms<=0.05")
SMALL_TEST, LARGE_TEST = 0.5, 0.8


def main() -> None:
    record("promise_coverage", f"promises kept, {DRAWS:,} simulated data sets a case", _simulated(), seed=0)
    rows = _real("ELPV", elpv_dataset(), LARGE_TEST)
    if folder := os.environ.get(VARIABLE):
        rows += _real("magnetic tiles, by tile", open_dataset(folder), SMALL_TEST)
    record("promise_kept", f"promises on test images, recipe default with {EPOCHS} epochs, one view", rows)


# ---------------------------------------------------------------- simulated


Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Values and their units, of n units."""


def _alone(draw: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    return lambda rng, n: (draw(rng, n), np.arange(n))


def _grouped(size: int, spread: float) -> Draw:
    """Values of a unit share a part that is `spread` times as large as the rest."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        units = np.repeat(np.arange(n), size)
        return rng.normal(0, spread, n)[units] + rng.normal(size=n * size), units

    return draw


CASES: Mapping[str, tuple[Draw, Callable[[float], float]]] = {
    "beta(5, 2)": (_alone(lambda rng, n: rng.beta(5, 2, n)), lambda v: float(beta.cdf(v, 5, 2))),
    "normal": (_alone(lambda rng, n: rng.normal(size=n)), lambda v: float(norm.cdf(v))),
    "21 different values": (
        _alone(lambda rng, n: rng.binomial(20, 0.7, n).astype(float)),
        lambda v: float(binom.cdf(v - 1, 20, 0.7)),
    ),
    "units of 6, nearly equal": (_grouped(6, 10.0), lambda v: float(norm.cdf(v, 0, np.hypot(10, 1)))),
    "units of 6, correlation 0.5": (_grouped(6, 1.0), lambda v: float(norm.cdf(v, 0, np.hypot(1, 1)))),
    "units of 6, independent": (_grouped(6, 0.0), lambda v: float(norm.cdf(v))),
}


def _simulated() -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = []
    for name, (draw, below) in CASES.items():
        for n, share, confidence in ((60, 0.1, 0.95), (400, 0.05, 0.95), (1000, 0.01, 0.9)):
            rng = np.random.default_rng(0)
            found = []
            for _ in range(DRAWS):
                values, units = draw(rng, n)
                limit = safe_limit(values, units.astype(str).tolist(), share=share, confidence=confidence)
                assert limit is not None
                found.append(below(limit))
            kept = float(np.mean(np.array(found) <= share))
            rows.append(
                {
                    "scores": name,
                    "units": n,
                    "share promised": share,
                    "confidence": confidence,
                    "kept": kept,
                    "mean true share": float(np.mean(found)),
                }
            )
    return rows


# ---------------------------------------------------------------- real


def _real(name: str, data: Dataset, test_share: float) -> list[Mapping[str, object]]:
    recipe = replace(DEFAULT, symmetry="none", head=replace(DEFAULT.head, epochs=EPOCHS))
    pixels = open_pixels(data.samples, recipe.size_hw, progress=SILENT)
    backbone = build_backbone(recipe.backbone, recipe.taps, pretrained=True)
    features = Features(backbone, pixels, device=torch.device("cpu"))
    features.compute((0,), pixels.rows(data.samples))
    rules = [rule for rule in map(parse_rule, RULES) if isinstance(rule, PromiseRule)]
    found: dict[str, list[tuple[float, ...]]] = {rule.text: [] for rule in rules}
    for seed in SPLITS:
        divided, _ = split_samples(data, test_share, seed=seed)
        test = [sample for sample in divided.samples if sample.split == "test"]
        planned = Plan(recipe.name, {}, seed, "", "cpu", torch.get_num_threads(), "", "")
        learned = learn(features, training_samples(divided, pixels), pixels, recipe, planned=planned, progress=SILENT)
        coordinates = learned.subspace.coordinates(lambda rows: features.read((0,), rows), pixels.rows(test))
        raw = np.column_stack([part.logits(coordinates) for part in learned.parts])
        scores = 1 / (1 + np.exp(-learned.calibration.logits(raw)))
        truth = np.array([sample.anomalous for sample in test])
        for rule in rules:
            value = rule.choose(learned.held_out).value
            on = 0 if isinstance(rule, RecallRule) else 1
            held = anomalous(learned.held_out.targets)
            n = int(np.count_nonzero(held == (on == 0)))
            made = Cuts.of(held, learned.held_out.scores).at(value)[on]
            n_test = int(np.count_nonzero(truth == (on == 0)))
            mistakes = Cuts.of(truth, scores).at(value)[on]
            allowed = int(rule.share * n_test + 1e-9)
            chance = float(betabinom.cdf(allowed, n_test, made + 1, n - made))
            found[rule.text].append((n, (made + 1) / (n + 1), mistakes / n_test, mistakes <= allowed, chance))
    rows: list[Mapping[str, object]] = []
    for text, values in found.items():
        n, expected, mistakes, kept, chance = np.array(values, dtype=float).T
        rows.append(
            {
                "data": name,
                "rule": text,
                "splits": len(values),
                "chosen on": f"{n.mean():.0f} images",
                "mistakes expected": float(expected.mean()),
                "found": f"{mistakes.mean():.4f} ± {mistakes.std(ddof=1) / len(values) ** 0.5:.4f}",
                "kept on test expected": float(chance.mean()),
                "kept": float(kept.mean()),
            }
        )
    return rows


if __name__ == "__main__":
    main()
