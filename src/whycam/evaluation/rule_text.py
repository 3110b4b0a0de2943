"""Rules as people type them: read exactly or refused in one line that says what was probably meant."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from typing import Literal

from whycam.errors import OptionError
from whycam.evaluation.promise_rules import FalseAlarmRule, RecallRule
from whycam.evaluation.rules import BestF1, BestYouden, Given, LeastCost, Midpoint, Rule, written
from whycam.evaluation.unsure import Unsure

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_NUMBER_WITH_COMMA = r"\d+(?:[.,]\d+)?"
_RECALL = rf"recall\s*(?:>=|≥)\s*(?P<recall>{_NUMBER})"
_FALSE_ALARMS = rf"false[-_\s]?alarms\s*(?:<=|≤)\s*(?P<false_alarms>{_NUMBER})"
_COST = rf"\s+(miss|alarm|rate)\s*=\s*({_NUMBER})"
_ALLOWED = (
    "midpoint, f1, youden, 'recall>=0.99', 'false-alarms<=0.02', 'cost miss=500 alarm=3 rate=0.01' (rate may be left "
    "out) or a number"
)
_UNSURE_ALLOWED = "'recall>=0.99 false-alarms<=0.01', or one number such as 0.02 for 2 % of either mistake"
_NAMES = ("midpoint", "f1", "youden", "recall", "false-alarms", "cost")


def parse_rule(text: str) -> Rule:
    """The rule that `text` names; case does not matter, and spaces are needed only between the words of `cost`.

    `≥` and `≤` stand for `>=` and `<=`. Anything else, `>` or `=` too, is refused rather than guessed.

    Raises:
        OptionError: there is no such rule, or a number in it is out of range.
    """
    plain = text.strip().casefold()
    fixed: dict[str, Rule] = {"midpoint": Midpoint(), "f1": BestF1(), "youden": BestYouden()}
    if plain in fixed:
        return fixed[plain]
    if re.fullmatch(_NUMBER, plain):
        value = float(plain)
        if not math.isfinite(value):
            raise OptionError(f"`threshold` must be a finite number, got {text!r} instead.")
        return Given(value)
    if found := re.fullmatch(_RECALL, plain):
        return RecallRule(_share("threshold", "recall", found["recall"]))
    if found := re.fullmatch(_FALSE_ALARMS, plain):
        return FalseAlarmRule(_share("threshold", "false-alarms", found["false_alarms"]))
    if re.fullmatch(rf"cost(?:{_COST})+", plain):
        return _cost(plain)
    raise OptionError(f"`threshold` must be {_ALLOWED}, got {text!r} instead{_hint('threshold', plain)}")


def check_threshold(rule: Rule, score: Literal["linear", "probability"]) -> None:
    """OptionError where the rule is a number that no score of this kind can have; see `ModelCard.score`."""
    if not isinstance(rule, Given) or score == "linear" or 0 <= rule.value <= 1:
        return
    raise OptionError(
        f"`threshold` must be a number from 0 to 1, as the score is a probability, got {rule.text} instead"
        f"{_percentage(rule.value)}"
    )


def parse_unsure(text: str) -> Unsure:
    """The band that `text` asks for: a recall and a false-alarm rate in any order, or one number for both mistakes.

    Raises:
        OptionError: it asks for something else, or a number is out of range.
    """
    plain = text.strip().casefold()
    if re.fullmatch(_NUMBER, plain):
        share = _share("unsure", "the share of mistakes", plain)
        # Less the rounding of the difference: 0.98, not 0.9799999999999999.
        return Unsure(RecallRule(round(1 - share, 12)), FalseAlarmRule(share))
    found = re.fullmatch(rf"{_RECALL}[\s,]\s*{_FALSE_ALARMS}", plain)
    found = found or re.fullmatch(rf"{_FALSE_ALARMS}[\s,]\s*{_RECALL}", plain)
    if found is None:
        raise OptionError(f"`unsure` must be {_UNSURE_ALLOWED}, got {text!r} instead{_hint('unsure', plain)}")
    recall, false_alarms = found["recall"], found["false_alarms"]
    return Unsure(
        RecallRule(_share("unsure", "recall", recall)), FalseAlarmRule(_share("unsure", "false-alarms", false_alarms))
    )


def _cost(plain: str) -> LeastCost:
    pairs = re.findall(_COST, plain)
    given = {name: float(number) for name, number in pairs}
    if len(given) < len(pairs) or not {"miss", "alarm"} <= given.keys():
        raise OptionError("`threshold` cost must name miss and alarm once each, as in 'cost miss=500 alarm=3'.")
    for name in ("miss", "alarm"):
        if not 0 < given[name] < math.inf:
            raise OptionError(f"`threshold` cost must have a {name} above 0, got {given[name]:g} instead.")
    if not 0 < given.get("rate", 0.5) < 1:
        raise OptionError(
            f"`threshold` cost must have a rate above 0 and below 1, the share of anomalous images where the model "
            f"will be used, got {given['rate']:g} instead{_percentage(given['rate'])}"
        )
    return LeastCost(given["miss"], given["alarm"], given.get("rate"))


def _share(option: str, name: str, number: str) -> float:
    value = float(number)
    # Below the smallest difference to 1 that a number can have, 1 - value would be 1.
    if 0 < value < 1 and 0 < 1 - value < 1:
        return value
    raise OptionError(f"`{option}` must have {name} above 0 and below 1, got {number} instead{_percentage(value)}")


def _percentage(value: float) -> str:
    """What was probably meant by a number that ought to be a share, after `instead`."""
    return f": did you mean {written(round(value / 100, 12))}?" if 1 < value < 100 else "."


def _hint(option: str, plain: str) -> str:
    """What was probably meant, after `instead`."""
    if typed := re.fullmatch(rf"({_NUMBER_WITH_COMMA})(\s*%)?", plain):
        value = float(typed[1].replace(",", "."))
        return f": did you mean {written(round(value / 100, 12) if typed[2] else value)}?"
    word = re.split(r"[^a-z\s_-]", plain, maxsplit=1)[0]
    (close,) = get_close_matches(re.sub(r"[_\s]", "-", word.strip()), _NAMES, n=1) or ("",)
    if not close:
        return "."
    sign = {"recall": ">=", "false-alarms": "<="}.get(close)
    if sign is None:
        return f": did you mean {close}?" if option == "threshold" and close != "cost" else "."
    numbers = re.findall(_NUMBER, plain.removeprefix(word))
    if not numbers:
        return ": put it in quotes, as a shell takes < and > for itself."
    number = float(numbers[0])
    meant = written(round(number / 100, 12) if 1 < number < 100 else number)
    return f": did you mean '{close}{sign}{meant}'?" if option == "threshold" else "."
