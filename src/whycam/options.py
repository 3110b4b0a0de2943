"""The options that several commands share, each with its one help text; free of heavy imports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from whycam.explain.methods import METHODS
from whycam.types import Reading


def _print_version(wanted: bool) -> None:
    if wanted:
        from whycam import __version__

        sys.stdout.write(f"whycam {__version__}\n")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
]
Data = Annotated[Path, typer.Argument(help="Folder with normal/ and anomalous/, or a CSV file (file,target,...).")]
Normal = Annotated[
    list[str] | None,
    typer.Option("--normal", metavar="NAME", help="A folder, or a word in a table, that means normal; repeatable."),
]
Anomalous = Annotated[
    list[str] | None,
    typer.Option("--anomalous", metavar="NAME", help="Likewise anomalous; the name is the kind; repeatable."),
]
LeaveOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", metavar="NAME", help="A folder, or a word in a table, not to be used; repeatable."),
]
GroupColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The table's column of what belongs together, instead of group.")
]
SplitColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The table's column of train and test, or such as fold=0: test on fold 0."),
]
FirstPage = Annotated[
    bool, typer.Option("--first-page", help="Read files of several pages or frames by their first, not refuse them.")
]
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
Split = Annotated[
    str, typer.Option(help="given: keep the data's own split; safe: draw one that keeps groups and copies whole.")
]
Symmetry = Annotated[
    str, typer.Option(help="Views of an image that show the same: none, flip, all, or auto to find out.")
]
Backbone = Annotated[str | None, typer.Option(help="efficientnet-lite0, or timm:NAME with the extra timm.")]
Threshold = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="Where anomalous begins: midpoint, f1, youden, 'recall>=0.99', 'false-alarms<=0.02', "
        "'cost miss=500 alarm=3 rate=0.01' or a number.",
    ),
]
Unsure = Annotated[
    str | None,
    typer.Option(metavar="PROMISES", help="Leave scores unsure between 'recall>=0.99 false-alarms<=0.01', or 0.02."),
]
Method = Annotated[str, typer.Option(help=f"What makes heatmaps: {', '.join(METHODS)}.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what is finished in --out.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]


def reading(
    normal: list[str] | None,
    anomalous: list[str] | None,
    leave_out: list[str] | None,
    group_column: str | None,
    split_column: str | None,
    first_page: bool,
) -> Reading:
    """What these options say about how the data are to be read."""
    return Reading(
        tuple(normal or ()),
        tuple(anomalous or ()),
        tuple(leave_out or ()),
        group_column,
        split_column,
        first_page,
        typed=("whycam", *sys.argv[1:]),
    )
