"""What a target column's cells mean: words, numbers, kinds, and every refusal with the options that would work."""

from __future__ import annotations

import re
import shlex

import pytest

from whycam.data.target_cells import Meanings, read_targets
from whycam.types import AS_USUAL, Reading


def targets(cells: str, column: str = "label", reading: Reading = AS_USUAL) -> list[float | None]:
    listed = cells.split()
    found = read_targets(listed, column, reading)
    assert not found.problems
    assert not any(found.of[cell].problem for cell in listed)
    return [None if found.of[cell].left_out else found.of[cell].target for cell in listed]


def asked(problem: str) -> Reading:
    """The options that a refusal prints, as the command line would take them."""
    words = shlex.split(re.sub(r"[,;:.]?(?=\s|$)", "", problem))
    given: dict[str, list[str]] = {"--normal": [], "--anomalous": [], "--leave-out": []}
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in given and (equals or not words[at + 1 : at + 2] or words[at + 1] not in {"or"}):
            given[option].append(value if equals else (words[at + 1] if at + 1 < len(words) else ""))
    return Reading(*(tuple(word for word in words if word) for words in given.values()))


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ("OK ok KO", "label"),
        ("ok Ok NOK", "result"),
        ("Pass pass fail", "label"),
        ("FALSE false TRUE", "target"),
        ("False False True", "is_anomalous"),
        ("no No YES", "Has Defect"),
        ("none none yes", "anomaly"),
        ("0 0.0 1", "target"),
        ("0 0,25 0,75", "y"),
    ],
)
def test_words_and_numbers_for_both_classes(cells: str, column: str) -> None:
    assert [(target or 0) > 0.5 for target in targets(cells, column)] == [False, False, True]


@pytest.mark.parametrize(("cells", "column"), [("TRUE FALSE", "class"), ("yes no", "label"), ("T F", "status")])
def test_true_and_yes_are_not_guessed_where_the_column_does_not_say(cells: str, column: str) -> None:
    (problem,) = read_targets(cells.split(), column, AS_USUAL).problems
    assert "no word that is known to mean normal" in problem
    assert len(set(targets(cells, column, asked(problem.partition(", if ")[0])))) == 2


def test_which_truth_was_taken_for_what_is_said() -> None:
    assert read_targets(["TRUE", "FALSE"], "target", AS_USUAL).notes == (
        "In the column target TRUE was taken for anomalous and FALSE was taken for normal.",
    )


def test_other_words_beside_normal_ones_are_kinds() -> None:
    found = read_targets(["good", "scratch", "dent", "scratch", "NG"], "label", AS_USUAL)
    assert not found.problems
    assert {cell: (meaning.target, meaning.kind) for cell, meaning in found.of.items()} == {
        "good": (0.0, None),
        "scratch": (1.0, "scratch"),
        "dent": (1.0, "dent"),
        "NG": (1.0, None),
    }
    assert found.notes == (
        "In the column label good (1) means normal; scratch (2) and dent (1) count as anomalous, each word being the "
        "kind.",
    )


@pytest.mark.parametrize(
    "word", ["unsure", "Unknown", "n/a", "#N/A", "NaN", "?", "-", "good?", "yes", "none", "ok_front"]
)
def test_a_doubtful_word_is_no_kind(word: str) -> None:
    (problem,) = read_targets(["good", word, "scratch"], "label", AS_USUAL).problems
    assert f"{word} (1), which says neither normal nor anomalous" in problem
    option = f"--leave-out={word}" if word.startswith("-") else f"--leave-out {shlex.quote(word)}"
    assert option in problem
    assert targets(f"good {word} scratch", reading=Reading(leave_out=(word.upper(),))) == [0.0, None, 1.0]


