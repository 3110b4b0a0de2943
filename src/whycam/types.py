"""The values that pass between the layers: frozen, free of torch, and free of behaviour that belongs to a layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Split = Literal["train", "test"]
Verdict = Literal["normal", "anomalous", "unsure"]
Floats = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.uint8]

ANOMALOUS_ABOVE = 0.5
"""A target above this counts as anomalous wherever a yes or no is needed."""


# ---------------------------------------------------------------- data


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is known about it."""

    file: str
    """The name people see: the path relative to the data's root, with forward slashes (or as the CSV has it)."""
    path: Path
    """Where the bytes are."""
    target: float | None = None
    """0 normal, 1 anomalous, or between; None where unlabelled."""
    split: Split | None = None
    group: str | None = None
    """Images of one group (one part, one patient) never stand on both sides of a split."""
    kind: str | None = None
    """A finer class, such as the defect type."""
    mask: Path | None = None
    """Image of the true defect's pixels, non-zero where defective."""

    @property
    def anomalous(self) -> bool:
        """Whether the target counts as anomalous; a missing target does not."""
        return self.target is not None and self.target > ANOMALOUS_ABOVE


@dataclass(frozen=True, slots=True)
class Reading:
    """How names in a user's data are to be read where they are not the usual ones; see `docs/data.md`."""

    normal: tuple[str, ...] = ()
    """Names of folders, or words in a table's target column, that mean normal."""
    anomalous: tuple[str, ...] = ()
    """Likewise anomalous; such a name is also the kind."""
    leave_out: tuple[str, ...] = ()
    """Folders, or words in a table's target column, whose images are not to be used."""
    group_column: str | None = None
    """The column of a table that says which images belong together, instead of `group`."""
    split_column: str | None = None
    """The column of a table that says what is for training and what for testing, instead of `split`."""
    first_page: bool = False
    """Whether a file of several pages or frames is read by its first; else it is left out."""
    typed: tuple[str, ...] = field(default=(), compare=False)
    """The command that says all this, word by word, to be suggested again with more; empty where there is none."""


AS_USUAL = Reading()


Cause = Literal["unreadable", "unsupported", "unplaced", "no image"]
Meaning = Literal["normal", "anomalous", "masks", "left out"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why."""

    file: str
    reason: str
    cause: Cause = "unreadable"
    """`unsupported`: an image of a format that cannot be read here; `unplaced`: one whose folders do not say what it
    is; `no image`: a file of another kind."""

    @property
    def failed(self) -> bool:
        """Whether it is an image that could not be read, which `--strict` does not allow."""
        return self.cause in ("unreadable", "unsupported")


@dataclass(frozen=True, slots=True)
class Folder:
    """What one folder of the data was taken for."""

    name: str
    """Relative to the root, with forward slashes."""
    meaning: Meaning
    n: int
    """Images below it that are used; of a folder of masks the masks, of one left out the images it holds."""
    kind: str | None = None
    split: Split | None = None
    why: str = ""
    """Why it was left out; of the others where the meaning comes from, unless the name itself says it."""


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What the masks look like beside their images; each is named by its image."""

    n: int
    n_opened: int
    """So many were decoded, evenly spread; the headers of all were read."""
    inverted: tuple[str, ...] = ()
    """Those of the opened that cover more than half of their image."""
    other_aspect: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...] = ()
    """Image, (width, height) of its mask, and its own."""
    turned: tuple[str, ...] = ()
    """Drawn on the stored pixels of an image that EXIF turns, as the size shows: they are turned with it."""
    assumed_upright: tuple[str, ...] = ()
    """EXIF turns or mirrors the image and the size does not show which pixels were drawn on: taken for the upright."""
    unreadable: tuple[Skipped, ...] = ()
    empty: tuple[str, ...] = ()
    """Those of the opened that show no defect although the image is anomalous."""


@dataclass(frozen=True, slots=True)
class WideValues:
    """The stored values of images of more than 8 bits a sample, and which of them are black and white."""

    n: int
    """Such images."""
    lowest: float
    highest: float
    black: float
    white: float
    found: str
    """By which rule: see `whycam.data.levels.find_levels`."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What the files of a data set show when they are opened."""

    sizes: tuple[tuple[tuple[int, int], int], ...] = ()
    """((width, height), number of images), the commonest first; upright, as people see them."""
    masks: MaskFacts | None = None
    """None where no image has a mask."""
    bit_depths: tuple[tuple[str, int], ...] = ()
    """(such as `8 bits grey`, number of images), the commonest first; empty where unknown."""
    values: WideValues | None = None
    """None where no image has more than 8 bits a sample."""
    remarks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(code of `whycam.data.levels.Remark`, files), such as those whose transparency is ignored."""


@dataclass(frozen=True)
class Dataset:
    """The samples found under one root, in a stable order, and everything that was left out."""

    root: Path
    layout: str
    """How it was read, for people: "class folders", "MVTec folders", "table manifest.csv", ..."""
    samples: tuple[Sample, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user should be told about how the data were read, one sentence each."""
    folders: tuple[Folder, ...] = ()
    """What each folder was taken for; empty where a table says all."""
    split_from: str = ""
    """Where the samples' split comes from: `folders`, ``column `fold` ``; empty where they have none."""
    split_dropped: str = ""
    """Why a split that the data bring is not used."""
    groups_from: str = ""
    """Where the samples' groups come from, likewise."""
    looks: Looks = Looks()
    """What the files show once they have been opened."""
    first_page: bool = False
    """Whether a file of several pages or frames is read by its first."""

    @property
    def targets(self) -> Floats:
        """(N,) float64 targets; raises ValueError where a sample is unlabelled."""
        values = [sample.target for sample in self.samples]
        if any(value is None for value in values):
            raise ValueError("unlabelled samples have no targets")
        return np.array(values, dtype=np.float64)

    @property
    def one_hot(self) -> Floats:
        """(N, 2) float64 labels, columns (normal, anomalous): 0 -> (1, 0), 1 -> (0, 1), graded 0.33 -> (0.67, 0.33)."""
        targets = self.targets
        return np.stack([1.0 - targets, targets], axis=1)

    @property
    def unread(self) -> tuple[Skipped, ...]:
        """The images that could not be read."""
        return tuple(item for item in self.skipped if item.failed)

    def without_split(self, why: str) -> Dataset:
        """The same data to be divided anew; `why` is recorded where they bring a split."""
        if all(sample.split is None for sample in self.samples):
            return self
        samples = tuple(replace(sample, split=None) for sample in self.samples)
        return replace(self, samples=samples, split_from="", split_dropped=why)

    def without(self, skipped: tuple[Skipped, ...]) -> Dataset:
        """The same data less the skipped files, which are recorded."""
        gone = {item.file for item in skipped}
        kept = tuple(sample for sample in self.samples if sample.file not in gone)
        return replace(self, samples=kept, skipped=self.skipped + skipped)


