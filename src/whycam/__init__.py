"""WhyCAM: a verdict you can check. Anomaly scores for images, heatmaps that show why, honest evaluation.

The names below are loaded when first used, so that importing the package stays quick and does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whycam.detector import Detector as Detector
    from whycam.errors import WhyCAMError as WhyCAMError
    from whycam.inspection import Inspection as Inspection
    from whycam.workflow import Run as Run
    from whycam.workflow import audit as audit
    from whycam.workflow import evaluate as evaluate
    from whycam.workflow import load as load
    from whycam.workflow import score as score
    from whycam.workflow import train as train

_HOMES = {
    "Detector": "whycam.detector",
    "Inspection": "whycam.inspection",
    "Run": "whycam.workflow",
    "WhyCAMError": "whycam.errors",
    "audit": "whycam.workflow",
    "evaluate": "whycam.workflow",
    "load": "whycam.workflow",
    "score": "whycam.workflow",
    "train": "whycam.workflow",
}

__all__ = sorted(_HOMES)
__version__: str


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("whycam")
    if name not in _HOMES:
        raise AttributeError(f"module 'whycam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
