"""The door to data: which reader is taken, and what scoring accepts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from whycam.data.samples import check_classes, open_dataset, open_unlabelled
from whycam.errors import DataError
from whycam.types import Dataset, Fewest, Sample, Skipped


def grow(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


def test_open_dataset_finds_the_right_reader(tmp_path: Path) -> None:
    folder = grow(tmp_path, "good/a.png", "bad/b.png")
    assert open_dataset(str(folder)).layout == "class folders"
    (folder / "manifest.csv").write_text("file,label\ngood/a.png,0\n")
    assert open_dataset(folder).layout == "table manifest.csv"
    (folder / "Other.CSV").write_text("file,label\ngood/a.png,0.75\n")
    assert open_dataset(folder / "Other.CSV").samples[0].target == 0.75


@pytest.mark.parametrize("name", ["none", "none.csv"])
def test_missing_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"none(\.csv)? does not exist\.$"):
        open_dataset(tmp_path / name)


def test_scoring_a_folder_keeps_labels_and_takes_everything(tmp_path: Path) -> None:
    folder = grow(tmp_path, "good/a.png", "bad/b.png", "new.png", "masks/b.png")
    found = open_unlabelled([folder])
    assert {s.file: s.target for s in found.samples} == {"bad/b.png": 1.0, "good/a.png": 0.0, "new.png": None}
    assert found.samples[0].mask == folder / "masks/b.png"
    assert not found.skipped


def test_scoring_a_folder_without_classes(tmp_path: Path) -> None:
    found = open_unlabelled([grow(tmp_path, "line1/a.png", "b.png", "x.txt")])
    assert [(s.file, s.target) for s in found.samples] == [("b.png", None), ("line1/a.png", None)]
    assert [(item.file, item.cause) for item in found.skipped] == [("x.txt", "no image")]


def test_scoring_files_folders_and_tables_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grow(tmp_path, "one.png", "odd.name", "f/a.png", "g/a.png", "t/a.png"))
    (tmp_path / "t/list.csv").write_text("file,target\na.png,1\n")
    found = open_unlabelled(["one.png", "odd.name", "f", "g/", Path("t/list.csv"), "f/a.png", tmp_path / "one.png"])
    assert [(s.file, s.target) for s in found.samples] == [
        ("one.png", None),
        ("odd.name", None),
        ("f/a.png", None),
        ("g/a.png", None),
        ("t/a.png", 1.0),
    ]
    assert found.layout == "7 paths"


@pytest.mark.parametrize("masks", ["masks", "ground_truth"])
def test_masks_are_not_scored_without_classes_either(tmp_path: Path, masks: str) -> None:
    found = open_unlabelled([grow(tmp_path, "a.png", "line/b.png", "line/b_mask.png", f"{masks}/a.png")])
    assert [sample.file for sample in found.samples] == ["a.png", "line/b.png"]


def test_one_path_needs_no_list(tmp_path: Path) -> None:
    folder = grow(tmp_path, "a.png", "b.png")
    for one in (folder, f"{folder}/"):
        assert [sample.file for sample in open_unlabelled(one).samples] == ["a.png", "b.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take UTF-8 only")
def test_names_that_are_not_unicode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd, folder, table = (os.fsdecode(name) for name in (b"f\xff.png", b"d\xff", b"t\xff.csv"))
    monkeypatch.chdir(grow(tmp_path, odd, f"{folder}/a.png", f"{folder}/{odd}", "f\\xff.png"))
    (tmp_path / table).write_text("file\nf\\xff.png\n")
    assert [(s.file, s.path) for s in open_unlabelled(odd).samples] == [("f\\xff.png", Path(odd))]
    found = open_unlabelled([odd, folder])
    assert [s.file for s in found.samples] == ["f\\xff.png", "d\\xff/a.png", "d\\xff/f\\xff.png"]
    assert found.samples[2].path == Path(folder, odd) and found.samples[2].path.exists()
    assert open_unlabelled(table).layout == "table t\\xff.csv"
    same = [sample.file for sample in open_unlabelled([odd, "f\\xff.png", tmp_path / odd]).samples]
    assert len(set(same)) == len(same) == 2
    for missing in (f"{folder}/none", f"{folder}/none.csv", "\ud800", "a\0b"):
        with pytest.raises(DataError) as caught:
            open_unlabelled([missing])
        assert str(caught.value).encode().endswith(b" does not exist.")
    (tmp_path / table).write_text("file\ngone.png\n")
    with pytest.raises(DataError) as caught:
        open_unlabelled(table)
    assert str(caught.value).encode().startswith(b"t\\xff.csv row 2: ")


def test_a_link_to_itself_is_left_to_the_decoder(tmp_path: Path) -> None:
    (grow(tmp_path, "a.png") / "loop.png").symlink_to("loop.png")
    assert [sample.file for sample in open_unlabelled(tmp_path).samples] == ["a.png", "loop.png"]
    with pytest.raises(DataError, match=r"loop\.png cannot be read: .+\.$"):
        open_unlabelled(tmp_path / "loop.png")


def test_one_file_by_itself(tmp_path: Path) -> None:
    path = grow(tmp_path, "x.png") / "x.png"
    assert [(s.file, s.path) for s in open_unlabelled([path]).samples] == [(path.as_posix(), path)]


def test_scoring_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_unlabelled([tmp_path / "a", tmp_path, tmp_path / "b"])
    assert caught.value.problems == (f"{tmp_path / 'a'} does not exist.", f"{tmp_path / 'b'} does not exist.")
    with pytest.raises(DataError, match=r"^No image found in .*\.$"):
        open_unlabelled([tmp_path])
    with pytest.raises(DataError, match="No image, folder or table was given"):
        open_unlabelled([])


def of(n_normal: int, n_anomalous: int) -> Dataset:
    targets = [0.0] * n_normal + [0.6] * n_anomalous
    samples = tuple(Sample(f"{n}.png", Path(f"{n}.png"), target=target) for n, target in enumerate(targets))
    return Dataset(Path("photos"), "class folders", samples)


def test_check_classes() -> None:
    check_classes(of(4, 4), Fewest())
    rest = "at least 4 are needed to train and to test; add"
    with pytest.raises(DataError) as caught:
        check_classes(of(1, 0), Fewest())
    assert caught.value.problems == (
        f"Only 1 normal image in photos: {rest} normal images.",
        f"No anomalous image in photos: {rest} anomalous images.",
    )
    with pytest.raises(DataError) as caught:
        check_classes(of(9, 5).without((Skipped("10.png", "empty"), Skipped("11.png", "empty"))), Fewest())
    said = rest.removesuffix("add") + "2 files cannot be read, first 10.png: empty."
    assert str(caught.value) == f"Only 3 anomalous images in photos: {said}"


def test_a_recipe_may_do_with_fewer() -> None:
    fewest = Fewest(anomalous=1)
    check_classes(of(4, 1), fewest)
    with pytest.raises(DataError) as caught:
        check_classes(of(3, 0), fewest)
    assert caught.value.problems == (
        "Only 3 normal images in photos: at least 4 are needed to train and to test; add normal images.",
        "No anomalous image in photos: at least 1 is needed to test; add anomalous images.",
    )
