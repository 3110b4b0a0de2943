"""RMSprop as Keras has it: epsilon stands under the root, where PyTorch's own adds it outside."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_NEGLIGIBLE = 1e-20


class KerasRMSprop:
    """RMSprop (Hinton 2012, lecture 6e) in Keras' form.

    ``v <- rho v + (1 - rho) g^2;  w <- w - lr g / sqrt(v + epsilon)``

    With epsilon 1e-7 the two forms differ where it matters: under the root it bounds the step for a tiny gradient g by
    lr g / 3.2e-4, where PyTorch's ``sqrt(v) + epsilon`` allows a full step of about 3 lr.
    """

    def __init__(self, parameters: Iterable[Tensor], *, learning_rate: float, rho: float, epsilon: float) -> None:
        self.parameters = list(parameters)
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.learning_rate, self.rho, self.epsilon = learning_rate, rho, epsilon

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter in place from its `.grad`."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if len(gradients) != len(self.parameters):
            raise ValueError("every parameter needs a gradient")
        torch._foreach_mul_(self.velocities, self.rho)
        # Where a unit is dead its velocity would decay into subnormal numbers, which processors handle a hundred times
        # more slowly. Nothing this far below epsilon changes a step.
        torch._foreach_clamp_min_(self.velocities, _NEGLIGIBLE * self.epsilon)
        torch._foreach_addcmul_(self.velocities, gradients, gradients, value=1 - self.rho)
        divisors = torch._foreach_add(self.velocities, self.epsilon)
        torch._foreach_sqrt_(divisors)
        torch._foreach_addcdiv_(self.parameters, gradients, divisors, value=-self.learning_rate)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None
