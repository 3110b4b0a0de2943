"""One image after another, however many: results as they come, and files that cannot be read by name and reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from whycam.data.facts import strict_lines
from whycam.data.images import Decoded, read_image
from whycam.data.levels import sentence
from whycam.data.parallel import in_order
from whycam.detector import Detector, batches
from whycam.errors import DataError, ImageError
from whycam.inspection import Inspection
from whycam.progress import Progress
from whycam.types import Dataset, Sample, Scored, Skipped


def explain_images(
    detector: Detector, found: Dataset, folders: Sequence[Path], *, strict: bool, progress: Progress
) -> Iterator[tuple[Path, Inspection] | Skipped]:
    """Inspect every image and save the result in its folder of `folders`; see `whycam.workflow.explain`."""
    for item in found.unread:
        yield _tolerated(item, strict=strict)
    with progress.bar("explaining", len(found.samples)) as bar:
        for sample, folder in zip(found.samples, folders, strict=True):
            try:
                inspection = detector.inspect(sample.path, first_page=found.first_page)
            except ImageError as error:
                yield _tolerated(Skipped(sample.file, str(error.__cause__ or error)), strict=strict)
            else:
                yield inspection.save(folder), inspection
            bar.advance()


def score_images(detector: Detector, found: Dataset, *, strict: bool, progress: Progress) -> Iterator[Scored]:
    """Decode with all cores and score in batches; see `whycam.workflow.score`."""
    model = detector.card.model
    first_page = found.first_page or model.first_page
    level = None if detector.novelty is None else detector.novelty.level

    def prepared(sample: Sample) -> Decoded | Skipped:
        try:
            return read_image(sample.path, levels=model.levels, size_hw=model.size_hw, first_page=first_page)
        except ImageError as error:
            return Skipped(sample.file, str(error))

    for item in found.unread:
        yield _unread(_tolerated(item, strict=strict), item.file)
    with progress.bar("scoring", len(found.samples)) as bar:
        for batch in batches(zip(found.samples, in_order(prepared, found.samples), strict=True)):
            judged = detector.judge(read.pixels for _, read in batch if not isinstance(read, Skipped))
            for sample, read in batch:
                if isinstance(read, Skipped):
                    yield _unread(_tolerated(read, strict=strict), sample.file)
                else:
                    value, p_value = next(judged)
                    yield Scored(
                        file=sample.file,
                        score=value,
                        verdict=detector.card.threshold.verdict(value),
                        p_value=p_value,
                        novel=None if p_value is None or level is None else p_value <= level,
                        problem="",
                        warning=" ".join(map(sentence, read.remarks)),
                    )
                bar.advance()


def _unread(item: Skipped, file: str) -> Scored:
    return Scored(file=file, score=None, verdict=None, p_value=None, novel=None, problem=item.reason)


def _tolerated(item: Skipped, *, strict: bool) -> Skipped:
    if strict:
        raise DataError(*strict_lines([item]))
    return item


def folder_names(samples: Iterable[Sample]) -> list[str]:
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
