"""The figures of an audit as dots with their intervals on one axis, so that many of them compare at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whycam.audits.audit import CueResult, Optimism
from whycam.audits.cue_trials import LEVELS, LOW_LEVEL
from whycam.audits.cues import CueKind
from whycam.errors import printable
from whycam.report.audit_words import SYMBOLS
from whycam.report.words import count, interval, number, value
from whycam.types import Estimate

_KINDS: dict[CueKind, str] = {
    "place": "Borders and corners",
    "recording": "How the images were stored",
    "camera": "Camera and software",
    "time": "Dates",
    "appearance": "Light, colour and sharpness of the whole image",
    "unseen": "What no network sees",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """A figure with its interval: in words, and as places on an axis in per cent of its length."""

    name: str
    text: str
    spread: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """From where to where dots are drawn: it always ends at an AUROC of 1."""

    start: float

    @property
    def ticks(self) -> tuple[tuple[str, float], ...]:
        """Text and place of each."""
        middle = (0.5, 0.75) if self.start < 0.5 else ((self.start + 1) / 2,)
        return tuple((f"{tick:g}", self.place(tick)) for tick in (self.start, *middle, 1.0))

    def place(self, figure: float) -> float:
        """In per cent, with a little room at either end."""
        return round(2 + 96 * (figure - self.start) / (1 - self.start), 2)

    def dot(self, name: str, figure: Estimate) -> Dot:
        """The figure on this axis."""
        at, low, high = (None if end is None else self.place(end) for end in (figure.value, figure.low, figure.high))
        return Dot(printable(name), value(figure), interval(figure), at, low, high)


@dataclass(frozen=True, slots=True)
class ShownCue:
    """One row of the plot of cues."""

    dot: Dot
    severity: str
    """Empty where nothing is said of it."""
    symbol: str
    beside: str
    """What it was compared with; empty where with nothing."""


@dataclass(frozen=True, slots=True)
class ShownKind:
    """The cues of one kind, the strongest first, and from which AUROC on one is told."""

    name: str
    level: str
    level_at: float
    cues: tuple[ShownCue, ...]


@dataclass(frozen=True, slots=True)
class CuePlot:
    """All cues on one axis."""

    axis: Axis
    low_level: str
    """Which the lower end of an interval must reach."""
    low_level_at: float
    kinds: tuple[ShownKind, ...]


@dataclass(frozen=True, slots=True)
class OptimismPlot:
    """The same head measured in several ways."""

    axis: Axis
    dots: tuple[Dot, ...]


def cue_plot(cues: Sequence[CueResult]) -> CuePlot:
    """The plot of these cues."""
    axis = _axis([cue.auroc for cue in cues], at_most=0.4)
    kinds = []
    for kind, level in LEVELS.items():
        mine = [cue for cue in cues if cue.kind == kind]
        mine.sort(key=lambda cue: -(cue.auroc.value or 0.0))
        if mine:
            shown = tuple(_cue(cue, axis) for cue in mine)
            kinds.append(ShownKind(_KINDS[kind], f"{level:g}", axis.place(level), shown))
    return CuePlot(axis, f"{LOW_LEVEL:g}", axis.place(LOW_LEVEL), tuple(kinds))


def optimism_plot(found: Optimism) -> OptimismPlot:
    """The plot of naive against leak-free figures."""
    rows = [
        ("naive: images drawn one by one", found.naive),
        ("leak-free: what belongs together kept together", found.leak_free),
    ]
    if found.test is not None:
        rows.append(("the given test images", found.test))
    if found.clean_test is not None:
        rows.append((f"the {count(found.n_clean)} of them without a leak", found.clean_test))
    axis = _axis([figure for _, figure in rows], at_most=0.9)
    return OptimismPlot(axis, tuple(axis.dot(name, figure) for name, figure in rows))


def _axis(figures: Sequence[Estimate], *, at_most: float) -> Axis:
    """From the lowest end of an interval, or from `at_most` where that is lower, down to the next tenth."""
    ends = [end for figure in figures for end in (figure.value, figure.low) if end is not None]
    # The least bit more, so that 0.7 is not taken for six tenths and a bit.
    return Axis(max(0.0, math.floor(10 * min([at_most, *ends]) + 1e-9) / 10))


def _cue(cue: CueResult, axis: Axis) -> ShownCue:
    rival = "places inside" if cue.kind == "place" else "most of the pixels"
    beside = [f"{name}: {number(area)}" for name, area in (("within groups", cue.within), (rival, cue.beside))
              if area is not None]  # fmt: skip
    return ShownCue(
        dot=axis.dot(cue.cue, cue.auroc),
        severity=cue.severity or "",
        symbol=SYMBOLS[cue.severity] if cue.severity else "",
        beside=", ".join(beside),
    )
