"""Train, evaluate, explain and score from end to end: what the command line calls, and the Python API itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whycam import run_folder
from whycam.budget import parse_duration, within
from whycam.bundle import describe_data, make_card, save_bundle
from whycam.card import DataCard
from whycam.data.cache import PixelCache, open_pixels
from whycam.data.copies import copies_notes
from whycam.data.samples import check_classes, open_dataset, open_unlabelled
from whycam.data.split import check_split_options, split_samples
from whycam.detector import Detector
from whycam.errors import DataError, OptionError, RunError, printable
from whycam.evaluation.threshold import midpoint
from whycam.fitting.fit import fit
from whycam.fitting.plan import fingerprint, plan
from whycam.inspection import Inspection
from whycam.judging import heatmap_scale, judge
from whycam.networks.device import pick_device
from whycam.progress import SILENT, Progress
from whycam.streaming import explain_images, folder_names, score_images
from whycam.training.recipe import DEFAULT, choose_recipe
from whycam.types import Dataset, Evaluation, Scored, Skipped


@dataclass(frozen=True)
class Run:
    """A finished run or evaluation: its folder, what was measured, and the detector."""

    folder: Path
    data: DataCard
    """What was evaluated."""
    evaluation: Evaluation
    detector: Detector


def train(
    data: str | Path | Dataset,
    *,
    out: str | Path,
    recipe: str | None = None,
    budget: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    test_share: float = 0.25,
    symmetry: str = "auto",
    backbone: str | None = None,
    device: str = "auto",
    strict: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Train on labelled images and write a run folder: the model, its evaluation and a report.

    Args:
        data: a folder, a CSV file (both as described in the documentation), or samples already found.
        out: the run folder; new or empty unless `resume` or `overwrite`.
        recipe: name of the training configuration: `default` where there is none, or what the budget allows.
        budget: a time such as `90s`, `20m` or `1h`: chooses what fits into it on this machine, as measured, from the
            call to the end of the report. What else is given stays as it is. Not with `resume`.
        epochs: instead of the recipe's number.
        seed: decides the split, the first weights and the order of images; the same seed gives the same weights.
        test_share: of the images, where the data bring no split of their own; above 0 and below 1.
        symmetry: which views of an image show the same thing: `none`, `flip` (its mirror image), `all` (turned and
            mirrored), or `auto` to find out on held-out training images. Not for `classic`.
        backbone: `efficientnet-lite0`, or `timm:NAME` (needs the extra `timm`), instead of the recipe's.
        device: `auto`, `cpu` or `cuda`.
        strict: raise where any file had to be skipped.
        resume: go on after the last finished epoch in `out`; the result equals that of a training never stopped.
        overwrite: replace an earlier run in `out`.

    Raises:
        DataError, OptionError, RunError: the text says what is wrong and what to do.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished; later, the run is finished with what is there.
    """
    began = time.monotonic()
    chosen = choose_recipe(recipe or DEFAULT.name, epochs=epochs, symmetry=symmetry, backbone=backbone)
    seconds = None if budget is None else parse_duration(budget)
    if seconds is not None and resume:
        raise OptionError("`budget` must be left out with `resume`: how fast the machine is may have changed.")
    check_split_options(test_share, seed=seed)
    pick_device(device)
    folder = Path(out)
    run_folder.check_writable(folder, resume=resume, overwrite=overwrite)
    found = data if isinstance(data, Dataset) else open_dataset(data)
    check_classes(found, chosen.fewest)
    _check_apart(folder, found)
    told: tuple[str, ...] = ()
    deadline = None
    if seconds is not None:
        choice = within(
            seconds,
            found,
            recipe,
            epochs=epochs,
            symmetry=symmetry,
            backbone=backbone,
            test_share=test_share,
            device=device,
            began=began,
        )
        chosen, told = choice.recipe, choice.sentences
        deadline = began + seconds - choice.after
        for sentence in told:
            progress.say(sentence)
    dataset, pixels = _readable(found, chosen.size_hw, strict=strict, progress=progress)
    check_classes(dataset, chosen.fewest)
    dataset, how = split_samples(dataset, test_share, seed=seed, fewest=chosen.fewest)
    dataset = replace(dataset, notes=dataset.notes + copies_notes(dataset, pixels.digests))
    planned, checkpoint = plan(folder, dataset, pixels, chosen, seed=seed, device=device, resume=resume)
    with run_folder.held(folder):
        run_folder.check_writable(folder, resume=resume, overwrite=overwrite)
        run_folder.start(folder, overwrite=overwrite)
        run_folder.write_samples(folder, dataset, pixels.digests)
        fitted = fit(
            folder,
            dataset,
            pixels,
            chosen,
            planned=planned,
            checkpoint=checkpoint,
            progress=progress,
            deadline=deadline,
        )
        described = describe_data(dataset, fingerprint=planned.fingerprint, split=how)
        training = replace(fitted.card, choices=told + fitted.card.choices)
        card = make_card(fitted.network, training, described, threshold=midpoint(), size_hw=chosen.size_hw)
        detector = Detector(fitted.network, card, device=device)
        scores = detector.score_cached(pixels, pixels.rows(dataset.samples), progress=progress)
        scale = heatmap_scale(detector, dataset, pixels, scores, progress=progress)
        detector.card = card = replace(card, heatmap=replace(card.heatmap, scale=scale))
        evaluation = judge(
            folder, detector, dataset, pixels, scores, evaluated=None, history=fitted.history, progress=progress
        )
        save_bundle(folder, fitted.network, card)
    return Run(folder, described, evaluation, detector)


def load(run: str | Path, *, device: str = "cpu") -> Detector:
    """The detector of a finished run; RunError where there is none."""
    return Detector.load(run, device=device)


