"""Names that a user gives: they win over guesses, and a refusal prints the very command that would work."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from whycam.data.folders import read_folders
from whycam.data.words import seems
from whycam.errors import DataError, OptionError
from whycam.types import Dataset, Reading


def grow(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


def labels(dataset: Dataset) -> dict[str, tuple[float | None, str | None]]:
    return {sample.file: (sample.target, sample.kind) for sample in dataset.samples}


def refusal(root: Path, reading: Reading) -> str:
    with pytest.raises(DataError) as caught:
        read_folders(root, reading)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def commands(text: str) -> list[Reading]:
    """What the commands in a refusal say, read as a shell would."""
    found = []
    for part in text.split("whycam audit ")[1:]:
        said: dict[str, list[str]] = {"normal": [], "anomalous": [], "leave-out": []}
        words = iter(shlex.split(part.split(" . ")[0])[1:])
        for word in words:
            option, _, value = word.removeprefix("--").partition("=")
            said[option].append(value or next(words))
        found.append(Reading(tuple(said["normal"]), tuple(said["anomalous"]), tuple(said["leave-out"])))
    return found


def test_given_names_win_over_guesses_in_any_case(tmp_path: Path) -> None:
    grow(tmp_path, "ok_front/1.png", "Def_Front/2.png", "good/3.png", "extra/deep/4.png", "x/5.png")
    reading = Reading(normal=("OK_FRONT", "deep"), anomalous=("def_front/", "good"), leave_out=("x",))
    dataset = read_folders(tmp_path, reading)
    assert labels(dataset) == {
        "Def_Front/2.png": (1.0, "Def_Front"),
        "extra/deep/4.png": (0.0, None),
        "good/3.png": (1.0, "good"),
        "ok_front/1.png": (0.0, None),
    }
    assert {item.name: item.why for item in dataset.folders} == {
        "Def_Front": "named with --anomalous",
        "extra/deep": "named with --normal",
        "good": "named with --anomalous",
        "ok_front": "named with --normal",
        "x": "named with --leave-out",
    }


def test_a_path_names_one_of_several_folders(tmp_path: Path) -> None:
    grow(tmp_path, "good/1.png", "good/old/2.png", "bad/old/3.png", "bad/4.png")
    dataset = read_folders(tmp_path, Reading(leave_out=("good/old",)))
    assert set(labels(dataset)) == {"good/1.png", "bad/old/3.png", "bad/4.png"}


def test_they_hold_below_train_and_test_and_for_names_that_mean_something_else(tmp_path: Path) -> None:
    grow(tmp_path, "train/a/1.png", "train/masks/2.png", "test/a/3.png", "test/masks/4.png")
    dataset = read_folders(tmp_path, Reading(normal=("a",), anomalous=("masks",)))
    assert [(sample.target, sample.split) for sample in dataset.samples] == [
        (0.0, "test"),
        (1.0, "test"),
        (0.0, "train"),
        (1.0, "train"),
    ]


def test_a_name_that_fits_nothing_says_what_there_is(tmp_path: Path) -> None:
    grow(tmp_path, "good/1.png", "scratch/2.png")
    text = refusal(tmp_path, Reading(leave_out=("scrach",)))
    assert text == (f"--leave-out scrach: {tmp_path} has no such folder; found good/, scratch/. Did you mean scratch?")


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(normal=("a",), anomalous=("A",)), "A is given with --normal and with --anomalous: it can be one only"),
        (Reading(anomalous=("a",), leave_out=("a/",)), "--anomalous and with --leave-out"),
        (Reading(normal=("",)), "--normal must name something"),
        (Reading(group_column="part"), "--group-column names a column of a table, but"),
        (Reading(split_column="fold"), "--split-column names a column of a table, but"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, reading: Reading, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_folders(grow(tmp_path, "good/1.png", "a/2.png"), reading)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "normal"),
    [
        (("ok_front", "def_front"), {"ok_front"}),
        (("good-parts", "not good"), {"good-parts"}),
        (("normal (1)", "scratch", "unsure"), {"normal (1)"}),
        (("def_front", "front"), {"front"}),
        (("OkParts", "-defective 2023"), {"OkParts"}),
    ],
)
def test_the_command_in_a_refusal_works(tmp_path: Path, folders: tuple[str, ...], normal: set[str]) -> None:
    root = grow(tmp_path / "it's a folder", *(f"{name}/1.png" for name in folders))
    text = refusal(root, Reading())
    assert f"whycam audit {shlex.quote(str(root))} --normal " in text
    (reading,) = commands(text)
    dataset = read_folders(root, reading)
    assert {sample.file.split("/")[0] for sample in dataset.samples if sample.target == 0.0} == normal
    assert reading.leave_out == (("unsure",) if "unsure" in folders else ())


@pytest.mark.parametrize(
    "name", ["unsure", "Unknown", "to_review", "rework?", "unlabelled 2023", "todo", "ambiguous-cases", "maybe"]
)
def test_what_is_neither_is_never_taken_for_an_anomaly_silently(tmp_path: Path, name: str) -> None:
    grow(tmp_path, "ok/1.png", "nok/2.png", f"{name}/3.png")
    out, kind = commands(refusal(tmp_path, Reading()))
    assert set(labels(read_folders(tmp_path, out))) == {"ok/1.png", "nok/2.png"}
    assert labels(read_folders(tmp_path, kind))[f"{name}/3.png"] == (1.0, name)


def test_a_second_normal_folder_is_asked_about_and_one_command_answers_all(tmp_path: Path) -> None:
    grow(tmp_path, "good/1.png", "bad/2.png", "good_2/3.png", "todo/4.png", "review/5.png", "skip/6.png")
    first, second = commands(refusal(tmp_path, Reading(leave_out=("skip",))))
    assert first == Reading(normal=("good_2",), leave_out=("skip", "review", "todo"))
    assert labels(read_folders(tmp_path, first))["good_2/3.png"] == (0.0, None)
    assert len(labels(read_folders(tmp_path, second))) == 5


def test_kinds_of_defect_are_still_guessed() -> None:
    for name in ("scratch", "fine_scratch", "clean cut", "crack_0", "not_ok_seal", "other", "combined", "check"):
        assert seems(name) not in ("normal", "unsure"), name


def test_the_command_that_was_typed_is_suggested_again_with_more(tmp_path: Path) -> None:
    root = grow(tmp_path, "ok_front/1.png", "def_front/2.png")
    text = refusal(root, Reading(typed=("whycam", "train", "my data", "--out", "run")))
    assert text.endswith(": whycam train 'my data' --out run --normal ok_front --anomalous def_front")
    grow(root, "good/3.png", "unsure/4.png")
    typed = ("whycam", "evaluate", "run", "d", "--anomalous", "ok_front")
    text = refusal(root, Reading(anomalous=("ok_front",), typed=typed))
    assert f": {' '.join(typed)} --leave-out unsure . If" in text


def test_a_single_unknown_folder_may_be_of_either_class(tmp_path: Path) -> None:
    root = grow(tmp_path, "scratch/1.png")
    normal, anomalous = commands(refusal(root, Reading()))
    assert {sample.target for sample in read_folders(root, normal).samples} == {0.0}
    assert {sample.target for sample in read_folders(root, anomalous).samples} == {1.0}


@pytest.mark.parametrize("name", ["bad_mask", "masks bad", "labels", "Labels 2"])
def test_what_reads_like_masks_or_labels_is_asked_about(tmp_path: Path, name: str) -> None:
    root = grow(tmp_path, "good/1.png", "bad/2.png", f"{name}/3.png")
    left_out, anomalous = commands(refusal(root, Reading()))
    assert left_out.leave_out == (name,) and anomalous.anomalous == (name,)
