"""The command line: parses, calls the workflow, prints. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whycam.ending import end, print_json
from whycam.errors import DataError, OptionError, StoppedError
from whycam.options import (
    Anomalous,
    Backbone,
    Budget,
    Data,
    Device,
    Epochs,
    FirstPage,
    GroupColumn,
    Json,
    LeaveOut,
    Method,
    Normal,
    Overwrite,
    Resume,
    RunFolder,
    Seed,
    Split,
    SplitColumn,
    Strict,
    Symmetry,
    TestShare,
    Threshold,
    Unsure,
    Version,
    reading,
)
from whycam.store.folder import lend_home

if TYPE_CHECKING:
    from whycam.progress import Progress
    from whycam.terminal import Terminal
    from whycam.types import Dataset
    from whycam.workflow import Run

app = typer.Typer(
    name="whycam",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _about(version: Version = False) -> None:
    """A verdict you can check: image anomaly scores, with heatmaps that show why."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run folder to write.")] = Path("runs/demo"),
    epochs: Epochs = None,
    budget: Budget = None,
    seed: Seed = 0,
    threshold: Threshold = "midpoint",
    unsure: Unsure = None,
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
        threshold=threshold,
        unsure=unsure,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )


@app.command()
def audit(
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="A new folder for audit.html, with pictures, and audit.json.")
    ] = None,
    normal: Normal = None,
    anomalous: Anomalous = None,
    leave_out: LeaveOut = None,
    group_column: GroupColumn = None,
    split_column: SplitColumn = None,
    first_page: FirstPage = False,
    seed: Seed = 0,
    device: Device = "auto",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 where something serious is found, or a file cannot be read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for what is wrong with the data: copies and leaks, shortcuts, wrong labels, bad images. Trains nothing."""
    from whycam import workflow
    from whycam.data.facts import strict_lines
    from whycam.report.audit_words import to_json

    names = reading(normal, anomalous, leave_out, group_column, split_column, first_page)
    found = workflow.audit(data, out=out, reading=names, seed=seed, device=device, progress=_progress(as_json))
    _terminal(as_json).audit(found, out)
    if as_json:
        print_json(json.loads(to_json(found)))
    unread = [item for item in found.data.left_out if item.failed] if found.data is not None else []
    if strict and unread:
        for line in strict_lines(unread):
            typer.echo(f"whycam: {line}", err=True)
    if strict and (unread or found.count("serious")):
        raise typer.Exit(1)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    recipe: Annotated[
        str | None, typer.Option(help="A complete training configuration: default, finetune or classic.")
    ] = None,
    normal: Normal = None,
    anomalous: Anomalous = None,
    leave_out: LeaveOut = None,
    group_column: GroupColumn = None,
    split_column: SplitColumn = None,
    first_page: FirstPage = False,
    epochs: Epochs = None,
    budget: Budget = None,
    seed: Seed = 0,
    test_share: TestShare = 0.25,
    split: Split = "given",
    symmetry: Symmetry = "auto",
    backbone: Backbone = None,
    threshold: Threshold = "midpoint",
    unsure: Unsure = None,
    method: Method = "grad-cam",
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
        reading=reading(normal, anomalous, leave_out, group_column, split_column, first_page),
        out=out,
        recipe=recipe,
        epochs=epochs,
        budget=budget,
        seed=seed,
        test_share=test_share,
        split=split,
        symmetry=symmetry,
        backbone=backbone,
        threshold=threshold,
        unsure=unsure,
        method=method,
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
    normal: Normal = None,
    anomalous: Anomalous = None,
    leave_out: LeaveOut = None,
    group_column: GroupColumn = None,
    split_column: SplitColumn = None,
    first_page: FirstPage = False,
    threshold: Annotated[
        str | None, typer.Option(metavar="RULE", help="Draw the run's line anew: a rule as for train.")
    ] = None,
    unsure: Unsure = None,
    method: Annotated[str | None, typer.Option(help="Make the run's heatmaps anew: a method as for train.")] = None,
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Metrics, plots and report again, on the run's own images or on other data."""
    from whycam.data.listing import why_unreachable
    from whycam.run_mark import check_finished

    # What evaluates imports torch and scikit-learn, which takes seconds: a wrong path is told before.
    check_finished(run)
    if data is not None and (problem := why_unreachable(data)):
        raise DataError(problem)
    from whycam import workflow

    result = workflow.evaluate(
        run,
        data,
        out=out,
        reading=reading(normal, anomalous, leave_out, group_column, split_column, first_page),
        threshold=threshold,
        unsure=unsure,
        method=method,
        device=device,
        strict=strict,
        progress=_progress(as_json),
    )
    _report(result, as_json)


