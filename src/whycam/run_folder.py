"""The files of a run folder: who writes which columns where, and how they are read back."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
from filelock import FileLock, Timeout

from whycam.atomic import is_leftover, write_text
from whycam.errors import OptionError, RunError, printable
from whycam.evaluation.held_out import HeldOut
from whycam.run_mark import CARD, CHECKPOINT, SAMPLE_COLUMNS, SAMPLES, is_run
from whycam.types import Dataset, EpochRecord, Predictions, Sample, Scored, Split, Threshold

PREDICTIONS, HISTORY, METRICS = "predictions.csv", "history.csv", "metrics.json"
HELD_OUT = "held_out.csv"
AUDIT, MEASURED = "audit.json", "explained.json"
_LOCK = ".lock"
# What a finished run has and an unfinished one must not have; the card first, for with it the run counts as finished.
_FINISHED = (CARD, METRICS, PREDICTIONS, "report.html")
_OWN_FILES = (*_FINISHED, "model.safetensors", CHECKPOINT, HISTORY, HELD_OUT, AUDIT, MEASURED, SAMPLES)
_OWN_FOLDERS = ("plots", "gallery")


def check_writable(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make sure that a run may be written to `folder`: new or empty, resumed, or an earlier run that may go.

    Raises:
        RunError: the folder holds a run and neither `resume` nor `overwrite` is given, holds something else, or cannot
            be made.
        OptionError: both are given.
    """
    if resume and overwrite:
        raise OptionError("--resume and --overwrite contradict each other: give one of them.")
    _check_place(folder)
    if resume and not folder.is_dir():
        raise RunError(f"{folder} does not exist, so there is nothing to resume: leave --resume out.")
    if not folder.is_dir() or not _contents(folder):
        return
    if not is_run(folder):
        raise RunError(f"{folder} is not empty and not a WhyCAM run: name another folder with --out.")
    if not resume and not overwrite:
        raise RunError(
            f"{folder} already holds a run: name another folder with --out, "
            "go on with it by --resume, or replace it by --overwrite."
        )


def check_evaluation_place(folder: Path) -> None:
    """Make sure that an evaluation on other data may be written to `folder`: new, empty, or an earlier evaluation.

    Raises:
        RunError: it is a run or holds something else.
    """
    _check_place(folder)
    if folder.is_dir() and _contents(folder) and (is_run(folder) or not (folder / METRICS).is_file()):
        raise RunError(f"{folder} is not empty and not an earlier evaluation: name another folder with --out.")


