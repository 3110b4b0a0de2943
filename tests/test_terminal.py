"""The terminal, narrow and wide: every number is there, and whole."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from whycam import terminal
from whycam.evaluation.evaluate import evaluate
from whycam.evaluation.threshold import midpoint
from whycam.terminal import Terminal, TerminalProgress, bar_columns, wrapped
from whycam.types import Evaluation, Predictions

NUMBER = re.compile(r"\d[\d.,]*(?: %)?")
WIDTHS = range(20, 121, 5)


def predictions(n: int) -> Predictions:
    rng = np.random.default_rng(n)
    targets = (rng.random(n) < 0.3).astype(float)
    scores = np.clip(0.6 * targets + rng.normal(0.2, 0.2, n), 0, 1)
    return Predictions(tuple(map(str, range(n))), targets, scores, (None,) * n)


@pytest.fixture(scope="module", params=[True, False], ids=["train and test", "test alone"])
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    train = predictions(300) if request.param else None
    return evaluate(train, predictions(120), threshold=midpoint(), probabilities=True)


def printed(evaluation: Evaluation, width: int, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> str:
    out = io.StringIO()

    def console(**options: bool) -> Console:
        return Console(**options, file=out, width=width, force_terminal=is_terminal, color_system=None)

    monkeypatch.setattr(terminal, "Console", console)
    Terminal(quiet=False).evaluation(evaluation)
    return out.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_no_number_is_cut_at_any_width(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    wide = printed(evaluation, 400, monkeypatch, is_terminal=is_terminal)
    assert len(NUMBER.findall(wide)) > 20
    assert max(map(len, wide.split("\n"))) > 70
    for width in WIDTHS:
        narrow = printed(evaluation, width, monkeypatch, is_terminal=is_terminal)
        assert "…" not in narrow
        assert sorted(set(NUMBER.findall(narrow))) == sorted(set(NUMBER.findall(wide)))
        if is_terminal:
            assert max(map(len, narrow.split("\n"))) <= width


def test_a_wide_table_stands_side_by_side(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(evaluation, 100, monkeypatch, is_terminal=True).split("\n")
    starts = {line.split()[0]: line for line in lines[:8]}
    assert list(starts)[1:] == ["MAE", "Brier", "accuracy", "AUROC", "recall", "precision", "F1"]
    assert lines[0].count("constant") == (2 if evaluation.train else 1)
    assert len({line.index(part) for line, part in zip(lines[:3], ("const", "0.", "0."), strict=True) if part in line})


def test_lines_break_between_words_below_their_text() -> None:
    text = "Optimism  AUROC 0.926 (0.915 to 0.937) naive, 98.0 % (97.3 to 98.6 %) in all."
    assert wrapped(text, 200) == text
    lines = wrapped(text, 44).split("\n")
    assert all(len(line) <= 44 for line in lines)
    assert all(line.startswith(" " * 10) and line[10] != " " for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == text
    assert wrapped("Report    a/very/long/path/that/does/not/fit.html", 20).split("\n")[-1].strip() == (
        "a/very/long/path/that/does/not/fit.html"
    )
    assert not any(line.lstrip().startswith("%") for width in range(8, 60) for line in wrapped(text, width).split("\n"))


@pytest.mark.parametrize("total", [7, 2624, 120_000])
def test_a_bar_shows_whole_numbers_or_none(total: int) -> None:
    note = "epoch 3 of 250, loss 0.1234"
    for width in WIDTHS:
        out = io.StringIO()
        console = Console(file=out, width=width, force_terminal=True, color_system=None)
        what, columns = bar_columns("computing features", total, width)
        with Progress(*columns, console=console, auto_refresh=False) as progress:
            progress.add_task(what, total=total, completed=total, note=note)
        last = out.getvalue().replace("\r", "\n")
        assert f"{total}/{total}" in last
        assert "…" not in last
        assert not any(number in last and note not in last for number in ("250", "0.12"))
    assert note in last


def test_bars_run_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().bar("reading", 3) as bar:
        bar.advance(3, note="done")
    assert capsys.readouterr().out == ""
