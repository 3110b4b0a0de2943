"""The README keeps its word: every command and program in it is run, in order, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Command, make_parts
from whycam.training import recipe as recipes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", README, flags=re.MULTILINE)
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    photos = make_parts(folder / "photos", n_normal=12, n_anomalous=8)
    (photos / "anomalous" / "anomalous-000.png").rename(photos / "anomalous" / "part-00.png")
    return folder


def test_there_is_something_to_run() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == {"audit", "train", "explain", "score", "evaluate"}
    assert len(PROGRAMS) == 1


def test_every_command_and_program_runs(place: Path, whycam_here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small images in one view: all that follows takes a fraction of the time.
    monkeypatch.setitem(recipes.RECIPES, "default", replace(recipes.DEFAULT, size_hw=(96, 96)))
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "whycam"
        if arguments[0] == "train":
            arguments += ["--epochs", "1", "--symmetry", "none"]
        done = whycam_here(*arguments, cwd=place)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (place / "runs" / "photos" / "report.html").exists()
    assert len((place / "predictions.csv").read_text().splitlines()) == 21
    for program in PROGRAMS:
        done = subprocess.run([sys.executable, "-c", program], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (place / "why-part-00" / "panel.png").exists()


def test_make_targets_exist() -> None:
    targets = re.findall(r"^ {4}make ([a-z-]+)", README, flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    # Run from within make, its variables would change what the inner make does.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for target in [*targets, "check", "bench", "bench-peers", "help"]:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_within_the_project_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert document != "README.md" or len(links) > 5
    for link in links:
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link
