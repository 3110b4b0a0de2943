"""A finished run put to use: scores and explanations of images, as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whycam.data.facts import gather
from whycam.data.samples import open_unlabelled
from whycam.errors import RunError
from whycam.explain.methods import method_named
from whycam.networks.device import check_device
from whycam.progress import SILENT, Progress
from whycam.run_mark import check_finished
from whycam.types import Dataset, Scored, Skipped

if TYPE_CHECKING:
    from whycam.inspection import Inspection


def explain(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    method: str | None = None,
    first_page: bool = False,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Iterator[tuple[Path, Inspection] | Skipped]:
    """Score and explain images; each result, as it comes, is saved in a folder of its own under `out`.

    A file that cannot be read gives a `Skipped` instead.

    Args:
        run: a run folder.
        images: files and folders of them.
        out: a folder that gets one folder an image.
        method: what makes the heatmaps, a name of `whycam.explain.methods.METHODS`; the run's own where it is None.
            Any other gets its colour scale from the run's training images, which must be where they were.
        first_page: read files of several pages or frames by their first, even if the training did not.

    Raises:
        DataError: a path does not exist, or holds no image (at once); with `strict`, a file that cannot be read.
        RunError: a result's folder exists already (before anything is written), or the run's images are gone that the
            method's colour scale is to be set by.
    """
    how_shown = None if method is None else method_named(method)
    check_device(device)
    check_finished(Path(run))
    found = open_unlabelled(images, first_page=first_page)
    # These import torch, which takes seconds: most mistakes have been told by now.
    from whycam.streaming import explain_images, folder_names
    from whycam.workflow.runs import load

    _say_left_out(found, progress)
    folders = [Path(out) / name for name in folder_names(found.samples)]
    taken = [folder for folder in folders if folder.exists()]
    if taken:
        raise RunError(f"{taken[0]} exists already: name another folder with --out.")
    detector = load(run, device=device)
    if how_shown is not None and how_shown != detector.card.heatmap.method:
        # What judges runs imports scikit-learn and matplotlib, which nothing else here needs.
        from whycam.judging import show_by
        from whycam.workflow.evaluation import own_images

        own = own_images(Path(run), detector, progress=progress)
        scores = detector.score_cached(own.pixels, own.pixels.rows(own.dataset.samples), progress=progress)
        show_by(detector, how_shown, own.dataset, own.pixels, scores, progress=progress)
    return explain_images(detector, found, folders, strict=strict, progress=progress)


def score(
    run: str | Path,
    data: str | Path | Sequence[str | Path],
    *,
    first_page: bool = False,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Iterator[Scored]:
    """The score and verdict of every image, as they come: folders, files and tables, labelled or not, of any length.

    A file that cannot be read gives a line with its problem, never a score. With `first_page` files of several pages
    or frames are read by their first, even if the training did not.

    Raises:
        DataError: a path does not exist, or holds no image (at once); with `strict`, a file that cannot be read.
    """
    check_device(device)
    check_finished(Path(run))
    found = open_unlabelled(data, first_page=first_page)
    # These import torch, which takes seconds: most mistakes have been told by now.
    from whycam.streaming import score_images
    from whycam.workflow.runs import load

    _say_left_out(found, progress)
    return score_images(load(run, device=device), found, strict=strict, progress=progress)


def _say_left_out(found: Dataset, progress: Progress) -> None:
    from whycam.report.data_words import left_out_lines

    for label, text in left_out_lines(gather(found)):
        progress.say(f"{label:<10}{text}")
