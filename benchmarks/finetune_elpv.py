"""The recipe `finetune` on ELPV under the protocols P1 and P2, within a budget of time or for some epochs."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.protocols import p1, p2, spread, value
from benchmarks.record import record
from whycam import train
from whycam.terminal import TerminalProgress

BUDGET = "30m"
EPOCHS_VARIABLE = "WHYCAM_EPOCHS"
"""So many, however long they take, instead of the budget."""
SEEDS_VARIABLE = "WHYCAM_SEEDS"
"""Seeds, such as `0,1,2` (the default); every one takes the budget for each protocol."""
PROTOCOLS_VARIABLE = "WHYCAM_PROTOCOLS"
"""Such as `P1,P2` (the default)."""
PROTOCOLS = {"P1": p1, "P2": p2}


def main() -> None:
    seeds = [int(seed) for seed in os.environ.get(SEEDS_VARIABLE, "0,1,2").split(",")]
    epochs = int(given) if (given := os.environ.get(EPOCHS_VARIABLE)) else None
    budget = None if epochs else BUDGET
    rows = []
    for name in os.environ.get(PROTOCOLS_VARIABLE, "P1,P2").split(","):
        tests, seconds = [], []
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                run = train(
                    PROTOCOLS[name](seed),
                    out=Path(folder) / "run",
                    recipe="finetune",
                    budget=budget,
                    epochs=epochs,
                    seed=seed,
                    device="cpu",
                    progress=TerminalProgress(),
                )
                seconds.append(time.perf_counter() - start)
                tests.append((run.evaluation.test, run.detector.card.training.epochs_done))
        rows.append(
            {
                "protocol": name,
                "seeds": ",".join(map(str, seeds)),
                "epochs": " ".join(str(epochs) for _, epochs in tests),
                "accuracy": spread([value(test.accuracy) for test, _ in tests]),
                "AUROC": spread([value(test.auroc) for test, _ in tests]),
                "F1": spread([value(test.f1) for test, _ in tests]),
                "Brier": spread([value(test.brier) for test, _ in tests]),
                "s each": " ".join(f"{taken:.0f}" for taken in seconds),
            }
        )
    record("finetune_elpv", f"recipe finetune, ELPV, {f'{epochs} epochs' if epochs else f'budget {BUDGET}'}", rows)


if __name__ == "__main__":
    main()
