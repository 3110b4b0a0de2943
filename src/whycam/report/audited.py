"""An audit as a page with the images it speaks of: what can be seen is believed, and what is wrong is refuted."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from whycam.atomic import write_text
from whycam.audits.audit import Audit, DoubtedLabel
from whycam.audits.cue_trials import sides
from whycam.audits.findings import Finding
from whycam.audits.pixel_facts import Region
from whycam.errors import printable
from whycam.report import audit_words
from whycam.report.audit_dots import Axis, CuePlot, Dot, OptimismPlot, cue_plot, optimism_plot
from whycam.report.closeup import thumbnail
from whycam.report.templating import environment
from whycam.report.words import share
from whycam.types import Pixels, Sample

MOST_FILES = 8
"""So many images of a finding are shown at most."""
MOST_DOUBTED = 24
"""So many doubted labels are shown at most."""
_DOUBTED_AT_ONCE = 6
"""So many of them before the reader asks for more."""

_DETAIL, _NARROWEST = 136, 24
"""Sides of an enlarged detail in pixels: the longer one, and the least for the other."""

_IN_PAIRS = ("conflict", "duplicate", "leak")
"""A kind that has one of these words in its name has files that belong together two by two."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One image of a finding."""

    file: str
    uri: str
    """Empty where there is no picture of it."""
    detail: str
    """The outlined part, enlarged; empty where nothing is outlined."""
    alt: str
    facts: tuple[str, ...]
    """Its label and what else is known, a short line each."""


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """One finding as the page has it."""

    heading: str
    severity: str
    symbol: str
    sentence: str
    groups: tuple[tuple[Thumbnail, ...], ...]
    """Images that stand together."""
    paired: bool
    outline: Region | None
    """Left, top, width and height in per cent of the image."""
    n_more: int
    """Images beyond those shown."""
    auroc: Dot | None
    doubted: bool
    """Whether its images are those of the doubted labels."""


@dataclass(frozen=True)
class Section:
    """Everything that `templates/audited.html` shows."""

    verdict: str
    serious: bool
    looked_at: str
    next_step: str
    findings: tuple[ShownFinding, ...]
    doubted: tuple[Thumbnail, ...]
    n_doubted: int
    doubted_at_once: int
    """So many are in sight before the rest is unfolded."""
    optimism: str
    """Empty where it was not measured."""
    optimism_plot: OptimismPlot | None
    cues: str
    """What came of them in one line; empty where none was tested."""
    cues_open: bool
    cue_plot: CuePlot


def files_shown(audit: Audit) -> tuple[str, ...]:
    """The files whose pictures the page shows, each once: at most 8 a finding, and the first 24 doubted labels."""
    files = [file for finding in audit.findings for file in _files(finding)]
    return tuple(dict.fromkeys([*files, *(doubted.file for doubted in audit.doubted[:MOST_DOUBTED])]))


def section(audit: Audit, pictures: Mapping[str, Pixels], *, samples: Sequence[Sample] = ()) -> Section:
    """The section about this audit, thumbnails included.

    Args:
        audit: what to show.
        pictures: (H, W), (H, W, 1) or (H, W, 3) by file name, of any size; a file without one is shown by its name.
        samples: whose labels, kinds and sides of the split are written below the thumbnails.
    """
    known = {sample.file: sample for sample in samples}
    plot = cue_plot(audit.cues)
    said_of_labels = any(item.kind == "label" and item.severity != "note" for item in audit.findings)
    return Section(
        verdict=audit_words.verdict(audit),
        serious=audit.count("serious") > 0,
        looked_at=audit_words.looked_at(audit),
        next_step=audit_words.next_step(audit),
        findings=tuple(_finding(item, pictures, known, plot.axis) for item in audit.findings),
        doubted=tuple(_doubted(item, pictures) for item in audit.doubted[:MOST_DOUBTED]),
        n_doubted=len(audit.doubted),
        doubted_at_once=_DOUBTED_AT_ONCE if said_of_labels else 0,
        optimism=audit_words.optimism_sentence(audit.optimism) if audit.optimism else "",
        optimism_plot=optimism_plot(audit.optimism) if audit.optimism else None,
        cues=printable(audit_words.cues_sentence(audit)),
        cues_open=any(cue.warned for cue in audit.cues),
        cue_plot=plot,
    )


