"""Recipes: complete training configurations under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything about a training except the data, the seed and the device."""

    name: str
    size_hw: tuple[int, int]
    epochs: int
    batch_size: int
    learning_rate: float
    rho: float
    epsilon: float
    loss: Literal["mean absolute error"]

    @property
    def optimizer(self) -> str:
        """The optimiser in words, for the card and the report."""
        return f"RMSprop (learning rate {self.learning_rate:g}, rho {self.rho:g}, epsilon {self.epsilon:g})"


CLASSIC = Recipe(
    name="classic",
    size_hw=(325, 325),
    epochs=250,
    batch_size=8,
    learning_rate=1e-3,
    rho=0.9,
    epsilon=1e-7,
    loss="mean absolute error",
)

RECIPES = {recipe.name: recipe for recipe in (CLASSIC,)}
