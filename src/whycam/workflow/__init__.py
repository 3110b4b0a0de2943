"""Audit, train, evaluate, explain and score from end to end: what the command line calls, and the Python API itself.

The names below are loaded when first used: scoring needs neither what audits nor what draws plots.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whycam.workflow.auditing import audit as audit
    from whycam.workflow.evaluation import evaluate as evaluate
    from whycam.workflow.evaluation import measure as measure
    from whycam.workflow.images import explain as explain
    from whycam.workflow.images import score as score
    from whycam.workflow.runs import Run as Run
    from whycam.workflow.runs import load as load
    from whycam.workflow.training import train as train

_HOMES = {
    "Run": "runs",
    "audit": "auditing",
    "evaluate": "evaluation",
    "explain": "images",
    "load": "runs",
    "measure": "evaluation",
    "score": "images",
    "train": "training",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'whycam.workflow' has no attribute {name!r}")
    return getattr(import_module(f"whycam.workflow.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