def write_audit_page(
    folder: Path,
    audit: Audit,
    *,
    title: str,
    created: str,
    pictures: Mapping[str, Pixels],
    samples: Sequence[Sample] = (),
) -> Path:
    """Write `folder`/audit.html, one file that needs no network, whole or not at all; returns its path.

    Args:
        folder: an existing folder.
        audit: what to show.
        title: the name of the data.
        created: when the audit was made, for people.
        pictures: as `section` has them; `files_shown` says which are needed.
        samples: as `section` has them.

    Raises:
        OSError: the file cannot be written.
    """
    path = folder / "audit.html"
    shown = section(audit, pictures, samples=samples)
    write_text(
        path,
        environment()
        .get_template("audit.html")
        .render(audited=shown, facts=audit.data, title=printable(title), created=created),
    )
    return path


def _files(finding: Finding) -> tuple[str, ...]:
    # Doubted labels have a part of the page of their own.
    return () if finding.kind == "label" else finding.files[:MOST_FILES]


def _finding(finding: Finding, pictures: Mapping[str, Pixels], known: Mapping[str, Sample], axis: Axis) -> ShownFinding:
    files = _files(finding)
    about = _place(finding.region) or printable(finding.about)
    shown = [_thumbnail(file, pictures, _facts(known.get(file)), finding.region) for file in files]
    paired = any(word in finding.kind for word in _IN_PAIRS)
    size = 2 if paired else max(1, len(shown))
    return ShownFinding(
        heading=audit_words.heading(finding.kind) + (f": {about}" if about else ""),
        severity=finding.severity,
        symbol=audit_words.SYMBOLS[finding.severity],
        sentence=printable(finding.sentence),
        groups=tuple(tuple(shown[first : first + size]) for first in range(0, len(shown), size)),
        paired=paired,
        outline=_outline(finding.region) if finding.region else None,
        n_more=max(finding.n_files, len(set(finding.files))) - len(set(files)) if files else 0,
        auroc=axis.dot("AUROC", finding.figure) if finding.kind == "shortcut" and finding.figure else None,
        doubted=finding.kind == "label",
    )


def _outline(region: Region) -> Region:
    left, top, right, bottom = (100 * side for side in region)
    return round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)


def _place(region: Region | None) -> str:
    """`top border`, `top left corner`; empty for the whole image or a place inside."""
    touched = sides(region)
    words = " ".join(side for side in ("top", "bottom", "left", "right") if side in touched)
    return f"{words} {'border' if len(touched) == 1 else 'corner'}" if len(touched) in (1, 2) else ""


def _facts(sample: Sample | None) -> tuple[str, ...]:
    if sample is None:
        return ()
    label = () if sample.target is None else ("anomalous" if sample.anomalous else "normal",)
    kind = (printable(sample.kind),) if sample.kind and sample.kind not in label else ()
    line = " · ".join((*label, *kind, *((sample.split,) if sample.split else ())))
    return (line,) if line else ()


def _thumbnail(
    file: str, pictures: Mapping[str, Pixels], facts: tuple[str, ...], region: Region | None = None
) -> Thumbnail:
    name, picture = printable(file), pictures.get(file)
    alt = f"{name}: {', '.join(facts) or 'image'}{', with a part outlined' if region else ''}"
    if picture is None:
        return Thumbnail(name, "", "", alt, facts)
    uri = _data_uri(thumbnail(picture), "webp")
    return Thumbnail(name, uri, _data_uri(detail(picture, region), "png") if region else "", alt, facts)


def detail(picture: Pixels, region: Region) -> bytes:
    """The region of a picture (H, W), (H, W, 1) or (H, W, 3), at most 136 pixels a side, as PNG.

    A narrow strip is stretched across, so that it can be seen; pixels stay squares or become oblongs.
    """
    height, width = picture.shape[:2]
    part = picture[_span(region[1], region[3], height), _span(region[0], region[2], width)]
    image = Image.fromarray(np.ascontiguousarray(part[..., 0] if part.shape[2:] == (1,) else part))
    across, down = (max(_NARROWEST, round(_DETAIL * side / max(image.size))) for side in image.size)
    buffer = io.BytesIO()
    image.resize((across, down), Image.Resampling.BOX).save(buffer, "PNG")
    return buffer.getvalue()


def _span(start: float, stop: float, length: int) -> slice:
    """At least one pixel."""
    first = min(round(start * length), length - 1)
    return slice(first, max(first + 1, round(stop * length)))


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _doubted(doubted: DoubtedLabel, pictures: Mapping[str, Pixels]) -> Thumbnail:
    label = "anomalous" if doubted.anomalous else "normal"
    facts = (f"labelled {label}", f"model: {share(doubted.probability)} % anomalous")
    return _thumbnail(doubted.file, pictures, facts)
