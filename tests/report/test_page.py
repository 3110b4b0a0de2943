"""The page as a reader's browser sees it: whole, escaped, and loading nothing from anywhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whycam.card import PooledCard
from whycam.report.contents import ReportInput, WhatIf
from whycam.report.page import render, write_report
from whycam.report.plots import draw_plots
from whycam.report.words import verdict_sentence
from whycam.types import Band, Exhibit, Folder, Predictions, Skipped, Threshold

MakeReport = Callable[..., ReportInput]
CITED = {"https://arxiv.org/abs/1610.02391", "https://arxiv.org/abs/2011.08891"}
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Reader(HTMLParser):
    """Text, links and images of a page; fails where tags do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self._open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "src":
                self.images.append(value or "")
            elif name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def read(report: ReportInput) -> tuple[str, Reader]:
    source = render(report, {"roc": b"a picture"})
    return source, Reader(source)


def test_a_report_is_written_with_all_its_parts(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report()
    path = write_report(tmp_path / "run", report)
    assert path == tmp_path / "run" / "report.html"
    assert len(list((tmp_path / "run" / "plots").iterdir())) == 9
    assert len(list((tmp_path / "run" / "gallery").iterdir())) == 2
    assert not list(tmp_path.rglob("*.part"))
    reader = Reader(path.read_text("utf-8"))
    # 9 plots, 4 tiles for each of 2 exhibits, and the colour scale, each of them a picture that opens.
    assert len(reader.images) == 9 + 8 + 1
    for uri in reader.images:
        head, _, content = uri.partition(";base64,")
        assert head in ("data:image/png", "data:image/webp")
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            picture.load()


def test_the_page_says_what_a_reader_must_know(make_report: MakeReport) -> None:
    report = make_report()
    _, reader = read(report)
    text = reader.text
    assert verdict_sentence(report.evaluation) in text
    for part in (
        *("WhyCAM report: cells", "class folders", "at random, 25 % for testing", "broken.png (the file ends too"),
        *(
            "Two images are copies of each other.",
            "1 file, no image (.txt): notes.txt",
            "“cracked”",
            "not chosen from data",
        ),
        *("Mean absolute error", "Average precision", "Best constant (test)", "95 % interval", "not proof"),
        *("convolution 3", "0 (cold)", "≥ 1.25", "line 2/part.png", "score 0.250 · target 1 · verdict normal"),
        *("RMSprop", "torch 2.13.0", "726,371 parameters", "arXiv:1610.02391", "arXiv:2011.08891", "3f3f3f"),
    ):
        assert part in text, part


@pytest.fixture
def elsewhere(make_report: MakeReport) -> ReportInput:
    """A report of the model of `cells` on the images of another folder."""
    report = make_report(with_train=False)
    other = replace(
        report.card.data,
        facts=replace(
            report.card.data.facts,
            root="/line 7/week 12",
            layout="table week.csv",
            n_normal=27,
            n_anomalous=13,
            folders=(),
            left_out=(Skipped("dark.png", "the file is empty"),),
            notes=("One image has an alpha channel.",),
        ),
        fingerprint="ab" * 32,
        n_train=0,
        n_test=40,
        n_anomalous_train=0,
        n_anomalous_test=13,
        split="All images were tested on.",
    )
    data = replace(report.card.data, n_test=41)
    return replace(report, card=replace(report.card, data=data), evaluated=other)


def test_other_data_stand_beside_the_training_data_not_in_their_place(elsewhere: ReportInput) -> None:
    source, reader = read(elsewhere)
    title = "WhyCAM report: cells, tested on week 12"
    assert f"<title>{title}</title>" in source
    assert f"<h1>{title}</h1>" in source
    trained, tested = reader.text.split("What it was tested on here")
    trained, tested = trained.split("What was trained on what")[1], tested.split("How good it is")[0]
    for part in (
        *(
            "100 images in cells (class folders)",
            "Training images60, of which 20",
            "Kept back for testing41, of which 14",
        ),
        *("at random, 25 % for testing", "broken.png (the file ends too early)", "@eaDir", "copies of each other"),
    ):
        assert part in trained, part
        assert part not in tested, part
    for part in (
        *("40 images in /line 7/week 12 (table week.csv)", "Test images40, of which 13 anomalous"),
        *("1 file cannot be read: dark.png (the file is empty)", "One image has an alpha channel."),
    ):
        assert part in tested, part
        assert part not in trained, part
    assert "Training data fingerprintSHA-256 3f3f" in reader.text
    assert "abab" not in reader.text
    assert "training images are shown" not in reader.text
    assert "dashed line" not in reader.text


def test_the_runs_own_images_need_no_second_block(make_report: MakeReport) -> None:
    source, reader = read(make_report())
    assert "<title>WhyCAM report: cells</title>" in source
    assert "Test images40, of which 14 anomalous" in reader.text
    assert "Kept back" not in reader.text
    assert "tested on here" not in reader.text
    assert "training images are shown" in reader.text


@pytest.mark.parametrize("with_whatif", [False, True])
def test_nothing_is_loaded_and_only_citations_are_linked(
    make_report: MakeReport, make_whatif: Callable[..., WhatIf], with_whatif: bool
) -> None:
    report = make_report()
    source, reader = read(replace(report, whatif=make_whatif(report.test, close=(1,))) if with_whatif else report)
    here = {link for link in reader.links if link.startswith("#")}
    assert set(reader.links) - here == CITED
    assert here and all(f'id="{link[1:]}"' in source for link in here)
    assert reader.images and all(uri.startswith("data:image/") for uri in reader.images)
    assert not reader.tags & {"link", "iframe", "object", "embed", "base", "form"}
    assert ("script" in reader.tags) == with_whatif
    assert "url(" not in source
    assert "@import" not in source
    assert "default-src 'none'" in source
    assert set(re.findall(r"https?://[^\"<]+", source)) - {"http://www.w3.org/2000/svg"} == CITED


def test_names_with_html_in_them_are_shown_not_obeyed(
    make_report: MakeReport, make_exhibit: Callable[..., Exhibit], make_whatif: Callable[..., WhatIf]
) -> None:
    evil = "<script>alert('x')</script>\" onerror=\"y & <b>.png"
    report = make_report(exhibits=(make_exhibit(file=evil),))
    test = replace(report.test, files=(evil,) * len(report.test.files))
    report = replace(report, test=test, whatif=make_whatif(test))
    threshold = Threshold(0.5, evil, Band(0.4, 0.6, evil))
    report = replace(report, evaluation=replace(report.evaluation, threshold=threshold))
    folders = (Folder(evil, "anomalous", 1, kind=evil, why=evil),)
    facts = replace(
        report.card.data.facts, root=evil, left_out=(Skipped(evil, evil),), notes=(evil,), layout=evil, folders=folders
    )
    data = replace(report.card.data, facts=facts)
    card = replace(report.card, data=data, class_names=(evil, evil))
    source, reader = read(replace(report, card=card, evaluated=data))
    assert source.count("<script") == 2, "the page's own data and code"
    assert "<b>.png" not in source
    assert reader.text.count("<script>alert('x')</script>") >= 13
    assert reader.text.count("onerror") >= 15


def test_names_of_any_script_and_broken_names_are_written(
    make_report: MakeReport, make_exhibit: Callable[..., Exhibit], tmp_path: Path
) -> None:
    names = ("线缆/缺陷 7.png", "عيب.png", "caf\udce9\x07.png", "п" * 500 + ".png")
    path = write_report(tmp_path, make_report(exhibits=tuple(make_exhibit(file=name) for name in names)))
    text = Reader(path.read_text("utf-8")).text
    assert "线缆/缺陷 7.png" in text
    assert r"caf\xe9\x07.png" in text
    assert len(list((tmp_path / "gallery").iterdir())) == 4


def test_no_better_than_a_constant_is_said_first(make_report: MakeReport) -> None:
    source, reader = read(make_report(quality=0.0))
    assert 'class="verdict bad"' in source
    assert reader.text.index("No better than a constant: on 40 test images") < reader.text.index("What was trained")
    source, reader = read(make_report())
    assert 'class="verdict"' in source
    assert "No better than a constant" not in reader.text


def test_choices_and_the_worth_of_scores_are_told(make_report: MakeReport) -> None:
    report = make_report()
    chosen = ("Views: as it is.", "Scores are <calibrated> on 30 images.")
    pooled = PooledCard("lite", ("shallow", "deep"), 8, (0, 1, 2))
    training = replace(report.card.training, choices=chosen, loss="cross-entropy")
    card = replace(report.card, training=training, model=replace(report.card.model, pooled=pooled))
    _, reader = read(replace(report, card=card))
    assert "Views: as it is.Scores are <calibrated> on 30 images." in reader.text
    assert "no test image had a part in them" in reader.text
    assert "When it says 80 %, about 80 of 100" in reader.text
    assert "over 2 layers (shallow, deep) and 3 views of the image, on a common grid of 38" in reader.text
    assert "convolution 3" not in reader.text
    _, reader = read(replace(report, reliability=None))
    assert "What the training chose" not in reader.text
    assert "When it says" not in reader.text
    assert "The scores, and how training went" in reader.text


def test_a_training_without_epochs_speaks_of_none(make_report: MakeReport, tmp_path: Path) -> None:
    report = make_report(history=())
    training = replace(report.card.training, recipe="default", epochs_planned=0, epochs_done=0, loss="cross-entropy")
    report = replace(report, card=replace(report.card, training=training))
    text = Reader(write_report(tmp_path, report).read_text("utf-8")).text
    assert "no epochs: the distance from the normal training images" in text
    assert "its scores were never calibrated" in text
    assert "How training went" not in text
    assert "cross-entropy" not in text
    assert not (tmp_path / "plots" / "training_curve.png").exists()


def test_an_interruption_is_said_first(make_report: MakeReport) -> None:
    report = make_report()
    card = replace(report.card, training=replace(report.card.training, interrupted=True))
    _, reader = read(replace(report, card=card))
    assert reader.text.index("Training was interrupted after 30 of 250 epochs") < reader.text.index("What was trained")


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_missing_class_and_missing_training_images(make_report: MakeReport, tmp_path: Path, target: float) -> None:
    test = Predictions(("a.png", "b.png"), np.full(2, target), np.array([0.2, 0.8]), (None, None))
    report = make_report(test=test, with_train=False, exhibits=())
    reader = Reader(write_report(tmp_path, report).read_text("utf-8"))
    assert "so nothing shows that the model can tell the classes apart" in reader.text
    assert "undefined" in reader.text
    assert "None" not in re.sub("None of the images", "", reader.text)
    assert "nan" not in reader.text.lower().split()
    assert "Train" not in reader.words


def test_the_gallery_keeps_the_given_order_with_mistakes_first(
    make_report: MakeReport, make_exhibit: Callable[..., Exhibit]
) -> None:
    exhibits = tuple(
        make_exhibit(file=name, target=target)
        for name, target in (("right1", 0.0), ("miss2", 1.0), ("none3", None), ("miss1", 1.0), ("right0", 0.0))
    )
    _, reader = read(make_report(exhibits=exhibits))
    places = [reader.text.index(name) for name in ("Mistakes", "miss2", "miss1", "Right", "right1", "right0", "none3")]
    assert places == sorted(places)


def test_an_unsure_verdict_is_neither_right_nor_a_mistake(
    make_report: MakeReport, make_exhibit: Callable[..., Exhibit]
) -> None:
    test = Predictions(("a", "b", "c", "d"), np.array([1.0, 0, 0, 1]), np.array([0.45, 0.55, 0.6, 0.3]), (None,) * 4)
    exhibits = tuple(
        make_exhibit(file=name, target=target, verdict=verdict)
        for name, target, verdict in (("miss1", 1.0, "normal"), ("left2", 1.0, "unsure"), ("right3", 0.0, "normal"))
    )
    report = make_report(test=test, with_train=False, exhibits=exhibits)
    threshold = Threshold(0.5, "test", Band(0.4, 0.6, "recall 0.99"))
    _, reader = read(replace(report, evaluation=replace(report.evaluation, threshold=threshold)))
    assert "Scores from 0.400 up to 0.600 are called unsure and left to a person: 2 of 4 test images." in reader.text
    assert "Of the other 2, 0 % are judged rightly. Where this band comes from: recall 0.99." in reader.text
    places = [
        reader.text.index(part) for part in ("Mistakes, the", "miss1", "Unsure: left", "left2", "Right v", "right3")
    ]
    assert places == sorted(places)
    assert reader.text.count("mistake: ") == 1


def test_a_model_without_any_heat_is_said_to_be(make_report: MakeReport) -> None:
    report = make_report()
    card = replace(report.card, heatmap=replace(report.card.heatmap, scale=0.0))
    _, reader = read(replace(report, card=card))
    assert "The colour scale of this model is empty" in reader.text
    assert "≥ 0" not in reader.text


def test_many_skipped_files_are_counted(make_report: MakeReport) -> None:
    report = make_report()
    skipped = tuple(Skipped(f"{i}.png", "empty") for i in range(1234))
    data = replace(report.card.data, facts=replace(report.card.data.facts, left_out=skipped))
    _, reader = read(replace(report, card=replace(report.card, data=data)))
    assert "1,234 files cannot be read: 0.png (empty), 1.png (empty)," in reader.text
    assert "and 1,034 more" in reader.text and "199.png: empty" in reader.text and "200.png: empty" not in reader.text


def test_forty_exhibits_make_a_modest_page(make_report: MakeReport, make_exhibit: Callable[..., Exhibit]) -> None:
    # Noise is the worst case for compression; photographs take about a tenth.
    report = make_report(exhibits=tuple(make_exhibit((300, 300), file=f"{i}.png") for i in range(3)))
    plots = dict(draw_plots(report))
    without = len(render(replace(report, exhibits=()), plots))
    assert without < 1_000_000
    assert without + 40 * (len(render(report, plots)) - without) / 3 < 8_200_000


def test_a_failure_leaves_the_earlier_report(
    make_report: MakeReport, make_exhibit: Callable[..., Exhibit], tmp_path: Path
) -> None:
    report = make_report()
    before = write_report(tmp_path, report).read_bytes()
    with pytest.raises(ValueError, match=r"bad\.png"):
        write_report(tmp_path, replace(report, exhibits=(make_exhibit(file="bad.png", heatmap=np.zeros((2, 2))),)))
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))
