"""An audit in words, as JSON and as a page: what is grave comes first, what is shown is what was found."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from whycam.audits.audit import SCHEMA, Audit, CueResult, DoubtedLabel, Optimism
from whycam.audits.cue_trials import LEVELS, LOW_LEVEL, SEVERITIES
from whycam.audits.cues import CueKind
from whycam.audits.findings import Finding
from whycam.report import audit_words
from whycam.report.audit_dots import Axis, cue_plot, optimism_plot
from whycam.report.audited import MOST_DOUBTED, MOST_FILES, detail, files_shown, section, write_audit_page
from whycam.types import Estimate, Pixels, Sample

DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
TOP = (0.15, 0.0, 0.85, 0.03)
SURE = Estimate(0.995, 0.873, 1.0)

SHORTCUT = Finding(
    "shortcut", "serious", "The top border gives it away. Crop it.", ("a0", "a1", "n0", "n1"), 0, SURE, TOP
)
LEAK = Finding("leak", "serious", "Test images have copies in train.", ("n0", "n2", "n1", "n3", "n4", "n5"), 40)
BLANK = Finding("blank", "warning", "One image is blank: n6.", ("n6",))
LABEL = Finding(
    "label", "note", "40 labels are doubted, first of all a0. Look at them.", tuple(f"n{i}" for i in range(40))
)
CUES = (
    CueResult("left border", "place", Estimate(0.61, 0.44, 0.75)),
    CueResult("top border", "place", SURE, 0.7, "serious", TOP),
    CueResult("sharpness", "appearance", Estimate(0.55, 0.35, 0.7)),
    CueResult("file type", "recording", Estimate(0.5, 0.31, 0.66)),
)
OPTIMISM = Optimism(
    naive=Estimate(0.994, 0.99, 0.997),
    leak_free=Estimate(0.915, 0.872, 0.95),
    difference=Estimate(0.079, 0.044, 0.118),
    test=None,
    clean_test=None,
    n_clean=0,
)
DOUBTED = tuple(DoubtedLabel(f"n{i}", i % 2 == 0, (i + 0.5) / 50) for i in range(40))

CLEAN = Audit(SCHEMA, 1344, 392, (), tuple(cue for cue in CUES if cue.severity is None), (), None)
FULL = Audit(SCHEMA, 85, 40, (SHORTCUT, LEAK, BLANK, LABEL), CUES, DOUBTED, OPTIMISM)

SAMPLES = tuple(
    Sample(
        f"{letter}{i}",
        Path(f"{letter}{i}.png"),
        target,
        split="test" if i == 2 else "train",
        kind="crack" if target else None,
    )
    for letter, target in (("a", 1.0), ("n", 0.0))
    for i in range(40)
)


def pictures_of(audit: Audit, *, without: str = "") -> dict[str, Pixels]:
    rng = np.random.default_rng(0)
    return {file: rng.integers(0, 256, (80, 60, 3), np.uint8) for file in files_shown(audit) if file != without}


class Reader(HTMLParser):
    """Text, pictures and attributes of a page; fails where tags do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def read(folder: Path, audit: Audit, *, without: str = "") -> Reader:
    pictures = pictures_of(audit, without=without)
    path = write_audit_page(folder, audit, title="cookies", created="today", pictures=pictures, samples=SAMPLES)
    assert [item.name for item in folder.iterdir()] == ["audit.html"]
    return Reader(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ((), "Nothing serious found."),
        ((LABEL,), "Nothing serious found."),
        ((BLANK, LABEL), "Nothing serious found, but 1 warning: look at it."),
        ((BLANK, BLANK), "Nothing serious found, but 2 warnings: look at them."),
        ((LEAK, BLANK), "1 serious finding: read it before you trust any figure."),
        ((LEAK, SHORTCUT), "2 serious findings: read them before you trust any figure."),
    ],
)
def test_the_verdict_is_that_of_the_gravest_finding(findings: tuple[Finding, ...], words: str) -> None:
    assert audit_words.verdict(replace(CLEAN, findings=findings)) == words


def test_the_terminal_hears_what_is_grave_in_full_and_notes_in_short() -> None:
    told = audit_words.lines(FULL)
    names = [line.split()[0] for line in told]
    assert names == ["Audit", "Serious", "Serious", "Warning", "Note", "Optimism", "Verdict", "Next"]
    assert all(line[:10].endswith(" ") and line[10:] == line[10:].strip() for line in told)
    assert "85 images, 40 of them anomalous" in told[0]
    assert [line[10:] for line in told[1:5]] == [
        *(finding.sentence for finding in (SHORTCUT, LEAK, BLANK)),
        "40 labels are doubted, first of all a0.",
    ]
    assert told[5][10:] == audit_words.optimism_sentence(OPTIMISM)
    assert "run the audit again" in told[-1]


