"""Nothing of the user's is lost, nothing is half-finished, and no mistake ends in a traceback."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import whycam
from tests.conftest import Command, draw_part, make_parts
from whycam import judging, run_folder, workflow
from whycam.errors import DataError, OptionError, RunError


def cli(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "whycam.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, env=os.environ | environment)


def test_overwriting_removes_only_what_whycam_wrote(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    whycam.train(parts, out=out, recipe="classic", epochs=1)
    (out / "thesis.txt").write_text("years of work")
    (out / "gallery" / "old.png").touch()
    whycam.train(parts, out=out, recipe="classic", epochs=1, overwrite=True)
    assert (out / "thesis.txt").read_text() == "years of work"
    assert not (out / "gallery" / "old.png").exists()


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_that_only_looks_like_a_run_is_left_alone(
    parts: Path, tmp_path: Path, options: dict[str, bool]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "samples.csv").write_text("name,weight\n")
    with pytest.raises(RunError, match="not a WhyCAM run"):
        whycam.train(parts, out=tmp_path / "mine", recipe="classic", epochs=1, **options)
    assert (tmp_path / "mine" / "samples.csv").read_text() == "name,weight\n"


def test_the_data_folder_is_no_place_for_a_run(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    for place in (data, data / "normal"):
        with pytest.raises(RunError, match=r"not a WhyCAM run|holds the data itself"):
            whycam.train(data, out=place, recipe="classic", epochs=1)
    assert len(list(data.rglob("*.png"))) == 12


@pytest.mark.usefixtures("no_report")
def test_a_run_within_the_data_is_not_trained_on(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    whycam.train(data, out=data / "run", recipe="classic", epochs=1)
    again = whycam.train(data, out=tmp_path / "run2", recipe="classic", epochs=1)
    assert again.data.n_train + again.data.n_test == 12
    assert len(list(whycam.score(tmp_path / "run2", data))) == 12


@pytest.mark.usefixtures("no_report")
def test_the_order_of_rows_and_the_names_do_not_change_what_is_learned(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=8, n_anomalous=8)
    rows = []
    for path in sorted(data.rglob("*.png")):
        split = "test" if path.stem.endswith(("000", "001")) else "train"
        rows.append(f"{path.relative_to(data).as_posix()},{int(path.parent.name == 'anomalous')},{split}")
    for name, lines in (("forth", rows), ("back", rows[::-1])):
        (data / f"{name}.csv").write_text("\n".join(["file,target,split", *lines]))
    whycam.train(data / "forth.csv", out=tmp_path / "whole", recipe="classic", epochs=3)
    whycam.train(data / "forth.csv", out=tmp_path / "resumed", recipe="classic", epochs=1)
    whycam.train(data / "back.csv", out=tmp_path / "resumed", recipe="classic", epochs=3, resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("no_report")
def test_two_trainings_do_not_share_a_folder(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(RunError, match="Another process is writing"):
        whycam.train(parts, out=tmp_path / "run", recipe="classic", epochs=1)
    whycam.train(parts, out=tmp_path / "run", recipe="classic", epochs=1)


def test_an_unfinished_run_is_never_taken_for_the_finished_one_before(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    whycam.train(parts, out=out, recipe="classic", epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(judging, "judge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            whycam.train(parts, out=out, recipe="classic", epochs=2, resume=True)
    assert not (out / "report.html").exists()
    with pytest.raises(RunError, match="not a finished run"):
        whycam.load(out)
    run = whycam.train(parts, out=out, recipe="classic", epochs=2, resume=True)
    assert run.detector.card.training.epochs_done == 2


def test_an_evaluation_does_not_overwrite_another_run(trained: Path, parts: Path, tmp_path: Path) -> None:
    other = make_parts(tmp_path / "other", n_normal=5, n_anomalous=4, seed=5)
    victim = tmp_path / "victim"
    shutil.copytree(trained, victim)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for place in (victim, tmp_path / "mine"):
        with pytest.raises(RunError, match="not an earlier evaluation"):
            whycam.evaluate(trained, other, out=place)
    assert (victim / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()
    for _ in range(2):
        whycam.evaluate(trained, other, out=tmp_path / "fine")


def test_the_report_on_other_data_still_says_what_was_trained_on(trained: Path, tmp_path: Path) -> None:
    other = make_parts(tmp_path / "other-parts", n_normal=5, n_anomalous=4, seed=6)
    run = whycam.evaluate(trained, other, out=tmp_path / "evaluation")
    assert run.data.facts.root.endswith("other-parts")
    assert run.detector.card.data.n_train == 30
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert "parts, tested on other-parts" in page


@pytest.mark.usefixtures("no_report")
def test_moved_data_can_be_named(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    before = whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    data.rename(tmp_path / "moved")
    with pytest.raises(RunError, match=r"12 of the images .* are gone .* name the folder or table where they are now"):
        whycam.evaluate(tmp_path / "run")
    after = whycam.evaluate(tmp_path / "run", tmp_path / "moved")
    assert after.folder == tmp_path / "run"
    assert after.evaluation == before.evaluation


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("threshold", "value"), float("nan")),
        (("heatmap", "scale"), -1.0),
        (("heatmap", "scale"), float("inf")),
        (("heatmap", "grid", "height"), 3),
        (("model", "size_hw"), [10, 10]),
        (("model", "size_hw"), [10**7, 10**7]),
        (("data", "facts", "root"), "a\0b"),
    ],
)
def test_a_damaged_card_does_not_fail_open(trained: Path, tmp_path: Path, keys: tuple[str, ...], value: object) -> None:
    shutil.copytree(trained, tmp_path / "run")
    card = json.loads((trained / "card.json").read_text())
    *outer, last = keys
    place = card
    for key in outer:
        place = place[key]
    place[last] = value
    (tmp_path / "run" / "card.json").write_text(json.dumps(card))
    with pytest.raises(RunError, match="damaged"):
        whycam.load(tmp_path / "run")


def test_scores_that_are_no_numbers_are_no_verdicts(trained: Path, parts: Path) -> None:
    detector = whycam.load(trained)
    detector._network.head.output.bias.data.fill_(float("nan"))
    with pytest.raises(RunError, match="no numbers"):
        detector.inspect(next((parts / "normal").iterdir()))


def test_damaged_samples_are_named(trained: Path, tmp_path: Path) -> None:
    header = (trained / "samples.csv").read_text().splitlines()[0]
    for content in (f'{header}\n"{"x" * 140_000}\n', f"{header}\na.png,much\n", "file\n"):
        shutil.copytree(trained, tmp_path / str(len(content)))
        (tmp_path / str(len(content)) / "samples.csv").write_text(content)
        with pytest.raises(RunError, match=r"samples\.csv is damaged"):
            whycam.evaluate(tmp_path / str(len(content)))


@pytest.mark.parametrize("out", ["afile/sub", "afile", "/proc/nowhere/run"])
def test_places_that_cannot_be_written_to(
    parts: Path, trained: Path, tmp_path: Path, whycam_here: Command, out: str
) -> None:
    (tmp_path / "afile").touch()
    images = sorted((parts / "normal").iterdir())[:1]
    for done in (
        whycam_here("train", parts, "--out", tmp_path / out, "--recipe", "classic", "--epochs", "1"),
        whycam_here("explain", trained, *images, "--out", tmp_path / out),
    ):
        complaints = [line for line in done.stderr.splitlines() if "whycam:" in line]
        assert done.returncode == 2
        assert len(complaints) == 1
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 10**20])
def test_a_seed_out_of_range_is_told_before_anything_happens(
    trained: Path, parts: Path, tmp_path: Path, seed: int
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    with pytest.raises(OptionError, match="`seed` must be"):
        whycam.train(parts, out=tmp_path / "run", seed=seed, overwrite=True)
    assert (tmp_path / "run" / "model.safetensors").exists()
    with pytest.raises(OptionError, match="`seed` must be"):
        whycam.audit(parts, seed=seed)


@pytest.mark.usefixtures("no_report")
def test_names_that_are_no_utf8(tmp_path: Path, whycam_here: Command) -> None:
    try:
        data = make_parts(Path(os.fsdecode(os.fsencode(tmp_path) + b"/data-\xff")), n_normal=6, n_anomalous=6)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    odd = Path(os.fsdecode(os.fsencode(data) + b"/normal/gr\xfcn.png"))
    Image.fromarray(draw_part(np.random.default_rng(8), defect=False)).save(odd)
    run = whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    assert run.data.n_train + run.data.n_test == 13
    done = cli("score", tmp_path / "run", odd, data, "--out", "-")
    assert done.returncode == 0, done.stderr
    assert b"gr\\xfcn.png" in done.stdout
    assert whycam_here("explain", tmp_path / "run", odd, "--out", tmp_path / "why").returncode == 0
    whycam.evaluate(tmp_path / "run", data)


def test_a_poor_terminal_is_no_reason_to_fail(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    Image.fromarray(draw_part(np.random.default_rng(8), defect=False)).save(tmp_path / "new" / "照片\x1b[31m.png")
    done = cli("score", trained, tmp_path / "new", "--out", "-", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    done = cli("explain", trained, tmp_path / "new", "--out", tmp_path / "why", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert b"\x1b[31m" not in done.stdout


def test_explain_passes_over_what_it_cannot_read(
    trained: Path, parts: Path, tmp_path: Path, whycam_here: Command
) -> None:
    good = sorted((parts / "normal").iterdir())[:2]
    (tmp_path / "bad.png").touch()
    done = whycam_here("explain", trained, good[0], tmp_path / "bad.png", good[1], "--out", tmp_path / "why", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [item["file"] for item in printed["inspections"]] == [str(path) for path in good]
    assert [item["reason"] for item in printed["skipped"]] == ["the file is empty"]
    assert len(list((tmp_path / "why").iterdir())) == 2
    with pytest.raises(DataError, match=r"bad\.png: the file is empty"):
        list(workflow.explain(trained, [tmp_path / "bad.png"], out=tmp_path / "strict", strict=True))


def test_score_names_what_it_cannot_enter(trained: Path, tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=5, n_anomalous=4, seed=4)
    (data / "normal" / "loop.png").symlink_to("loop.png")
    results = list(whycam.score(trained, data))
    assert len(results) == 10
    (problem,) = [result for result in results if result.problem]
    assert problem.file == "normal/loop.png"
    with pytest.raises(DataError, match=r"loop\.png"):
        list(whycam.score(trained, data, strict=True))


def test_one_path_is_a_list_of_one(trained: Path, parts: Path) -> None:
    path = next((parts / "normal").iterdir())
    detector = whycam.load(trained)
    assert list(detector.score(str(path))) == list(detector.score([path]))
    assert len(list(whycam.score(trained, str(parts)))) == 40


def test_large_pictures_are_drawn_smaller(trained: Path, tmp_path: Path) -> None:
    Image.new("L", (5000, 1000), 90).save(tmp_path / "wide.png")
    result = whycam.load(trained).inspect(tmp_path / "wide.png")
    assert result.exhibit.image.shape == (410, 2048, 3)


@pytest.mark.usefixtures("no_report")
def test_training_time_counts_all_sessions(parts: Path, tmp_path: Path) -> None:
    whycam.train(parts, out=tmp_path / "run", recipe="classic", epochs=2)
    run = whycam.train(parts, out=tmp_path / "run", recipe="classic", epochs=3, resume=True)
    history = run_folder.read_history(tmp_path / "run")
    assert run.detector.card.training.seconds == pytest.approx(sum(item.seconds for item in history), abs=0.01)


@pytest.mark.usefixtures("no_report")
def test_copies_are_told_and_stay_on_one_side(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "data", n_normal=6, n_anomalous=6)
    for number in range(20):
        shutil.copy(data / "normal" / "normal-000.png", data / "normal" / f"copy-{number}.png")
    run = whycam.train(data, out=tmp_path / "run", recipe="classic", epochs=1)
    assert run.audit is not None
    assert any("20 files of 32 are identical copies" in finding.sentence for finding in run.audit.findings)
    with (tmp_path / "run" / "samples.csv").open(newline="") as file:
        sides = {row["split"] for row in csv.DictReader(file) if "copy-" in row["file"] or "normal-000" in row["file"]}
    assert len(sides) == 1


class _Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[_Notes]:
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes.append(note)


@pytest.mark.usefixtures("no_report")
def test_progress_always_shows_the_loss(parts: Path, tmp_path: Path) -> None:
    progress = _Notes()
    whycam.train(parts, out=tmp_path / "run", recipe="classic", epochs=2, progress=progress)
    trained = [note for note in progress.notes if note.startswith("epoch")]
    assert len(trained) == 2 * 4
    assert all("loss 0." in note for note in trained)
