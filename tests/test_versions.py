"""Files of other versions are told by their number, before anything else in them is read."""

from __future__ import annotations

import json
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import whycam
from tests.conftest import Command
from whycam.auditing import read_audit
from whycam.audits.audit import SCHEMA as AUDIT_SCHEMA
from whycam.bundle import SCHEMA
from whycam.errors import RunError
from whycam.measuring import read_measured
from whycam.measuring.measure import SCHEMA as MEASURED_SCHEMA
from whycam.run_mark import CHECKPOINT
from whycam.training.checkpoint import load_checkpoint

HERE = version("whycam")


def with_card(run: Path, copy: Path, **changes: object) -> Path:
    """A copy of the run whose card has these fields; None takes a field out."""
    shutil.copytree(run, copy)
    card: dict[str, Any] = json.loads((run / "card.json").read_text()) | changes
    (copy / "card.json").write_text(json.dumps({name: value for name, value in card.items() if value is not None}))
    return copy


@pytest.mark.parametrize(
    ("schema", "remedy"), [(3, "train again"), (4, "train again"), (SCHEMA + 1, "update WhyCAM, or train again")]
)
@pytest.mark.parametrize("missing", ["created", "threshold", "model"])
def test_a_card_of_another_version_is_not_called_damaged(
    trained: Path, tmp_path: Path, schema: int, remedy: str, missing: str
) -> None:
    # Another version has other fields.
    run = with_card(trained, tmp_path / "run", schema=schema, versions={"whycam": "9.8.7"}, **{missing: None})
    with pytest.raises(RunError) as caught:
        whycam.load(run)
    assert str(caught.value) == (
        f"{run / 'card.json'} has schema {schema}, written by WhyCAM 9.8.7; this version, WhyCAM {HERE}, reads schema "
        f"{SCHEMA}: {remedy}."
    )


@pytest.mark.parametrize("versions", [None, [], {}, {"whycam": 3}, "0.1"])
def test_who_wrote_it_is_said_where_it_is_known(trained: Path, tmp_path: Path, versions: object) -> None:
    run = with_card(trained, tmp_path / "run", schema=3, versions=versions)
    with pytest.raises(RunError, match=rf"has schema 3; this version, WhyCAM {re.escape(HERE)}, reads"):
        whycam.load(run)


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ("5", 'schema is "5", not a whole number'),
        ("five", 'schema is "five", not a whole number'),
        (5.5, "schema is 5.5, not a whole number"),
        (True, "schema is true, not a whole number"),
        (None, "it names no schema"),
    ],
)
def test_a_card_without_a_number_is_damaged(trained: Path, tmp_path: Path, schema: object, what: str) -> None:
    run = with_card(trained, tmp_path / "run", schema=schema)
    with pytest.raises(RunError) as caught:
        whycam.load(run)
    assert str(caught.value) == f"{run / 'card.json'} is damaged: {what}: train again."


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'"schema"', b"\xff\xfe", b"[" * 100_000, b'{"schema": '])
def test_what_is_no_card_at_all_is_damaged(trained: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "card.json").write_bytes(content)
    with pytest.raises(RunError, match=r"card\.json is damaged"):
        whycam.load(tmp_path / "run")


def test_every_command_says_so_in_one_line(trained: Path, parts: Path, tmp_path: Path, whycam_here: Command) -> None:
    run = with_card(trained, tmp_path / "run", schema=3, created=None)
    image = next((parts / "normal").iterdir())
    for command in (
        ("evaluate", run),
        ("score", run, parts, "--out", tmp_path / "scores.csv"),
        ("explain", run, image, "--out", tmp_path / "why"),
        ("explain", run, "--measure"),
    ):
        done = whycam_here(*command)
        assert done.returncode == 2
        assert "has schema 3" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "read", "schema"),
    [("audit.json", read_audit, AUDIT_SCHEMA), ("explained.json", read_measured, MEASURED_SCHEMA)],
)
def test_other_files_have_numbers_too(tmp_path: Path, name: str, read: Any, schema: int) -> None:
    for found, said in ((schema + 1, f"has schema {schema + 1}; .* update WhyCAM, or delete it"), ("x", "is damaged")):
        (tmp_path / name).write_text(json.dumps({"schema": found}))
        with pytest.raises(RunError, match=f"{re.escape(name)} {said}"):
            read(tmp_path)


def test_so_have_checkpoints(tmp_path: Path) -> None:
    mark = json.dumps({"schema": 99, "versions": {"whycam": "9.8.7"}})
    save_file({"a": torch.zeros(1)}, tmp_path / CHECKPOINT, metadata={"whycam": "{}", "mark": mark})
    with pytest.raises(RunError, match=r"has schema 99, written by WhyCAM 9\.8\.7; .* train again into another folder"):
        load_checkpoint(tmp_path)
