"""What people see in the terminal: progress bars on standard error, results on standard output."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from whycam.audits.audit import Audit
from whycam.card import DataCard, TrainingCard
from whycam.data.facts import DataFacts
from whycam.errors import printable
from whycam.progress import Bar
from whycam.report.audit_words import brief_lines, lines
from whycam.report.data_words import data_lines
from whycam.report.explained import sentences
from whycam.report.measured import Measured
from whycam.report.words import (
    estimate,
    missing_class_sentence,
    mistakes_sentence,
    number,
    share,
    standing,
    verdict_sentence,
)
from whycam.types import Evaluation, Metrics

if TYPE_CHECKING:
    from whycam.workflow.runs import Run

_Rows = Sequence[tuple[str, Callable[[Metrics], tuple[str, str]]]]
"""Titles, and the figure and the constant's of a set."""
_LABEL = 10
"""Letters before the text of a line that begins with a word such as `Data`."""
_BAR, _TIME = 12, 8
"""Widths of a bar and of the time that is left."""
_TOGETHER = "\N{NO-BREAK SPACE}"
_GAP = 1
"""Letters between the columns of a table."""


class _Note(ProgressColumn):
    """The note of a bar where there is room for all of it."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def render(self, task: Task) -> Text:
        note = str(task.fields["note"])
        return Text(note if len(note) <= self._room else "")


class _RichBar:
    def __init__(self, progress: RichProgress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._progress.advance(self._task, steps)
        if note:
            self._progress.update(self._task, note=note)


class TerminalProgress:
    """Draws each bar on standard error while its work runs, and leaves one line behind."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        """A bar for `total` steps of `what`."""
        what, columns = bar_columns(what, total, self._console.width)
        with RichProgress(*columns, console=self._console) as progress:
            yield _RichBar(progress, progress.add_task(what, total=total, note=""))

    def say(self, text: str) -> None:
        """The sentence as it is, on standard error."""
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class Terminal:
    """Prints results for people, or nothing where the caller wants JSON."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=True, emoji=False)

    def say(self, text: str = "") -> None:
        """One line: no markup; where the terminal is too narrow, broken between words, so that no number is cut."""
        text = printable(text)
        if self._console.is_terminal:
            text = wrapped(text, self._console.width)
        self._console.print(text, markup=False)

    def run(self, run: Run) -> None:
        """Everything about a training or an evaluation."""
        card = run.detector.card
        self.data(run.data)
        if run.audit is not None:
            self._lines(brief_lines(run.audit))
        self.choices(card.training)
        if card.training.interrupted:
            done, planned = card.training.epochs_done, card.training.epochs_planned
            self.say(f"Stopped   after {done} of {planned} epochs; --resume goes on from there.")
        self.say()
        self.evaluation(run.evaluation)
        self.say(f"Report    {run.folder / 'report.html'}")

    def audit(self, audit: Audit, folder: Path | None) -> None:
        """What was found in the data, and where the page about it is."""
        if audit.data is not None:
            self._facts(audit.data)
        self._lines(lines(audit))
        if folder is not None:
            self.say(f"Page      {folder / 'audit.html'}")

    def measured(self, run: Run, measured: Measured) -> None:
        """How far a run's heatmaps can be trusted."""
        self._lines(sentences(measured))
        self.say(f"Report    {run.folder / 'report.html'}")

    def _lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.say(text)

    def data(self, card: DataCard) -> None:
        """How the data were read, what was used and what was left out."""
        self._facts(card.facts, card.split)

    def _facts(self, facts: DataFacts, split: str = "") -> None:
        for label, text in data_lines(facts, split):
            self.say(f"{label:<10}{text}")

    def choices(self, card: TrainingCard) -> None:
        """What the training chose by itself, and why; nothing where it chose nothing."""
        for choice in card.choices:
            self.say(f"Chosen    {choice}")

    def evaluation(self, evaluation: Evaluation) -> None:
        """The table of figures beside the best constant, and the verdict on the model in words."""
        sets = [("test", evaluation.test)]
        if evaluation.train is not None:
            sets.insert(0, ("train", evaluation.train))
        probabilities = evaluation.test.brier.value is not None
        rows = _rows(probabilities=probabilities)
        for line in table(sets, rows, self._console.width):
            self._console.print(line, markup=False)
        errors = "MAE is the mean absolute error" + (", Brier the mean squared error" if probabilities else "")
        self.say(f"In brackets 95 % intervals; {errors}; `constant` is the best constant's figure.")
        self.say()
        self.say(verdict_sentence(evaluation))
        self.say(mistakes_sentence(evaluation.test))
        if one_class := missing_class_sentence(evaluation.test):
            self.say(one_class)
        self.say(standing(evaluation.test))
        self.say(f"Threshold {number(evaluation.threshold.value)} ({evaluation.threshold.rule}).")


