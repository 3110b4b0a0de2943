"""Rules with a promise about images that nobody has seen yet, kept with a stated confidence whatever the scores."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from whycam.errors import GateError, OptionError
from whycam.evaluation.held_out import HeldOut
from whycam.evaluation.inputs import anomalous
from whycam.evaluation.promises import n_needed, safe_limit, smallest_share
from whycam.evaluation.rules import CONFIDENCE, Rule, percent, required, written
from whycam.evaluation.threshold import Cuts, just_above, just_below
from whycam.types import Floats, Threshold

Bools = npt.NDArray[np.bool_]


class PromiseRule(Rule):
    """A bound on a share of one class, which new images keep with the confidence asked for.

    The threshold is the least costly one that keeps the promise. With `confidence`, over the draw of the held-out
    images, the true share of the chosen threshold keeps the bound: see `whycam.evaluation.promises`. Images of one unit
    are not taken as independent; where there are such, the promise is about the mean over new units.
    """

    about: ClassVar[str]
    """The class that the promise is about: `anomalous` or `normal`."""

    @property
    @abstractmethod
    def share(self) -> float:
        """What share of that class may get the wrong verdict, in (0, 1)."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is promised, with two blanks: which `{images}`, and which `{line}` their scores reach."""

    @abstractmethod
    def threshold(
        self, truth: Bools, scores: Floats, units: npt.NDArray[np.str_], *, confidence: float
    ) -> float | None:
        """The least costly threshold that keeps the promise, None where no such can be promised; (N,) each."""

    @abstractmethod
    def supported(self, share: float) -> tuple[str, str]:
        """A share that can be promised, rounded to what surely holds: in words, and as the text of a rule."""

    def check(self, targets: Floats, units: Sequence[str], *, confidence: float = CONFIDENCE) -> None:
        """Whether the class has units enough."""
        chosen = self._chosen(anomalous(targets))
        self._require(np.asarray(units)[chosen], "", confidence)

    def choose(self, held_out: HeldOut | None, *, confidence: float = CONFIDENCE) -> Threshold:
        """The recall rule's threshold is the largest, the false-alarm rule's the smallest that keeps the promise."""
        held_out = required(self, held_out)
        value = self.value(held_out, confidence=confidence)
        truth = anomalous(held_out.targets)
        misses, false_alarms = Cuts.of(truth, held_out.scores).at(value)
        n_anomalous = int(np.count_nonzero(truth))
        return Threshold(
            value,
            rule=f"{self.text}: with {percent(confidence)} confidence {self.promise(held_out, line='it')}; "
            f"chosen on {self.evidence(held_out)}, where it misses {misses:,} of {n_anomalous:,} "
            f"anomalous ones and calls {false_alarms:,} of {len(truth) - n_anomalous:,} normal ones anomalous",
        )

    def value(self, held_out: HeldOut, *, confidence: float) -> float:
        """The threshold alone; GateError where the promise cannot be made."""
        truth, units = anomalous(held_out.targets), np.asarray(held_out.units)
        self._require(units[self._chosen(truth)], f" ({held_out.how})", confidence)
        value = self.threshold(truth, held_out.scores, units, confidence=confidence)
        if value is None:
            raise ValueError("as many units as are needed must support the promise")
        return value

    def promise(self, held_out: HeldOut, *, line: str) -> str:
        """What is promised of the threshold, which is called `line`."""
        n, n_units = self._counts(held_out)
        images = f"new {self.about} images of the same kind"
        if n_units < n:
            images = f"the {self.about} images of new units, each unit counting the same,"
        return self.words.format(images=images, line=line)

    def evidence(self, held_out: HeldOut) -> str:
        """What the threshold was chosen on."""
        n, n_units = self._counts(held_out)
        return f"{_pieces(n, n_units, self.about)} of the training data ({held_out.how})"

    def _counts(self, held_out: HeldOut) -> tuple[int, int]:
        units = np.asarray(held_out.units)[self._chosen(anomalous(held_out.targets))]
        return len(units), len(np.unique(units))

    def _chosen(self, truth: Bools) -> Bools:
        return truth if self.about == "anomalous" else ~truth

    def _require(self, units: npt.NDArray[np.str_], where: str, confidence: float) -> None:
        if not 0 < confidence < 1:
            raise OptionError(f"`confidence` must be above 0 and below 1, got {confidence:g} instead.")
        n_units, needed = len(np.unique(units)), n_needed(self.share, confidence)
        if n_units >= needed:
            return
        sure, more = percent(confidence), f"{needed:,} would be needed"
        if not n_units:
            raise GateError(
                f"Without {self.about} images{where} {self.text} cannot be promised at {sure} confidence: {more}."
            )
        words, text = self.supported(smallest_share(n_units, confidence))
        raise GateError(
            f"With {_pieces(len(units), n_units, self.about)}{where} {words} can be promised at {sure} confidence, "
            f"not {self.text}: {more}. Add {self.about} images, or ask for {text}."
        )


