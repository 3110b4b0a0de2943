"""The report's section on measured explanations: what the figures say, in words for people who know none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from whycam.evaluation.comparison import Comparison
from whycam.report.explained_words import BASELINES, FIGURES, lead_words, listed, within_sentence
from whycam.report.measured import HEATMAP, Faithfulness, Level, Measured
from whycam.report.words import count, estimate, images, interval, number, share, value


@dataclass(frozen=True)
class Row:
    """One figure of the table."""

    name: str
    meaning: str
    values: tuple[tuple[str, str, str], ...]
    """Map, value and interval, the heatmap first."""
    outcome: str
    lead: str
    """How far ahead of the best baseline, with its interval."""
    beats: bool


@dataclass(frozen=True)
class Part:
    """One question about the heatmaps with its answer."""

    title: str
    answer: str
    good: bool
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    with_plots: bool = False
    """Whether the section's plots belong to it."""


@dataclass(frozen=True)
class Section:
    """Everything that `templates/explained.html` shows, less the plots."""

    method: str
    columns: tuple[str, ...]
    """The heading of each map."""
    parts: tuple[Part, ...]
    levels: tuple[tuple[str, str, str], ...]
    """Which layers have forgotten, rank correlation and structural similarity."""
    forgetting: str
    """What these levels say; empty where not measured."""
    forgets: bool
    notes: tuple[str, ...]


def section(measured: Measured) -> Section:
    """The section about these measurements."""
    parts = []
    if measured.faithfulness is not None:
        parts.append(_faithful(measured, measured.faithfulness))
    if measured.localisation is not None:
        parts.append(_located(measured))
    levels = measured.randomisation.levels if measured.randomisation is not None else ()
    return Section(
        method=measured.method,
        columns=(measured.method, *(name.capitalize() for name in BASELINES.values())),
        parts=tuple(parts),
        levels=tuple((one.name, estimate(one.rank_correlation), estimate(one.structural_similarity)) for one in levels),
        forgetting=_forgetting(measured, levels) if levels else "",
        forgets=bool(levels) and all(level.changed for level in levels),
        notes=measured.notes,
    )


def sentences(measured: Measured) -> tuple[str, ...]:
    """The answers alone, for the terminal: one for each question that was measured."""
    shown = section(measured)
    return (*(part.answer for part in shown.parts), *([shown.forgetting] if shown.forgetting else []))


def _faithful(measured: Measured, found: Faithfulness) -> Part:
    """Whether the heatmap shows what the score rests on."""
    method, titled = measured.method, [*_titled(found.figures), *_titled(found.logit_figures, " (logit)")]
    whole = found.deletion.values[HEATMAP][0]
    ends = (
        f"As they are, the images score {number(whole)} on average; with every pixel replaced "
        f"{number(found.deleted_score)}; blurred all over {number(found.blurred_score)}."
    )
    if min(found.deleted_score, found.blurred_score) >= whole:
        ends += (
            " So this model finds an image without its content no less anomalous than the anomaly itself, and deletion "
            "and insertion say little about its heatmaps."
        )
    elif max(found.deleted_score, found.blurred_score) > whole / 2 > 0:
        ends += " Where an image without its content still scores high, the curves have little room to tell maps apart."
    return Part(
        title="Does it show what the score rests on?",
        answer=_answer(
            measured,
            titled,
            good=f"{method} shows what the score rests on better than maps that know nothing of the network",
            bad=f"Nothing here shows that {method} tells what the score rests on",
        ),
        good=all(one.outcome == "beats" for _, one in titled),
        rows=tuple(_row(measured, *one) for one in titled),
        notes=(
            f"Measured on {images(found.n_images)} drawn from the {count(found.n_alarms)} test images that are called "
            f"anomalous: a calm image has no high score to explain. {ends}",
            "Two known weaknesses. Deletion and insertion make images unlike any that the network has seen, so a part "
            f"of what they find is surprise. ROAD removes {_shares(found.road_shares)} of the pixels without leaving "
            "an outline, but favours blurry maps, whose pixels cannot be filled in from their neighbours.",
        ),
        with_plots=True,
    )


