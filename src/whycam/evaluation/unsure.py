"""A band of scores that are left to people: outside it both kinds of mistake are rare, as promised together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from whycam.errors import GateError
from whycam.evaluation.held_out import HeldOut
from whycam.evaluation.inputs import anomalous
from whycam.evaluation.promise_rules import FalseAlarmRule, RecallRule
from whycam.evaluation.rules import CONFIDENCE, percent, required
from whycam.types import Band, Floats, Threshold


@final
@dataclass(frozen=True, slots=True)
class Unsure:
    """How rare anomalous images must be below the band, and normal ones above it.

    Each promise is made with half of the remaining doubt, so that both hold together with the confidence asked for
    (Bonferroni).
    """

    recall: RecallRule
    false_alarms: FalseAlarmRule

    @property
    def text(self) -> str:
        """`recall>=0.99 false-alarms<=0.01`."""
        return f"{self.recall.text} {self.false_alarms.text}"

    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Refuse, before any training, what these images cannot support: GateError that names every lack."""
        problems = []
        for rule in (self.recall, self.false_alarms):
            try:
                rule.check(targets, units, confidence=_each(confidence))
            except GateError as error:
                problems.append(str(error))
        if problems:
            raise GateError(" ".join(problems))


def choose_band(
    unsure: Unsure, threshold: Threshold, held_out: HeldOut | None, *, confidence: float = CONFIDENCE
) -> Threshold:
    """The threshold with its band, moved to the band's nearest end where it lies outside.

    Below the band the verdict is `normal`, and at most ``1 - recall`` of new anomalous images fall there; at or above
    its upper end it is `anomalous`, and at most the share `false_alarms` of new normal images do. Where one threshold
    keeps both promises no band is needed: there is none, and the threshold is moved to where both are kept.

    Raises:
        GateError: the images cannot support a promise.
        OptionError: there are no held-out scores, or `confidence` is not in (0, 1).
    """
    held_out = required(unsure.recall, held_out)
    each = _each(confidence)
    # The largest that keeps the recall, and the smallest that keeps the false alarms.
    most = unsure.recall.value(held_out, confidence=each)
    least = unsure.false_alarms.value(held_out, confidence=each)
    low, high = min(most, least), max(most, least)
    value = min(max(threshold.value, low), high)
    rule = threshold.rule
    if value != threshold.value:
        rule += f"; moved from {threshold.value:.3g} to {value:.3g} by --unsure, so what was said does not hold there"
    if most >= least:
        promise = _promise(unsure, held_out, confidence, "it", "it")
        return Threshold(value, f"{rule}; no score needs to be unsure, as {promise}")
    promise = _promise(unsure, held_out, confidence, "the lower end", "the upper end")
    truth = anomalous(held_out.targets)
    inside = (held_out.scores >= low) & (held_out.scores < high)
    shares = f"{_share(inside[truth])} of the anomalous and {_share(inside[~truth])} of the normal ones"
    return Threshold(value, rule, Band(low, high, f"{unsure.text}: {promise}; {shares} lie between"))


def _promise(unsure: Unsure, held_out: HeldOut, confidence: float, lower: str, upper: str) -> str:
    first, second = unsure.recall, unsure.false_alarms
    return (
        f"with {percent(confidence)} confidence both hold: {first.promise(held_out, line=lower)}, and "
        f"{second.promise(held_out, line=upper)}; chosen on {first.evidence(held_out)} and "
        f"{second.evidence(held_out)}"
    )


def _share(inside: npt.NDArray[np.bool_]) -> str:
    return f"{100 * float(np.mean(inside)):.3g} %"


def _each(confidence: float) -> float:
    return 1 - (1 - confidence) / 2
