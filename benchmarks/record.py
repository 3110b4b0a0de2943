"""One way to print a benchmark's figures and to keep them beside the machine and versions they were measured with."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "whycam",
    "torch",
    "onnxruntime",
    "scikit-learn",
    "numpy",
    "pillow",
    "keras",
    "tensorflow-cpu",
    "grad-cam",
    "torchcam",
    "captum",
)


def record(name: str, title: str, rows: list[Mapping[str, object]], *, seed: int | None = None) -> None:
    """Print `rows` (all with the same keys) as a table and write results/NAME.json."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=140).print(table)
    content = {"benchmark": name, "title": title, "seed": seed, "machine": machine(), "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def machine() -> dict[str, object]:
    """Processor, cores, system and the versions of what was measured."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system(), "versions": versions}


def in_turn(contenders: Mapping[str, Callable[[], object]], *, rounds: int = 7) -> dict[str, float]:
    """Median seconds of each, run one after another in every round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            start = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