# ---------------------------------------------------------------- training


@dataclass(frozen=True, slots=True)
class Fewest:
    """The fewest images of each class that a recipe can do with: altogether, and among those to train on."""

    normal: int = 4
    anomalous: int = 4
    train_normal: int = 1
    train_anomalous: int = 1


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of history.csv."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean training loss over the epoch's batches, weighted by their size."""
    seconds: float


# ---------------------------------------------------------------- evaluation


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % bootstrap interval; all None where the figure is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Constant:
    """What the best constant score for this very set would get."""

    mae: float
    """With the median target as every image's score."""
    accuracy: float
    """With the commoner class as every image's verdict."""
    brier: float
    """With the mean target as every image's score: the mean squared error of the best constant probability."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """How well scores fit targets on one set of images."""

    n: int
    n_anomalous: int
    mae: Estimate
    rmse: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    f1: Estimate
    precision: Estimate
    recall: Estimate
    auroc: Estimate
    average_precision: Estimate
    brier: Estimate
    confusion_matrix: tuple[tuple[int, int], tuple[int, int]]
    """((true negatives, false positives), (false negatives, true positives))."""
    constant: Constant
    beats_constant: bool


@dataclass(frozen=True, slots=True)
class Band:
    """The scores from `low` up to, not including, `high`: the verdict on them is `unsure`."""

    low: float
    high: float
    rule: str
    """Where the ends came from, and what is promised about the verdicts outside."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score at or above which an image counts as anomalous, and where it came from."""

    value: float
    rule: str
    """For people: the rule, what it was chosen on, and its promise with its confidence where it has one."""
    band: Band | None = None
    """With ``band.low <= value <= band.high``; None where every image is told normal or anomalous."""

    def verdict(self, score: float) -> Verdict:
        """The verdict on one score."""
        if self.band is not None and self.band.low <= score < self.band.high:
            return "unsure"
        return "anomalous" if score >= self.value else "normal"


@dataclass(frozen=True, slots=True)
class Scored:
    """One line of predictions: a score and verdict, or the problem that stood in the way."""

    file: str
    score: float | None
    verdict: Verdict | None
    p_value: float | None
    novel: bool | None
    """None where the run cannot tell."""
    problem: str
    """Why the image has no score; empty where it has one."""
    warning: str = ""
    """What must be said about its pixels, such as that they lie outside the levels of the training images."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What metrics.json holds."""

    schema: int
    train: Metrics | None
    test: Metrics
    threshold: Threshold


@dataclass(frozen=True)
class Predictions:
    """The scores of one set of images beside their targets; all of length N."""

    files: tuple[str, ...]
    targets: Floats
    scores: Floats
    groups: tuple[str | None, ...]


@dataclass(frozen=True)
class Curves:
    """Points of the ROC and the precision-recall curve; empty arrays where a class is missing."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    recall: Floats
    precision: Floats


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Images with scores of about one size."""

    n: int
    score: float
    """Their mean score."""
    share: float
    """The share of them that is anomalous (target > 0.5)."""
    low: float
    high: float
    """95 % interval of that share."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far scores can be taken at their word as probabilities, on one set of images."""

    bins: tuple[ReliabilityBin, ...]
    """About equally many images each, the lowest scores first."""
    error: float
    """Expected calibration error: how far score and share lie apart on average, in [0, 1]."""
    error_by_chance: float
    """What the error would be on average if every score were exactly right: few images never agree perfectly."""


# ---------------------------------------------------------------- explanation


@dataclass(frozen=True)
class Segment:
    """One connected region of a heatmap above the stated level."""

    mask: npt.NDArray[np.bool_]
    """(H, W), on the grid of the heatmap it was cut from."""
    box: tuple[int, int, int, int]
    """left, top, right, bottom in pixels of that grid; right and bottom are exclusive."""
    area: float
    """Share of the image's pixels, in (0, 1]."""
    evidence_share: float
    """The region's evidence over the image's whole positive evidence; may be negative, 0 where there is none."""


@dataclass(frozen=True)
class Exhibit:
    """One image with everything that is drawn about it."""

    file: str
    split: str
    target: float | None
    score: float
    verdict: Verdict
    image: Pixels
    """(H, W, 3)."""
    heatmap: Floats
    """(H, W), >= 0, placed on the image's pixels."""
    segments: tuple[Segment, ...]
    """Masks of shape (H, W)."""