def bar_columns(what: str, total: int, width: int) -> tuple[str, tuple[ProgressColumn, ...]]:
    """As much of `what`, and the columns of its bar, as go into `width` letters; numbers are whole or not there."""
    room = width - 2 * len(str(total)) - 2
    words = what.split(" ")
    while words and len(" ".join(words)) + 1 > room:
        words.pop()
    what = " ".join(words)
    columns: list[ProgressColumn] = [TextColumn("{task.description}")] if words else []
    room -= len(what) + 1 if words else 0
    count = MofNCompleteColumn()
    if room >= _BAR + _TIME + len(" left") + 4:
        columns += [BarColumn(bar_width=_BAR), count, TimeRemainingColumn(), TextColumn("left")]
        columns.append(_Note(room - _BAR - _TIME - len(" left") - 4))
    else:
        columns.append(count)
    return what, tuple(columns)


def wrapped(text: str, width: int) -> str:
    """The text broken between words, further lines below the text of a labelled first one; words are never cut."""
    labelled = text[_LABEL - 2 : _LABEL] == "  " and width >= 4 * _LABEL
    if len(text) <= width:
        return text
    lines = textwrap.wrap(
        text.replace(" %", f"{_TOGETHER}%"),
        max(width, 1),
        break_long_words=False,
        break_on_hyphens=False,
        subsequent_indent=" " * _LABEL if labelled else "",
    )
    return "\n".join(lines).replace(_TOGETHER, " ")


def table(sets: Sequence[tuple[str, Metrics]], rows: _Rows, width: int) -> list[str]:
    """The figures of each set beside the best constant's: side by side, else one below the other, else line by line."""
    cells = [["", *(head for name, metrics in sets for head in (f"{name}, n = {metrics.n}", "constant"))]]
    cells += [[title, *(cell for _, metrics in sets for cell in row(metrics))] for title, row in rows]
    lines = _aligned(cells)
    if max(map(len, lines)) <= width:
        return lines
    if len(sets) > 1:
        return [line for one in sets for line in (*table([one], rows, width), "")][:-1]
    lines = [cells[0][1]]
    for title, figure, constant in cells[1:]:
        lines.append(f"{title} {figure}" + (f"; constant {constant}" if constant else ""))
    return [part for line in lines for part in wrapped(line, width).splitlines()]


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gap = " " * _GAP
    return [gap.join(f"{cell:<{size}}" for cell, size in zip(row, widths, strict=True)).rstrip() for row in cells]


def _rows(*, probabilities: bool) -> _Rows:
    brier = ("Brier", lambda m: (estimate(m.brier), number(m.constant.brier)))
    return (
        ("MAE", lambda m: (estimate(m.mae), number(m.constant.mae))),
        *((brier,) if probabilities else ()),
        ("accuracy", lambda m: (estimate(m.accuracy, as_share=True), f"{share(m.constant.accuracy)} %")),
        ("AUROC", lambda m: (estimate(m.auroc), "0.5")),
        ("recall", lambda m: (estimate(m.recall, as_share=True), "")),
        ("precision", lambda m: (estimate(m.precision, as_share=True), "")),
        ("F1", lambda m: (estimate(m.f1), "")),
    )
