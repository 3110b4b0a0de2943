"""How a run folder is told from any other, how far it is, and which version wrote it: by marks read before the rest.

The mark of a run is the header of its samples.csv, the first file that a training writes; that of a file its schema.
"""

from __future__ import annotations

import json
from importlib.metadata import version
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


def check_schema(path: Path, content: bytes | str, schema: int, *, remedy: str) -> None:
    """Make sure that a JSON file has this schema, before anything else is expected of it.

    What is no JSON object is left to whoever reads the rest.

    Raises:
        RunError: it has another schema (the text says which version wrote it, if the file does) or none; `remedy` says
            what to do, as in `train again`.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return
    if not isinstance(found, dict):
        return
    number = found.get("schema")
    if not isinstance(number, int) or isinstance(number, bool):
        what = f"schema is {json.dumps(number)[:40]}, not a whole number" if "schema" in found else "it names no schema"
        raise RunError(f"{path} is damaged: {what}: {remedy}.")
    if number != schema:
        versions = found.get("versions")
        writer = versions.get("whycam") if isinstance(versions, dict) else None
        by = f", written by WhyCAM {writer[:40]}" if isinstance(writer, str) else ""
        update = "update WhyCAM, or " if number > schema else ""
        raise RunError(
            f"{path} has schema {number}{by}; this version, WhyCAM {version('whycam')}, reads schema {schema}: "
            f"{update}{remedy}."
        )


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
