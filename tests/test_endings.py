"""How commands end that do not end well: by Ctrl-C, by a fault of WhyCAM itself; and what they say when only asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import whycam
from tests.conftest import Command, make_parts, take_interrupts
from whycam.__main__ import main as start
from whycam.cli import main
from whycam.run_mark import CHECKPOINT
from whycam.workflow import training

COMMANDS = ("demo", "audit", "train", "evaluate", "explain", "score")


def interrupted(data: Path, out: Path, cache: Path, *, once: Path) -> subprocess.CompletedProcess[str]:
    """A training that gets Ctrl-C as soon as there is something at `once`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "whycam", "train", str(data), "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"WHYCAM_CACHE_DIR": str(cache)},
        preexec_fn=take_interrupts,
    )
    while not once.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out_text, error_text = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out_text, error_text)


def test_an_early_interrupt_does_not_promise_that_anything_is_kept(parts: Path, tmp_path: Path) -> None:
    done = interrupted(parts, tmp_path / "run", tmp_path / "cache", once=tmp_path / "cache")
    assert done.returncode == 130
    assert done.stderr == "whycam: stopped.\n"
    assert json.loads(done.stdout) == {"error": "stopped."}
    assert not (tmp_path / "run").exists()


def test_a_late_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    data, run = make_parts(tmp_path / "data", n_normal=12, n_anomalous=8), tmp_path / "run"
    # Without features on disk, it takes a while from the empty checkpoint to the end.
    done = interrupted(data, run, tmp_path / "cache", once=run / CHECKPOINT)
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert line == "whycam: stopped. What is finished is kept: the same command with --resume goes on from there."
    assert json.loads(done.stdout) == {"error": line.removeprefix("whycam: ")}


def test_an_interrupt_in_code_made_from_text_ends_with_the_same_code() -> None:
    """Python would else die by the signal, as it remembers such an interrupt."""
    program = "from whycam.ending import end\ndef stop(): exec('raise KeyboardInterrupt')\nend(stop)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "whycam: stopped.\n")


def test_an_interrupt_while_python_is_importing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Importing:
        @property
        def main(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "whycam.cli", Importing())
    monkeypatch.setattr(sys, "argv", ["whycam", "audit", "photos", "--json"])
    with pytest.raises(SystemExit) as ended:
        start()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.err) == (130, "whycam: stopped.\n")
    assert json.loads(printed.out) == {"error": "stopped."}


@pytest.mark.parametrize(
    ("options", "writes", "advice"),
    [
        ([], True, "with --resume goes on"),
        ([], False, ""),
        (["--resume"], False, "with --resume goes on"),
        (["--overwrite"], True, "with --resume instead of --overwrite goes on"),
        (["--overwrite"], False, ""),
        (["--budget", "9m"], True, ""),
    ],
)
def test_only_what_can_be_resumed_is_said_to_be(
    options: list[str],
    writes: bool,
    advice: str,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whycam_here: Command,
) -> None:
    """`writes`: whether the stopped training had written a checkpoint; an earlier one is there from the start."""
    checkpoint = tmp_path / CHECKPOINT
    if options and "--budget" not in options:
        checkpoint.touch()
        os.utime(checkpoint, (1, 1))

    def stop(*_: object, **__: object) -> None:
        if writes:
            checkpoint.write_bytes(b"new")
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stop)
    done = whycam_here("train", parts, "--out", tmp_path, *options)
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert line.startswith("whycam: stopped.")
    assert advice in line and ("--resume" in line) == bool(advice)


def test_an_own_fault_is_one_line_that_asks_to_report_it(
    parts: Path, monkeypatch: pytest.MonkeyPatch, whycam_here: Command
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("one\ntwo \x1b[31m")

    monkeypatch.setattr("whycam.workflow.auditing.check_classes", fail)
    done = whycam_here("audit", parts, "--json")
    assert done.returncode == 70
    (line,) = done.stderr.splitlines()
    for words in ("a fault of WhyCAM", f"ZeroDivisionError at {__name__}:", "one two \\x1b[31m", "WHYCAM_DEBUG=1"):
        assert words in line
    assert json.loads(done.stdout) == {"error": line.removeprefix("whycam: ")}
    monkeypatch.setenv("WHYCAM_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["whycam", "audit", str(parts)])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_given_by_its_short_name_too(command: str, whycam_here: Command) -> None:
    short, full = whycam_here(command, "-h"), whycam_here(command, "--help")
    assert short.returncode == full.returncode == 0
    assert short.stdout == full.stdout
    assert f"whycam {command} [OPTIONS]" in short.stdout


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "whycam", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"whycam {whycam.__version__}\n" and done.stderr == ""


def test_help_names_every_command(whycam_here: Command) -> None:
    assert all(f" {command} " in whycam_here("-h").stdout for command in COMMANDS)
