"""The report as one HTML file that carries its pictures and styles inside, so it opens on a machine with no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from whycam.atomic import write_text
from whycam.data.parallel import in_order
from whycam.errors import printable
from whycam.explain.methods import method_named, title_of
from whycam.progress import SILENT, Progress
from whycam.report import audited, explained, explained_plots, words
from whycam.report.contents import ReportInput
from whycam.report.gallery import BOXES, Tiles, colour_scale, save_gallery, segments_heading, tiles
from whycam.report.plots import save_plots
from whycam.report.templating import environment
from whycam.report.whatif import interactive
from whycam.types import Exhibit, Metrics

_METRICS = (
    ("mae", "Mean absolute error", False, "How far scores lie from targets on average. 0 is perfect."),
    ("rmse", "Root mean squared error", False, "The same, but large errors weigh more. 0 is perfect."),
    ("brier", "Brier score", False, "Mean squared error of scores that are probabilities. 0 is perfect."),
    ("accuracy", "Accuracy", True, "Share of images whose verdict is right."),
    (
        "balanced_accuracy",
        "Balanced accuracy",
        True,
        "Mean of the shares judged rightly among anomalous and normal images.",
    ),
    ("recall", "Recall", True, "Share of the anomalous images that are called anomalous."),
    ("precision", "Precision", True, "Share of the images called anomalous that are anomalous."),
    ("f1", "F1", False, "Harmonic mean of precision and recall. 1 is perfect."),
    (
        "auroc",
        "AUROC",
        False,
        "Chance that an anomalous image scores above a normal one. 1 is perfect.",
    ),
    ("average_precision", "Average precision", False, "Precision averaged over all levels of recall. 1 is perfect."),
)
"""Field, name, whether it is shown as a percentage, and what it says."""


@dataclass(frozen=True)
class _Row:
    name: str
    meaning: str
    test: tuple[str, str]
    """Value and interval, as text."""
    train: tuple[str, str] | None
    constant: str


@dataclass(frozen=True)
class _Shown:
    """One exhibit as the page needs it."""

    file: str
    facts: str
    outcome: str
    words: str
    split: str
    pictures: tuple[tuple[str, str], ...]
    """Heading and data URI of each."""


def write_report(folder: Path, report: ReportInput, *, progress: Progress = SILENT) -> Path:
    """Write `folder`/plots/*.png, `folder`/gallery/*.png and `folder`/report.html, and return the last one's path.

    Every file is written whole or not at all; pictures of an earlier report that no longer belong are removed.

    Raises:
        ValueError: an exhibit's image, heatmap and masks differ in size, or a heatmap is not finite.
        OSError: a file cannot be written.
    """
    heatmap = report.card.heatmap
    plots = save_plots(folder, report, progress=progress)
    save_gallery(folder, report.exhibits, scale=heatmap.scale, method=_method(report), progress=progress)
    page = render(report, {name: path.read_bytes() for name, path in plots.items()}, progress=progress)
    path = folder / "report.html"
    write_text(path, page)
    return path


def render(report: ReportInput, plots: Mapping[str, bytes], *, progress: Progress = SILENT) -> str:
    """The whole page as HTML.

    Args:
        report: what to show.
        plots: PNG bytes by name, as `whycam.report.plots.draw_plots` makes them.
        progress: where to report to while the gallery is drawn.

    Raises:
        ValueError: an exhibit's image, heatmap and masks differ in size, or `report.whatif` does not fit `report.test`.
    """
    scale, method = report.card.heatmap.scale, _method(report)
    with progress.bar("writing the page", len(report.exhibits)) as bar:
        shown = []
        drawn = ((exhibit, tiles(exhibit, scale)) for exhibit in report.exhibits)
        # Encoding takes most of the time, and only it lets go of Python's lock.
        with closing(in_order(lambda pair: _show(*pair, method=method), drawn)) as encoded:
            for one in encoded:
                shown.append(one)
                bar.advance()
    evaluation = report.evaluation
    audit, measured = report.audit, report.measured
    return (
        environment()
        .get_template("report.html")
        .render(
            card=report.card,
            method=method,
            audited=audited.section(audit.audit, audit.pictures, samples=audit.samples) if audit else None,
            explained=explained.section(measured) if measured else None,
            explained_plots=explained_plots.plots(measured) if measured else (),
            title=_title(report),
            created=report.created,
            verdict=words.verdict_sentence(evaluation),
            mistakes=words.mistakes_sentence(evaluation.test),
            missing_class=words.missing_class_sentence(evaluation.test),
            standing=words.standing(evaluation.test),
            test=evaluation.test,
            threshold=evaluation.threshold,
            unsure=words.unsure_sentences(report.test, evaluation.threshold),
            interactive=interactive(report, report.whatif) if report.whatif else None,
            novel_level=report.whatif.novel_level if report.whatif else None,
            rows=[_row(*line, evaluation.train, evaluation.test) for line in _METRICS],
            reliability=words.reliability_sentences(report.reliability) if report.reliability else "",
            has_train=evaluation.train is not None,
            plots={name: _data_uri(content, "png") for name, content in plots.items()},
            sections=_sections(shown),
            n_boxes=BOXES,
            scale_labels=words.scale_labels(scale),
            scale_picture=_data_uri(_encoded(colour_scale(256, 16), "PNG"), "png"),
            evaluated=report.evaluated,
        )
    )


def _method(report: ReportInput) -> str:
    """What made the heatmaps, for people."""
    return title_of(method_named(report.card.heatmap.method))


def _title(report: ReportInput) -> str:
    """The folder names of the model's data and, where it is tested on others, of those."""
    sources = (report.card.data, report.evaluated)
    return ", tested on ".join(printable(Path(data.facts.root).name or data.facts.root) for data in sources if data)


def _row(field: str, name: str, as_share: bool, meaning: str, train: Metrics | None, test: Metrics) -> _Row:
    def shown(metrics: Metrics) -> tuple[str, str]:
        figure = getattr(metrics, field)
        return words.value(figure, as_share=as_share), words.interval(figure, as_share=as_share)

    return _Row(name, meaning, shown(test), shown(train) if train else None, _of_constant(field, test))


def _of_constant(field: str, test: Metrics) -> str:
    """What the best constant gets; for figures that ignore the size of scores, this follows from their definition."""
    if field == "mae":
        return words.number(test.constant.mae)
    if field == "brier" and test.brier.value is not None:
        return words.number(test.constant.brier)
    if field == "accuracy":
        return f"{words.share(test.constant.accuracy)} %"
    if test.auroc.value is None:
        return ""
    always = {"balanced_accuracy": "50.0 %", "auroc": "0.500"}
    return words.number(test.n_anomalous / test.n) if field == "average_precision" else always.get(field, "")


def _sections(shown: list[_Shown]) -> list[tuple[str, str, list[_Shown]]]:
    """Title, introduction and exhibits; the order within each is the caller's."""
    mistakes = [item for item in shown if item.outcome in ("miss", "false-alarm")]
    unsure = [item for item in shown if item.outcome == "unsure"]
    right = [item for item in shown if item.outcome == "right"]
    unlabelled = [item for item in shown if item.outcome == "unlabelled"]
    sections = [
        ("Mistakes, the worst first", "None of the images chosen for this gallery is a mistake.", mistakes),
        ("Unsure: left to a person", "", unsure),
        ("Right verdicts", "None of the images chosen for this gallery is judged rightly.", right),
        ("Images without a target", "", unlabelled),
    ]
    return [section for section in sections if section[1] or section[2]]


def _show(exhibit: Exhibit, pictures: Tiles, *, method: str) -> _Shown:
    named = {
        "input": pictures.image,
        f"{method} heatmap": pictures.heatmap,
        "overlay": pictures.overlay,
        segments_heading(exhibit): pictures.segments,
    }
    return _Shown(
        file=printable(exhibit.file),
        facts=words.facts(exhibit),
        outcome=words.outcome(exhibit),
        words=words.outcome_words(exhibit),
        split=words.split_name(exhibit.split),
        pictures=tuple((heading, _picture(picture)) for heading, picture in named.items()),
    )


def _picture(picture: Image.Image) -> str:
    return _data_uri(_encoded(picture, "WEBP", quality=82, method=4), "webp")


def _encoded(picture: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