def evaluate(
    run: str | Path,
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Metrics, plots and report again: on the run's own images, or on other labelled data.

    Args:
        run: a run folder.
        data: other labelled images, all taken as test images; None for the run's own. Where they are the run's own
            images in another place, the run's split is used.
        out: where to write; by default the run folder itself, or `evaluation-NAME-FINGERPRINT` in it for other data.
        strict: raise where any file of `data` had to be skipped.

    Raises:
        RunError: the run's images changed or are gone since it was trained; `out` holds something else.
        DataError: the other data cannot be used, or contain images that the model was trained on.
    """
    source = Path(run)
    detector = load(source, device=device)
    size_hw = detector.card.model.size_hw
    dataset, digests = run_folder.read_samples(source, Path(detector.card.data.root))
    history = run_folder.read_history(source)
    described, evaluated = detector.card.data, None
    target = Path(out) if out else source
    if data is not None:
        other, pixels = _readable(open_dataset(data), size_hw, strict=strict, progress=progress)
        if set(pixels.digests.values()) == set(digests.values()):
            dataset = _moved(dataset, digests, other, pixels)
        else:
            _check_unseen(other, pixels, dataset, digests)
            dataset = replace(other, samples=tuple(replace(sample, split="test") for sample in other.samples))
            mark = fingerprint(dataset, pixels)
            described = evaluated = describe_data(dataset, fingerprint=mark, split="All images were tested on.")
            target = Path(out) if out else source / f"evaluation-{printable(Path(data).resolve().name)}-{mark[:8]}"
    if evaluated is None:
        _check_present(source, dataset)
        pixels = open_pixels(dataset.samples, size_hw, progress=progress)
        _check_unchanged(source, pixels, digests)
    if target != source:
        run_folder.check_evaluation_place(target)
    with run_folder.held(target):
        scores = detector.score_cached(pixels, pixels.rows(dataset.samples), progress=progress)
        evaluation = judge(
            target, detector, dataset, pixels, scores, evaluated=evaluated, history=history, progress=progress
        )
    return Run(target, described, evaluation, detector)


def explain(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Iterator[tuple[Path, Inspection] | Skipped]:
    """Score and explain images; each result, as it comes, is saved in a folder of its own under `out`.

    A file that cannot be read gives a `Skipped` instead.

    Raises:
        DataError: a path does not exist, or holds no image (at once); with `strict`, a file that cannot be read.
        RunError: a result's folder exists already (before anything is written).
    """
    detector = load(run, device=device)
    found = open_unlabelled(images)
    folders = [Path(out) / name for name in folder_names(found.samples)]
    taken = [folder for folder in folders if folder.exists()]
    if taken:
        raise RunError(f"{taken[0]} exists already: name another folder with --out.")
    return explain_images(detector, found, folders, strict=strict, progress=progress)


def score(
    run: str | Path,
    data: str | Path | Sequence[str | Path],
    *,
    device: str = "cpu",
    strict: bool = False,
    progress: Progress = SILENT,
) -> Iterator[Scored]:
    """The score and verdict of every image, as they come: folders, files and tables, labelled or not, of any length.

    A file that cannot be read gives a line with its problem, never a score.

    Raises:
        DataError: a path does not exist, or holds no image (at once); with `strict`, a file that cannot be read.
    """
    return score_images(load(run, device=device), open_unlabelled(data), strict=strict, progress=progress)


def _readable(
    found: Dataset, size_hw: tuple[int, int], *, strict: bool, progress: Progress
) -> tuple[Dataset, PixelCache]:
    """The samples that can be decoded, and their pixels; with `strict` all of them must be."""
    pixels = open_pixels(found.samples, size_hw, progress=progress)
    dataset = found.without(pixels.skipped)
    if strict and dataset.skipped:
        raise DataError(*(f"{item.file}: {item.reason} (--strict allows no skipped file)." for item in dataset.skipped))
    return dataset, pixels


def _check_apart(folder: Path, found: Dataset) -> None:
    taken = {found.root.resolve(), *(sample.path.parent.resolve() for sample in found.samples)}
    if folder.resolve() in taken:
        raise RunError(f"{folder} holds the data itself: name another folder with --out.")


def _check_present(run: Path, dataset: Dataset) -> None:
    gone = [sample.file for sample in dataset.samples if not sample.path.exists()]
    if gone:
        raise RunError(
            f"{len(gone)} of the images that {run} was made with are gone from {printable(dataset.root)}, "
            f"first {gone[0]}: put them back, or name the folder or table where they are now."
        )


def _check_unchanged(run: Path, pixels: PixelCache, digests: Mapping[str, str]) -> None:
    problems = [f"{item.file}: {item.reason}" for item in pixels.skipped]
    problems += [f"{file} has other content" for file, digest in pixels.digests.items() if digests[file] != digest]
    if problems:
        raise RunError(
            f"{len(problems)} of the images that {run} was made with changed, first {problems[0]}: restore them."
        )


def _moved(own: Dataset, digests: Mapping[str, str], other: Dataset, pixels: PixelCache) -> Dataset:
    """The run's own samples at the places where `other` has the same content."""
    places = {pixels.digests[sample.file]: sample.path for sample in other.samples}
    samples = tuple(replace(sample, path=places[digests[sample.file]]) for sample in own.samples)
    return replace(own, root=other.root, samples=samples)


def _check_unseen(dataset: Dataset, pixels: PixelCache, own: Dataset, digests: Mapping[str, str]) -> None:
    trained_on = {digests[sample.file] for sample in own.samples if sample.split == "train"}
    seen = [sample.file for sample in dataset.samples if pixels.digests[sample.file] in trained_on]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(dataset.samples)} images were trained on, first {seen[0]}: "
            "figures on them would be too good. Take them out of the data."
        )
