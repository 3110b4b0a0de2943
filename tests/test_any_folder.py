"""Whatever lies in a folder: every command ends in 0, 1 or 2, with --json in one object, and never in a traceback."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import Command
from whycam.training import recipe as recipes

MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F")
FORMATS = {"png": "PNG", "tif": "TIFF", "gif": "GIF", "bmp": "BMP", "jpg": "JPEG", "webp": "WEBP"}
FOLDERS = (
    "normal",
    "anomalous",
    "good",
    "bad",
    "anomalous/scratch",
    "train/good",
    "test/bad",
    "ground_truth/bad",
    ".",
    "x",
)
"""Some that the layouts know, and some that they do not."""
NAMES = (
    "a",
    "B",
    "with space",
    "é",
    "名",
    "a.b",
    ".hidden",
    "-dash",
    "a_mask",
    "Thumbs",
    "%41",
    "'quote'",
    "new\nline",
)
BROKEN = (
    b"",
    b"no image",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff\xe0",
    b"II*\x00",
    b"BM",
    b"RIFF\0\0\0\0WEBP",
)
TABLES = (
    "file,target\nnormal/a.png,0\n",
    "file;target;split\nx/a.png;1;test\n",
    "target\n1\n",
    "",
    "\ufefffile,target,group\nnormal/a.png,much,\n",
)


@dataclass(frozen=True)
class Item:
    """One file to be."""

    folder: str
    name: str
    suffix: str
    mode: str
    size: tuple[int, int]
    seed: int
    broken: int | None

    @property
    def content(self) -> bytes:
        if self.broken is not None:
            return BROKEN[self.broken]
        rng = np.random.default_rng(self.seed)
        grey = (
            rng.integers(0, 256, self.size[::-1], dtype=np.uint8)
            if self.seed
            else np.full(self.size[::-1], 90, np.uint8)
        )
        image = Image.fromarray(grey)
        image = Image.fromarray(grey.astype(np.uint16) * 200) if self.mode == "I;16" else image.convert(self.mode)
        file = io.BytesIO()
        try:
            image.save(file, FORMATS[self.suffix])
        except (OSError, ValueError):  # a format that has no such mode
            return image.tobytes()
        return file.getvalue()


ITEMS = st.lists(
    st.builds(
        Item,
        folder=st.sampled_from(FOLDERS),
        name=st.sampled_from(NAMES),
        suffix=st.sampled_from(sorted(FORMATS)),
        mode=st.sampled_from(MODES),
        size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
        seed=st.integers(0, 3),  # so that there are copies
        broken=st.none() | st.none() | st.integers(0, len(BROKEN) - 1),
    ),
    min_size=0,
    max_size=24,
)
# As many as make a set of both classes likely, beside whatever else there is.
USUAL = st.builds(
    lambda n, seed: [
        Item(name, f"part-{number}", "png", "L", (40, 40), seed + number, None)
        for name in ("normal", "anomalous")
        for number in range(1, n)
    ],
    st.sampled_from([0, 0, 5, 9]),
    st.integers(0, 3),
)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    head = recipes.HeadSettings(epochs=2, folds=2)
    small = replace(recipes.DEFAULT, size_hw=(64, 64), views=1, symmetry="none", head=head)
    monkeypatch.setitem(recipes.RECIPES, "default", small)
    monkeypatch.setattr("whycam.workflow.auditing.DEFAULT", small)


def lay_out(folder: Path, items: list[Item], table: str | None, link: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for item in items:
        path = folder / item.folder / f"{item.name}.{item.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.content)
    if table is not None:
        (folder / "manifest.csv").write_text(table, encoding="utf-8")
    if link:
        (folder / "loop.png").symlink_to("loop.png")
        (folder / "again").symlink_to(".")


def check(whycam_here: Command, *arguments: str | Path) -> int:
    done = whycam_here(*arguments, "--json")
    assert done.returncode in (0, 1, 2), done.stderr
    assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert ("error" in said) == (done.returncode == 2)
    assert all(line.startswith("whycam: ") for line in done.stderr.splitlines())
    return done.returncode


FEW = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(FEW, max_examples=20)
@given(items=ITEMS, usual=USUAL, table=st.none() | st.none() | st.sampled_from(TABLES), link=st.booleans())
def test_an_audit_ends_in_words(
    items: list[Item], usual: list[Item], table: str | None, link: bool, tmp_path: Path, whycam_here: Command
) -> None:
    lay_out(tmp_path / "data", [*usual, *items], table, link)
    check(whycam_here, "audit", tmp_path / "data")


@FEW
@given(items=ITEMS, link=st.booleans())
def test_any_folder_is_scored_or_refused(
    items: list[Item], link: bool, trained: Path, tmp_path: Path, whycam_here: Command
) -> None:
    lay_out(tmp_path / "data", items, None, link)
    (tmp_path / "scores.csv").unlink(missing_ok=True)
    check(whycam_here, "score", trained, tmp_path / "data", "--out", tmp_path / "scores.csv")


@settings(FEW, max_examples=3)
@given(items=ITEMS)
def test_a_training_ends_in_words(items: list[Item], tmp_path: Path, whycam_here: Command) -> None:
    usual = [
        Item(name, f"part-{number}", "png", "L", (40, 40), number, None)
        for name in ("normal", "anomalous")
        for number in range(1, 8)
    ]
    lay_out(tmp_path / "data", [*usual, *items], None, link=False)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    check(whycam_here, "train", tmp_path / "data", "--out", tmp_path / "run", "--device", "cpu")