def start(folder: Path, *, overwrite: bool) -> None:
    """Turn the folder into an unfinished run: without what a finished one has, and with `overwrite` without all of it.

    Only files that WhyCAM wrote are removed; whatever else lies in the folder stays.
    """
    for name in _OWN_FILES if overwrite else _FINISHED:
        (folder / name).unlink(missing_ok=True)
    if overwrite:
        for path in (*(folder / name for name in _OWN_FOLDERS), *folder.glob("evaluation-*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
    for path in folder.iterdir():
        if is_leftover(path):
            path.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made if need be, for this process alone; RunError where another process is writing to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise RunError(f"Another process is writing to {folder}: wait for it, or name another folder.") from error
    except OSError as error:
        raise RunError(f"{folder} cannot be written to ({error.strerror}): name another folder with --out.") from error
    try:
        yield
    finally:
        (folder / _LOCK).unlink(missing_ok=True)
        lock.release()


def _check_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file: name a folder with --out.")
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise RunError(f"{folder} cannot be made, because {nearest} is a file: name another folder with --out.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RunError(f"{folder} cannot be written to (no permission): name another folder with --out.")


def _contents(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != _LOCK and not is_leftover(path)]


def write_samples(folder: Path, dataset: Dataset, digests: dict[str, str]) -> None:
    """samples.csv: every image used, in order, with the SHA-256 of its bytes."""
    rows = (
        (
            sample.file,
            "" if sample.target is None else repr(sample.target),
            sample.split or "",
            sample.group or "",
            sample.kind or "",
            "" if sample.mask is None else printable(sample.mask),
            digests[sample.file],
        )
        for sample in dataset.samples
    )
    write_text(folder / SAMPLES, table(SAMPLE_COLUMNS, rows))


def read_samples(folder: Path, root: Path) -> tuple[Dataset, dict[str, str]]:
    """What `write_samples` wrote, with paths under `root`, and the digests by file name; RunError where damaged."""
    path = folder / SAMPLES
    samples, digests = [], {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                split: Split = "train" if row["split"] == "train" else "test"
                sample = Sample(
                    file=row["file"],
                    path=root / row["file"],
                    target=float(row["target"]),
                    split=split,
                    group=row["group"] or None,
                    kind=row["kind"] or None,
                    mask=Path(row["mask"]) if row["mask"] else None,
                )
                samples.append(sample)
                digests[sample.file] = row["sha256"]
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a WhyCAM run: it has no {SAMPLES}.") from error
    except (KeyError, TypeError, ValueError, csv.Error, OSError) as error:
        raise RunError(f"{path} is damaged ({error}): train again.") from error
    if not samples:
        raise RunError(f"{path} is damaged (it names no image): train again.")
    return Dataset(root=root, layout=SAMPLES, samples=tuple(samples)), digests


def write_history(folder: Path, history: Sequence[EpochRecord]) -> None:
    """history.csv: one row an epoch."""
    rows = ((record.epoch, repr(record.loss), f"{record.seconds:.3f}") for record in history)
    write_text(folder / HISTORY, table(("epoch", "loss", "seconds"), rows))


def read_history(folder: Path) -> tuple[EpochRecord, ...]:
    """What `write_history` wrote; RunError where missing or damaged."""
    path = folder / HISTORY
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(
                EpochRecord(epoch=int(row["epoch"]), loss=float(row["loss"]), seconds=float(row["seconds"]))
                for row in csv.DictReader(file)
            )
    except FileNotFoundError as error:
        raise RunError(f"{folder} is not a finished run: it has no {HISTORY}.") from error
    except (KeyError, TypeError, ValueError, csv.Error, OSError) as error:
        raise RunError(f"{path} is damaged ({error}).") from error


def write_held_out(folder: Path, held_out: HeldOut) -> None:
    """held_out.csv: training images, scored by models that had not seen them."""
    rows = (
        (file, repr(float(target)), repr(float(score)), unit, held_out.how)
        for file, target, score, unit in zip(
            held_out.files, held_out.targets, held_out.scores, held_out.units, strict=True
        )
    )
    write_text(folder / HELD_OUT, table(("file", "target", "score", "unit", "how"), rows))


def read_held_out(folder: Path) -> HeldOut | None:
    """What `write_held_out` wrote; None where nothing was, RunError where it is damaged."""
    path = folder / HELD_OUT
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return HeldOut(
            files=tuple(row["file"] for row in rows),
            targets=np.array([float(row["target"]) for row in rows]),
            scores=np.array([float(row["score"]) for row in rows]),
            units=tuple(row["unit"] for row in rows),
            how=rows[0]["how"],
        )
    except FileNotFoundError:
        return None
    except (KeyError, IndexError, TypeError, ValueError, csv.Error, OSError) as error:
        raise RunError(f"{path} is damaged ({error}): train again.") from error


def write_predictions(
    folder: Path, sets: dict[str, Predictions], threshold: Threshold, p_values: Mapping[str, float]
) -> None:
    """predictions.csv: file, split, target, score, verdict, and the p-value of novelty by file where there is one."""
    rows = (
        (file, split, repr(float(target)), repr(float(score)), threshold.verdict(score), _text(p_values.get(file)))
        for split, predictions in sets.items()
        for file, target, score in zip(predictions.files, predictions.targets, predictions.scores, strict=True)
    )
    write_text(folder / PREDICTIONS, table(("file", "split", "target", "score", "verdict", "novelty_p"), rows))


def check_new_table(path: Path) -> None:
    """RunError where `new_table` would surely fail: said before the minutes that what goes into it may take."""
    if path.exists():
        raise RunError(f"{path} exists already: name another file with --out.")
    if not path.parent.is_dir():
        raise RunError(f"{path} cannot be written (there is no folder {path.parent}): name another file with --out.")


@contextmanager
def new_table(path: Path) -> Iterator[TextIO]:
    """A new CSV file to write to; RunError where there is one already, or it cannot be made."""
    try:
        file = path.open("x", newline="", encoding="utf-8")
    except FileExistsError as error:
        raise RunError(f"{path} exists already: name another file with --out.") from error
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): name another file with --out.") from error
    with file:
        yield file


def stream_scores(file: TextIO, scored: Iterable[Scored]) -> Counter[str]:
    """Write a row for each image as it comes, and flush it; count rows by verdict or `unreadable`.

    `novel` and `warned` count images among these; `novel` is missing where the run cannot tell.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("file", "score", "verdict", "novelty_p", "novel", "problem", "warning"))
    counts: Counter[str] = Counter()
    for item in scored:
        novel = "" if item.novel is None else str(int(item.novel))
        about = (_text(item.score), item.verdict or "", _text(item.p_value), novel, item.problem, item.warning)
        writer.writerow((item.file, *about))
        file.flush()
        counts[item.verdict or "unreadable"] += 1
        counts["warned"] += bool(item.warning)
        if item.novel is not None:
            counts["novel"] += item.novel
    return counts


def _text(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV text with a header and line feeds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
