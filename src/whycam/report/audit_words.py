"""An audit as people read it, in one place, so that terminal and page say the same; and as the text of audit.json."""

from __future__ import annotations

import json
import re

from pydantic import TypeAdapter

from whycam.audits.audit import Audit, Optimism
from whycam.audits.findings import POSSIBLE_SHORTCUT, SHORTCUT, Severity
from whycam.errors import printable
from whycam.report.words import count, estimate, images, number

SYMBOLS: dict[Severity, str] = {"serious": "!!", "warning": "!", "note": "i"}
"""Beside the word and the colour, so that neither is needed alone. In the order of gravity."""

_HEADINGS = {
    "label": "Doubted labels",
    "leak-copy": "Leak: copies",
    "leak-near": "Leak: near duplicates",
    "leak-group": "Leak: divided groups",
}
"""Of kinds whose heading is not just their name."""

_HIGH = 0.9
"""From this AUROC on a cue needs a reason to be none."""

_SHORTENED = 200
"""A note in the terminal is cut to about so many letters."""
_SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
_AUDIT = TypeAdapter(Audit)


def verdict(audit: Audit) -> str:
    """What all findings come to, in one line."""
    serious, warnings = audit.count("serious"), audit.count("warning")
    if serious:
        return f"{_findings(serious, 'serious ')}: read {_them(serious)} before you trust any figure."
    if _possible_shortcut(audit):
        few = f" ({_findings(warnings, 'warning', noun='')})" if warnings else ""
        return f"A shortcut cannot be ruled out{few}: read what is said of it before you trust any figure."
    if warnings:
        return f"Nothing serious found, but {_findings(warnings, 'warning', noun='')}: look at {_them(warnings)}."
    return "Nothing serious found."


def looked_at(audit: Audit) -> str:
    """How many images were looked at, and for what."""
    shortcuts = f"shortcuts ({count(len(audit.cues))} cues, each by itself), " if audit.cues else ""
    return (
        f"{images(audit.n)}, {count(audit.n_anomalous)} of them anomalous, looked at for copies and leaks, "
        f"{shortcuts}doubtful labels and bad images."
    )


def optimism_sentence(found: Optimism) -> str:
    """What naive and leak-free figures are, and whether the difference counts."""
    if found.misleads:
        told = "images that belong together flatter every figure when a split tears them apart"
    else:
        told = "tearing apart what belongs together makes no clear difference here"
    text = f"AUROC {estimate(found.naive)} naive, {estimate(found.leak_free)} leak-free (a quick head): {told}."
    if found.test is not None and found.clean_test is not None:
        text += (
            f" On the given test images it is {estimate(found.test)}, and {estimate(found.clean_test)} on the "
            f"{count(found.n_clean)} of them that have nothing in train that they belong to."
        )
    return text


def cues_sentence(audit: Audit) -> str:
    """What came of all cues, in one line; empty where none was tested.

    A high figure never stands beside the word none without the reason why it counts for little.
    """
    n = len(audit.cues)
    said = sum(cue.severity is not None for cue in audit.cues)
    if said:
        return f"{count(said)} of {count(n)} cues {'tells' if said == 1 else 'tell'} the classes apart"
    in_doubt = [cue for cue in audit.cues if cue.in_doubt]
    strongest = max(in_doubt or audit.cues, key=lambda cue: cue.auroc.value or 0.0, default=None)
    if strongest is None:
        return ""
    figure = f"{strongest.cue}, AUROC {estimate(strongest.auroc)}"
    if in_doubt:
        more = f", and {count(len(in_doubt) - 1)} more of {count(n)} cues" if len(in_doubt) > 1 else ""
        return (
            f"Images that do not belong together are too few to be sure, but one thing besides the object may tell the "
            f"classes apart: {figure}{more}"
        )
    if (strongest.auroc.value or 0.0) < _HIGH:
        return f"None of {count(n)} cues tells the classes apart well enough to matter; the strongest is {figure}"
    if strongest.kind == "place" and strongest.beside is not None:
        reason = f"which places inside the image reach as well ({number(strongest.beside)})"
    elif strongest.kind == "time":
        reason = "as is common where classes were photographed one after the other"
    else:
        reason = "no more than plain defects reach by themselves"
    return f"No cue tells more than the objects themselves may; the strongest of {count(n)} is {figure}, {reason}"


def heading(kind: str) -> str:
    """The name of a kind of finding as a heading: `near-duplicates` becomes `Near duplicates`."""
    name = _HEADINGS.get(kind, kind.replace("-", " "))
    return name[:1].upper() + name[1:]


def next_step(audit: Audit) -> str:
    """What to do now, in one line."""
    if audit.count("serious"):
        return "mend what is serious, then run the audit again; until then, figures on these data prove little."
    if audit.count("warning") or _possible_shortcut(audit):
        return "look at the images named above; mend what is wrong, or go on and train if it is as it should be."
    return "nothing here stands in the way of training."


def lines(audit: Audit) -> tuple[str, ...]:
    """The audit for the terminal: serious findings and warnings in full, notes shortened, and what to do next."""
    told = [_line("Audit", looked_at(audit))]
    for finding in audit.findings:
        sentence = printable(finding.sentence)
        note = finding.severity == "note"
        told.append(_line(finding.severity.capitalize(), shortened(sentence) if note else sentence))
    if audit.optimism is not None:
        told.append(_line("Optimism", optimism_sentence(audit.optimism)))
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
        told.append(_line("Optimism", optimism_sentence(audit.optimism)))
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


def _possible_shortcut(audit: Audit) -> bool:
    warned = any(finding.kind == SHORTCUT and finding.severity != "note" for finding in audit.findings)
    said = any(cue.severity is not None for cue in audit.cues)
    # Appearance is in doubt wherever images are few and defects plain.
    in_doubt = any(cue.in_doubt and cue.kind in ("recording", "camera") for cue in audit.cues)
    return warned or (in_doubt and not said) or any(finding.kind == POSSIBLE_SHORTCUT for finding in audit.findings)


def _line(name: str, text: str) -> str:
    return f"{name:<10}{text}"


def _findings(n: int, kind: str, *, noun: str = "finding") -> str:
    return f"{count(n)} {kind}{noun}{'' if n == 1 else 's'}"


def _them(n: int) -> str:
    return "it" if n == 1 else "them"
