"""The section on measured explanations: true words for every outcome, and a page that nests."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.text import Text
from PIL import Image

from whycam.errors import printable
from whycam.evaluation.comparison import Comparison, Outcome
from whycam.explain.randomisation import LEVELS
from whycam.report.explained import section, sentences
from whycam.report.explained_plots import curves_plot, plots
from whycam.report.measured import Curve, Faithfulness, Level, Localisation, Measured, Randomisation
from whycam.types import Estimate

MAPS = ("heatmap", "random", "centre", "edges")
FAITHFUL = ("deletion", "insertion", "road")
LOCATED = ("pointing_game", "mass_in_mask", "mean_pixel_auroc", "pooled_pixel_auroc", "aupro")
CURVE = Curve((0.0, 0.25, 1.0), {name: (0.9, 0.5 - 0.1 * n, 0.2) for n, name in enumerate(MAPS)})


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.05, value + 0.05)


def compared(name: str, outcome: Outcome = "beats") -> Comparison:
    values = {one: estimate(0.4 + 0.1 * n) for n, one in enumerate(MAPS)}
    lead = {"beats": 0.2, "loses": -0.2, "open": 0.01}[outcome]
    return Comparison(name, name == "deletion", values, "edges", estimate(lead), outcome)


def measured(
    faithful: tuple[Outcome, ...] = ("beats",) * 3, located: Outcome = "beats", highest: float = 0.1
) -> Measured:
    figures = tuple(compared(name, outcome) for name, outcome in zip(FAITHFUL, faithful, strict=True))
    return Measured(
        schema=1,
        method="Grad-CAM",
        score="probability",
        seed=0,
        n_random=2,
        resolution=16.0,
        faithfulness=Faithfulness(24, 97, 0.12, 0.3, CURVE, CURVE, CURVE, CURVE, (0.1, 0.5, 0.9), figures, figures),
        localisation=Localisation(95, 0.031, tuple(compared(name, located) for name in LOCATED)),
        randomisation=Randomisation(
            12, 2, tuple(Level(name, Estimate(highest, highest - 0.1, highest + 0.1), estimate(0.2)) for name in LEVELS)
        ),
        notes=("1 mask could not be read, first that of <b>.png (file not found).",),
    )


class Reader(HTMLParser):
    """The words and pictures of a page; fails where tags do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.pictures, self._open = "", [], []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(value: Measured, pictures: tuple[tuple[str, str], ...] = ()) -> Reader:
    environment = Environment(
        loader=PackageLoader("whycam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"printable": printable}
    return Reader(environment.get_template("explained.html").render(explained=section(value), explained_plots=pictures))


def test_a_map_that_beats_all_is_said_to() -> None:
    faithful, located, forgetting = sentences(measured())
    assert faithful == (
        "Grad-CAM shows what the score rests on better than maps that know nothing of the network: "
        "it beats a random map, a centred blob and an edge map in deletion, insertion, ROAD, deletion (logit), "
        "insertion (logit) and ROAD (logit)."
    )
    assert "finds the true defects better" in located
    assert forgetting.startswith("Grad-CAM depends on what the network learned: with all layers re-initialised")
    found = section(measured())
    assert all(part.good for part in found.parts)
    assert found.forgets


def test_a_map_that_does_not_beat_the_baselines_is_said_not_to() -> None:
    faithful, located, forgetting = sentences(measured(("loses", "open", "open"), "loses", 0.8))
    assert faithful == (
        "Nothing here shows that Grad-CAM tells what the score rests on better than maps that know nothing of the "
        "network: Grad-CAM does not beat the edge map in deletion and deletion (logit); it cannot be told apart from "
        "the edge map in insertion, ROAD, insertion (logit) and ROAD (logit)."
    )
    assert "does not beat the edge map in pointing game, mass in the mask" in located
    assert forgetting.startswith("Grad-CAM is not shown to depend on what the network learned")
    found = section(measured(("loses", "open", "open"), "loses", 0.8))
    assert not any(part.good for part in found.parts)
    assert not found.forgets


def test_mixed_figures_are_told_one_by_one() -> None:
    faithful = sentences(measured(("beats", "loses", "beats")))[0]
    assert faithful == (
        "The figures disagree: Grad-CAM beats a random map, a centred blob and an edge map in deletion, ROAD, "
        "deletion (logit) and ROAD (logit); it does not beat the edge map in insertion and insertion (logit)."
    )
    assert not section(measured(("beats", "loses", "beats"))).parts[0].good
    assert sentences(measured(("beats", "open", "beats")))[0].startswith("Not every figure settles it: Grad-CAM beats")


def test_a_part_that_the_map_ignores_is_named() -> None:
    value = measured()
    levels = (replace(value.randomisation.levels[0], rank_correlation=Estimate(1.0, 1.0, 1.0)),)
    changed = replace(value, randomisation=replace(value.randomisation, levels=levels + value.randomisation.levels[1:]))
    assert sentences(changed)[2].endswith("with only these re-initialised: head. What they do, the map may not show.")


def test_undefined_figures_are_no_claim() -> None:
    nothing = Estimate(None, None, None)
    empty = Comparison("aupro", False, dict.fromkeys(MAPS, nothing), None, nothing, "open")
    value = measured()
    value = replace(value, localisation=replace(value.localisation, figures=(empty,)))
    row = section(value).parts[1].rows[0]
    assert (row.values[0][1], row.lead) == ("undefined", "")
    assert "cannot be told apart from the baselines in AUPRO" in sentences(value)[1]


def test_curves_without_room_are_pointed_out() -> None:
    value = measured()
    assert "little room" not in section(value).parts[0].notes[0]
    surprised = replace(value, faithfulness=replace(value.faithfulness, deleted_score=0.8))
    assert "little room to tell maps apart" in section(surprised).parts[0].notes[0]
    fooled = replace(value, faithfulness=replace(value.faithfulness, deleted_score=0.95, blurred_score=0.9))
    assert "deletion and insertion say little about its heatmaps" in section(fooled).parts[0].notes[0]


def test_leads_are_told_in_the_direction_they_have() -> None:
    value = measured(("beats", "loses", "open"))
    tiny = replace(compared("aupro", "open"), lead=Estimate(3e-6, -2e-5, 0.1234))
    value = replace(value, localisation=replace(value.localisation, figures=(tiny,)))
    faithful, located = section(value).parts
    assert [row.lead for row in faithful.rows[:3]] == [
        "ahead of the edge map by 0.200 (0.150 to 0.250)",
        "behind the edge map by 0.200 (0.150 to 0.250)",
        "ahead of the edge map by 0.0100 (-0.0400 to 0.0600)",
    ]
    assert located.rows[0].lead == "ahead of the edge map by 0 (0 to 0.123)"


def test_the_page_says_it_all_and_escapes() -> None:
    value = measured(("loses", "open", "beats"))
    page = rendered(value, plots(value))
    for words in ("beats all three", "does not beat the edge map", "cannot be told apart from the edge map"):
        assert words in page.text
    for words in ("Deletion (logit)", "AUPRO", "0.400", "0.350 to 0.450", "all layers", "first that of <b>.png"):
        assert words in page.text
    for weakness in ("unlike any that the network has seen", "favours blurry maps"):
        assert weakness in page.text
    assert len(page.pictures) == 4
    for uri in page.pictures:
        with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as picture:
            assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.parametrize("missing", ["faithfulness", "localisation", "randomisation"])
def test_what_was_not_measured_is_left_out(missing: str) -> None:
    value = replace(measured(), **{missing: None})
    assert len(sentences(value)) == 2
    words = {"faithfulness": "Deletion", "localisation": "AUPRO", "randomisation": "Re-initialised"}
    page = rendered(value)
    if missing == "faithfulness":
        assert plots(value) == ()
    assert {name for name, word in words.items() if word not in page.text} == {missing}


def test_the_plot_shows_every_map_within_its_frame() -> None:
    figure = curves_plot("Deletion", CURVE, x="share of the pixels removed", y="mean score", method="Grad-CAM")
    figure.canvas.draw()
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"Grad-CAM", "random map", "centred blob", "edge map"} <= texts
    bounds, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert (bounds.x0 >= 0, bounds.y0 >= 0, bounds.x1 <= width, bounds.y1 <= height) == (True,) * 4
    for line, (name, values) in zip(figure.axes[0].lines, CURVE.values.items(), strict=True):
        assert name in MAPS
        np.testing.assert_allclose(line.get_ydata(), values)
