"""Which column of a table is what: stand-ins, what is offered, and refusals that name the nearest column."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.test_table import problems, table
from whycam.data.table import read_table
from whycam.errors import DataError
from whycam.types import AS_USUAL, Dataset, Reading

FILES = ("img/a.png", "img/b.png", "img/c.jpg", "img/d.png")


def made(folder: Path, header: str, *rows: str, files: tuple[str, ...] = FILES) -> Path:
    return table(folder, "\n".join((header, *rows)) + "\n", *files)


def read(folder: Path, header: str, *rows: str, reading: Reading = AS_USUAL) -> Dataset:
    return read_table(made(folder, header, *rows), reading)


def refused(folder: Path, header: str, *rows: str, reading: Reading = AS_USUAL) -> str:
    with pytest.raises(DataError) as caught:
        read_table(made(folder, header, *rows), reading)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("name", ["path", "image_id", "Image", "FileName", "file_name", "img", "image path", "ID"])
@pytest.mark.parametrize("target", ["label", "class", "Defect", "is_anomalous", "y"])
def test_other_names_stand_in_and_are_said(tmp_path: Path, name: str, target: str) -> None:
    found = read(tmp_path, f"{name},{target}", "img/a.png,0", "img/b.png,1")
    assert [(s.file, s.target) for s in found.samples] == [("img/a.png", 0.0), ("img/b.png", 1.0)]
    assert found.notes == (
        f"In data.csv the column {name} was taken for file and the column {target} was taken for target.",
    )


@pytest.mark.parametrize(
    ("cell", "file"),
    [
        ("a", "img/a.png"),
        ("a.png", "img/a.png"),
        ("img/a", "img/a.png"),
        ("img\\a.png", "img/a.png"),
        ("./img/a.png", "./img/a.png"),
        ("img/%61.png", "img/a.png"),
        ("c", "img/c.jpg"),
    ],
)
def test_spellings_of_a_file(tmp_path: Path, cell: str, file: str) -> None:
    found = read(tmp_path, "image_id,label", f"{cell},0", "img/b.png,1")
    assert found.samples[0].file == file
    assert (tmp_path / found.samples[0].file).is_file() and found.samples[0].path.samefile(tmp_path / file)
    completed = f"1 name of data.csv had to be completed: {cell} is {file}."
    assert (completed in found.notes) == (cell in {"a", "a.png", "img/a", "c"})


def test_a_file_url_and_an_absolute_path(tmp_path: Path) -> None:
    url = (tmp_path / "img" / "a.png").as_uri()
    found = read(tmp_path, "file,target", f"{url},0", f"{tmp_path / 'img' / 'b'},1")
    assert [s.path.name for s in found.samples] == ["a.png", "b.png"]


def test_names_that_fit_several_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    problem = refused(tmp_path, "file,target", "a,0", "img/b.png,1")
    assert problem == "data.csv row 2: file a could be a.jpg or img/a.png: write the whole name."


def test_paths_of_another_machine_are_refused_with_what_is_there(tmp_path: Path) -> None:
    for away in ("C:\\data\\img\\a.png", "/mnt/elsewhere/img/a.png"):
        problem = refused(tmp_path, "file,target", f"{away},0", "img/b.png,1")
        assert problem.endswith("img/a.png is there: make the paths relative to the table.")
    assert refused(tmp_path, "file,target", "img/A.PNG,0", "img/b.png,1").endswith("did you mean img/a.png?")


def test_a_mask_is_never_completed_to_an_image(tmp_path: Path) -> None:
    assert "mask a.png not found" in refused(tmp_path, "file,target,mask", "img/a.png,1,a.png", "img/b.png,0,")


def test_two_columns_that_name_files(tmp_path: Path) -> None:
    rows = ("a,img/a.png,0", "b,img/b.png,1")
    assert read(tmp_path, "image_id,path,label", *rows).notes == (
        "In data.csv the column path was taken for file and the column label was taken for target.",
        "Not used: the column image_id.",
    )
    problem = refused(tmp_path, "path,image_id,label", "img/a.png,b,0", "img/b.png,a,1")
    assert "`path` and `image_id` both name files, but not the same ones; rename one of them to `file`." in problem
    assert len(read(tmp_path, "id,path,label", "1,img/a.png,0", "2,img/b.png,1").samples) == 2


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("foto,target", ("img/a.png,0",), "found foto, target; `foto` names files: rename it to `file`."),
        ("image_id,target", ("x,0",), "`image_id` could stand in for it, but names no file: row 2, x not found"),
        ("img/a.png,0", ("img/b.png,1",), "this looks like an image's row, not like a header; put a first row such as"),
        ("file,ausschuss", ("img/a.png,0", "img/b.png,1"), "did you mean `ausschuss`? Rename it to `target`."),
        (
            "file,good",
            ("img/a.png,TRUE", "img/b.png,FALSE"),
            "`good` seems to say the reverse: rename it to `target`, and add --normal TRUE --anomalous FALSE.",
        ),
        ("file,is_ok", ("img/a.png,1", "img/b.png,0"), "rename it to `target`, and add --normal 1 --anomalous 0."),
        (
            "file,class,y",
            ("img/a.png,good,1", "img/b.png,bad,0"),
            "`class` and `y` could stand in for it; rename one to `target`.",
        ),
        ("file,zebra", ("img/a.png,x",), "there is no column `target` (or `label`); found file, zebra."),
    ],
)
def test_a_missing_column_is_told_with_what_helps(
    tmp_path: Path, header: str, rows: tuple[str, ...], expected: str
) -> None:
    assert expected in refused(tmp_path, header, *rows)


def test_of_several_targets_the_one_that_can_be_read(tmp_path: Path) -> None:
    found = read(tmp_path, "file,class,y", "img/a.png,crack,1", "img/b.png,plain,0")
    assert [(s.target, s.kind) for s in found.samples] == [(1.0, "crack"), (0.0, "plain")]
    found = read(tmp_path, "file,label,anomaly", "img/a.png,cap,1", "img/b.png,nut,0")
    assert [s.target for s in found.samples] == [1.0, 0.0] and "Not used: the column label." in found.notes


ROWS = ("img/a.png,0,{}", "img/b.png,0,{}", "img/c.jpg,1,{}", "img/d.png,1,{}")


def rows_with(values: str) -> tuple[str, ...]:
    return tuple(row.format(value) for row, value in zip(ROWS, values.split(), strict=True))


@pytest.mark.parametrize("name", ["patient_id", "Subject", "partNo", "serial", "lot", "wafer", "site", "Batch ID"])
def test_what_looks_like_groups_is_offered_and_can_be_used(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, f"file,target,{name}", *rows_with("p q p q"))
    option = f"--group-column '{name}'" if " " in name else f"--group-column {name}"
    assert found.notes == (
        f"The column {name} looks like groups (2 values, 2 rows each) and is not used: {option} keeps each on one side "
        "of a split.",
    )
    assert {s.group for s in found.samples} == {None}
    used = read(tmp_path, f"file,target,{name}", *rows_with("p q p q"), reading=Reading(group_column=name.upper()))
    assert [s.group for s in used.samples] == ["p", "q", "p", "q"]
    assert used.notes == (f"In data.csv the column {name} was taken for group.",)


@pytest.mark.parametrize("values", ["p q r s", "p p p p"])
def test_what_groups_nothing_is_not_offered(tmp_path: Path, values: str) -> None:
    assert read(tmp_path, "file,target,serial", *rows_with(values)).notes == ("Not used: the column serial.",)


@pytest.mark.parametrize("name", ["subset", "set", "partition", "phase"])
def test_what_looks_like_a_split_is_offered_and_can_be_used(tmp_path: Path, name: str) -> None:
    rows = rows_with("train test Train val")
    found = read(tmp_path, f"file,target,{name}", *rows)
    assert found.notes == (
        f"The column {name} looks like a split (3 rows to train on, 1 to test on) and is not used: --split-column "
        f"{name} uses it.",
    )
    used = read(tmp_path, f"file,target,{name}", *rows, reading=Reading(split_column=name))
    assert [s.split for s in used.samples] == ["train", "test", "train", "train"]


def test_folds_are_offered_and_one_can_be_tested_on(tmp_path: Path) -> None:
    rows = rows_with("0 1 2 0")
    offer = "--split-column fold=0 tests on the rows of fold 0 and trains on the others."
    assert read(tmp_path, "file,target,fold", *rows).notes[0].endswith(offer)
    used = read(tmp_path, "file,target,fold", *rows, reading=Reading(split_column="fold=0.0"))
    assert [s.split for s in used.samples] == ["test", "train", "train", "test"]
    assert "The rows whose fold is 0.0 are for testing, all others for training." in used.notes
    alone = refused(tmp_path, "file,target,fold", *rows, reading=Reading(split_column="fold"))
    assert alone == (
        "data.csv: the column fold holds 0, 1, 2, and neither train nor test: --split-column fold=0 tests on the rows "
        "with 0 and trains on the others."
    )
    assert "the column holds 0, 1, 2." in refused(
        tmp_path, "file,target,fold", *rows, reading=Reading(split_column="fold=7")
    )


def test_asked_columns_go_before_the_usual_ones(tmp_path: Path) -> None:
    rows = rows_with("p,x,train q,y,test p,x,train q,y,test")
    reading = Reading(group_column="lot", split_column="side")
    found = read(tmp_path, "file,target,group,lot,side", *rows, reading=reading)
    assert [(s.group, s.split) for s in found.samples] == [("x", "train"), ("y", "test")] * 2
    assert "Not used: the column group." in found.notes


def test_one_column_may_be_several_things(tmp_path: Path) -> None:
    reading = Reading(group_column="site", split_column="site=b")
    found = read(tmp_path, "path,target,site", *rows_with("a b a b"), reading=reading)
    assert [(s.group, s.split) for s in found.samples] == [("a", "train"), ("b", "test")] * 2
    found = read(tmp_path, "path,target", *(row[:-3] for row in ROWS), reading=Reading(group_column="path"))
    assert [s.group for s in found.samples] == [s.file for s in found.samples]


def test_a_name_that_is_no_column(tmp_path: Path) -> None:
    problem = refused(
        tmp_path, "file,target,patient_id", *rows_with("p q p q"), reading=Reading(group_column="patient")
    )
    assert problem == (
        "data.csv row 1: there is no column `patient`; found file, target, patient_id; did you mean --group-column "
        "patient_id?"
    )
    problem = refused(tmp_path, "file,target,lot", *rows_with("p q p q"), reading=Reading(split_column="zebra=1"))
    assert problem == "data.csv row 1: there is no column `zebra`; found file, target, lot."


def test_rows_left_out_are_counted_and_not_looked_at(tmp_path: Path) -> None:
    rows = ("img/a.png,good", "img/b.png,scratch", "gone.png,unsure")
    found = read(tmp_path, "file,label", *rows, reading=Reading(leave_out=("unsure",)))
    assert [s.kind for s in found.samples] == [None, "scratch"]
    assert "1 row was left out, as asked: unsure (1) in the column label." in found.notes
    everything = Reading(leave_out=("unsure", "good", "scratch"))
    assert refused(tmp_path, "file,label", *rows, reading=everything).endswith(
        "every row was left out; no image is left."
    )


def test_scoring_needs_the_file_alone(tmp_path: Path) -> None:
    path = made(tmp_path, "image_id,label,split", "a,what,x", "b,unsure,y", "c,,")
    found = read_table(path, labelled=False)
    assert [(s.file, s.target, s.split) for s in found.samples] == [
        ("img/a.png", None, None),
        ("img/b.png", None, None),
        ("img/c.jpg", None, None),
    ]


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    text = "file;target\ngrün.png;0\n".encode("cp1252")
    found = read_table(table(tmp_path, text, "grün.png"))
    assert found.samples[0].path.name == "grün.png"
    assert found.notes == ("data.csv is not UTF-8 text (line 2) and was read as Windows-1252.",)


def test_a_duplicate_of_a_column_that_is_not_used_is_no_mistake(tmp_path: Path) -> None:
    assert len(read(tmp_path, "file,target,note,note", "img/a.png,0,x,y").samples) == 1
    assert problems(made(tmp_path, "File,file,target", "img/a.png,img/a.png,0")) == (
        "data.csv row 1: the column `file` appears 2 times; keep one of them.",
    )


@pytest.mark.parametrize(
    ("name", "test", "train", "asked"),
    [
        ("is_test", "1", "0", "is_test=1"),
        ("Test", "TRUE", "FALSE", "Test=TRUE"),
        ("is_train", "0", "1", "is_train=0"),
        ("holdout", "yes", "no", "holdout=yes"),
        ("test_set", "y", "n", "test_set=y"),
    ],
)
def test_what_says_yes_or_no_to_a_side_is_offered_and_can_be_used(
    tmp_path: Path, name: str, test: str, train: str, asked: str
) -> None:
    rows = [f"img/a.png,0,{test}", f"img/b.png,1,{test}", f"img/c.jpg,0,{train}", f"img/d.png,1,{train}"]
    (note,) = read(tmp_path, f"file,target,{name}", *rows).notes
    assert note == f"The column {name} looks like a split and is not used: --split-column {asked} uses it."
    found = read(tmp_path, f"file,target,{name}", *rows, reading=Reading(split_column=asked))
    assert [sample.split for sample in found.samples] == ["test", "test", "train", "train"]
    assert found.split_from == f"column `{name}`"


def test_columns_are_called_as_the_table_calls_them(tmp_path: Path) -> None:
    rows = ("img/a.png,0,L1,0", "img/b.png,1,L1,1")
    asked = Reading(group_column="lot no", split_column="cv_fold=1")
    found = read(tmp_path, "file,target,Lot No,CV fold", *rows, reading=asked)
    assert (found.groups_from, found.split_from) == ("column `Lot No`", "column `CV fold`")