@app.command()
def explain(
    run: RunFolder,
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE...]", help="Image files or folders of them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that gets one folder an image.")] = None,
    method: Annotated[str | None, typer.Option(help="Instead of the run's own; see train.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure how far the run's heatmaps can be trusted; takes no images.")
    ] = False,
    first_page: FirstPage = False,
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Say why images get their scores: heatmap, evidence and segments, as pictures and numbers."""
    from whycam import workflow
    from whycam.run_mark import check_finished
    from whycam.types import Skipped

    if measure:
        if images or out or method:
            raise OptionError("--measure looks at the run's own test images: leave IMAGE, --out and --method out.")
        check_finished(run)
        from whycam.measuring import to_json

        written, measured = workflow.measure(run, device=device, progress=_progress(as_json))
        _terminal(as_json).measured(written, measured)
        if as_json:
            print_json(json.loads(to_json(measured)))
        return
    if not images or out is None:
        raise OptionError("IMAGE and --out must be given: what to explain, and where to; or --measure alone.")
    terminal = _terminal(as_json)
    inspections: list[dict[str, object]] = []
    skipped: list[dict[str, object]] = []
    results = workflow.explain(
        run,
        images,
        out=out,
        method=method,
        first_page=first_page,
        device=device,
        strict=strict,
        progress=_progress(as_json),
    )
    for result in results:
        if isinstance(result, Skipped):
            terminal.say(f"Skipped   {result.file}: {result.reason}")
            skipped.append({"file": result.file, "reason": result.reason})
        else:
            folder, inspection = result
            terminal.say(f"{inspection.verdict:<9} score {inspection.score:.3g}  {inspection.file} -> {folder}")
            for warning in inspection.warnings:
                terminal.say(f"Warning   {inspection.file}: {warning}")
            inspections.append({**inspection.summary(), "folder": str(folder)})
    if as_json:
        print_json({"inspections": inspections, "skipped": skipped})


@app.command()
def score(
    run: RunFolder,
    data: Annotated[list[Path], typer.Argument(help="Folders, images or CSV files; no labels needed.")],
    out: Annotated[Path, typer.Option(help="The CSV file to write, or - for standard output.")],
    first_page: FirstPage = False,
    device: Device = "cpu",
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Score images; rows are written as they come: file, score, verdict, problem."""
    from whycam import run_folder, workflow

    to_screen = str(out) == "-"
    if to_screen and as_json:
        raise OptionError("--out - and --json both want standard output: give one of them.")
    if not to_screen:
        run_folder.check_new_table(out)
    scored = workflow.score(run, data, first_page=first_page, device=device, strict=strict, progress=_progress(as_json))
    if to_screen:
        run_folder.stream_scores(sys.stdout, scored)
        return
    with run_folder.new_table(out) as file:
        counts = run_folder.stream_scores(file, scored)
    _terminal(as_json).say(
        f"{counts['normal']} normal, {counts['anomalous']} anomalous, "
        + (f"{counts['unsure']} unsure, " if counts["unsure"] else "")
        + f"{counts['unreadable']} unreadable"
        + (f", {counts['novel']} of them novel" if counts["novel"] else "")
        + (f", {counts['warned']} with a warning about their pixels" if counts["warned"] else "")
        + f" -> {out}"
    )
    if as_json:
        told = {name: counts[name] for name in ("normal", "anomalous", "unsure", "unreadable")}
        among = {"of_these_novel": counts.get("novel"), "of_these_with_warning": counts["warned"]}
        print_json({"out": str(out), "images": sum(told.values()), **told, **among})


def main() -> None:
    """Run the command line; every mistake a user can mend ends in one line and exit code 2, a gate in exit code 1."""
    lend_home()
    end(lambda: app(standalone_mode=False))


def _train(data: Path | Dataset, as_json: bool, *, out: Path, resume: bool, budget: str | None, **options: Any) -> None:
    from whycam import workflow
    from whycam.run_mark import checkpoint_mark

    before = None if resume else checkpoint_mark(out)
    try:
        run = workflow.train(data, out=out, resume=resume, budget=budget, progress=_progress(as_json), **options)
    except KeyboardInterrupt:
        if budget or checkpoint_mark(out) in (None, before):
            raise
        # With --overwrite, the first time has removed the earlier run.
        how = "--resume instead of --overwrite" if options["overwrite"] else "--resume"
        raise StoppedError(
            f"stopped. What is finished is kept: the same command with {how} goes on from there."
        ) from None
    _report(run, as_json)


def _report(run: Run, as_json: bool) -> None:
    from whycam.evaluation.evaluate import to_json

    _terminal(as_json).run(run)
    if as_json:
        print_json({"run": str(run.folder), "metrics": json.loads(to_json(run.evaluation))})


def _progress(as_json: bool) -> Progress:
    from whycam.progress import SILENT
    from whycam.terminal import TerminalProgress

    return SILENT if as_json else TerminalProgress()


def _terminal(as_json: bool) -> Terminal:
    from whycam.terminal import Terminal

    return Terminal(quiet=as_json)


if __name__ == "__main__":
    main()
