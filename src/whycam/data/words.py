"""The words people use for normal, anomalous, train and test, in folder names and table cells; and names as text."""

from __future__ import annotations

import re
from typing import Literal

from whycam.types import Split

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
predictions heatmaps overlays
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


def is_validation(word: str) -> bool:
    """Whether the word means the validation part, of which people are told that it counts as train."""
    return _meaning(word) == "validation"


def is_mask_folder(word: str) -> bool:
    """Whether a folder of this name holds masks of defects, and so is never a class."""
    return _meaning(word) == "mask"


def counted(number: int, thing: str) -> str:
    """`1 image`, `2,624 images`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
