"""The classic recipe on ELPV (all 2,624 cells, graded targets, 75/25 split, seed 0), beside the best constant."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.record import record
from whycam import train
from whycam.data.elpv import elpv_dataset
from whycam.run_folder import read_history
from whycam.terminal import TerminalProgress

EPOCHS = 30


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = train(elpv_dataset(), out=out, recipe="classic", epochs=EPOCHS, device="cpu", progress=TerminalProgress())
        seconds = sorted(item.seconds for item in read_history(out))
    rows = []
    for name, metrics in (("train", run.evaluation.train), ("test", run.evaluation.test)):
        if metrics is None:
            continue
        rows.append(
            {
                "set": name,
                "images": metrics.n,
                "MAE": metrics.mae.value,
                "MAE of the constant": metrics.constant.mae,
                "accuracy": metrics.accuracy.value,
                "accuracy of the constant": metrics.constant.accuracy,
                "AUROC": metrics.auroc.value,
                "beats the constant": metrics.beats_constant,
                "seconds an epoch (median)": seconds[len(seconds) // 2],
            }
        )
    record("classic_elpv", f"recipe classic, {EPOCHS} epochs, ELPV", rows, seed=0)
