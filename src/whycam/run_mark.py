"""How a run folder is told from any other, and how far it is: without reading what a training wrote into it.

A run is known by the header of its samples.csv, the first file that a training writes.
"""

from __future__ import annotations

from pathlib import Path

from whycam.errors import RunError

SAMPLES = "samples.csv"
CARD, CHECKPOINT = "card.json", "checkpoint.safetensors"
"""What a finished run has, and what an unfinished one can be resumed from."""
SAMPLE_COLUMNS = ("file", "target", "split", "group", "kind", "mask", "sha256")


def is_run(folder: Path) -> bool:
    """Whether a training has written to `folder`, finished or not; False where that cannot be read."""
    header = ",".join(SAMPLE_COLUMNS).encode() + b"\n"
    path = folder / SAMPLES
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return file.read(len(header)) == header
    except OSError:
        return False


def check_finished(folder: Path) -> None:
    """RunError where there is no finished run in `folder`."""
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run: there is no such folder.")
    if not (folder / CARD).exists():
        raise RunError(f"{folder} is not a finished run: it has no {CARD}. Train into it first, or add --resume.")


def checkpoint_mark(folder: Path) -> int | None:
    """Equal for the same checkpoint, from which `train` can go on by `resume`; None where there is none."""
    try:
        return (folder / CHECKPOINT).stat().st_mtime_ns
    except OSError:
        return None
