"""The training loop against a loop written by hand, and its promise of bit-identical repetition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from whycam.errors import WhyCAMError
from whycam.networks.classic import ClassicNetwork
from whycam.training.recipe import CLASSIC
from whycam.training.trainer import LabelledPixels, new_optimizer, train_epochs

SIZE = (40, 36)
RECIPE = replace(CLASSIC, size_hw=SIZE, epochs=4)


def make_data(n: int = 21, channels: int = 3) -> tuple[np.ndarray, LabelledPixels]:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, *SIZE, channels), dtype=np.uint8)
    rows = np.arange(n)[::-1].copy()
    return pixels, LabelledPixels(lambda chosen: pixels[chosen], rows, rng.random(n))


def new_network(seed: int = 0) -> ClassicNetwork:
    network = ClassicNetwork(SIZE)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def run(epochs: range, network: ClassicNetwork | None = None, seed: int = 3) -> tuple[ClassicNetwork, list[float]]:
    network = network or new_network()
    optimizer = new_optimizer(network, RECIPE)
    records = train_epochs(network, optimizer, make_data()[1], recipe=RECIPE, seed=seed, epochs=epochs)
    return network, [record.loss for record in records]


def test_equals_a_loop_written_by_hand() -> None:
    pixels, data = make_data()
    network, losses = run(range(1, 4))
    reference = new_network()
    parameters = list(reference.parameters())
    velocity = [torch.zeros_like(parameter) for parameter in parameters]
    for epoch in range(1, 4):
        order = np.random.default_rng((3, epoch)).permutation(21)
        total = 0.0
        for first in range(0, 21, 8):
            chosen = order[first : first + 8]
            images = torch.from_numpy(pixels[data.rows[chosen]].astype(np.float32) / 255).permute(0, 3, 1, 2)
            error = reference(images) - torch.from_numpy(data.targets[chosen].astype(np.float32))
            loss = error.abs().mean()
            total += loss.item() * len(chosen)
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, state, gradient in zip(parameters, velocity, gradients, strict=True):
                    state.copy_(0.9 * state + (1 - 0.9) * gradient**2)
                    parameter -= 1e-3 * gradient / torch.sqrt(state + 1e-7)
        assert losses[epoch - 1] == pytest.approx(total / 21, rel=1e-5)
    for ours, theirs in zip(network.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_every_image_is_seen_once_an_epoch() -> None:
    pixels, data = make_data()
    seen: list[int] = []

    def read(rows: np.ndarray) -> np.ndarray:
        seen.extend(rows.tolist())
        return pixels[rows]

    network = new_network()
    spied = LabelledPixels(read, data.rows, data.targets)
    list(train_epochs(network, new_optimizer(network, RECIPE), spied, recipe=RECIPE, seed=0, epochs=range(1, 3)))
    assert sorted(seen[:21]) == sorted(seen[21:]) == list(range(21))
    assert seen[:21] != seen[21:]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_bits(seed: int) -> None:
    first, second = run(range(1, 3), seed=seed), run(range(1, 3), seed=seed)
    assert first[1] == second[1]
    for ours, theirs in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_seeds_differ() -> None:
    assert run(range(1, 3), seed=0)[1] != run(range(1, 3), seed=1)[1]


def test_settings_of_the_caller_are_put_back() -> None:
    run(range(1, 2))
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_no_number_is_said() -> None:
    network = new_network()
    network.head.output.bias.data.fill_(float("nan"))
    with pytest.raises(WhyCAMError, match="loss became nan in epoch 1"):
        run(range(1, 2), network)


def test_the_recipe_is_the_published_one() -> None:
    assert (CLASSIC.size_hw, CLASSIC.epochs, CLASSIC.batch_size) == ((325, 325), 250, 8)
    assert (CLASSIC.learning_rate, CLASSIC.rho, CLASSIC.epsilon) == (1e-3, 0.9, 1e-7)
    assert CLASSIC.loss == "mean absolute error"
