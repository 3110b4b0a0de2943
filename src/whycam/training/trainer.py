"""The training loop: reads batches, steps, and hands back one record an epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whycam.errors import WhyCAMError
from whycam.networks.device import as_input
from whycam.networks.network import Network
from whycam.progress import SILENT, Progress
from whycam.training.recipe import ClassicRecipe
from whycam.training.rmsprop import KerasRMSprop
from whycam.types import EpochRecord, Floats, Pixels

Rows = npt.NDArray[np.integer]


@dataclass(frozen=True)
class LabelledPixels:
    """Training images, read on demand so that memory does not grow with their number."""

    read: Callable[[Rows], Pixels]
    """Rows (B,) -> uint8 (B, H, W, C), C 1 or 3."""
    rows: Rows
    """(N,) the rows to train on."""
    targets: Floats
    """(N,) one target for each of `rows`."""


def new_optimizer(network: Network, recipe: ClassicRecipe) -> KerasRMSprop:
    """The recipe's optimiser over all of the network's parameters."""
    return KerasRMSprop(
        network.parameters(), learning_rate=recipe.learning_rate, rho=recipe.rho, epsilon=recipe.epsilon
    )


def state(network: Network, optimizer: KerasRMSprop) -> dict[str, Tensor]:
    """Everything that a training goes on from: weights and the optimiser's velocities."""
    tensors: dict[str, Tensor] = {}
    for (name, parameter), velocity in zip(network.named_parameters(), optimizer.velocities, strict=True):
        tensors[f"network.{name}"] = parameter
        tensors[f"velocity.{name}"] = velocity
    return tensors


def restore(tensors: Mapping[str, Tensor], network: Network, optimizer: KerasRMSprop) -> None:
    """Put back, in place, what `state` gave."""
    for (name, parameter), velocity in zip(network.named_parameters(), optimizer.velocities, strict=True):
        parameter.data.copy_(tensors[f"network.{name}"])
        velocity.copy_(tensors[f"velocity.{name}"])


def train_epochs(
    network: Network,
    optimizer: KerasRMSprop,
    data: LabelledPixels,
    *,
    recipe: ClassicRecipe,
    seed: int,
    epochs: range,
    progress: Progress = SILENT,
) -> Iterator[EpochRecord]:
    """Train epoch by epoch, yielding after each one; the network is then at the end of that epoch.

    The order of images in epoch e depends on (`seed`, e) alone, so a training may stop after any epoch and go on
    later to bit-identical weights.

    Raises:
        WhyCAMError: the loss is no longer finite.
    """
    device = next(network.parameters()).device
    targets = torch.from_numpy(data.targets.astype(np.float32)).to(device)
    batches = -(-len(data.rows) // recipe.batch_size)
    with progress.bar("training", len(epochs) * batches) as bar, deterministic(device):
        for epoch in epochs:
            start = time.perf_counter()
            order = np.random.default_rng((seed, epoch)).permutation(len(data.rows))
            total = 0.0
            network.train()
            for first in range(0, len(order), recipe.batch_size):
                chosen = order[first : first + recipe.batch_size]
                images = as_input(data.read(data.rows[chosen]), device)
                loss = (network(images) - targets[torch.from_numpy(chosen).to(device)]).abs().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(chosen)
                so_far = total / min(first + recipe.batch_size, len(order))
                bar.advance(note=f"epoch {epoch} of {epochs.stop - 1}, loss {so_far:.4f}")
            network.eval()
            mean = total / len(order)
            if not np.isfinite(mean):
                raise WhyCAMError(
                    f"The training loss became {mean} in epoch {epoch}: check the images for extreme values, "
                    "or train with another --seed."
                )
            yield EpochRecord(epoch=epoch, loss=mean, seconds=time.perf_counter() - start)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Bit-for-bit repeatable kernels while training; the caller's settings are put back."""
    before = torch.get_deterministic_debug_mode()
    benchmark = torch.backends.cudnn.benchmark
    if device.type == "cuda":
        # cuBLAS reads this when its first handle is made; see its documentation, "Results reproducibility".
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    # Not `use_deterministic_algorithms`, which is the same and imports PyTorch's compiler for two seconds.
    torch.set_deterministic_debug_mode("error")
    # A guard against reading memory before it is written; the kernels used here do not, and it costs time.
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark
