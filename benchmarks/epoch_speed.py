"""Seconds an epoch of the classic recipe takes, beside a plain PyTorch loop, in one process, in turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.plain import PlainClassic
from benchmarks.record import in_turn, record
from whycam.networks.classic import ClassicNetwork
from whycam.training.recipe import CLASSIC
from whycam.training.trainer import LabelledPixels, new_optimizer, train_epochs

IMAGES = 160


def main() -> None:
    rows = []
    for kind, channels in (("grey", 1), ("colour", 3)):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (IMAGES, 325, 325, channels), dtype=np.uint8)
        targets = rng.integers(0, 2, IMAGES).astype(np.float64)
        ours = ClassicNetwork()
        ours.initialise(torch.Generator().manual_seed(0))
        plain = PlainClassic(ours)
        optimizer = new_optimizer(ours, CLASSIC)
        data = LabelledPixels(lambda rows, pixels=pixels: pixels[rows], np.arange(IMAGES), targets)
        recipe = replace(CLASSIC, epochs=1)
        reference = torch.optim.RMSprop(plain.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
        images = torch.from_numpy(np.broadcast_to(pixels, (IMAGES, 325, 325, 3)).transpose(0, 3, 1, 2).copy())

        def train_ours(ours=ours, optimizer=optimizer, data=data, recipe=recipe) -> None:
            list(train_epochs(ours, optimizer, data, recipe=recipe, seed=0, epochs=range(1, 2)))

        def train_plain(plain=plain, reference=reference, images=images, targets=targets) -> None:
            for chosen in torch.randperm(IMAGES).split(8):
                loss = (plain(images[chosen].float() / 255)[:, 0] - torch.from_numpy(targets)[chosen]).abs().mean()
                reference.zero_grad()
                loss.backward()
                reference.step()

        seconds = in_turn({"whycam": train_ours, "plain": train_plain})
        rows.append(
            {
                "images": kind,
                "whycam ms a batch": 1000 * seconds["whycam"] * 8 / IMAGES,
                "plain PyTorch ms a batch": 1000 * seconds["plain"] * 8 / IMAGES,
                "ratio": seconds["plain"] / seconds["whycam"],
            }
        )
    record("epoch_speed", "one classic training epoch, batch 8, 325 x 325, pixels decoded", rows, seed=0)
