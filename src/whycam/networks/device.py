"""Where a network runs, and how pixels get there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whycam.errors import OptionError, one_of
from whycam.types import Pixels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda")


def check_device(name: str) -> None:
    """OptionError for a name that is none of `DEVICES`; without torch, which alone knows whether there is CUDA."""
    if name not in DEVICES:
        raise OptionError(one_of("device", DEVICES, name))


def pick_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or `auto` (CUDA where there is one); OptionError for other names and where CUDA is missing."""
    check_device(name)
    import torch  # takes seconds

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("`device` is cuda, but PyTorch sees no CUDA device here: use --device cpu.")
    return torch.device(name)


def as_input(pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 (B, H, W, C) -> float32 (B, C, H, W) in [0, 1] on `device`, channels last in memory."""
    import torch

    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)
