"""Tables: every dialect a spreadsheet writes, and every mistake named by its row."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whycam.data.table import read_table
from whycam.errors import DataError


def table(folder: Path, text: str | bytes, *files: str, name: str = "data.csv") -> Path:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_all_columns(tmp_path: Path) -> None:
    text = "file,target,split,group,mask,kind,operator\na.png,0.33,train,g1,,mono,Ann\nsub/b c.png,1,TEST,,m.png,,Bob\n"
    dataset = read_table(table(tmp_path, text, "a.png", "sub/b c.png", "m.png"))
    first, second = dataset.samples
    assert (first.file, first.path, first.target, first.split) == ("a.png", tmp_path / "a.png", 0.33, "train")
    assert (first.group, first.mask, first.kind) == ("g1", None, "mono")
    assert (second.file, second.split, second.mask) == ("sub/b c.png", "test", tmp_path / "m.png")
    assert (second.group, second.kind) == (None, None)
    assert dataset.root == tmp_path and dataset.layout == "table data.csv"
    assert not dataset.skipped
    assert dataset.notes == (
        "Not used: the column operator.",
        "1 row of data.csv has no group: each stands for itself.",
    )


def test_label_and_class_stand_in_only_where_needed(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,class\na.png,1,crack\n", "a.png")
    assert [(s.target, s.kind) for s in read_table(path).samples] == [(1.0, "crack")]
    path = table(tmp_path, "file,label,target,class,kind\na.png,1,0,x,mono\n", "a.png")
    assert [(s.target, s.kind) for s in read_table(path).samples] == [(0.0, "mono")]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfFile , TARGET\r\na.png,0.75\r\n\r\n",
        b"file;target\na.png;0,75\n;\n",
        b"file\ttarget\na.png\t0,75\n",
        b"\n\nfile,target\n\n  a.png , .75 \n,\n",
        b'file,target\n"a.png","0,75"\n',
        b"file|target\na.png|0.75\n",
        b'"file,target"\n\n"a.png,0.75"\n',
        "file,target\na.png,0.75\n".encode("utf-16"),
        b"\xfe\xff" + "file\ttarget\na.png\t0,75\n".encode("utf-16-be"),
        "file,target\na.png,0.75\n".encode("utf-16-le"),
        "file,target\na.png,0.75\n".encode("utf-32"),
        b'"a;b;c",file,target\n1,a.png,0.75\n',
        b'"file","target"\n"a.png","75e-2"\n',
        b"file,target,\na.png,0.75,\n",
        b"f i l e,target\rA.png,0.75".replace(b"A", b"a"),
    ],
)
def test_dialects(tmp_path: Path, text: bytes) -> None:
    assert [(s.file, s.target) for s in read_table(table(tmp_path, text, "a.png")).samples] == [("a.png", 0.75)]


def test_words_paths_and_order(tmp_path: Path) -> None:
    text = f"file,target\nz.png,Normal\nsub\\y.png,defect\n{tmp_path / 'x.png'},OK\n"
    dataset = read_table(table(tmp_path, text, "z.png", "sub/y.png", "x.png"))
    assert [(s.file, s.target) for s in dataset.samples] == [
        ("z.png", 0.0),
        ("sub/y.png", 1.0),
        ((tmp_path / "x.png").as_posix(), 0.0),
    ]


def test_validation_counts_as_train_and_is_told(tmp_path: Path) -> None:
    text = "file,target,split\na.png,0,val\nb.png,1,validation\nc.png,1,test\n"
    dataset = read_table(table(tmp_path, text, "a.png", "b.png", "c.png"))
    assert [sample.split for sample in dataset.samples] == ["train", "train", "test"]
    assert dataset.notes == ("2 rows of data.csv with split `val` count as train.",)


def test_unlabelled_tables_for_scoring(tmp_path: Path) -> None:
    path = table(tmp_path, "file,target\na.png,\nb.png,1\n", "a.png", "b.png")
    assert [s.target for s in read_table(path, labelled=False).samples] == [None, 1.0]
    path = table(tmp_path, "file\na.png\n", "a.png")
    assert [s.target for s in read_table(path, labelled=False).samples] == [None]


def test_all_mistakes_at_once_by_the_row_of_the_spreadsheet(tmp_path: Path) -> None:
    rows = [
        "file,target,split,mask",
        "a.png,0,train,",
        "",
        "b.png,,train,",
        "c.png,1.5,train,",
        "d.png,nan,train,",
        "e.png,maybe,train,",
        "gone.png,1,train,",
        "a.png,0,train,",
        "f.png,0,exam,",
        "g.png,1,test,m.png",
        ",1,test,",
        "sub,1,test,",
        "h.png,0,33,test,m.png",
        '"i\n.png",-1,,',
        "j.png,-0.1,,",
        "k.png,0_1,test,",
    ]
    (tmp_path / "sub").mkdir()
    path = table(tmp_path, "\n".join(rows), *(f"{letter}.png" for letter in "abcdefghjk"))
    where = f"(looked in {tmp_path})"
    neither = (
        "is neither a number from 0 to 1 nor normal or anomalous; correct it, or decide by --normal, --anomalous or "
        "--leave-out."
    )
    assert problems(path) == (
        "data.csv: the column target has nan (1) and maybe (1), which say neither normal nor anomalous: leave them out "
        "by --leave-out nan --leave-out maybe, or decide by --normal or --anomalous.",
        "data.csv row 4: target is empty.",
        "data.csv row 5: target 1.5 is outside 0 to 1.",
        f"data.csv row 8: file gone.png not found {where}.",
        "data.csv row 9: a.png is listed twice (first in row 2).",
        "data.csv row 10: split 'exam' is neither train nor test.",
        f"data.csv row 11: mask m.png not found {where}.",
        "data.csv row 12: file is empty.",
        "data.csv row 13: file sub is a folder.",
        "data.csv row 14: 5 cells, but the header has 4; put quotes around the separator.",
        "data.csv row 15: target -1 is outside 0 to 1.",
        f"data.csv row 15: file i\\n.png not found {where}.",
        "data.csv row 16: target -0.1 is outside 0 to 1.",
        f"data.csv row 17: target '0_1' {neither}",
        "data.csv row 15: split is given for some rows only (2 of 14 have none); give it for all or for none.",
    )


def test_the_same_file_in_two_spellings_is_listed_twice(tmp_path: Path) -> None:
    path = table(tmp_path, f"file,target\na.png,0\n./a.png,1\nsub/../a.png,0\n{tmp_path}/a.png,1\n", "a.png", "sub/x")
    assert [line.split(": ")[0] for line in problems(path)] == [f"data.csv row {row}" for row in (3, 4, 5)]


def test_from_the_21st_mistake_on_they_are_counted(tmp_path: Path) -> None:
    path = table(tmp_path, "file,target\n" + "".join(f"gone{n}.png,0\n" for n in range(50)))
    found = problems(path)
    assert len(found) == 21 and found[19].startswith("data.csv row 21: file gone19.png")
    assert found[20] == "... and 30 more"
    path = table(tmp_path, "file,target\n" + "".join(f"gone{n}.png,0\n" for n in range(20)))
    assert len(problems(path)) == 20


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "feil,target",
            "there is no column `file`; found feil, target; did you mean `feil`? Rename it to `file`.",
        ),
        (
            "file,targets",
            "there is no column `target` (or `label`); found file, targets; did you mean `targets`? "
            "Rename it to `target`.",
        ),
        ("file,sugar", "there is no column `target` (or `label`); found file, sugar."),
        ("file,target,file", "the column `file` appears 2 times; keep one of them."),
    ],
)
def test_header_mistakes(tmp_path: Path, header: str, expected: str) -> None:
    assert problems(table(tmp_path, header + "\na.png,0,0\n")) == (f"data.csv row 1: {expected}",)


def test_whole_file_mistakes(tmp_path: Path) -> None:
    assert problems(table(tmp_path, b"")) == (
        "data.csv is empty; expected a header row with the columns file and target.",
    )
    assert problems(table(tmp_path, b"\n , \n")) == problems(table(tmp_path, b""))
    assert problems(table(tmp_path, "file,target\n\n")) == ("data.csv has a header row but no row below it.",)
    assert problems(table(tmp_path, b"file,target\n\x81\x8d.png,0\n")) == (
        "data.csv is not UTF-8 text (line 2); save it as 'CSV UTF-8'.",
    )
    assert problems(table(tmp_path, "file,target".encode("utf-16") + b"\x00")) == (
        "data.csv is not UTF-16 text (line 1); save it as 'CSV UTF-8'.",
    )
    assert problems(table(tmp_path, b"PK\x03\x04 and so on")) == (
        "data.csv is an Excel workbook, not a CSV file; save it as 'CSV UTF-8'.",
    )
    assert problems(tmp_path / "no.csv") == (f"{tmp_path / 'no.csv'} does not exist.",)


@pytest.mark.parametrize("cell", ["x" * 5000, "nul\0.png", "x" * 200_000])
def test_absurd_cells_are_mistakes_not_crashes(tmp_path: Path, cell: str) -> None:
    assert len(problems(table(tmp_path, f"file,target\n{cell},0\n"))) == 1


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.binary(max_size=300), st.text('file,target;\t\n\r"\0 01.x-', max_size=200).map(str.encode)))
def test_any_bytes_are_a_table_or_a_mistake(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    for content in (text, b"file,target\n" + text, b"file;target;split;mask\n" + text):
        path = table(tmp_path_factory.getbasetemp(), content)
        try:
            assert read_table(path).samples
        except DataError as error:
            assert error.problems and all("\n" not in problem for problem in error.problems)


def test_a_listed_file_that_is_no_image_is_left_to_the_decoder(tmp_path: Path) -> None:
    assert len(read_table(table(tmp_path, "file,target\nnotes.txt,0\n", "notes.txt")).samples) == 1


@pytest.mark.parametrize("line", ["sep=;\r\n", "\ufeffsep=;\n", '"sep=;"\r', "SEP=;;;\n"])
def test_excels_separator_line_is_honoured_and_no_row(tmp_path: Path, line: str) -> None:
    path = table(tmp_path, f"{line}file;target;a,b,c,d\na.png;0,75;x\n", "a.png")
    assert [(s.file, s.target) for s in read_table(path).samples] == [("a.png", 0.75)]
    path = table(tmp_path, f"{line}file;target\na.png;2,5\n", "a.png")
    assert problems(path) == ("data.csv row 2: target 2,5 is outside 0 to 1.",)
    assert problems(table(tmp_path, line)) == (
        "data.csv is empty; expected a header row with the columns file and target.",
    )


def test_a_separator_that_only_the_line_tells(tmp_path: Path) -> None:
    path = table(tmp_path, "sep=|\nfile|target\na.png|1\n", "a.png")
    assert [s.target for s in read_table(path).samples] == [1.0]
