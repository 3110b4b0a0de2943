"""The words people use for normal, anomalous, train and test, in folder names and table cells; and names as text."""

from __future__ import annotations

import re

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
train: train training
validation: val valid validation
test: test testing
mask: groundtruth groundtruths gt mask masks annotation annotations segmentation segmentations
"""
_MEANING = {
    word: meaning
    for meaning, _, words in (line.partition(":") for line in _WORDS.strip().splitlines())
    for word in words.split()
}
"""Word in the form of `plain` -> what it means."""


def plain(word: str) -> str:
    """The word without case, spaces, hyphens, underscores and dots: `Defect-Free` and `defect_free` are one."""
    return re.sub(r"[\s_.\-]+", "", word.casefold())


def _meaning(word: str) -> str:
    return _MEANING.get(plain(word), "")


def class_target(word: str) -> float | None:
    """0.0 for a word that means normal, 1.0 for one that means anomalous, None for any other."""
    return {"normal": 0.0, "anomalous": 1.0}.get(_meaning(word))


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
