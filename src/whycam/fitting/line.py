"""Where the line between verdicts is drawn: what the user asked for, checked before a training and drawn after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from whycam.evaluation.held_out import HeldOut
from whycam.evaluation.rule_text import check_threshold, parse_rule, parse_unsure
from whycam.evaluation.rules import Given, Midpoint, Rule
from whycam.evaluation.unsure import Unsure, choose_band
from whycam.fitting.held_out import units_of
from whycam.store.pixels import PixelCache
from whycam.training.recipe import ClassicRecipe, Recipe
from whycam.types import Sample, Threshold

_VALIDATION_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Line:
    """A threshold's rule and, perhaps, a band of unsure scores around it."""

    rule: Rule
    unsure: Unsure | None

    @classmethod
    def parse(cls, threshold: str, unsure: str | None) -> Line:
        """What the options `threshold` and `unsure` say; OptionError where that is nothing known."""
        return cls(parse_rule(threshold), None if unsure is None else parse_unsure(unsure))

    def check_score(self, score: Literal["linear", "probability"]) -> None:
        """OptionError where the threshold is a number that no score of this kind can have."""
        check_threshold(self.rule, score)

    @property
    def needs_scores(self) -> bool:
        """Whether it is chosen on held-out scores."""
        return self.unsure is not None or not isinstance(self.rule, Midpoint | Given)

    def with_scores(self, recipe: Recipe) -> Recipe:
        """The recipe, made to keep images out of the training where the line needs them and it would not."""
        if self.needs_scores and isinstance(recipe, ClassicRecipe):
            return replace(recipe, validation_share=_VALIDATION_SHARE)
        return recipe

    def check(self, samples: list[Sample], pixels: PixelCache) -> None:
        """Whether it can be drawn on these held-out images; GateError or DataError where they are too few."""
        targets = np.array([sample.target for sample in samples], dtype=np.float64)
        units = units_of(samples, pixels)
        self.rule.check(targets, units)
        if self.unsure is not None:
            self.unsure.check(targets, units)

    def choose(self, held_out: HeldOut | None) -> Threshold:
        """The threshold, with its band; errors as for `check`, OptionError where held-out scores are missing."""
        threshold = self.rule.choose(held_out)
        return threshold if self.unsure is None else choose_band(self.unsure, threshold, held_out)
