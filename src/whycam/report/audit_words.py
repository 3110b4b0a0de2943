"""An audit as people read it, in one place, so that terminal and page say the same; and as the text of audit.json."""

from __future__ import annotations

import json
import re

from pydantic import TypeAdapter

from whycam.audits.audit import Audit, CueResult
from whycam.audits.findings import Severity
from whycam.errors import printable
from whycam.report.words import count, estimate, images

SYMBOLS: dict[Severity, str] = {"serious": "!!", "warning": "!", "note": "i"}
"""Beside the word and the colour, so that neither is needed alone. In the order of gravity."""

_HEADINGS = {
    "label": "Doubted labels",
    "leak-copy": "Leak: copies",
    "leak-near": "Leak: near duplicates",
    "leak-group": "Leak: divided groups",
}
"""Of kinds whose heading is not just their name."""

_SHORTENED = 200
"""A note in the terminal is cut to about so many letters."""
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_AUDIT = TypeAdapter(Audit)


def verdict(audit: Audit) -> str:
    """What all findings come to, in one line."""
    serious, warnings = audit.count("serious"), audit.count("warning")
    if serious:
        return f"{_findings(serious, 'serious ')}: read {_them(serious)} before you trust any figure."
    if warnings:
        return f"Nothing serious found, but {_findings(warnings, 'warning', noun='')}: look at {_them(warnings)}."
    return "Nothing serious found."


def looked_at(audit: Audit) -> str:
    """How many images were looked at, and for what."""
    cues = "" if not audit.cues else f" ({count(len(audit.cues))} cues, each by itself)"
    return (
        f"{images(audit.n)}, {count(audit.n_anomalous)} of them anomalous, looked at for copies and leaks, "
        f"shortcuts{cues}, doubtful labels and bad images."
    )


def not_looked_at(audit: Audit) -> str:
    """What the data are too few for; empty where they are not."""
    if audit.cues:
        return ""
    return "Shortcuts could not be looked for: a class has too few images that are independent of each other."


def strongest_cue(audit: Audit) -> CueResult | None:
    """The cue with the highest AUROC, or None where none was tested."""
    return max(audit.cues, key=lambda cue: cue.auroc.value or 0.0, default=None)


def cues_sentence(audit: Audit) -> str:
    """What came of all cues, in one line; empty where none was tested."""
    strongest = strongest_cue(audit)
    if strongest is None:
        return ""
    said = sum(cue.severity is not None for cue in audit.cues)
    n = len(audit.cues)
    if said:
        return f"{count(said)} of {count(n)} cues {'tells' if said == 1 else 'tell'} the classes apart"
    return (
        f"None of {count(n)} cues tells the classes apart well enough to matter; the strongest is {strongest.cue}, "
        f"AUROC {estimate(strongest.auroc)}"
    )


def heading(kind: str) -> str:
    """The name of a kind of finding as a heading: `near-duplicates` becomes `Near duplicates`."""
    name = _HEADINGS.get(kind, kind.replace("-", " "))
    return name[:1].upper() + name[1:]


def next_step(audit: Audit) -> str:
    """What to do now, in one line."""
    if audit.count("serious"):
        return "mend what is serious, then run the audit again; until then, figures on these data prove little."
    if audit.count("warning"):
        return "look at the images named above; mend what is wrong, or go on and train if it is as it should be."
    return "nothing here stands in the way of training."


def lines(audit: Audit) -> tuple[str, ...]:
    """The audit for the terminal: serious findings and warnings in full, notes shortened, and what to do next."""
    told = [_line("Audit", looked_at(audit))]
    if not_looked_at(audit):
        told.append(_line("", not_looked_at(audit)))
    for finding in audit.findings:
        sentence = printable(finding.sentence)
        note = finding.severity == "note"
        told.append(_line(finding.severity.capitalize(), shortened(sentence) if note else sentence))
    if audit.optimism is not None:
        told.append(_line("Optimism", audit.optimism.sentence))
    if audit.cues and not any(cue.severity for cue in audit.cues):
        told.append(_line("Cues", f"{cues_sentence(audit)}."))
    told.append(_line("Verdict", verdict(audit)))
    told.append(_line("Next", next_step(audit)))
    return tuple(told)


def brief_lines(audit: Audit) -> tuple[str, ...]:
    """The same before a training: the verdict on the data, what is serious, warnings, and the optimism."""
    grave = [finding for finding in audit.findings if finding.severity != "note"]
    told = [_line("Audit", verdict(audit))]
    told += [_line(finding.severity.capitalize(), printable(finding.sentence)) for finding in grave]
    if audit.optimism is not None:
        told.append(_line("Optimism", audit.optimism.sentence))
    return tuple(told)


def shortened(text: str) -> str:
    """The first sentence, cut between words where it is long."""
    first = _SENTENCE_END.split(text, maxsplit=1)[0]
    if len(first) <= _SHORTENED:
        return first
    return f"{first[:_SHORTENED].rsplit(' ', 1)[0].rstrip(',;:')} …"


def to_json(audit: Audit) -> str:
    """The text of audit.json: standard JSON (no NaN), indented, with a final newline."""
    return json.dumps(_AUDIT.dump_python(audit, mode="json"), indent=2, allow_nan=False) + "\n"


def from_json(text: bytes) -> Audit:
    """What `to_json` wrote; ValueError where it is something else."""
    return _AUDIT.validate_json(text)


def _line(name: str, text: str) -> str:
    return f"{name:<10}{text}"


def _findings(n: int, kind: str, *, noun: str = "finding") -> str:
    return f"{count(n)} {kind}{noun}{'' if n == 1 else 's'}"


def _them(n: int) -> str:
    return "it" if n == 1 else "them"
