"""The recipe `default` on ELPV under the protocols P1, P2 and P3, and the time from a folder to its report."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.protocols import p1, p2, p3, spread, value
from benchmarks.record import record
from whycam import Run, train
from whycam.data.pack import FOLDER_VARIABLE
from whycam.terminal import TerminalProgress
from whycam.types import Dataset

SEEDS = range(5)
DRAWS = range(10)


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        before = os.environ.get(FOLDER_VARIABLE)
        os.environ[FOLDER_VARIABLE] = cache
        try:
            _measure()
        finally:
            os.environ.pop(FOLDER_VARIABLE)
            if before is not None:
                os.environ[FOLDER_VARIABLE] = before


def _measure() -> None:
    cold, _ = _timed(p1(0), seed=0)
    warm, first = _timed(p1(0), seed=0)
    rows: list[dict[str, object]] = []
    runs = [first] + [_timed(p1(seed), seed=seed)[1] for seed in SEEDS if seed]
    rows.append(_row("P1, 31 % anomalous, seeds 0-4", runs))
    apart = [_timed(p1(seed), seed=seed, split="safe")[1] for seed in SEEDS]
    rows.append(_row("P1, near duplicates kept on one side", apart))
    rows.append(_row("P2, seeds 0-4", [_timed(p2(seed), seed=seed)[1] for seed in SEEDS]))
    for n in (10, 1):
        rows.append(
            _row(f"P3, {n} anomalous to learn from, 10 draws", [_timed(p3(draw, n), seed=draw)[1] for draw in DRAWS])
        )
    for row in rows:
        row |= {"s, folder to report": "", "again": ""}
    rows[0] |= {"s, folder to report": round(cold, 1), "again": round(warm, 1)}
    record("default_elpv", "recipe default, ELPV", rows)


def _timed(data: Dataset, *, seed: int, split: str = "given") -> tuple[float, Run]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = train(data, out=Path(folder) / "run", seed=seed, split=split, device="cpu", progress=TerminalProgress())
        return time.perf_counter() - start, run


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
