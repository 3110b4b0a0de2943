"""Run the benchmarks named on the command line, or all of them, one after another."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "default_elpv",
    "whole_run",
    "finetune_elpv",
    "magnetic_tile",
    "novelty",
    "promise_coverage",
    "classic_elpv",
    "epoch_speed",
    "explain_speed",
    "decoding_speed",
    "training_memory",
)


def main() -> None:
    chosen = sys.argv[1:] or NAMES
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        sys.exit(f"No such benchmark: {', '.join(unknown)}. There are {', '.join(NAMES)}.")
    for name in chosen:
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