def test_the_terminal_is_calm_about_clean_data() -> None:
    told = audit_words.lines(CLEAN)
    assert [line.split()[0] for line in told] == ["Audit", "Cues", "Verdict", "Next"]
    assert "None of 3 cues" in told[1]
    assert "strongest is left border, AUROC 0.610 (0.440 to 0.750)" in told[1]
    assert "nothing here stands in the way" in told[-1]


def test_what_was_not_looked_for_is_not_said_to_be(tmp_path: Path) -> None:
    few = replace(CLEAN, cues=())
    assert audit_words.cues_sentence(few) == ""
    assert not re.search("cues|shortcuts", "\n".join(audit_words.lines(few)))
    assert "All cues" not in read(tmp_path, few).text


HIGH = Estimate(1.0, 0.665, 1.0)


@pytest.mark.parametrize(
    ("cue", "said"),
    [
        (CueResult("camera", "camera", HIGH, in_doubt=True), "may tell the classes apart: camera, AUROC 1.00 (0.665 "),
        (CueResult("sharpness", "appearance", Estimate(0.97, 0.93, 0.99)), "no more than plain defects reach"),
        (CueResult("date taken", "time", Estimate(0.96, 0.93, 0.99)), "photographed one after the other"),
        (CueResult("top border", "place", HIGH, beside=0.98), "which places inside the image reach as well (0.980)"),
    ],
)
def test_none_is_never_said_beside_a_high_figure_without_a_reason(cue: CueResult, said: str) -> None:
    text = audit_words.cues_sentence(replace(CLEAN, cues=(*CLEAN.cues, cue)))
    assert not text.startswith("None of")
    assert said in text


def test_a_shortcut_that_few_groups_leave_open_is_not_nothing() -> None:
    for severity in ("note", "warning"):
        finding = Finding("possible shortcut", severity, "It may be. Look.", (), 0, about="camera")
        found = replace(CLEAN, findings=(finding,))
        assert audit_words.verdict(found).startswith("A shortcut cannot be ruled out")
        assert "nothing" not in audit_words.next_step(found)


@pytest.mark.parametrize(("kind", "open_"), [("camera", True), ("recording", True), ("appearance", False)])
def test_the_verdict_does_not_contradict_the_line_on_cues(kind: CueKind, open_: bool) -> None:
    found = replace(CLEAN, findings=(), cues=(CueResult("it", kind, HIGH, in_doubt=True),))
    assert "may tell the classes apart" in audit_words.cues_sentence(found)
    assert audit_words.verdict(found).startswith("A shortcut cannot be ruled out") == open_


def test_a_name_with_a_line_end_stays_on_its_line(tmp_path: Path) -> None:
    evil = Finding("blank", "serious", "Blank: <b>x\ny\udce9</b>.png.", ("<b>x\ny\udce9</b>.png",))
    told = audit_words.lines(replace(CLEAN, findings=(evil,)))
    assert not any("\n" in line for line in told)
    reader = read(tmp_path, replace(CLEAN, findings=(evil,)))
    assert reader.text.count(r"<b>x\ny\xe9</b>.png") == 2
    assert not reader.all("b") or all(attrs.get("aria-hidden") for attrs in reader.all("b"))


@pytest.mark.parametrize("length", [10, 199, 200, 201, 500])
def test_a_note_is_cut_between_words(length: int) -> None:
    text = ("four " * 200)[:length].strip()
    short = audit_words.shortened(text)
    assert len(short) <= 202
    if len(text) <= 200:
        assert short == text
    else:
        assert short.endswith("four …")
        assert text.startswith(short.removesuffix(" …"))
        assert len(short) > 190


def test_json_is_standard_and_holds_everything() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = audit_words.to_json(FULL)
    content = json.loads(text, parse_constant=refuse)
    assert text.endswith("}\n")
    assert set(content) == {"schema", "n", "n_anomalous", "findings", "cues", "doubted", "optimism", "data"}
    assert [finding["kind"] for finding in content["findings"]] == ["shortcut", "leak", "blank", "label"]
    assert content["findings"][0]["figure"] == {"value": 0.995, "low": 0.873, "high": 1.0}
    assert content["findings"][0]["region"] == list(TOP)
    assert content["findings"][1]["figure"] is None
    assert content["cues"][1]["severity"] == "serious"
    assert content["doubted"][3] == {"file": "n3", "anomalous": False, "probability": 0.07}
    assert content["optimism"]["leak_free"]["value"] == 0.915
    with pytest.raises(ValueError, match="JSON"):
        audit_words.to_json(replace(FULL, doubted=(DoubtedLabel("x", True, float("nan")),)))


