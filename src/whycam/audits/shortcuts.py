"""Shortcuts: what tells the classes apart without a look at the object, so that a model may never learn to look.

A network that can be right by the edge of a tray, the type of a file or the light of the day will be (Geirhos et al.
2020, arXiv 2004.07780), and every figure on images made in the same way will praise it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whycam.audits.audit import CueResult
from whycam.audits.cue_models import N_FOLDS, units_of_each_class
from whycam.audits.cue_trials import LEVELS, Tried, sides, try_cues
from whycam.audits.cues import FILE_SIZE, HISTOGRAM, CueKind, Measured
from whycam.audits.findings import POSSIBLE_SHORTCUT, SHORTCUT, Finding, Severity
from whycam.data.words import counted, estimate, number
from whycam.progress import SILENT, Progress

_Bools = npt.NDArray[np.bool_]

_ADVICE: dict[CueKind, str] = {
    "place": "A model can be right without a look at the object: crop it away, or photograph both classes alike.",
    "recording": "A model can learn how images were stored instead of what they show: take all of them from originals "
    "that were made, stored and resized in the same way.",
    "camera": "Different cameras and programs leave different pixels: take and edit both classes with the same ones.",
    "time": "Light, camera and place change with time, and a model can learn that instead: mix both classes in every "
    "session.",
    "unseen": "A model does not see it, but the classes may come from different sources: make sure that they do not.",
}
_SAID_OF_APPEARANCE: dict[Severity, str] = {
    "serious": "Each border of the image alone does nearly as well, so the light or the camera differs rather than the "
    "objects: photograph both classes alike.",
    "warning": "The model may need to look no further: if that is not what makes an image anomalous, photograph both "
    "classes alike; if it is, a simple rule may do.",
    "note": "Most of the pixels do not differ, so it may well be the defects themselves, if they are brighter, darker "
    "or sharper than anything else; look at a few heatmaps to be sure.",
}
_ORDER: tuple[Severity, ...] = ("serious", "warning", "note")
_N_EXAMPLES = 2


@dataclass(frozen=True)
class Shortcuts:
    """Which cues tell the classes apart."""

    findings: tuple[Finding, ...]
    """At most one a kind of cue, and one of those that few groups leave in doubt, the gravest first. `files` are two
    anomalous and two normal images, those most typical of the plainest cue, whose place is `region`."""
    table: tuple[CueResult, ...]
    """Every cue that differs between images; empty where a class has too few independent images, as a finding says."""


def find_shortcuts(
    measured: Measured, units: Sequence[str], *, seed: int = 0, progress: Progress = SILENT
) -> Shortcuts:
    """Tests by itself every cue that should not matter, and says which of them give the class away.

    Args:
        measured: N labelled images.
        units: N names; images of one name (one part, copies of one file) are held out together and count once.
        seed: of the folds, and of the choice of images where there are very many.
        progress: hears how far it is.
    """
    trials = try_cues(measured, units, seed=seed, progress=progress)
    if trials is None:
        return Shortcuts((_untested(measured, units),), ())
    samples = [measured.samples[row] for row in trials.rows]
    anomalous = np.array([sample.anomalous for sample in samples])
    files = [sample.file for sample in samples]
    told = [item for item in trials.tried if item.result.severity is not None]
    # The bytes of a file follow what is in the picture and how it was stored.
    if any(item.cue.kind in ("appearance", "recording") for item in told):
        told = [item for item in told if item.cue.name != FILE_SIZE]
    findings = []
    chosen = [units[row] for row in trials.rows]
    for kind in LEVELS:
        for in_doubt in (False, True):
            mine = [item for item in told if item.cue.kind == kind and item.result.in_doubt == in_doubt]
            named = _named(mine)
            if named:
                sentence = _sentence(named, anomalous, trials.n_groups)
                findings.append(_finding(named, sentence, _examples(named[0], files, chosen, anomalous)))
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Shortcuts(tuple(findings), tuple(item.result for item in trials.tried))


def _finding(named: Sequence[Tried], sentence: str, files: tuple[str, ...]) -> Finding:
    first = named[0]
    return Finding(
        kind=POSSIBLE_SHORTCUT if first.result.in_doubt else SHORTCUT,
        severity=first.result.severity or "note",
        sentence=sentence,
        files=files,
        figure=None if first.result.in_doubt else first.result.auroc,
        region=first.cue.region,
        about=first.cue.name,
    )


def _untested(measured: Measured, units: Sequence[str]) -> Finding:
    """Why no cue was tested."""
    anomalous = np.array([sample.anomalous for sample in measured.samples])
    n_units = units_of_each_class(anomalous, np.array(units))
    which = int(n_units[1] < n_units[0])
    name, n = ("normal", "anomalous")[which], int((anomalous == bool(which)).sum())
    few = counted(n_units[which], "group")
    if n_units[which] < n:
        why = f"come from only {few} (images that belong together are one)"
    else:
        why = "are too few" if n > 1 else "is too few"
    return Finding(
        "shortcuts not looked for",
        "note",
        "Whether something besides the object tells the classes apart could not be tested: the "
        f"{counted(n, f'{name} image')} {why}, and at least {N_FOLDS} independent ones of each class are needed. "
        f"A shortcut would not be seen: add {name} images of other parts.",
    )


def _named(found: Sequence[Tried]) -> list[Tried]:
    """The cues to name, the plainest first: a side once, and a corner only where neither side of it is named."""
    best_first = sorted(
        found,
        key=lambda item: (_ORDER.index(item.result.severity or "note"), item.cue.name != HISTOGRAM, -_area(item)),
    )
    named: list[Tried] = []
    borders: set[str] = set()
    corners: set[frozenset[str]] = set()
    for item in sorted(best_first, key=lambda item: len(sides(item.cue.region))):
        mine = sides(item.cue.region)
        if mine & borders or mine in corners:
            continue
        if len(mine) == 1:
            borders |= mine
        elif mine:
            corners.add(mine)
        named.append(item)
    names = {item.cue.name for item in named}
    return [item for item in best_first if item.cue.name in names]


def _examples(item: Tried, files: Sequence[str], units: Sequence[str], anomalous: _Bools) -> tuple[str, ...]:
    """Two anomalous and two normal images that the cue gives away most plainly, of different units."""
    examples = []
    for rows, sign in ((np.flatnonzero(anomalous), -1), (np.flatnonzero(~anomalous), 1)):
        order = rows[np.argsort(sign * item.scores[rows], kind="stable")]
        first_of: dict[str, int] = {}
        for row in order.tolist():
            first_of.setdefault(units[row], row)
        examples += [files[row] for row in list(first_of.values())[:_N_EXAMPLES]]
    return tuple(examples)


def _sentence(named: Sequence[Tried], anomalous: _Bools, n_groups: int) -> str:
    first, others = named[0], named[1:]
    kind, figure, beside = first.cue.kind, first.result.auroc, first.result.beside
    within, groups = first.result.within, f"the {n_groups:,} groups that hold both classes"
    name = "grey-level histogram" if first.cue.name == HISTOGRAM else first.cue.name
    if first.result.in_doubt:
        text = (
            f"Within {groups}, the {name} alone tells normal from anomalous images: mean AUROC {number(within or 0.0)}"
        )
    else:
        subject = "A grey-level histogram" if first.cue.name == HISTOGRAM else f"The {name}"
        text = f"{subject} alone separates the classes: AUROC {estimate(figure)}"
        text += "" if within is None else f", and {number(within)} on average within {groups}"
    if kind == "place":
        text += f", while comparable places inside the image reach {number(beside or 0.0)} at best"
    text += f"{_values(first, anomalous)}."
    if others:
        text += f" So {_verb(others)} {_listed(f'{item.cue.name} ({number(_area(item))})' for item in others)}."
    if first.result.in_doubt:
        text += (
            " So few groups cannot show that this is more than chance, but a model can use it all the same, and test "
            "images of these groups would not reveal it."
        )
    advice = _SAID_OF_APPEARANCE[first.result.severity or "note"] if kind == "appearance" else _ADVICE[kind]
    return f"{text} {advice}"


def _values(item: Tried, anomalous: _Bools) -> str:
    """What the cue typically is in either class."""
    cue = item.cue
    if cue.words:
        normal, other = (_typical(cue.words, rows) for rows in (~anomalous, anomalous))
        return "" if normal == other else f"; typically {normal} in normal images, {other} in anomalous ones"
    if cue.kind != "place":
        return ""
    normal, other = (f"{np.median(cue.numbers[rows, 0]):.0f}" for rows in (~anomalous, anomalous))
    return f"; its typical grey level is {normal} in normal images, {other} in anomalous ones"


def _typical(words: Sequence[str], rows: _Bools) -> str:
    """The commonest value, or where values hardly repeat, as dates do, the middle one."""
    mine = sorted(word for word, chosen in zip(words, rows, strict=True) if chosen)
    common, count = Counter(mine).most_common(1)[0]
    return common if 2 * count > len(mine) else mine[len(mine) // 2]


def _area(item: Tried) -> float:
    across = item.result.auroc.value or 0.0
    return across if item.result.within is None else max(across, item.result.within)


def _verb(others: Sequence[Tried]) -> str:
    return "does" if len(others) == 1 else "do"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
