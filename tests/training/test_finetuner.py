"""Fine-tuning against a loop written by hand, what it must leave alone, and its promise of bit-identical repetition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from whycam.errors import WhyCAMError
from whycam.networks.efficientnet_lite import EfficientNetLite0
from whycam.networks.heads import PooledHead
from whycam.networks.pooled import PooledNetwork
from whycam.training.finetuner import Finetuner, LabelledMaps
from whycam.training.recipe import FINETUNE

RECIPE = replace(FINETUNE, epochs=3, batch_size=4, cut="block12", taps=("depthwise13", "block13"))
N, VIEWS = 10, (0, 3)
SEED = 5


def make_network(seed: int = 0) -> PooledNetwork:
    torch.manual_seed(seed)
    backbone = EfficientNetLite0(RECIPE.taps)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(1.3)  # maps that fade on their way tell nothing
    head = PooledHead(backbone.channels, 6)
    head.skip.weight.data.zero_()
    return PooledNetwork(backbone, head, views=(0,)).eval()


def make_maps() -> Tensor:
    return torch.randn(len(VIEWS), N, 192, 3, 3, generator=torch.Generator().manual_seed(1))


def read(views: np.ndarray, rows: np.ndarray) -> Tensor:
    return make_maps()[[VIEWS.index(view) for view in views], rows]


def make_data() -> LabelledMaps:
    return LabelledMaps(
        read, np.arange(N)[::-1].copy(), np.random.default_rng(2).integers(0, 2, N) * 1.0, np.ones(N), VIEWS
    )


def make_tuner(network: PooledNetwork | None = None, *, seed: int = SEED) -> Finetuner:
    return Finetuner(network or make_network(), make_data(), RECIPE, seed=seed)


def is_trained(name: str) -> bool:
    depthwise = "depthwise13.conv" in name
    late = "layers.expand13." in name or "layers.depthwise13." in name or "layers.block13." in name
    return (late and not depthwise) or name.startswith(("head.hidden", "head.output"))


def test_equals_a_loop_written_by_hand() -> None:
    network = make_network()
    tuner = make_tuner(network)
    losses = [record.loss for record in tuner.train(range(1, 4))]

    reference = make_network()
    named = {name: p for name, p in reference.named_parameters() if is_trained(name)}
    rates = {
        name: RECIPE.head_learning_rate
        if name.startswith("head")
        else 2e-4 * 0.9 ** ["block13", "depthwise13", "expand13"].index(name.split(".")[2])
        for name in named
    }
    first = {name: torch.zeros_like(p) for name, p in named.items()}
    second = {name: torch.zeros_like(p) for name, p in named.items()}
    average = {name: p.detach().clone() for name, p in named.items()}
    data, head, step = make_data(), reference.head, 0
    for epoch in range(1, 4):
        rng = np.random.default_rng((SEED, epoch))
        order, views = rng.permutation(N), rng.choice(VIEWS, N)
        total = 0.0
        for chosen in (order[:4], order[4:7], order[7:]):
            kept = torch.from_numpy(rng.random((len(chosen), 6)) >= 0.5)
            wide = reference.backbone.layers["expand13"](read(views[chosen], data.rows[chosen]))
            deep = reference.backbone.layers["depthwise13"](wide)
            block = reference.backbone.layers["block13"](deep) + read(views[chosen], data.rows[chosen])
            x = torch.cat(
                [deep.mean((2, 3)), block.mean((2, 3)), deep.flatten(2).amax(2), block.flatten(2).amax(2)], dim=1
            )
            assert head.hidden is not None and head.output is not None
            y = head.skip.bias + head.output(F.relu(head.hidden(x)) * kept * 2)[:, 0]
            targets = torch.from_numpy(data.targets[chosen]).float()
            loss = -(targets * torch.sigmoid(y).log() + (1 - targets) * torch.sigmoid(-y).log()).mean()
            total += loss.item() * len(chosen)
            gradients = torch.autograd.grad(loss, list(named.values()))
            height = min(1, (step + 1) / 0.9) * 0.5 * (1 + math.cos(math.pi * step / 9))
            step += 1
            with torch.no_grad():
                for (name, p), gradient in zip(named.items(), gradients, strict=True):
                    rate = rates[name] * height
                    first[name] = 0.9 * first[name] + 0.1 * gradient
                    second[name] = 0.999 * second[name] + 0.001 * gradient**2
                    root = (second[name] / (1 - 0.999**step)).sqrt() + 1e-8
                    p -= rate * 1e-2 * p + rate * first[name] / (1 - 0.9**step) / root
                    keep = (1 + step) / (10 + step)
                    average[name] = keep * average[name] + (1 - keep) * p
        assert losses[epoch - 1] == pytest.approx(total / N, rel=1e-4)
    for name, p in network.named_parameters():
        if name in named:
            torch.testing.assert_close(p, named[name], rtol=1e-3, atol=2e-5, msg=name)
            torch.testing.assert_close(tuner.state()[f"average.{name}"], average[name], rtol=1e-3, atol=2e-5)


def test_what_is_frozen_stays_bit_for_bit() -> None:
    before, network = make_network().state_dict(), make_network()
    tuner = make_tuner(network)
    list(tuner.train(range(1, 4)))
    tuner.settle(1.0)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name, _ in network.named_parameters() if is_trained(name)}
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not network.training and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("stop", [1, 2])
def test_the_same_seed_gives_the_same_bits_also_when_resumed(stop: int) -> None:
    whole = make_tuner()
    losses = [record.loss for record in whole.train(range(1, 4))]
    part = make_tuner()
    assert [record.loss for record in part.train(range(1, stop + 1))] == losses[:stop]
    stored = {name: tensor.detach().clone() for name, tensor in part.state().items()}
    fresh = make_tuner()
    fresh.restore(stored)
    assert [record.loss for record in fresh.train(range(stop + 1, 4))] == losses[stop:]
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, fresh.state()[name]), name


def test_seeds_differ() -> None:
    losses = [[record.loss for record in make_tuner(seed=seed).train(range(1, 2))] for seed in (0, 1)]
    assert losses[0] != losses[1]


def test_weights_settle_between_start_and_average() -> None:
    network, start = make_network(), dict(make_network().named_parameters())
    tuner = make_tuner(network)
    list(tuner.train(range(1, 4)))
    average = {name: tensor.clone() for name, tensor in tuner.state().items() if name.startswith("average.")}
    for share in (0.0, 0.7, 1.0):
        tuner.settle(share)
        for name, parameter in network.named_parameters():
            end = average.get(f"average.{name}", start[name])
            torch.testing.assert_close(parameter, (1 - share) * start[name] + share * end)
    assert any(not torch.equal(start[name.removeprefix("average.")], end) for name, end in average.items())


def test_logits_are_the_networks_own() -> None:
    torch.manual_seed(3)
    network = make_network()
    images = torch.rand(N, 3, 40, 40)
    early = EfficientNetLite0(("block12",)).eval()
    early.load_state_dict({name: network.backbone.state_dict()[name] for name in early.state_dict()})
    with torch.no_grad():
        (maps,) = early(images)
        expected = network(images)
    found = make_tuner(network).logits(lambda views, rows: maps[rows], np.arange(N), (0,))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_no_number_is_said() -> None:
    network = make_network()
    assert network.head.output is not None
    network.head.output.bias.data.fill_(float("nan"))
    with pytest.raises(WhyCAMError, match="loss became nan in epoch 1"):
        list(make_tuner(network).train(range(1, 2)))


def test_a_linear_head_is_refused() -> None:
    network = make_network()
    with pytest.raises(ValueError, match="hidden units"):
        make_tuner(PooledNetwork(network.backbone, PooledHead(network.backbone.channels, 0)))