def test_a_slip_of_the_pen_is_no_kind() -> None:
    (problem,) = read_targets(["normal", "nromal", "scratch"], "label", AS_USUAL).problems
    assert problem == ("the column label has nromal (1): did you mean normal? Correct it, or add --anomalous nromal.")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ("casting_ok casting_def casting_def", ([0.0, 1.0, 1.0], "--normal casting_ok.")),
        ("gut gut riss", ([0.0, 0.0, 1.0], "--normal gut, if gut is the normal one.")),
        ("gut gut NG", ([0.0, 0.0, 1.0], "--normal gut, if gut is the normal one; or")),
        ("type_a type_a unsure", ([0.0, 0.0, None], "--normal type_a --leave-out unsure, if type_a")),
    ],
)
def test_without_a_normal_word_the_options_that_work_are_printed(
    cells: str, expected: tuple[list[float | None], str]
) -> None:
    wanted, text = expected
    (problem,) = read_targets(cells.split(), "label", AS_USUAL).problems
    assert "(2)" in problem and text.removesuffix("; or") in problem
    assert targets(cells, reading=asked(problem.partition(", if ")[0].partition(";")[2])) == wanted


def test_words_with_spaces_are_printed_for_a_shell() -> None:
    (problem,) = read_targets(["all well", "all well", "torn"], "label", AS_USUAL).problems
    assert "--normal 'all well'" in problem


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        ("1 2 2", "--normal 1 --anomalous 2"),
        ("0 1 2 3", "--normal 0 --anomalous 1 --anomalous 2 --anomalous 3"),
        ("1 -1 1", "--normal 1 --anomalous=-1"),
    ],
)
def test_grades_that_are_no_targets_are_asked_about(cells: str, options: str) -> None:
    (problem,) = read_targets(cells.split(), "label", AS_USUAL).problems
    assert problem.endswith(f"say what each means, such as {options}.")
    assert {0.0, 1.0} == set(targets(cells, reading=asked(options)))


def test_percentages_are_recognised() -> None:
    (problem,) = read_targets([str(n) for n in range(0, 100, 5)], "label", AS_USUAL).problems
    assert problem == (
        "the targets in the column label reach from 0 to 95, but a target is a number from 0 (normal) to 1 "
        "(anomalous): divide them by 100."
    )


@pytest.mark.parametrize("cells", ["0.3 0.5", "0 0.2", "0.5 0.5"])
def test_targets_that_never_pass_a_half_are_refused(cells: str) -> None:
    (problem,) = read_targets(cells.split(), "target", AS_USUAL).problems
    highest = cells.split()[-1]
    assert "none is above 0.5, where anomalous begins" in problem
    assert problem.endswith(f"such as --anomalous {highest}.")
    assert 1.0 in targets(cells, reading=Reading(anomalous=(highest,)))


def test_one_class_alone_is_no_mistake_of_the_column() -> None:
    assert targets("0 0 0") == [0.0, 0.0, 0.0]
    assert targets("good good") == [0.0, 0.0]
    assert targets("bad 1") == [1.0, 1.0]
    assert targets("0.3 0", reading=Reading(normal=("0.3",))) == [0.0, 0.0]


def test_what_is_said_of_a_word_goes_first_and_is_counted() -> None:
    reading = Reading(normal=("FAIL",), anomalous=("  ok ",), leave_out=("1",))
    found = read_targets(["fail", "OK", "1.0", "1"], "label", reading)
    assert [(m.target, m.kind, m.left_out) for m in found.of.values()] == [
        (0.0, None, False),
        (1.0, "OK", False),
        (None, None, True),
        (None, None, True),
    ]
    assert found.notes == ("2 rows were left out, as asked: 1.0 (1) and 1 (1) in the column label.",)


def test_words_that_are_not_there_or_contradict_each_other() -> None:
    def problems(**said: tuple[str, ...]) -> tuple[str, ...]:
        found: Meanings = read_targets(["good", "scratch"], "label", Reading(**said))
        return found.problems

    assert problems(leave_out=("scrach",)) == (
        "--leave-out scrach: the column label has no such word, but good (1) and scratch (1); did you mean "
        "--leave-out scratch?",
    )
    assert problems(normal=("zebra",)) == (
        "--normal zebra: the column label has no such word, but good (1) and scratch (1).",
    )
    assert problems(normal=("good",), leave_out=("GOOD",)) == (
        "--normal good and --leave-out good contradict each other.",
    )
