"""Train, evaluate, explain and score from end to end: what the command line calls, and the Python API itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from whycam import run_folder
from whycam.bundle import describe_data, make_card, save_bundle
from whycam.card import Card
from whycam.data.cache import PixelCache, open_pixels
from whycam.data.images import decode_resized
from whycam.data.parallel import in_order
from whycam.data.samples import check_classes, open_dataset, open_unlabelled
from whycam.data.split import split_samples
from whycam.detector import Detector, batches
from whycam.errors import DataError, ImageError, OptionError, RunError, one_of
from whycam.evaluation.threshold import midpoint
from whycam.fitting import fingerprint, fit, plan
from whycam.inspection import Inspection
from whycam.judging import heatmap_scale, judge
from whycam.progress import SILENT, Progress
from whycam.training.recipe import RECIPES, Recipe
from whycam.types import Dataset, Evaluation, Pixels, Sample, Scored


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, what was measured, and the detector it made."""

    folder: Path
    card: Card
    evaluation: Evaluation
    detector: Detector


def train(
    data: str | Path | Dataset,
    *,
    out: str | Path,
    recipe: str = "classic",
    epochs: int | None = None,
    seed: int = 0,
    test_share: float = 0.25,
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
        recipe: name of the training configuration.
        epochs: instead of the recipe's number.
        seed: decides the split, the first weights and the order of images; the same seed gives the same weights.
        test_share: of the images, where the data bring no split of their own; above 0 and below 1.
        device: `auto`, `cpu` or `cuda`.
        strict: raise where any file had to be skipped.
        resume: go on after the last finished epoch in `out`; the result equals that of a training never stopped.
        overwrite: replace an earlier run in `out`.

    Raises:
        DataError, OptionError, RunError: the text says what is wrong and what to do.
        KeyboardInterrupt: Ctrl-C before the first epoch was finished; later, the run is finished with what is there.
    """
    chosen = _recipe(recipe, epochs)
    folder = Path(out)
    run_folder.check_writable(folder, resume=resume, overwrite=overwrite)
    found = data if isinstance(data, Dataset) else open_dataset(data)
    check_classes(found)
    dataset, pixels = _readable(found, chosen.size_hw, strict=strict, progress=progress)
    check_classes(dataset)
    dataset, how = split_samples(dataset, test_share, seed=seed)
    planned, checkpoint = plan(folder, dataset, pixels, chosen, seed=seed, device=device, resume=resume)
    run_folder.start(folder, overwrite=overwrite)
    run_folder.write_samples(folder, dataset, pixels.digests)
    fitted = fit(folder, dataset, pixels, chosen, planned=planned, checkpoint=checkpoint, progress=progress)
    described = describe_data(dataset, fingerprint=fingerprint(dataset, pixels), split=how)
    card = make_card(fitted.network, fitted.card, described, threshold=midpoint(), size_hw=chosen.size_hw)
    scale = heatmap_scale(Detector(fitted.network, card, device=device), dataset, pixels, progress=progress)
    card = replace(card, heatmap=replace(card.heatmap, scale=scale))
    save_bundle(folder, fitted.network, card)
    detector = Detector(fitted.network, card, device=device)
    evaluation = judge(folder, detector, dataset, pixels, card=card, history=fitted.history, progress=progress)
    return Run(folder, card, evaluation, detector)


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
        data: other labelled images, all taken as test images; None for the run's own.
        out: where to write; by default the run folder itself, or `evaluation-NAME` inside it for other data.

    Raises:
        RunError: the run's images changed or are gone since it was trained.
        DataError: the other data cannot be used, or contain images that the model was trained on.
    """
    source = Path(run)
    detector = load(source, device=device)
    card = detector.card
    own, digests = run_folder.read_samples(source, Path(card.data.root))
    history = run_folder.read_history(source)
    if data is None:
        target = Path(out) if out else source
        pixels = open_pixels(own.samples, card.model.size_hw, progress=progress)
        _check_unchanged(source, pixels, digests)
        dataset = own
    else:
        target = Path(out) if out else source / f"evaluation-{Path(data).resolve().stem}"
        dataset, pixels = _readable(open_dataset(data), card.model.size_hw, strict=strict, progress=progress)
        dataset = replace(dataset, samples=tuple(replace(sample, split="test") for sample in dataset.samples))
        _check_unseen(dataset, pixels, own, digests)
        described = describe_data(
            dataset, fingerprint=fingerprint(dataset, pixels), split=f"All images of {data} were tested on."
        )
        card = replace(card, data=described)
    target.mkdir(parents=True, exist_ok=True)
    evaluation = judge(target, detector, dataset, pixels, card=card, history=history, progress=progress)
    return Run(target, card, evaluation, detector)


def explain(
    run: str | Path,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Iterator[tuple[Path, Inspection]]:
    """Score and explain images; each result, as it comes, is saved in a folder of its own under `out`.

    Raises:
        DataError: a path does not exist, or holds no image.
        ImageError: an image cannot be read; results before it are kept.
        RunError: a result's folder exists already (before anything is written).
    """
    detector = load(run, device=device)
    samples = open_unlabelled(images).samples
    folders = [Path(out) / name for name in _folder_names(samples)]
    taken = [folder for folder in folders if folder.exists()]
    if taken:
        raise RunError(f"{taken[0]} exists already: name another folder with --out.")
    with progress.bar("explaining", len(samples)) as bar:
        inspections = detector.inspect_all(sample.path for sample in samples)
        for folder, inspection in zip(folders, inspections, strict=True):
            yield inspection.save(folder), inspection
            bar.advance()


def score(
    run: str | Path,
    data: Sequence[str | Path],
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
    return _scored(load(run, device=device), open_unlabelled(data).samples, strict=strict, progress=progress)


def _scored(detector: Detector, samples: Sequence[Sample], *, strict: bool, progress: Progress) -> Iterator[Scored]:
    size_hw = detector.card.model.size_hw

    def prepared(sample: Sample) -> Pixels | str:
        try:
            return decode_resized(sample.path, size_hw)
        except ImageError as error:
            return str(error)

    with progress.bar("scoring", len(samples)) as bar:
        for batch in batches(zip(samples, in_order(prepared, samples), strict=True)):
            scores = detector.score(pixels for _, pixels in batch if not isinstance(pixels, str))
            for sample, pixels in batch:
                if not isinstance(pixels, str):
                    value = next(scores)
                    yield Scored(sample.file, value, detector.card.threshold.verdict(value), "")
                elif strict:
                    raise DataError(f"{sample.file}: {pixels} (--strict allows no skipped file).")
                else:
                    yield Scored(sample.file, None, None, pixels)
                bar.advance()


def _recipe(name: str, epochs: int | None) -> Recipe:
    if name not in RECIPES:
        raise OptionError(one_of("recipe", tuple(RECIPES), name))
    if epochs is not None and epochs < 1:
        raise OptionError(f"`epochs` must be 1 or more, got {epochs} instead.")
    recipe = RECIPES[name]
    return recipe if epochs is None else replace(recipe, epochs=epochs)


def _readable(
    found: Dataset, size_hw: tuple[int, int], *, strict: bool, progress: Progress
) -> tuple[Dataset, PixelCache]:
    """The samples that can be decoded, and their pixels; with `strict` all of them must be."""
    pixels = open_pixels(found.samples, size_hw, progress=progress)
    dataset = found.without(pixels.skipped)
    if strict and dataset.skipped:
        raise DataError(*(f"{item.file}: {item.reason} (--strict allows no skipped file)." for item in dataset.skipped))
    return dataset, pixels


def _check_unchanged(run: Path, pixels: PixelCache, digests: dict[str, str]) -> None:
    problems = [f"{item.file}: {item.reason}" for item in pixels.skipped]
    problems += [f"{file}: changed" for file, digest in pixels.digests.items() if digests[file] != digest]
    if problems:
        raise RunError(
            f"{len(problems)} of the images that {run} was made with are gone or changed, first {problems[0]}: "
            "put them back, or name the data to evaluate on."
        )


def _check_unseen(dataset: Dataset, pixels: PixelCache, own: Dataset, digests: dict[str, str]) -> None:
    trained_on = {digests[sample.file] for sample in own.samples if sample.split == "train"}
    seen = [sample.file for sample in dataset.samples if pixels.digests[sample.file] in trained_on]
    if seen:
        raise DataError(
            f"{len(seen)} of {len(dataset.samples)} images were trained on, first {seen[0]}: "
            "figures on them would be too good. Take them out of the data."
        )


def _folder_names(samples: Iterable[Sample]) -> list[str]:
    """A folder name for each image: its stem, numbered where it is not the first with that stem."""
    used: set[str] = set()
    names = []
    for sample in samples:
        stem = sample.path.stem
        tries = (f"{stem}-{number}" for number in count(2))
        name = stem if stem not in used else next(name for name in tries if name not in used)
        used.add(name)
        names.append(name)
    return names
