"""The recipe `default` on ELPV under the protocols P1, P2 and P3."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.protocols import p1, p2, p3, spread, value
from benchmarks.record import record
from whycam import Run, train
from whycam.terminal import TerminalProgress
from whycam.types import Dataset

SEEDS = range(5)
DRAWS = range(10)


def main() -> None:
    rows = [
        _row("P1, 31 % anomalous, seeds 0-4", [_trained(p1(seed), seed=seed) for seed in SEEDS]),
        _row("P1, near duplicates kept on one side", [_trained(p1(seed), seed=seed, split="safe") for seed in SEEDS]),
        _row("P2, seeds 0-4", [_trained(p2(seed), seed=seed) for seed in SEEDS]),
    ]
    for n in (10, 1):
        rows.append(
            _row(f"P3, {n} anomalous to learn from, 10 draws", [_trained(p3(draw, n), seed=draw) for draw in DRAWS])
        )
    record("default_elpv", "recipe default, ELPV", rows)


def _trained(data: Dataset, *, seed: int, split: str = "given") -> Run:
    with tempfile.TemporaryDirectory() as folder:
        return train(data, out=Path(folder) / "run", seed=seed, split=split, device="cpu", progress=TerminalProgress())


def _row(protocol: str, runs: list[Run]) -> dict[str, object]:
    tests = [run.evaluation.test for run in runs]
    return {
        "protocol": protocol,
        "accuracy": spread([value(test.accuracy) for test in tests]),
        "AUROC": spread([value(test.auroc) for test in tests]),
        "F1": spread([value(test.f1) for test in tests]),
        "Brier": spread([value(test.brier) for test in tests]),
        "MAE": spread([value(test.mae) for test in tests]),
        "AUROC of each": " ".join(f"{value(test.auroc):.3f}" for test in tests),
        "accuracy of each": " ".join(f"{value(test.accuracy):.3f}" for test in tests),
    }


if __name__ == "__main__":
    main()
