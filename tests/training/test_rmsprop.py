"""The optimiser against Keras' formula, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from whycam.training.rmsprop import KerasRMSprop


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-5])
def test_steps_follow_keras_formula(size: float) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(4, 3)), rng.normal(size=5)]
    parameters = [torch.tensor(value, requires_grad=True) for value in start]
    optimizer = KerasRMSprop(parameters, learning_rate=1e-2, rho=0.9, epsilon=1e-7)
    expected = [value.copy() for value in start]
    velocity = [np.zeros_like(value) for value in start]
    for _ in range(20):
        for number, parameter in enumerate(parameters):
            gradient = rng.normal(size=parameter.shape) * size
            parameter.grad = torch.tensor(gradient)
            velocity[number] = 0.9 * velocity[number] + 0.1 * gradient**2
            expected[number] -= 1e-2 * gradient / np.sqrt(velocity[number] + 1e-7)
        optimizer.step()
        optimizer.zero_grad()
    for parameter, value in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, rtol=1e-10)
        assert parameter.grad is None


def test_pytorchs_own_form_is_another_one() -> None:
    # The reason this class exists: for small gradients the place of epsilon decides the step.
    ours, theirs = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = KerasRMSprop([ours], learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    reference = torch.optim.RMSprop([theirs], lr=1e-3, alpha=0.9, eps=1e-7)
    ours.grad, theirs.grad = torch.full((1,), 1e-5), torch.full((1,), 1e-5)
    optimizer.step()
    reference.step()
    assert abs(theirs.item()) > 50 * abs(ours.item())


def test_a_missing_gradient_is_not_passed_over() -> None:
    optimizer = KerasRMSprop([torch.zeros(2, requires_grad=True)], learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    with pytest.raises(ValueError, match="gradient"):
        optimizer.step()
