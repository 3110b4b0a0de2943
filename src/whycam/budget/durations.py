"""Times as people write and read them."""

from __future__ import annotations

import math
import re

from whycam.errors import OptionError

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `2m`, `20min` or `1.5h`; OptionError for anything else, and for nothing at all."""
    found = _DURATION.fullmatch(text.strip())
    unit = _UNITS.get(found.group(2).lower()) if found else None
    seconds = float(found.group(1)) * unit if found and unit else 0.0
    if not 0 < seconds < math.inf:
        raise OptionError(f"`budget` must be a time such as 90s, 20m or 1h, got {text!r} instead.")
    return seconds


def spelled(seconds: float) -> str:
    """A time for people: `8 s`, `2 min`, `1 min 30 s`, `2 h 5 min`; rounded to what matters."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds / 5) * 5, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
