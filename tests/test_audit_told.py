"""What an audit must not pass over in silence, and which of its findings is which."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import make_parts
from whycam import audit, auditing
from whycam.audits.audit import SCHEMA, Audit
from whycam.audits.findings import Finding
from whycam.report.audit_words import lines
from whycam.report.audited import section


def test_a_data_set_audited_in_part_says_so(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "audited in part" not in {finding.kind for finding in audit(parts, seed=5).findings}
    monkeypatch.setattr(auditing, "MOST_IMAGES", 30)
    found = audit(parts, seed=6)
    assert found.n == 30
    (note,) = (finding for finding in found.findings if finding.kind == "audited in part")
    assert note.severity == "note" and note.n_files == 10
    assert note.sentence.startswith(
        "30 of 40 images, drawn at random, were audited, and nothing is known of the others"
    )
    assert any("30 of 40 images, drawn at random" in line for line in lines(found))


def test_shortcuts_are_told_apart_by_their_headings(tmp_path: Path) -> None:
    """Anomalous images are JPEGs, brighter throughout: two kinds of cue, so two findings."""
    folder = make_parts(tmp_path / "parts", n_normal=30, n_anomalous=30)
    for path in sorted((folder / "anomalous").iterdir()):
        with Image.open(path) as image:
            image.point(lambda value: min(255, value + 60)).save(path.with_suffix(".jpg"))
        path.unlink()
    found = audit(folder)
    headings = [shown.heading for shown in section(found, {}).findings if shown.heading.startswith("Shortcut")]
    assert len(headings) > 1
    assert len(set(headings)) == len(headings) and "Shortcut" not in headings
    assert "Shortcut: file type" in headings


def test_a_place_is_named_as_before() -> None:
    """By the side it lies on, whatever the cue is called."""
    finding = Finding("shortcut", "serious", "It is.", region=(0.2, 0.0, 0.8, 0.03), about="top border (3 %)")
    (shown,) = section(Audit(SCHEMA, 2, 1, (finding,), (), (), None), {}).findings
    assert shown.heading == "Shortcut: top border"
