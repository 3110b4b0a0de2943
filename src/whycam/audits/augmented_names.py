"""File names that say that an image is an augmented copy: `aug_12_345`, `img_0012_rot90`, `1_hflip_0`, `copy (3)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from whycam.audits.findings import Finding, Severity
from whycam.types import Sample

_SAYS = re.compile(
    r"(?<![^\W_\d])(aug|augs|augmented|augmentation|augment|(h|v|lr|ud)?_?flip|flip_?(h|v|lr|ud|x|y)|flipped|mirrored|mirror"
    r"|rot(ated?)?[-_ ]?[1-9]\d{1,2}|rotated|copy)(?![^\W_\d])",
    re.IGNORECASE,
)
"""Words that stand alone, or with a number."""
_SAVED_BY_KERAS = re.compile(r"_\d+_\d+")
"""What `save_to_dir` makes of an empty prefix."""
_FEWEST = 5
_LEAST_SHARE = 0.05
_MOSTLY = 0.5


def says_augmented(file: str) -> bool:
    """Whether the name of a file, folders left out, says that it was made of another."""
    stem = PurePosixPath(file).stem
    return bool(_SAYS.search(stem) or _SAVED_BY_KERAS.fullmatch(stem))


def augmented_name_findings(samples: Sequence[Sample]) -> tuple[Finding, ...]:
    """What names tell of augmentation, where 5 % of them do and at least five: a warning where half of them do.

    A hint only: no unit follows from it, since a name seldom says surely of which image a copy was made.
    """
    files = tuple(sample.file for sample in samples if says_augmented(sample.file))
    if len(files) < max(_FEWEST, _LEAST_SHARE * len(samples)):
        return ()
    sentence = (
        f"The names of {len(files):,} of {len(samples):,} images say that they were made of others by augmentation "
        f"({files[0]}, for example). If so, a split that does not keep each source whole leaks: delete the copies and "
        "augment after splitting, training images only, or name each image's source in a column `group`."
    )
    severity: Severity = "warning" if len(files) >= _MOSTLY * len(samples) else "note"
    return (Finding("augmented-names", severity, sentence, files, len(files)),)
