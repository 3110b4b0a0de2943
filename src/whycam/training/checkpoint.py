"""One file that a training can go on from: tensors as safetensors, the rest as JSON in its header, never pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from whycam.atomic import write_bytes
from whycam.errors import RunError
from whycam.run_mark import CHECKPOINT, check_schema
from whycam.types import EpochRecord

SCHEMA = 1
"""Version of what is in the header; raised when what it holds changes its meaning."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be the same for a resumed training to end in the same weights."""

    recipe: str
    settings: dict[str, Any]
    """All that the recipe sets, as JSON has it, but epochs where more of them may be asked for later."""
    seed: int
    fingerprint: str
    """Of the training data; see `DataCard`."""
    device: str
    threads: int
    """Sums in another order round differently, so the number of CPU threads belongs to the plan."""
    torch_version: str
    pillow_version: str
    """Decides how images are decoded and resized."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The training after its last finished epoch."""

    plan: Plan
    history: tuple[EpochRecord, ...]
    tensors: dict[str, Tensor]


_META = TypeAdapter(tuple[Plan, tuple[EpochRecord, ...]])


def save_checkpoint(folder: Path, plan: Plan, history: tuple[EpochRecord, ...], tensors: Mapping[str, Tensor]) -> None:
    """Write `folder`/checkpoint.safetensors in one step."""
    meta = _META.dump_json((plan, history)).decode()
    mark = json.dumps({"schema": SCHEMA, "versions": {"whycam": version("whycam")}})
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(folder / CHECKPOINT, save(contiguous, metadata={"whycam": meta, "mark": mark}))


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in `folder`, or None where there is none; RunError where it is damaged or of another version."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # The first checkpoints had no mark.
            check_schema(path, header.get("mark", "null"), SCHEMA, remedy="train again into another folder")
            plan, history = _META.validate_json(header["whycam"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, ValidationError, json.JSONDecodeError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}): train again into another folder.") from error
    return Checkpoint(plan, history, tensors)
