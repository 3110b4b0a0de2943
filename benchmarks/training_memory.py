"""Peak resident memory of a training process, for few and for many images."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.record import record

_PROGRAM = """
import resource, sys, tempfile
from dataclasses import replace
from pathlib import Path
from whycam import train
from whycam.data.elpv import elpv_dataset
data = elpv_dataset()
few = replace(data, samples=data.samples[:: int(sys.argv[1])])
with tempfile.TemporaryDirectory() as folder:
    train(few, out=Path(folder) / "run", recipe="classic", epochs=1, device="cpu")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    rows = []
    for step in (16, 4, 1):
        command = [sys.executable, "-c", _PROGRAM, str(step)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append({"images": -(-2624 // step), "peak resident MB": int(done.stdout) / 1024})
    record("training_memory", "whycam train, recipe classic, one epoch, peak resident memory", rows, seed=0)