def _located(measured: Measured) -> Part:
    """Whether the heatmap lies where the defect is."""
    found = measured.localisation
    if found is None:
        raise ValueError("`measured.localisation` must be there.")
    titled = _titled(found.figures)
    return Part(
        title="Does it show where the defect is?",
        answer=_answer(
            measured,
            titled,
            good=f"{measured.method} finds the true defects better than maps that know nothing of the network",
            bad=f"Nothing here shows that {measured.method} finds the true defects",
        ),
        good=all(one.outcome == "beats" for _, one in titled),
        rows=tuple(_row(measured, *one) for one in titled),
        notes=(
            f"Measured on all {images(found.n_images, 'test')} that come with a mask of the defect. On average "
            f"{share(found.area)} % of an image is defective; a map that is the same everywhere has that share of its "
            "mass in the mask. These figures judge the network and the heatmap together: a heatmap may show truly that "
            "the network looks elsewhere.",
        ),
    )


def _titled(figures: Sequence[Comparison], suffix: str = "") -> list[tuple[str, Comparison]]:
    return [(f"{FIGURES[one.name][0]}{suffix}", one) for one in figures]


def _answer(measured: Measured, titled: Sequence[tuple[str, Comparison]], *, good: str, bad: str) -> str:
    """One sentence: which figures it beats all baselines in, and what becomes of the others."""
    beaten = [within_sentence(title) for title, one in titled if one.outcome == "beats"]
    every = "a random map, a centred blob and an edge map"
    if len(beaten) == len(titled):
        return f"{good}: it beats {every} in {listed(beaten)}."
    parts = [f"beats {every} in {listed(beaten)}"] if beaten else []
    for outcome, words in (("loses", "does not beat the {} in {}"), ("open", "cannot be told apart from the {} in {}")):
        for rival in dict.fromkeys(one.rival for _, one in titled if one.outcome == outcome):
            names = [within_sentence(title) for title, one in titled if one.outcome == outcome and one.rival == rival]
            parts.append(words.format(BASELINES.get(rival or "", "baselines"), listed(names)))
    if not beaten:
        opening = f"{bad} better than maps that know nothing of the network"
    elif any(one.outcome == "loses" for _, one in titled):
        opening = "The figures disagree"
    else:
        opening = "Not every figure settles it"
    return f"{opening}: {measured.method} {'; it '.join(parts)}."


def _forgetting(measured: Measured, levels: Sequence[Level]) -> str:
    method, last = measured.method, levels[-1]
    kept = [level for level in levels if not level.changed]
    figure = f"rank correlation {estimate(last.rank_correlation)} with the map before, where 1 means unchanged"
    if not kept:
        return (
            f"{method} depends on what the network learned: with all layers re-initialised the map is another "
            f"({figure})."
        )
    if last in kept:
        return (
            f"{method} is not shown to depend on what the network learned: with all layers re-initialised the map may "
            f"still be much the same ({figure}). Do not take it for the reason of a verdict."
        )
    return (
        f"{method} depends on what the network learned ({figure}), but it may still be much the same with only these "
        f"re-initialised: {listed([level.name for level in kept])}. What they do, the map may not show."
    )


def _row(measured: Measured, title: str, compared: Comparison) -> Row:
    headings = {HEATMAP: measured.method, **{name: words.capitalize() for name, words in BASELINES.items()}}
    rival = BASELINES.get(compared.rival or "", "baselines")
    outcomes = {
        "beats": "beats all three",
        "loses": f"does not beat the {rival}",
        "open": f"cannot be told apart from the {rival}",
    }
    name, meaning = FIGURES[compared.name]
    return Row(
        name=title,
        meaning=meaning if title == name else "The same in units of the logit, which does not level off.",
        values=tuple(
            (headings[name], value(compared.values[name]), interval(compared.values[name])) for name in headings
        ),
        outcome=outcomes[compared.outcome],
        lead=lead_words(compared.lead, rival),
        beats=compared.outcome == "beats",
    )


def _shares(shares: Sequence[float]) -> str:
    return listed([f"{100 * one:.0f} %" for one in shares])
