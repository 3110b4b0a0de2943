"""Nothing leaves the machine, and nothing is left in the user's home folder but the cache that is documented."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import whycam

SCORING = """
import torch
from whycam.networks.engine import Engine
from whycam.networks.pretrained import pretrained
Engine(pretrained(("depthwise8",)))(torch.zeros(1, 1, 64, 64))
"""


def homes_files(program: str, home: Path, **environment: str) -> set[str]:
    """What a process with a fresh home folder leaves there."""
    home.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "WHYCAM_", "ORT_"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "HOME": str(home), "USERPROFILE": str(home), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("asked_for", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["unset", "0"])
def test_the_engine_leaves_nothing_in_a_fresh_home(asked_for: dict[str, str], tmp_path: Path) -> None:
    assert homes_files(SCORING, tmp_path / "home", **asked_for) == set()


def test_scoring_leaves_nothing_in_a_fresh_home(trained_default: Path, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    program = f"""
import sys
from whycam.cli import main
sys.argv = ["whycam", "score", {str(trained_default)!r}, {str(parts)!r}, "--out", {str(out)!r}, "--json"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""
    assert homes_files(program, tmp_path / "home") == set()
    assert out.exists()


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_one_module_alone_loads_the_library_that_has_telemetry() -> None:
    source = Path(whycam.__file__).parent
    loading = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if any(name.split(".")[0] == "onnxruntime" for name in imports(ast.parse(path.read_text("utf-8"))))
    }
    assert loading == {"networks/onnx_runtime.py"}