def test_only_so_many_files_are_shown_each_once() -> None:
    many = replace(LEAK, files=tuple(f"m{i}" for i in range(100)))
    shown = files_shown(replace(FULL, findings=(SHORTCUT, many, many, LABEL)))
    assert shown[:4] == SHORTCUT.files
    assert shown[4 : 4 + MOST_FILES] == many.files[:MOST_FILES]
    assert len(shown) == len(set(shown))
    # Two of the shortcut's images are doubted as well.
    assert set(shown[4 + MOST_FILES :]) == {f"n{i}" for i in range(MOST_DOUBTED)} - {"n0", "n1"}
    assert files_shown(CLEAN) == ()


def test_the_page_shows_what_was_found_the_gravest_first(tmp_path: Path) -> None:
    reader = read(tmp_path, FULL)
    places = [
        reader.text.index(part)
        for part in (
            *("2 serious findings: read them", "Shortcut: top border", "The top border gives it away", "a0", "Leak"),
            *("and 34 more", "Blank", "Doubted labels", "Labels to look at again", "How much a naive split flatters"),
            *("0.994", "0.915", "What should not tell the classes apart", "1 of 4 cues tells the classes apart"),
        )
    ]
    assert places == sorted(places)
    assert "AUROC 0.995 (0.873 to 1.00)" in reader.text
    assert "anomalous · crack · train" in reader.text
    assert "normal · test" in reader.text
    assert "labelled anomalous" in reader.text
    assert "model: 1.00 % anomalous" in reader.text
    # Shortcuts with their details, the leak's pairs, the blank one and the doubted labels.
    images = reader.all("img")
    assert len(images) == 2 * 4 + 6 + 1 + MOST_DOUBTED
    for image in images:
        head, _, content = str(image["src"]).partition(";base64,")
        assert head in ("data:image/webp", "data:image/png")
        assert image["alt"]
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            picture.load()


def test_nothing_is_loaded_and_nothing_runs(tmp_path: Path) -> None:
    reader = read(tmp_path, FULL)
    source = (tmp_path / "audit.html").read_text("utf-8")
    assert "default-src 'none'" in source
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in reader.tags}
    assert "url(" not in source
    assert "http:" not in source
    assert "https:" not in source
    assert len(source) < 600_000


def test_pairs_stand_together_and_shortcuts_are_outlined() -> None:
    shown = section(FULL, pictures_of(FULL))
    shortcut, leak, blank, label = shown.findings
    assert [[one.file for one in group] for group in leak.groups] == [["n0", "n2"], ["n1", "n3"], ["n4", "n5"]]
    assert (leak.paired, shortcut.paired, blank.paired) == (True, False, False)
    assert [len(group) for group in shortcut.groups] == [4]
    assert shortcut.outline == (15.0, 0.0, 70.0, 3.0)
    assert all(one.detail for one in shortcut.groups[0])
    assert not any(one.detail for group in (*leak.groups, *blank.groups) for one in group)
    assert label.groups == ()
    assert [one.file for one in shown.doubted] == [f"n{i}" for i in range(MOST_DOUBTED)]


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ((0.15, 0.93, 0.85, 1.0), ": bottom border"),
        ((0.0, 0.15, 0.07, 0.85), ": left border"),
        ((0.95, 0.0, 1.0, 0.05), ": top right corner"),
        ((0.4, 0.4, 0.6, 0.6), ""),
        (None, ""),
    ],
)
def test_places_have_names(region: tuple[float, float, float, float] | None, place: str) -> None:
    shown = section(replace(FULL, findings=(replace(SHORTCUT, region=region),)), {})
    assert shown.findings[0].heading == f"Shortcut{place}"


def test_a_file_without_a_picture_is_shown_by_its_name(tmp_path: Path) -> None:
    audit = replace(FULL, findings=(SHORTCUT, BLANK), doubted=())
    text = read(tmp_path, audit, without="n6").text
    assert re.search(r"no picture\s+normal · train\s*n6", text)


def test_clean_data_make_a_short_and_calm_page(tmp_path: Path) -> None:
    reader = read(tmp_path, CLEAN)
    assert reader.text.index("Nothing serious found.") < 200
    assert not reader.all("img")
    assert not reader.all("article")
    assert reader.all("details") == [{}]
    assert not any("bad" in str(attrs.get("class")) for attrs in reader.all("div"))


def test_doubted_labels_of_a_note_are_folded_those_of_a_warning_are_not() -> None:
    assert section(FULL, {}).doubted_at_once == 0
    assert section(replace(FULL, findings=(replace(LABEL, severity="warning"),)), {}).doubted_at_once > 0


def test_a_failure_leaves_the_earlier_page(tmp_path: Path) -> None:
    read(tmp_path, CLEAN)
    before = (tmp_path / "audit.html").read_bytes()
    wrong = dict.fromkeys(files_shown(FULL), np.zeros((3, 3, 7), np.uint8))
    with pytest.raises(TypeError):
        write_audit_page(tmp_path, FULL, title="x", created="y", pictures=wrong)
    assert (tmp_path / "audit.html").read_bytes() == before


