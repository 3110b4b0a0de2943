"""Folders that systems and tools leave among photos: their pictures are thumbnails, rubbish and results, not data."""

from __future__ import annotations

import os
from pathlib import Path

from whycam.run_mark import is_run

_NAMES = {
    "the recycle bin of Windows": ("$recycle.bin", "recycler", "recycled"),
    "a system folder of Windows": ("system volume information", "found.000", "$windows.~bt"),
    "a system folder of macOS": ("__macosx", "network trash folder", "temporary items"),
    "thumbnails and metadata of a Synology NAS": ("@eadir", "@tmp", "@sharebin"),
    "the recycle bin of a NAS": ("#recycle", "@recycle"),
    "snapshots of a NAS": ("#snapshot", "@recently-snapshot", "~snapshot"),
    "what Linux recovers after a crash": ("lost+found",),
    "written by Python": ("__pycache__", "site-packages"),
    "written by npm": ("node_modules",),
    "written by Weights & Biases": ("wandb",),
    "written by MLflow": ("mlruns", "mlartifacts"),
    "written by Lightning": ("lightning_logs",),
    "written by CatBoost": ("catboost_info",),
}
_REASONS = {name: reason for reason, names in _NAMES.items() for name in names}

_OUTPUT_FOLDERS = frozenset(("runs", "run", "tb_logs", "tensorboard", "outputs", "output", "multirun", "results"))
"""Names that tools give to their output, and that people may give to anything, paint that runs included."""
_WRITTEN_FOLDERS = frozenset(
    ("classify", "detect", "segment", "obb", "pose", "train", "val", "predict", "exp", "weights")
)
_WRITTEN_FILES = frozenset(
    ("args.yaml", "opt.yaml", "hydra.yaml", "results.csv", "confusion_matrix.png", "metrics.json")
)
_WRITTEN_BEGINNINGS = ("events.out.tfevents", "version_")
_SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))


def why_no_data(folder: Path) -> str | None:
    """Why this folder is not to be searched for images, for people; None where it is as good as any other."""
    name = folder.name.casefold()
    if reason := _REASONS.get(name):
        return reason
    if name.startswith("."):
        return "a hidden folder"
    if is_run(folder):
        return "a run that WhyCAM wrote"
    if name in _OUTPUT_FOLDERS and _holds_output(folder):
        return "what a training wrote"
    if (folder / "pyvenv.cfg").is_file():
        return "a virtual environment of Python"
    return None


def is_system_file(name: str) -> bool:
    """Whether a system writes files of this name beside those of people."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def count_files(folder: Path, wanted: frozenset[str]) -> int:
    """How many files of these suffixes (in small letters) lie below the folder, links not followed."""
    return sum(Path(name).suffix.lower() in wanted for _, _, names in os.walk(folder) for name in names)


def _holds_output(folder: Path, depth: int = 0) -> bool:
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:
        return False
    for entry in entries:
        name = entry.name.casefold()
        if name.startswith(_WRITTEN_BEGINNINGS) or name in _WRITTEN_FILES:
            return True
        if not entry.is_dir(follow_symlinks=False):
            continue
        # Tools number their folders: exp2, train-3.
        if name.rstrip("0123456789-_") in _WRITTEN_FOLDERS or is_run(Path(entry.path)):
            return True
        if depth < 2 and _holds_output(Path(entry.path), depth + 1):
            return True
    return False
