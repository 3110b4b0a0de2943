"""The command line: parses, calls the workflow, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from whycam.errors import OptionError, WhyCAMError, printable

if TYPE_CHECKING:
    from whycam.progress import Progress
    from whycam.terminal import Terminal
    from whycam.types import Dataset
    from whycam.workflow import Run

_INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    name="whycam",
    help="A verdict you can check: image anomaly scores, with heatmaps that show why.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path, typer.Argument(help="Folder with normal/ and anomalous/, or a CSV file (file,target,...).")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `whycam train` wrote.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop where a file cannot be read, instead of skipping it.")]
Epochs = Annotated[int | None, typer.Option(help="Instead of the recipe's number of epochs.")]
Budget = Annotated[
    str | None, typer.Option(help="A time such as 90s, 20m or 1h: take what fits into it on this machine, as measured.")
]
Seed = Annotated[int, typer.Option(help="Decides split, first weights and order; the same seed, the same weights.")]
TestShare = Annotated[float, typer.Option(help="Share of the images to test on, where the data bring no split.")]
Symmetry = Annotated[
    str, typer.Option(help="Views of an image that show the same: none, flip, all, or auto to find out.")
]
Backbone = Annotated[str | None, typer.Option(help="efficientnet-lite0, or timm:NAME with the extra timm.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what is finished in --out.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run folder to write.")] = Path("runs/demo"),
    epochs: Epochs = None,
    budget: Budget = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train and report on the embedded example data: 2,624 photos of solar cells."""
    from whycam.data.elpv import LICENCE, SOURCE, elpv_dataset

    data = elpv_dataset()
    _terminal(as_json).say(f"Training on the ELPV example data, licence {LICENCE} (not for commercial use).")
    data = replace(data, notes=(*data.notes, f"Example data: {SOURCE}. Licence: {LICENCE}."))
    _train(
        data,
        as_json,
        out=out,
        epochs=epochs,
        budget=budget,
        seed=seed,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    recipe: Annotated[
        str | None, typer.Option(help="A complete training configuration: default, finetune or classic.")
    ] = None,
    epochs: Epochs = None,
    budget: Budget = None,
    seed: Seed = 0,
    test_share: TestShare = 0.25,
    symmetry: Symmetry = "auto",
    backbone: Backbone = None,
    device: Device = "auto",
    strict: Strict = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train on labelled images; write the model, its evaluation and a report into a run folder."""
    _train(
        data,
        as_json,
        out=out,
        recipe=recipe,
        epochs=epochs,
        budget=budget,
        seed=seed,
        test_share=test_share,
        symmetry=symmetry,
        backbone=backbone,
        device=device,
        strict=strict,
        resume=resume,
        overwrite=overwrite,
    )


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[Path | None, typer.Argument(help="Other labelled images; the run's own if left out.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default into the run.")] = None,
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Metrics, plots and report again, on the run's own images or on other data."""
    from whycam import workflow

    result = workflow.evaluate(run, data, out=out, device=device, strict=strict, progress=_progress(as_json))
    _report(result, as_json)


@app.command()
def explain(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder that gets one folder an image.")],
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Say why images get their scores: heatmap, evidence and segments, as pictures and numbers."""
    from whycam import workflow
    from whycam.types import Skipped

    terminal = _terminal(as_json)
    inspections: list[dict[str, object]] = []
    skipped: list[dict[str, object]] = []
    results = workflow.explain(run, images, out=out, device=device, strict=strict, progress=_progress(as_json))
    for result in results:
        if isinstance(result, Skipped):
            terminal.say(f"Skipped   {result.file}: {result.reason}")
            skipped.append({"file": result.file, "reason": result.reason})
        else:
            folder, inspection = result
            terminal.say(f"{inspection.verdict:<9} score {inspection.score:.3g}  {inspection.file} -> {folder}")
            inspections.append({**inspection.summary(), "folder": str(folder)})
    if as_json:
        _print_json({"inspections": inspections, "skipped": skipped})


@app.command()
def score(
    run: RunFolder,
    data: Annotated[list[Path], typer.Argument(help="Folders, images or CSV files; no labels needed.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write, or - for standard output.")],
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Score images; rows are written as they come: file, score, verdict, problem."""
    from whycam import run_folder, workflow

    to_screen = str(out) == "-"
    if to_screen and as_json:
        raise OptionError("--out - and --json both want standard output: give one of them.")
    scored = workflow.score(run, data, device=device, strict=strict, progress=_progress(as_json))
    if to_screen:
        run_folder.stream_scores(sys.stdout, scored)
        return
    with run_folder.new_table(out) as file:
        counts = run_folder.stream_scores(file, scored)
    _terminal(as_json).say(
        f"{counts['normal']} normal, {counts['anomalous']} anomalous, {counts['unreadable']} unreadable -> {out}"
    )
    if as_json:
        _print_json({"out": str(out), **{name: counts[name] for name in ("normal", "anomalous", "unreadable")}})


def main() -> None:
    """Run the command line; every mistake a user can mend ends in one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold letters that the terminal's encoding lacks; the result must be printed all the same.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
    except WhyCAMError as error:
        _fail(str(error))
    except TyperException as error:
        text = error.format_message()
        # Without any argument the help has been printed already, and the message is empty.
        _fail(f"{text} See `whycam --help`.") if text else sys.exit(2)
    except BrokenPipeError:
        # Whoever read our output has had enough; Python must not complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        where = printable(error.filename) if isinstance(error.filename, str) else "A file"
        _fail(f"{where}: {error.strerror or error}. Check space, permissions and the path.")
    if code == _INTERRUPTED:
        resumable = sys.argv[1:2] in (["train"], ["demo"]) and not any(a.startswith("--budget") for a in sys.argv)
        how = " What is finished is kept: the same command with --resume goes on from there." if resumable else ""
        sys.stderr.write(f"whycam: stopped.{how}\n")
    raise SystemExit(code if isinstance(code, int) else 0)


def _train(data: Path | Dataset, as_json: bool, **options: Any) -> None:
    from whycam import workflow

    _report(workflow.train(data, progress=_progress(as_json), **options), as_json)


def _report(run: Run, as_json: bool) -> None:
    from whycam.evaluation.evaluate import to_json

    card = run.detector.card
    terminal = _terminal(as_json)
    terminal.data(run.data)
    terminal.choices(card.training)
    if card.training.interrupted:
        done, planned = card.training.epochs_done, card.training.epochs_planned
        terminal.say(f"Stopped   after {done} of {planned} epochs; --resume goes on from there.")
    terminal.say()
    terminal.evaluation(run.evaluation)
    terminal.say(f"Report    {run.folder / 'report.html'}")
    if as_json:
        _print_json({"run": str(run.folder), "metrics": json.loads(to_json(run.evaluation))})


def _progress(as_json: bool) -> Progress:
    from whycam.progress import SILENT
    from whycam.terminal import TerminalProgress

    return SILENT if as_json else TerminalProgress()


def _terminal(as_json: bool) -> Terminal:
    from whycam.terminal import Terminal

    return Terminal(quiet=as_json)


def _print_json(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def _fail(text: str) -> NoReturn:
    for line in text.splitlines():
        sys.stderr.write(f"whycam: {line}\n")
    if "--json" in sys.argv[1:]:
        _print_json({"error": text})
    raise SystemExit(2)


if __name__ == "__main__":
    main()
