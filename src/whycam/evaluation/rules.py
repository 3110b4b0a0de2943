"""Rules that say where the threshold lies, each with the words that tell what it was chosen on and what it promises.

What can be promised about new images is in `whycam.evaluation.promise_rules`, and the text of rules in
`whycam.evaluation.rule_text`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from whycam.errors import DataError, OptionError
from whycam.evaluation.held_out import HeldOut
from whycam.evaluation.inputs import anomalous, check
from whycam.evaluation.threshold import Cuts, midpoint
from whycam.types import Floats, Predictions, Threshold

CONFIDENCE = 0.95


class Rule(ABC):
    """How a threshold is chosen; rules are values, and equal where they choose alike."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The rule as it is written: `parse_rule(rule.text) == rule`."""

    @abstractmethod
    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Refuse, before any training, what these images cannot support.

        Args:
            targets: (N,) of the images that a threshold will be chosen on.
            units: N names; images of one unit are not independent of each other.
            confidence: of the promise, in (0, 1).

        Raises:
            GateError: a promise that so few units cannot keep; the text says which they can.
            DataError: a class is missing that the rule needs.
        """

    @abstractmethod
    def choose(self, held_out: HeldOut | None, *, confidence: float = CONFIDENCE) -> Threshold:
        """The threshold, and in words where it came from.

        Args:
            held_out: training images scored by models that had not seen them; None where there are none.
            confidence: of the promise, in (0, 1), where the rule makes one.

        Raises:
            GateError, DataError: as for `check`.
            OptionError: the rule needs held-out scores and there are none.
            WhyCAMError: a score is not finite.
        """


@final
@dataclass(frozen=True, slots=True)
class Midpoint(Rule):
    """Halfway between the targets 0 and 1."""

    @property
    def text(self) -> str:
        """`midpoint`."""
        return "midpoint"

    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Nothing is needed."""

    def choose(self, held_out: HeldOut | None, *, confidence: float = CONFIDENCE) -> Threshold:
        """0.5, whatever the scores."""
        return midpoint()


@final
@dataclass(frozen=True, slots=True)
class Given(Rule):
    """A number that somebody has decided on."""

    value: float

    @property
    def text(self) -> str:
        """The number."""
        return written(self.value)

    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Nothing is needed."""

    def choose(self, held_out: HeldOut | None, *, confidence: float = CONFIDENCE) -> Threshold:
        """The number, whatever the scores."""
        return Threshold(self.value, rule=f"{self.text}: given, not chosen from data")


class BestCut(Rule):
    """Whatever is best on held-out scores; about new images it promises nothing, and says so."""

    aim: ClassVar[str]
    """What is made best, for people."""

    @abstractmethod
    def gain(self, misses: Floats, false_alarms: Floats, *, n_anomalous: int, n_normal: int) -> Floats:
        """What is to be as large as possible, for each of M ways to part the images: (M,) each."""

    @abstractmethod
    def figure(self, gain: float) -> str:
        """The largest gain in words, and what else must be known to read it."""

    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Both classes are needed."""
        _require_both(self, anomalous(targets))

    def choose(self, held_out: HeldOut | None, *, confidence: float = CONFIDENCE) -> Threshold:
        """The middle of the scores between which the gain is largest; all ways to part the images are tried."""
        held_out = required(self, held_out)
        truth = anomalous(held_out.targets)
        _require_both(self, truth)
        n_anomalous = int(np.count_nonzero(truth))
        n_normal = len(truth) - n_anomalous
        cuts = Cuts.of(truth, held_out.scores)
        gain = self.gain(
            cuts.misses.astype(np.float64),
            cuts.false_alarms.astype(np.float64),
            n_anomalous=n_anomalous,
            n_normal=n_normal,
        )
        value = cuts.best(gain)
        misses, false_alarms = cuts.at(value)
        return Threshold(
            value,
            rule=f"{self.text}: {self.aim} ({self.figure(float(gain.max()))}) on held-out training images "
            f"({held_out.how}), where it misses {misses:,} of {n_anomalous:,} anomalous ones and calls "
            f"{false_alarms:,} of {n_normal:,} normal ones anomalous; nothing is promised about new images",
        )


