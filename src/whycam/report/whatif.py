"""What the page's script works with: every test score exactly as it is, the pictures, and the script itself.

The script runs in the reader's browser with no network, so all of it stands in the page: the numbers as one block of
JSON, and the code as one block whose hash the page's content security policy names, so that no other code can run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from markupsafe import Markup

from whycam.errors import printable
from whycam.report.contents import CloseUp, ReportInput, WhatIf
from whycam.types import ANOMALOUS_ABOVE, Floats

_SCRIPTS = ("words.js", "figures.js", "drawing.js", "closeup.js", "album.js", "whatif.js")
"""In this order one script; each uses only what stands before it."""


@dataclass(frozen=True)
class Interactive:
    """The parts of a page whose threshold can be moved."""

    data: Markup
    """JSON, safe inside an element `script`."""
    script: Markup
    script_hash: str
    """As a content security policy names it: `sha256-…`."""
    n_shown: int
    n_close_ups: int


def interactive(report: ReportInput, whatif: WhatIf) -> Interactive:
    """The data and the script of a page.

    Raises:
        ValueError: p-values are not of the test images' number or come without their level, or a close-up has no
            thumbnail.
    """
    n = len(report.test.files)
    if (whatif.p_values is None) != (whatif.novel_level is None):
        raise ValueError("`p_values` and `novel_level` must be given together.")
    if whatif.p_values is not None and whatif.p_values.shape != (n,):
        raise ValueError(f"`p_values` must have shape {(n,)}, got {whatif.p_values.shape} instead.")
    if not whatif.close_ups.keys() <= whatif.thumbnails.keys() <= set(range(n)):
        raise ValueError("Close-ups must be of images with thumbnails, and these of test images.")
    script = _script()
    digest = hashlib.sha256(script.encode()).digest()
    return Interactive(
        data=Markup(_data(report, whatif)),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        n_shown=len(whatif.thumbnails),
        n_close_ups=len(whatif.close_ups),
    )


def _script() -> str:
    folder = resources.files("whycam.report") / "templates"
    code = "\n".join((folder / name).read_text("utf-8") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{code}}})();\n'


def _data(report: ReportInput, whatif: WhatIf) -> str:
    threshold = report.evaluation.threshold
    content = {
        "scores": _exact(report.test.scores),
        "targets": _exact(report.test.targets),
        "anomalousAbove": ANOMALOUS_ABOVE,
        "probabilities": report.card.model.score == "probability",
        "threshold": threshold.value,
        "band": [threshold.band.low, threshold.band.high] if threshold.band else None,
        "novelLevel": whatif.novel_level,
        "images": [
            {
                "place": place,
                "file": printable(report.test.files[place]),
                "thumbnail": _text(whatif.thumbnails[place]),
                "p": None if whatif.p_values is None else float(whatif.p_values[place]),
                "closeUp": _close_up(whatif.close_ups.get(place)),
            }
            for place in sorted(whatif.thumbnails)
        ],
    }
    # "<" inside a string must not end the script element or open a comment; nothing else in JSON can hold one.
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _close_up(shown: CloseUp | None) -> dict[str, object] | None:
    if shown is None:
        return None
    return {
        "image": _text(shown.image),
        "overlay": _text(shown.overlay),
        "size": shown.size_wh,
        "regions": [{"box": region.box, "share": region.share} for region in shown.regions],
        "more": shown.n_more,
        "shareMore": shown.share_more,
    }


def _exact(values: Floats) -> str:
    """Every bit of (N,) numbers as little-endian float64: a score must stay on its side of the threshold."""
    return _text(np.ascontiguousarray(values, dtype="<f8").tobytes())


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
