"""Whatever opens data says how it read them and what it left out: in the terminal, as JSON and on the pages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Command
from whycam import train


@pytest.fixture
def littered(parts: Path, tmp_path: Path) -> Path:
    """The parts, with one broken image, one of another format, one note, and a folder of a NAS."""
    folder = tmp_path / "data"
    shutil.copytree(parts, folder)
    (folder / "normal" / "broken.png").write_bytes(b"no picture")
    (folder / "anomalous" / "raw.NEF").write_bytes(b"x")
    (folder / "normal" / "notes.txt").write_text("x")
    (folder / "normal" / "@eaDir").mkdir()
    shutil.copy(folder / "normal" / "normal-000.png", folder / "normal" / "@eaDir" / "thumb.png")
    return folder


def test_an_audit_tells_it_everywhere_and_strict_fails_on_what_cannot_be_read(
    littered: Path, tmp_path: Path, whycam_here: Command
) -> None:
    done = whycam_here("audit", littered, "--out", tmp_path / "out", "--strict")
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if "--strict" in line]
    assert [line.split(": ")[1] for line in failed] == ["anomalous/raw.NEF", "normal/broken.png"]
    page = (tmp_path / "out" / "audit.html").read_text()
    for said in ("normal/broken.png", "anomalous/raw.NEF", "normal/notes.txt", "Synology", "24 normal, 16 anomalous"):
        assert said in done.stdout and said in page
    written = json.loads((tmp_path / "out" / "audit.json").read_text())["data"]
    printed = whycam_here("audit", littered, "--strict", "--json")
    assert printed.returncode == 1 and json.loads(printed.stdout)["data"] == written
    assert [item["cause"] for item in written["left_out"]] == ["no image", "unsupported", "unreadable"]
    assert [(item["name"], item["meaning"], item["n"]) for item in written["folders"]] == [
        ("anomalous", "anomalous", 16),
        ("normal", "normal", 24),
        ("normal/@eaDir", "left out", 1),
    ]


def test_what_is_no_image_does_not_fail_strict(littered: Path, whycam_here: Command) -> None:
    (littered / "normal" / "broken.png").unlink()
    (littered / "anomalous" / "raw.NEF").unlink()
    assert whycam_here("audit", littered, "--strict").returncode == 0


def test_a_training_and_a_scoring_tell_it_too(littered: Path, tmp_path: Path, whycam_here: Command) -> None:
    run = train(littered, out=tmp_path / "run", recipe="classic", epochs=1, device="cpu")
    card = json.loads((run.folder / "card.json").read_text())["data"]["facts"]
    assert card == json.loads((run.folder / "audit.json").read_text())["data"]
    assert card["split_from"] == "drawn" and card["n_train"] + card["n_test"] == 40
    assert "Synology" in (run.folder / "report.html").read_text()
    done = whycam_here("score", run.folder, littered, "--out", tmp_path / "scores.csv")
    assert done.returncode == 0 and "normal/@eaDir/: thumbnails" in done.stderr
    rows = (tmp_path / "scores.csv").read_text()
    assert "raw.NEF" in rows and "notes.txt" not in rows and "thumb.png" not in rows
    done = whycam_here("evaluate", run.folder)
    assert done.returncode == 0 and "normal/broken.png" in done.stdout