@final
@dataclass(frozen=True, slots=True)
class RecallRule(PromiseRule):
    """At least `recall` of new anomalous images are called anomalous."""

    recall: float
    """In (0, 1)."""

    about: ClassVar[str] = "anomalous"

    @property
    def text(self) -> str:
        """`recall>=0.99`."""
        return f"recall>={written(self.recall)}"

    @property
    def share(self) -> float:
        """Of anomalous images, missed."""
        return 1 - self.recall

    @property
    def words(self) -> str:
        """What is promised about recall."""
        return f"at least {percent(self.recall)} of {{images}} score at or above {{line}}"

    def threshold(
        self, truth: Bools, scores: Floats, units: npt.NDArray[np.str_], *, confidence: float
    ) -> float | None:
        """Halfway from the largest safe score of an anomalous image down to the next score, which is safer still."""
        limit = safe_limit(scores[truth], units[truth].tolist(), share=self.share, confidence=confidence)
        return None if limit is None else just_below(limit, scores)

    def supported(self, share: float) -> tuple[str, str]:
        """A recall, rounded down."""
        digits = _digits(share)
        recall = written(math.floor((1 - share) * 10**digits) / 10**digits)
        return f"recall >= {recall}", f"recall>={recall}"


@final
@dataclass(frozen=True, slots=True)
class FalseAlarmRule(PromiseRule):
    """At most a share `false_alarms` of new normal images are called anomalous."""

    false_alarms: float
    """In (0, 1)."""

    about: ClassVar[str] = "normal"

    @property
    def text(self) -> str:
        """`false-alarms<=0.02`."""
        return f"false-alarms<={written(self.false_alarms)}"

    @property
    def share(self) -> float:
        """Of normal images, called anomalous."""
        return self.false_alarms

    @property
    def words(self) -> str:
        """What is promised about false alarms."""
        return f"at most {percent(self.false_alarms)} of {{images}} score at or above {{line}}"

    def threshold(
        self, truth: Bools, scores: Floats, units: npt.NDArray[np.str_], *, confidence: float
    ) -> float | None:
        """Halfway from the smallest safe score of a normal image, which itself is no alarm, up to the next score."""
        limit = safe_limit(-scores[~truth], units[~truth].tolist(), share=self.share, confidence=confidence)
        return None if limit is None else just_above(-limit, scores)

    def supported(self, share: float) -> tuple[str, str]:
        """A false-alarm rate, rounded up."""
        digits = _digits(share)
        rate = written(math.ceil(share * 10**digits) / 10**digits)
        return f"a false-alarm rate <= {rate}", f"false-alarms<={rate}"


def _digits(share: float) -> int:
    """So many decimals that neither the share nor what is left of 1 rounds to nothing."""
    return max(3, 1 + math.ceil(-math.log10(min(share, 1 - share))))


def _pieces(n: int, n_units: int, about: str) -> str:
    if n_units == n:
        return f"{n:,} {about} image{'' if n == 1 else 's'}"
    units = f"{n_units:,} independent unit{'' if n_units == 1 else 's'}"
    return f"{n:,} {about} images of {units} (a unit is a group, or copies of one image)"
