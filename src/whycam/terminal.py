"""What people see in the terminal: progress bars on standard error, results on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

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

_WIDEST = 110
"""No table of figures is wider, in letters."""


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
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[note]}"),
        )
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
        """One line as it is: no markup, no wrapping."""
        self._console.print(printable(text), markup=False)

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
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("", no_wrap=True)
        for name, metrics in sets:
            table.add_column(f"{name}, n = {metrics.n}", no_wrap=True)
            table.add_column("constant", no_wrap=True)
        probabilities = evaluation.test.brier.value is not None
        for title, row in _rows(probabilities=probabilities):
            table.add_row(title, *(cell for _, metrics in sets for cell in row(metrics)))
        # A figure cut off is worse than a line that the terminal breaks.
        self._console.print(table, width=max(self._console.width, _WIDEST), crop=False)
        errors = "MAE is the mean absolute error" + (", Brier the mean squared error" if probabilities else "")
        self.say(f"In brackets 95 % intervals; {errors}; `constant` is the best constant's figure.")
        self.say()
        self.say(verdict_sentence(evaluation))
        self.say(mistakes_sentence(evaluation.test))
        if one_class := missing_class_sentence(evaluation.test):
            self.say(one_class)
        self.say(standing(evaluation.test))
        self.say(f"Threshold {number(evaluation.threshold.value)} ({evaluation.threshold.rule}).")


def _rows(*, probabilities: bool) -> tuple[tuple[str, Callable[[Metrics], tuple[str, str]]], ...]:
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