@final
@dataclass(frozen=True, slots=True)
class BestF1(BestCut):
    """The largest F1 score, ``2 tp / (2 tp + fp + fn)``."""

    aim: ClassVar[str] = "the largest F1 score"

    @property
    def text(self) -> str:
        """`f1`."""
        return "f1"

    def gain(self, misses: Floats, false_alarms: Floats, *, n_anomalous: int, n_normal: int) -> Floats:
        """F1."""
        found = n_anomalous - misses
        f1: Floats = 2 * found / (2 * found + false_alarms + misses)
        return f1

    def figure(self, gain: float) -> str:
        """F1."""
        return f"{gain:.3g}"


@final
@dataclass(frozen=True, slots=True)
class BestYouden(BestCut):
    """The largest recall less false-alarm rate (Youden 1950, "Index for rating diagnostic tests", Cancer 3:32)."""

    aim: ClassVar[str] = "the largest difference of recall and false-alarm rate"

    @property
    def text(self) -> str:
        """`youden`."""
        return "youden"

    def gain(self, misses: Floats, false_alarms: Floats, *, n_anomalous: int, n_normal: int) -> Floats:
        """Youden's index; from whole numbers, so that equal ones are equal."""
        index: Floats = ((n_anomalous - misses) * n_normal - false_alarms * n_anomalous) / (n_anomalous * n_normal)
        return index

    def figure(self, gain: float) -> str:
        """Youden's index."""
        return f"{gain:.3g}"


@final
@dataclass(frozen=True, slots=True)
class LeastCost(BestCut):
    """The smallest expected cost an image, where a share `rate` of all images is anomalous."""

    miss: float
    """Of one anomalous image that is called normal, above 0."""
    alarm: float
    """Of one normal image that is called anomalous, in the same unit, above 0."""
    rate: float | None = None
    """In (0, 1), where the model will be used; None for the share among the held-out images."""

    aim: ClassVar[str] = "the smallest expected cost an image"

    @property
    def text(self) -> str:
        """`cost miss=500 alarm=3 rate=0.01`."""
        rate = "" if self.rate is None else f" rate={written(self.rate)}"
        return f"cost miss={written(self.miss)} alarm={written(self.alarm)}{rate}"

    def gain(self, misses: Floats, false_alarms: Floats, *, n_anomalous: int, n_normal: int) -> Floats:
        """The cost with its sign changed: ``rate * miss * (1 - recall) + (1 - rate) * alarm * false-alarm rate``."""
        rate = n_anomalous / (n_anomalous + n_normal) if self.rate is None else self.rate
        cost: Floats = rate * self.miss * misses / n_anomalous + (1 - rate) * self.alarm * false_alarms / n_normal
        return -cost

    def figure(self, gain: float) -> str:
        """The cost, and the share of anomalous images that it is for."""
        at = "as common as there" if self.rate is None else f"{percent(self.rate)} of the images"
        return f"{-gain:.3g}, with anomalous images {at}"


def required(rule: Rule, held_out: HeldOut | None) -> HeldOut:
    """The held-out scores, which the rule needs: OptionError where there are none, WhyCAMError for broken ones."""
    if held_out is None:
        raise OptionError(
            f"`threshold` {rule.text} is chosen on training images scored by models that had not seen them, and this "
            "recipe has none: take midpoint or a number, or another recipe."
        )
    check(Predictions(held_out.files, held_out.targets, held_out.scores, held_out.units))
    return held_out


def written(value: float) -> str:
    """A number as people write it, and exactly: 500, 0.01, 1e-05."""
    return repr(float(value)).removesuffix(".0")


def percent(share: float) -> str:
    """A share as people write it, `99.5 %`."""
    return f"{100 * share:.6g} %"


def _require_both(rule: Rule, truth: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    for wanted, name in ((True, "anomalous"), (False, "normal")):
        if not np.any(truth == wanted):
            raise DataError(
                f"`threshold` {rule.text} needs images of both classes, and there is no {name} one to choose it on: "
                "add some, or take midpoint or a number."
            )
