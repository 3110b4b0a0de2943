"""The words people use for normal, anomalous, train and test, in folders and tables; names and figures as text."""

from __future__ import annotations

import re
from typing import Literal

from whycam.types import Estimate, Split

_WORDS = """
normal: 0 normal normals nominal good goods ok okay fine healthy intact negative negatives neg pass passed clean
normal: flawless perfect undamaged unbroken uncracked benign defectfree faultfree flawfree anomalyfree nodefect
normal: nodefects noanomaly noanomalies nofault nofaults nocrack nocracks nondefective nondefect nonanomalous
normal: notdefective notanomalous
anomalous: 1 anomalous anomaly anomalies abnormal abnormals abnormality bad bads ng nok notok notokay nogood notgood
anomalous: notnormal nonnormal defect defects defective fault faults faulty flaw flaws flawed fail fails failed failure
anomalous: ko
anomalous: nio
anomalous: broken damaged unhealthy positive positives pos reject rejects rejected
train: train training trainset traindata trainingset trainingdata
validation: val valid validation valset validationset
test: test testing testset testdata testingset
mask: groundtruth groundtruths gt mask masks annotation annotations segmentation segmentations
"""
_MEANING = {
    word: meaning
    for meaning, _, words in (line.partition(":") for line in _WORDS.strip().splitlines())
    for word in words.split()
}
"""Word in the form of `plain` -> what it means."""


_UNSURE_WORDS = """
unsure notsure unknown unlabelled unlabeled unannotated review reviewing toreview maybe todo unclear ambiguous rework
uncertain undecided pending tbd tba unsorted unclassified questionable doubtful borderline tocheck needscheck recheck
inbox disputed unverified nolabel thumbs thumbnails thumbnail backup backups trash tmp temp results output outputs
predictions heatmaps overlays labels mask masks
"""
_UNSURE = frozenset(_UNSURE_WORDS.split())
"""Names, or words in names, of folders whose images are neither normal nor anomalous by what they are called."""
_WHOLE_ONLY = frozenset(("tmp", "temp", "results", "output", "outputs", "rework", "inbox", "trash"))
_NORMAL_WORDS = "normal normals good goods ok okay pass passed healthy nominal intact flawless benign"
_ANOMALOUS_WORDS = "def dfct ano anom nio kaputt defekt"
_SUGGESTIVE = {"normal": frozenset(_NORMAL_WORDS.split()), "anomalous": frozenset(_ANOMALOUS_WORDS.split())}


def plain(word: str) -> str:
    """The word without case, spaces, hyphens, underscores and dots: `Defect-Free` and `defect_free` are one."""
    return re.sub(r"[\s_.\-]+", "", word.casefold())


def _meaning(word: str) -> str:
    return _MEANING.get(plain(word), "")


def class_target(word: str) -> float | None:
    """0.0 for a word that means normal, 1.0 for one that means anomalous, None for any other."""
    return {"normal": 0.0, "anomalous": 1.0}.get(_meaning(word))


def seems(name: str) -> Literal["normal", "anomalous", "unsure"] | None:
    """What a folder's name suggests, as `ok_front` or `unsure (2)` do: enough to ask by, not to decide by."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold())
    if "?" in name or plain(name) in _UNSURE:
        return "unsure"
    joined = [["".join(words[at : at + size]) for at in range(len(words) - size + 1)] for size in (3, 2, 1)]
    if any(word in _UNSURE - _WHOLE_ONLY for words in joined for word in words):
        return "unsure"
    # Longest first, as `not ok` is not `ok`.
    for size, found in zip((3, 2, 1), joined, strict=True):
        meanings = {_suggested(word, alone=size == 1) for word in found} - {None}
        if "anomalous" in meanings:
            return "anomalous"
        if meanings:
            return "normal"
    return None


def _suggested(word: str, *, alone: bool) -> Literal["normal", "anomalous"] | None:
    if _meaning(word) == "anomalous" or word in _SUGGESTIVE["anomalous"]:
        return "anomalous"
    # `clean cut` and `fine scratch` are kinds of defect.
    known = word in _SUGGESTIVE["normal"] if alone else _meaning(word) == "normal"
    return "normal" if known else None


def split_name(word: str) -> Split | None:
    """`train` or `test` for a word that means so, None for any other; validation counts as train."""
    sides: dict[str, Split] = {"train": "train", "validation": "train", "test": "test"}
    return sides.get(_meaning(word))


def split_and_rest(name: str) -> tuple[str, str] | None:
    """The word for a side of a split that a name begins or ends with, and the rest: `train_good`, `OK-test`."""
    first, last = re.fullmatch(r"([^\W_]+)[\W_]+(.+)", name), re.fullmatch(r"(.+?)[\W_]+([^\W_]+)", name)
    if first and split_name(first[1]):
        return first[1], first[2]
    return (last[2], last[1]) if last and split_name(last[2]) else None


def is_validation(word: str) -> bool:
    """Whether the word means the validation part, of which people are told that it counts as train."""
    return _meaning(word) == "validation"


def is_mask_folder(word: str) -> bool:
    """Whether a folder of this name holds masks of defects, and so is never a class."""
    return _meaning(word) == "mask"


def counted(number: int, thing: str) -> str:
    """`1 image`, `2,624 images`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """A number with 3 significant digits: 0.235, 12.0, 1,230, 3.40e+38."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    text = f"{value:#.3g}"
    return f"{float(text):,.0f}" if "e" in text else text.removesuffix(".")


def share(value: float) -> str:
    """A share in [0, 1] as a percentage without its sign; what is not all never reads 100, what is not none never 0."""
    for digits in range(3, 17):
        text = f"{100 * value:#.{digits}g}".removesuffix(".")
        if value == 1 or float(text) != 100:
            break
    return "100" if value == 1 else "0" if value == 0 else text


def estimate(figure: Estimate, *, as_share: bool = False) -> str:
    """A figure with its interval: `0.235 (0.210 to 0.261)`, as a share `79.3 % (76.2 to 82.4 %)`, or `undefined`."""
    if figure.value is None:
        return "undefined"
    spread = interval(figure, as_share=as_share)
    return value(figure, as_share=as_share) + (f" ({spread})" if spread else "")


def value(figure: Estimate, *, as_share: bool = False) -> str:
    """A figure without its interval, or `undefined`."""
    if figure.value is None:
        return "undefined"
    return f"{share(figure.value)} %" if as_share else number(figure.value)


def interval(figure: Estimate, *, as_share: bool = False) -> str:
    """The interval alone, `76.2 to 82.4 %`; empty where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    if as_share:
        return f"{share(figure.low)} to {share(figure.high)} %"
    return f"{number(figure.low)} to {number(figure.high)}"
