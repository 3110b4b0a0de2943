"""Trains the late layers of a pretrained network together with its head, on maps of an earlier layer computed once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.errors import WhyCAMError
from whycam.networks.efficientnet_lite import EfficientNetLite0
from whycam.networks.heads import pool_all
from whycam.networks.pooled import PooledNetwork
from whycam.progress import SILENT, Progress
from whycam.training.recipe import FinetuneRecipe
from whycam.training.trainer import deterministic
from whycam.types import EpochRecord, Floats

Ints = npt.NDArray[np.integer]
ReadMaps = Callable[[Ints, Ints], Tensor]
"""A view for each row (B,), and rows (B,) -> maps (B, K, h, w) of the layer that the training begins after."""

_WARM_UP = 0.1
"""Of all steps, in which the learning rate rises; from its height it falls along a cosine."""


@dataclass(frozen=True)
class LabelledMaps:
    """Training images as an earlier layer sees them, read on demand so that memory does not grow with their number."""

    read: ReadMaps
    rows: Ints
    """(N,) the rows to train on."""
    targets: Floats
    """(N,) in [0, 1], one for each of `rows`."""
    counts: Floats
    """(N,) how much each of them counts."""
    views: tuple[int, ...]
    """Every epoch shows each image in one of these, drawn by chance."""


class Finetuner:
    """Training in progress: weights, their moving average, and AdamW's moments (arXiv 1711.05101).

    Statistics of batch norms stay as they are, and so do depthwise convolutions and the head's `skip`.
    """

    def __init__(self, network: PooledNetwork, data: LabelledMaps, recipe: FinetuneRecipe, *, seed: int) -> None:
        """Trains `network` in place; ValueError unless it is an EfficientNet-Lite0 with a head of hidden units."""
        if not isinstance(network.backbone, EfficientNetLite0) or network.head.hidden is None:
            raise ValueError("`network` must have an EfficientNetLite0 and a head with hidden units.")
        self._backbone, self._head = network.backbone, network.head
        self._hidden = network.head.hidden.out_features
        self._data, self._recipe, self._seed = data, recipe, seed
        self._per_epoch = -(-len(data.rows) // recipe.batch_size)
        self._steps = recipe.epochs * self._per_epoch
        self._done = 0
        network.eval()
        self._trained = {name: p for name, p in network.named_parameters() if self._rate(name) > 0}
        self._device = next(iter(self._trained.values())).device
        self._rates = [self._rate(name) for name in self._trained]
        self._start = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        self._average = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        self._optimizer = torch.optim.AdamW(
            [{"params": [parameter]} for parameter in self._trained.values()], weight_decay=recipe.weight_decay
        )
        for parameter in self._trained.values():
            self._optimizer.state[parameter] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def _rate(self, name: str) -> float:
        """The highest learning rate of the network's parameter of that name, 0 for one that stays as it is."""
        late = self._backbone.row_after(self._recipe.cut)
        for before_last, (layer, module) in enumerate(reversed(late)):
            frozen = f"{layer}.conv." if module.groups > 1 else None
            if name.startswith(f"backbone.layers.{layer}.") and (frozen is None or frozen not in name):
                return self._recipe.learning_rate * self._recipe.decay**before_last
        return self._recipe.head_learning_rate if name.startswith(("head.hidden.", "head.output.")) else 0.0

    def state(self) -> dict[str, Tensor]:
        """All that a training goes on from."""
        tensors = {"steps": torch.tensor(self._done)}
        for name, parameter in self._trained.items():
            moments = self._optimizer.state[parameter]
            tensors |= {
                f"network.{name}": parameter,
                f"average.{name}": self._average[name],
                f"first.{name}": moments["exp_avg"],
                f"second.{name}": moments["exp_avg_sq"],
            }
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back, in place, what `state` gave."""
        self._done = int(tensors["steps"])
        for name, parameter in self._trained.items():
            moments = self._optimizer.state[parameter]
            parameter.copy_(tensors[f"network.{name}"])
            self._average[name].copy_(tensors[f"average.{name}"])
            moments["step"].fill_(self._done)
            moments["exp_avg"].copy_(tensors[f"first.{name}"])
            moments["exp_avg_sq"].copy_(tensors[f"second.{name}"])

    @torch.no_grad()
    def settle(self, share: float) -> None:
        """Give the network weights on the straight line from where it began (0) to the average (1), and stop training.

        Weights in between often judge better than either end (Wortsman et al. 2022, arXiv 2109.01903).
        """
        for name, parameter in self._trained.items():
            parameter.copy_(torch.lerp(self._start[name], self._average[name], share))

    def train(self, epochs: range, *, progress: Progress = SILENT) -> Generator[EpochRecord, None, None]:
        """Train epoch by epoch, yielding after each one.

        Order, views and dropout of epoch e depend on (seed, e) alone, so a training may stop after any epoch and go on
        later to bit-identical weights.

        Raises:
            WhyCAMError: the loss is no longer finite.
        """
        n = len(self._data.rows)
        targets, counts = (
            torch.from_numpy(values.astype(np.float32)).to(self._device)
            for values in (self._data.targets, self._data.counts)
        )
        with progress.bar("fine-tuning", len(epochs) * self._per_epoch) as bar, deterministic(self._device):
            for epoch in epochs:
                start = time.perf_counter()
                rng = np.random.default_rng((self._seed, epoch))
                order = rng.permutation(n)
                views = rng.choice(self._data.views, n)
                total, seen = 0.0, 0
                # Parts of equal size, as a last batch of one image would weigh as much as any other.
                for chosen in np.array_split(order, self._per_epoch):
                    kept = rng.random((len(chosen), self._hidden)) >= self._recipe.head.dropout
                    maps = self._on_device(self._data.read(views[chosen], self._data.rows[chosen]))
                    among = torch.from_numpy(chosen).to(self._device)
                    loss = self._step(maps, targets[among], counts[among], kept)
                    if not math.isfinite(loss):
                        raise WhyCAMError(
                            f"The training loss became {loss} in epoch {epoch}: check the images for extreme values, "
                            "or train with another --seed."
                        )
                    total += loss * len(chosen)
                    seen += len(chosen)
                    bar.advance(note=f"epoch {epoch} of {epochs.stop - 1}, loss {total / seen:.4f}")
                yield EpochRecord(epoch=epoch, loss=total / n, seconds=time.perf_counter() - start)

    def logits(self, read: ReadMaps, rows: Ints, views: tuple[int, ...]) -> Floats:
        """The network's logits (n,) of these rows with its weights as they are, the mean over the views."""
        parts = []
        with torch.no_grad(), deterministic(self._device):
            for first in range(0, len(rows), self._recipe.batch_size):
                chosen = rows[first : first + self._recipe.batch_size]
                seen = [self._logits(self._on_device(read(np.full(len(chosen), view), chosen))) for view in views]
                parts.append(torch.stack(seen).double().mean(dim=0).cpu().numpy())
        values: Floats = np.concatenate(parts)
        return values

    def _on_device(self, maps: Tensor) -> Tensor:
        # Several times faster than the other layout, on either device.
        return maps.to(self._device).contiguous(memory_format=torch.channels_last)

    def _step(self, maps: Tensor, targets: Tensor, counts: Tensor, kept: npt.NDArray[np.bool_]) -> float:
        """One step; the loss before it."""
        factors = torch.from_numpy(kept).to(self._device) / (1 - self._recipe.head.dropout)
        loss = F.binary_cross_entropy_with_logits(self._logits(maps, factors), targets, counts)
        self._optimizer.zero_grad()
        # Only these: PyTorch then leaves out the costly weight gradients of depthwise convolutions.
        loss.backward(inputs=list(self._trained.values()))  # type: ignore[no-untyped-call]
        done = self._done / self._steps
        height = min(1.0, (self._done + 1) / (_WARM_UP * self._steps)) * 0.5 * (1 + math.cos(math.pi * done))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * height
        self._optimizer.step()
        self._done += 1
        # The first averages are over few steps, and soon forget where the training began.
        remembered = min(self._recipe.average, (1 + self._done) / (10 + self._done))
        for name, parameter in self._trained.items():
            self._average[name].lerp_(parameter.detach(), 1 - remembered)
        return float(loss.detach())

    def _logits(self, maps: Tensor, factors: Tensor | None = None) -> Tensor:
        """(B,) logits of one view; in training, which `factors` tell, layers run in bfloat16 where a GPU has it."""
        half = factors is not None and maps.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        with torch.autocast(maps.device.type, dtype=torch.bfloat16, enabled=half):
            layers = self._backbone.forward_from(self._recipe.cut, maps)
        return self._head.from_pooled(pool_all([layer.float() for layer in layers]), factors=factors)
