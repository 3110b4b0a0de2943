"""The names people give to columns, and what each says of the column's content; data alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from whycam.data.words import split_name
from whycam.types import Split

_FILES = """
filename filepath path image imagefile imagename imagepath imageid img imgfile imgname imgpath imgid files filenames
images photo picture fname fpath relpath relativepath fullpath absolutepath uri url src source id
"""
_TARGETS = """
label labels class y ytrue truelabel groundtruth gt classid classname category classification status result outcome
verdict diagnosis condition quality judgement judgment decision severity grade defecttype anomalytype
"""
_ANOMALIES = """
defect defects defective anomaly anomalies anomalous abnormal abnormality fault faults faulty flaw flaws flawed damage
damaged crack cracked outlier bad ng fail failed reject rejected broken
"""
_GROUPS = """
patient subject participant person client donor animal specimen part serial lot wafer batch session site hospital center
centre device machine camera scanner line station module panel cell unit item object product board plate sheet coil roll
reel tray slide case study series visit exam video clip sequence scene location cluster family parent original date day
shift run group source
"""
_SAYS_NORMAL = re.compile(r"(is|has)?(ok|okay|good|normal|healthy|intact|pass|passed|clean|fine)")
_PREFIXED = tuple(prefix + word for word in _ANOMALIES.split() for prefix in ("", "is", "has"))
_GROUP_WORDS = frozenset(_GROUPS.split())
_FOLD_WORDS = frozenset({"fold", "folds", "kfold", "cvfold", "cv"})

STAND_INS: dict[str, tuple[str, ...]] = {
    "file": tuple(_FILES.split()),
    "target": (*_TARGETS.split(), *_PREFIXED),
    "kind": ("class", "defecttype", "defectclass", "anomalytype", "anomalyclass"),
}
"""Names, in the form of `key`, that may stand in for an absent column, the likeliest first."""


def key(title: str) -> str:
    """The name without case, spaces and punctuation: `Image ID` and `image_id` are one."""
    return re.sub(r"[\W_]+", "", title.casefold())


def true_is_anomalous(title: str) -> bool:
    """Whether TRUE in such a column can only mean anomalous."""
    return key(title) in {"target", "label", "y"} or yes_is_anomalous(title)


def yes_is_anomalous(title: str) -> bool:
    """Whether the name asks for an anomaly, so that yes means that there is one, and `none` that there is not."""
    return key(title) in _PREFIXED


def yes_is_normal(title: str) -> bool:
    """Whether the name asks for the absence of anomalies, so that 1 and TRUE would be read the wrong way round."""
    return bool(_SAYS_NORMAL.fullmatch(key(title)))


def is_group(title: str) -> bool:
    """Whether images with one value in such a column are likely to belong together."""
    return bool(_GROUP_WORDS & _parts(title))


def side_said(title: str) -> Split | None:
    """The side of a split that the name asks for, as `is_test` and `holdout` do; None where it asks for none."""
    bare = re.sub(r"^(is|in|for|use)?[\W_]*|[\W_]*(set|data)?$", "", title.casefold())
    return "test" if bare in {"holdout", "heldout"} else split_name(bare)


def is_fold(title: str) -> bool:
    """Whether such a column is likely to number the parts of a cross-validation."""
    return bool(_FOLD_WORDS & _parts(title))


def nearest(name: str, titles: Iterable[str]) -> str:
    """The title most like the name, or nothing."""
    by_key = {key(title): title for title in titles}
    close = get_close_matches(key(name), by_key, n=1, cutoff=0.5)
    return by_key[close[0]] if close else ""


def _parts(title: str) -> set[str]:
    """The words of a name in small letters: `PatientID`, `patient_id` and `patients` hold `patient`."""
    words = re.split(r"[\W_\d]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", title).casefold())
    bare = {re.sub(r"(ids?|nr|no|num|number|code|name)$", "", word) for word in words}
    return {part for word in {*words, *bare} for part in (word, word.removesuffix("s"))}