def test_dots_lie_where_their_figures_are() -> None:
    plot = cue_plot(CUES)
    # The lowest end, 0.31, is in sight; places are straight in the figure.
    assert plot.axis == Axis(0.3)
    assert (plot.axis.place(0.3), plot.axis.place(0.65), plot.axis.place(1.0)) == (2.0, 50.0, 98.0)
    assert [kind.level for kind in plot.kinds] == [f"{LEVELS[kind]:g}" for kind in ("place", "recording", "appearance")]
    assert [cue.dot.name for cue in plot.kinds[0].cues] == ["top border", "left border"]
    assert plot.low_level_at == plot.axis.place(LOW_LEVEL)
    dot = plot.kinds[0].cues[1].dot
    assert (dot.low, dot.at, dot.high) == tuple(map(plot.axis.place, (0.44, 0.61, 0.75)))
    assert (dot.text, dot.spread) == ("0.610", "0.440 to 0.750")
    assert [text for text, _ in plot.axis.ticks] == ["0.3", "0.5", "0.75", "1"]


def test_optimism_is_drawn_with_all_that_was_measured() -> None:
    plot = optimism_plot(OPTIMISM)
    assert plot.axis == Axis(0.8)
    assert [dot.at for dot in plot.dots] == [plot.axis.place(0.994), plot.axis.place(0.915)]
    more = replace(OPTIMISM, test=SURE, clean_test=Estimate(None, None, None), n_clean=1200)
    plot = optimism_plot(more)
    assert len(plot.dots) == 4
    assert (plot.dots[3].name, plot.dots[3].text) == ("the 1,200 of them without a leak", "undefined")
    assert plot.dots[3].at is None


@pytest.mark.parametrize("shape", [(100, 50), (100, 50, 1), (100, 50, 3)])
def test_a_detail_is_the_region_and_nothing_else(shape: tuple[int, ...]) -> None:
    picture = np.zeros(shape, np.uint8)
    picture[:7, 8:42] = 200
    with Image.open(io.BytesIO(detail(picture, (0.16, 0.0, 0.84, 0.07)))) as image:
        assert image.size == (136, 28)
        assert np.unique(np.asarray(image)).tolist() == [200]


@pytest.mark.parametrize("region", [(0.0, 0.0, 0.001, 0.001), (0.999, 0.999, 1.0, 1.0)])
def test_a_detail_has_at_least_one_pixel(region: tuple[float, float, float, float]) -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with Image.open(io.BytesIO(detail(picture, region))) as image:
        assert np.unique(np.asarray(image)).tolist() == [0 if region[0] < 0.5 else 11]


def test_the_documentation_states_the_levels_that_are_used() -> None:
    text = DOCS.read_text("utf-8")
    _, _, table = text.partition("| cues | AUROC from | grade |\n|---|---|---|\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in table.split("\n\n")[0].splitlines()]
    assert rows == [[f"{LEVELS[kind]:g}", SEVERITIES[kind]] for kind in LEVELS]
    assert f"the lower end of its interval reaches {LOW_LEVEL:g}" in text


@pytest.mark.parametrize("width", [360, 1200])
def test_in_a_browser_the_page_fits_outlines_lie_on_their_region_and_keys_unfold(
    browser: Any, tmp_path: Path, width: int
) -> None:
    audit = replace(FULL, findings=(SHORTCUT, LEAK, BLANK, replace(LABEL, files=(f"{'long' * 60}.png",))))
    read(tmp_path, audit)
    page = browser.new_page(viewport={"width": width, "height": 800}, java_script_enabled=True)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.goto((tmp_path / "audit.html").as_uri())
    image, mark = (page.locator(f".thumbs .held > {tag}").first.bounding_box() for tag in ("img", "i"))
    assert mark["x"] == pytest.approx(image["x"] + 0.15 * image["width"], abs=0.6)
    assert mark["y"] == pytest.approx(image["y"], abs=0.6)
    assert mark["width"] == pytest.approx(0.7 * image["width"], abs=0.6)
    assert mark["height"] == pytest.approx(0.03 * image["height"], abs=0.6)
    axis = page.locator("table.dots").last.locator("tbody svg").first
    line, dot = axis.bounding_box(), axis.locator("circle").bounding_box()
    place = cue_plot(CUES).kinds[0].cues[0].dot.at
    assert dot["x"] + dot["width"] / 2 == pytest.approx(line["x"] + line["width"] * (place or 0) / 100, abs=0.6)
    folded = page.locator("details").first
    assert folded.get_attribute("open") is None
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    assert folded.locator("img").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()
    assert faults == []
