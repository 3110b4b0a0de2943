"""Promises about the package as a whole: what importing it costs, what it exports, and how its parts depend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import whycam
from whycam import workflow

SOURCE = Path(whycam.__file__).parent


# What takes long to import: not the names alone, which other packages may look up without importing all of them.
SKLEARN, PLOTS = "sklearn.linear_model", "matplotlib.figure"


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_imports_no_torch() -> None:
    assert modules_after("import whycam").isdisjoint({"torch", "matplotlib", "scipy", "PIL", "pandas"})


def test_help_imports_no_torch() -> None:
    for arguments in (["--help"], ["train", "--help"]):
        program = f"""
from typer.testing import CliRunner
from whycam.cli import app
assert "Usage" in CliRunner().invoke(app, {arguments}).output
"""
        assert "torch" not in modules_after(program)


def test_results_are_printed_without_torch() -> None:
    assert modules_after("import whycam.terminal").isdisjoint({"torch", "scipy", SKLEARN, PLOTS})


@pytest.mark.parametrize("module", ["images", "runs", "training"])
def test_what_scores_or_checks_options_imports_neither_audits_nor_plots(module: str) -> None:
    loaded = modules_after(f"import whycam.workflow.{module}")
    assert loaded.isdisjoint({"sklearn", "scipy.stats", PLOTS, "jinja2", "pandas"})


def test_wrong_paths_and_options_are_told_before_slow_imports(parts: Path, tmp_path: Path) -> None:
    """Each command with a mistake of each kind, all in one process."""
    (tmp_path / "card.json").touch()  # enough of a run to look at what else is given
    (tmp_path / "none").mkdir()
    run, data, new, empty = str(tmp_path), str(parts), str(tmp_path / "new"), str(tmp_path / "none")
    mistakes = [
        ["audit", "/nowhere"],
        ["audit", empty],
        ["audit", data, "--out", run],
        ["audit", data, "--device", "tpu"],
        ["audit", data, "--sead", "1"],
        ["audit", data, "--seed", "-1"],
        ["train", "/nowhere", "--out", new],
        ["train", data, "--out", run],
        ["train", data, "--out", new, "--recipe", "magic"],
        ["train", data, "--out", new, "--threshold", "magic"],
        ["train", data, "--out", new, "--method", "magic"],
        ["train", data, "--out", new, "--budget", "magic"],
        ["train", data, "--out", new, "--device", "tpu"],
        ["evaluate", "/nowhere"],
        ["evaluate", empty],
        ["evaluate", run, "/nowhere"],
        ["explain", "/nowhere", data, "--out", new],
        ["explain", empty, "--measure"],
        ["explain", run, "/nowhere", "--out", new],
        ["explain", run, data, "--out", new, "--method", "magic"],
        ["score", "/nowhere", data, "--out", new],
        ["score", run, "/nowhere", "--out", new],
        ["score", run, data, "--out", new, "--device", "tpu"],
        ["score", run, data, "--out", str(tmp_path / "card.json")],
        ["score", run, data, "--out", "/nowhere/scores.csv"],
    ]
    code = f"""
from whycam.cli import main
for arguments in {mistakes}:
    sys.argv = ["whycam", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 2, arguments
        assert not sys.modules.keys() & {{"torch", "sklearn", "matplotlib"}}, arguments
"""
    assert "torch" not in modules_after(code)
    assert not Path(new).exists()


def test_every_exported_name_exists_and_is_ours() -> None:
    for name in whycam.__all__:
        assert getattr(whycam, name).__module__.startswith("whycam.")
    assert set(whycam.__all__) <= set(dir(whycam))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        whycam.trian  # noqa: B018
    for name in workflow.__all__:
        assert getattr(workflow, name).__module__.startswith("whycam.workflow.")
    assert set(workflow.__all__) <= set(dir(workflow))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        workflow.trian  # noqa: B018


def test_data_evaluation_and_report_need_no_torch() -> None:
    code = "import whycam.store.pixels, whycam.data.samples, whycam.evaluation.evaluate, whycam.report.page"
    assert "torch" not in modules_after(code)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_source_files_say_why_they_exist(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith('"""')
