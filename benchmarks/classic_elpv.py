"""The classic recipe on ELPV (2,624 cells, graded targets, 75/25 split), for several seeds, beside the best constant.

Trained with mean absolute error, this network sits on the constant for some seeds, for epochs or for good; so one seed
would say little.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.record import record
from whycam import train
from whycam.data.elpv import elpv_dataset
from whycam.run_folder import read_history
from whycam.terminal import TerminalProgress

EPOCHS = 30
SEEDS = range(4)


def main() -> None:
    rows = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            run = train(
                elpv_dataset(),
                out=out,
                recipe="classic",
                epochs=EPOCHS,
                seed=seed,
                device="cpu",
                progress=TerminalProgress(),
            )
            seconds = statistics.median(item.seconds for item in read_history(out))
        for name, metrics in (("train", run.evaluation.train), ("test", run.evaluation.test)):
            if metrics is not None:
                rows.append(
                    {
                        "seed": seed,
                        "set": name,
                        "images": metrics.n,
                        "MAE": metrics.mae.value,
                        "constant": metrics.constant.mae,
                        "accuracy": metrics.accuracy.value,
                        "constant's": metrics.constant.accuracy,
                        "AUROC": metrics.auroc.value,
                        "beats the constant": metrics.beats_constant,
                        "s an epoch": seconds,
                    }
                )
    record("classic_elpv", f"recipe classic, {EPOCHS} epochs, ELPV", rows)
