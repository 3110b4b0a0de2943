"""From a folder of images to the report, nothing on disk yet, and then again; as a command, start-up included."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.protocols import p1
from benchmarks.record import record
from whycam.store.folder import FOLDER_VARIABLE

ROUNDS = 2


def main() -> None:
    first, again = [], []
    with tempfile.TemporaryDirectory() as name:
        table = _table(Path(name) / "elpv")
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as cache:
                for seconds in (first, again):
                    seconds.append(_timed(table, Path(name) / "run", cache))
    record(
        "whole_run",
        "recipe default, ELPV (2,624 images), P1, seed 0: seconds from the command to the report",
        [
            {
                "": f"median of {ROUNDS}",
                "first": round(statistics.median(first), 1),
                "again": round(statistics.median(again), 1),
                "times faster": round(statistics.median(first) / statistics.median(again), 2),
                "first, each": " ".join(f"{seconds:.1f}" for seconds in first),
                "again, each": " ".join(f"{seconds:.1f}" for seconds in again),
            }
        ],
    )


def _table(folder: Path) -> Path:
    """The images of the package in a folder, with their split in a table."""
    folder.mkdir()
    rows = ["file,target,split,kind"]
    for sample in p1(0).samples:
        shutil.copy(sample.path, folder / Path(sample.file).name)
        rows.append(f"{Path(sample.file).name},{sample.target},{sample.split},{sample.kind}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def _timed(data: Path, out: Path, cache: str) -> float:
    command = [sys.executable, "-m", "whycam.cli", "train", str(data), "--out", str(out), "--device", "cpu"]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--overwrite"], check=True, env=os.environ | {FOLDER_VARIABLE: cache}, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
