"""What all tests share: a private pixel cache, a photo-like data set, and one small trained run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from whycam.cli import main

Command = Callable[..., subprocess.CompletedProcess[str]]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


NO_SKIPS = "WHYCAM_NO_SKIPS"
"""Environment variable: where it is set, as in continuous integration, a test that is skipped fails."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _unskipped((yield))


def _unskipped(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(NO_SKIPS):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{reason} (no test may be skipped where {NO_SKIPS} is set)"
    return report


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same in all of its processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder as `make` makes it, in whichever process needs it first; read only."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name(f"unfinished-{folder.name}")
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(autouse=True)
def _private_cache(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_DIR", str(shared / "cache"))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings without their report, for tests that do not look at it: it takes most of the time of a small one."""
    monkeypatch.setattr("whycam.judging.write_report", lambda *_, **__: None)


@pytest.fixture
def whycam_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, which has imported torch already, by the function that the program calls."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["whycam", *map(str, arguments)])
            patch.setenv("COLUMNS", "120")
            if cwd is not None:
                patch.chdir(cwd)
            main()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(arguments, ended.value.code, *capfd.readouterr())

    return run


def take_interrupts() -> None:
    """For a child before it starts: what a shell runs in the background ignores SIGINT, and so would the child."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def draw_part(rng: np.random.Generator, *, defect: bool, side: int = 64) -> np.ndarray:
    """A grey textured part, with a bright square blot where defective: (side, side) uint8."""
    image = rng.normal(110, 12, (side, side))
    if defect:
        row, column = rng.integers(8, side - 24, 2)
        image[row : row + 16, column : column + 16] += 110
    return np.clip(image, 0, 255).astype(np.uint8)


def make_parts(folder: Path, *, n_normal: int, n_anomalous: int, seed: int = 0) -> Path:
    """A data folder with normal/ and anomalous/ PNGs."""
    rng = np.random.default_rng(seed)
    for name, n, defect in (("normal", n_normal, False), ("anomalous", n_anomalous, True)):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            Image.fromarray(draw_part(rng, defect=defect)).save(folder / name / f"{name}-{number:03}.png")
    return folder


@pytest.fixture(scope="session")
def parts(shared: Path) -> Path:
    """24 normal and 16 anomalous parts; read only."""
    return made_once(shared / "parts", lambda folder: make_parts(folder, n_normal=24, n_anomalous=16))


def train_once(shared: Path, parts: Path, name: str, **options: Any) -> Path:
    """A run on `parts`; read only."""
    from whycam import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYCAM_CACHE_DIR", str(shared / "cache"))
        return made_once(shared / name, lambda folder: train(parts, out=folder, device="cpu", **options))


@pytest.fixture(scope="session")
def trained(shared: Path, parts: Path) -> Path:
    """A run of the recipe `classic`, trained for two epochs on `parts`; read only."""
    return train_once(shared, parts, "trained", recipe="classic", epochs=2)


@pytest.fixture(scope="session")
def trained_default(shared: Path, parts: Path) -> Path:
    """A run of the default recipe on `parts`; read only."""
    return train_once(shared, parts, "trained-default")


@pytest.fixture(params=["classic", "default"])
def either(request: pytest.FixtureRequest) -> Path:
    """A run of each recipe, for what must hold for both; read only."""
    name = {"classic": "trained", "default": "trained_default"}[request.param]
    run: Path = request.getfixturevalue(name)
    return run
