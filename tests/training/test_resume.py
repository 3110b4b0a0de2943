"""Training killed at random moments and resumed ends in the same bits as training never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.conftest import take_interrupts
from whycam import run_folder, train
from whycam.errors import OptionError, RunError
from whycam.run_mark import CHECKPOINT

EPOCHS = 12
FORKED = get_context("forkserver")
# Each process starts as a copy of one that has imported what takes seconds, and is as easily killed.
FORKED.set_forkserver_preload(["whycam.workflow.training", "whycam.audit_cache", "whycam.judging"])


def train_whole(parts: Path, out: Path, *, resume: bool = False) -> None:
    train(parts, out=out, recipe="classic", epochs=EPOCHS, seed=7, device="cpu", resume=resume)


def train_in_a_process(parts: Path, out: Path) -> ForkServerProcess:
    process = FORKED.Process(target=train_whole, args=(parts, out), kwargs={"resume": out.exists()})
    process.start()
    return process


@pytest.fixture(scope="module")
def uninterrupted(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train_whole(parts, out)
    return out


def losses(run: Path) -> list[tuple[int, float]]:
    return [(record.epoch, record.loss) for record in run_folder.read_history(run)]


def assert_same(run: Path, whole: Path) -> None:
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (run / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    assert (run / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert losses(run) == losses(whole)
    assert len(losses(run)) == EPOCHS


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(parts: Path, uninterrupted: Path, tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    out = tmp_path / "run"
    kills_while_training = 0
    for attempt in range(4):
        process = train_in_a_process(parts, out)
        checkpoint = out / CHECKPOINT
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        # The first time at any moment; then shortly after this process has written an epoch of its own.
        deadline = time.monotonic() + (moments.uniform(0.1, 2.5) if attempt == 0 else 30)
        while process.is_alive() and time.monotonic() < deadline:
            if attempt and checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
                time.sleep(moments.uniform(0, 0.4))
                break
            time.sleep(0.002)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL and checkpoint.exists():
            kills_while_training += 1
            with safe_open(checkpoint, framework="pt") as file:  # whole at every moment
                assert file.keys()
    assert kills_while_training >= 1
    train_whole(parts, out, resume=out.exists())
    assert_same(out, uninterrupted)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_ctrl_c_finishes_with_what_is_there_and_can_go_on(parts: Path, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["train", str(parts), "--out", str(out), "--recipe", "classic", "--epochs", str(EPOCHS), "--seed", "7"]
    process = subprocess.Popen(
        [sys.executable, "-m", "whycam.cli", *arguments, "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_interrupts,
    )
    while not (out / CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    done = len(losses(out))
    assert 1 <= done < EPOCHS
    assert f"after {done} of {EPOCHS} epochs" in stdout
    assert "Traceback" not in stderr
    assert (out / "report.html").exists()
    train_whole(parts, out, resume=True)
    assert_same(out, uninterrupted)


@pytest.mark.usefixtures("no_report")
def test_more_epochs_go_on_from_a_finished_run(parts: Path, uninterrupted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(parts, out=out, recipe="classic", epochs=5, seed=7, device="cpu")
    train(parts, out=out, recipe="classic", epochs=EPOCHS, seed=7, device="cpu", resume=True)
    assert_same(out, uninterrupted)


@pytest.mark.usefixtures("no_report")
def test_what_changed_since_is_named(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(parts, out=out, recipe="classic", epochs=2, seed=7, device="cpu")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(RunError, match=r"seed \(7, now 8\)"):
        train(parts, out=out, recipe="classic", epochs=3, seed=8, device="cpu", resume=True)
    with pytest.raises(RunError, match="2 epochs already, more than --epochs 1"):
        train(parts, out=out, recipe="classic", epochs=1, seed=7, device="cpu", resume=True)
    with pytest.raises(RunError, match="data or split"):
        train(parts, out=out, recipe="classic", epochs=3, seed=7, device="cpu", resume=True, test_share=0.5)
    with pytest.raises(RunError, match="already holds a run"):
        train(parts, out=out, recipe="classic", epochs=3, seed=7, device="cpu")
    with pytest.raises(OptionError, match="contradict"):
        train(parts, out=out, recipe="classic", epochs=3, seed=7, resume=True, overwrite=True)
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


@pytest.mark.usefixtures("no_report")
def test_a_damaged_checkpoint_is_named(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(parts, out=out, recipe="classic", epochs=1, device="cpu")
    content = (out / CHECKPOINT).read_bytes()
    for damaged in (content[:1000], b"", content[:8] + b"x" + content[9:]):
        (out / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(RunError, match="is damaged"):
            train(parts, out=out, recipe="classic", epochs=2, device="cpu", resume=True)
