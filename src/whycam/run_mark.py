"""How a run folder is told from any other: by the header of its samples.csv, the first file that a training writes."""

from __future__ import annotations

from pathlib import Path

SAMPLES = "samples.csv"
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
