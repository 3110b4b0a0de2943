"""What an audit says: findings in plain words, each with its images, figure and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whycam.types import Estimate

Severity = Literal["serious", "warning", "note"]
"""`serious`: figures or verdicts cannot be trusted until it is mended; `warning`: look at it; `note`: good to know."""

SHORTCUT, POSSIBLE_SHORTCUT = "shortcut", "possible shortcut"
"""Kinds of findings: a cue that surely tells the classes apart, and one that does, but in few groups."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that people should know about their data."""

    kind: str
    """A short name in the words of the field, such as `leak`, `near-duplicates`, `shortcut`, `label`, `blank`."""
    severity: Severity
    sentence: str
    """In plain words: what was found, how many, an example, and what to do."""
    files: tuple[str, ...] = ()
    """The images concerned, the plainest first; the page shows the first ones. Of duplicates and leaks two by two, so
    that an image may be there several times."""
    n_files: int = 0
    """How many are concerned, where not all of them are in `files`."""
    figure: Estimate | None = None
    """Such as the AUROC of a shortcut."""
    region: tuple[float, float, float, float] | None = None
    """Where on the images: left, top, right, bottom as shares of width and height."""
    about: str = ""
    """Which one of several of this kind it is, such as the cue of a shortcut; empty where the kind says all."""
