"""What lies among photos and is none: folders of systems and tools, unreadable formats, files of other kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from whycam.data.facts import gather, strict_lines
from whycam.data.folders import read_folders
from whycam.data.samples import check_classes, open_dataset, open_unlabelled
from whycam.errors import DataError
from whycam.report.data_words import data_lines, left_out_lines
from whycam.types import Fewest, Folder, Reading, Skipped


def grow(root: Path, *files: str, content: bytes = b"x") -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    return root


def plain(root: Path) -> Path:
    return grow(root, *(f"{folder}/{n}.png" for folder in ("good", "bad") for n in range(5)))


SYSTEM = ["$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle", "@Recycle", "__MACOSX", "lost+found"]
TOOLS = [
    "__pycache__",
    "node_modules",
    "wandb",
    "mlruns",
    "lightning_logs",
    ".git",
    ".ipynb_checkpoints",
    ".Trash-1000",
]


@pytest.mark.parametrize("name", SYSTEM + TOOLS)
def test_system_and_tool_folders_are_no_classes_anywhere(tmp_path: Path, name: str) -> None:
    grow(plain(tmp_path), f"{name}/thumb.jpg", f"good/{name}/a/b.jpg", f"good/{name}/c.jpg")
    dataset = read_folders(tmp_path)
    assert len(dataset.samples) == 10
    assert {(item.name, item.n) for item in dataset.folders if item.meaning == "left out"} == {
        (name, 1),
        (f"good/{name}", 2),
    }
    found = open_unlabelled(tmp_path)
    assert len(found.samples) == 10
    said = " ".join(text for _, text in left_out_lines(gather(found)))
    assert f"{name}/: " in said and f"good/{name}/: " in said


@pytest.mark.parametrize("inside", ["classify/x.jpg", "train3/weights/best.pt", "exp/a.png", "a/events.out.tfevents.1"])
def test_runs_of_tools_are_left_out_unless_they_are_named(tmp_path: Path, inside: str) -> None:
    grow(plain(tmp_path), f"runs/{inside}", "runs/top.jpg")
    assert len(read_folders(tmp_path).samples) == 10
    assert {sample.kind for sample in read_folders(tmp_path, Reading(anomalous=("runs",))).samples} == {None, "runs"}


def test_runs_in_paint_are_a_kind_of_defect(tmp_path: Path) -> None:
    dataset = read_folders(grow(plain(tmp_path), "runs/a.png", "runs/b.png"))
    assert Folder("runs", "anomalous", 2, kind="runs", why="beside a normal folder") in dataset.folders


@pytest.mark.parametrize("suffix", [".HEIC", ".dcm", ".CR2", ".avif", ".npy", ".nii.gz"])
def test_a_class_of_a_format_that_cannot_be_read_is_said_to_be_that(tmp_path: Path, suffix: str) -> None:
    grow(tmp_path, *(f"good/{n}.png" for n in range(5)), *(f"scratch/{n}{suffix}" for n in range(7)))
    with pytest.raises(DataError) as caught:
        check_classes(open_dataset(tmp_path), Fewest())
    said = f"scratch/: 7 files, all {suffix.lower()}, which cannot be read here: convert them to PNG or JPEG."
    assert str(caught.value).startswith("No anomalous image in ") and str(caught.value).endswith(said)
    everything = grow(tmp_path / "all", *(f"{n}{suffix}" for n in range(2)))
    with pytest.raises(DataError, match=f"all holds 2 files, all {suffix.lower()}, which cannot be read here"):
        open_dataset(everything)


def test_dicom_files_are_known_without_a_suffix(tmp_path: Path) -> None:
    grow(plain(tmp_path), "bad/1.2.840.113", "bad/IM0001", content=bytes(128) + b"DICM")
    assert [item.file for item in read_folders(tmp_path).unread] == ["bad/1.2.840.113", "bad/IM0001"]


def test_a_normal_class_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    grow(tmp_path, "good/1.heic", "good/2.heic", "bad/1.png")
    with pytest.raises(DataError, match=r"good/ in .* holds no image: 2 files, all \.heic, which cannot be read here"):
        read_folders(tmp_path)


def test_files_left_out_are_told_by_cause_and_only_images_fail(tmp_path: Path) -> None:
    grow(plain(tmp_path), "good/notes.txt", "good/Thumbs.db", "good/a.npy", "top.png", "masks/zzz.png")
    dataset = read_folders(tmp_path).without((Skipped("bad/1.png", "the file is empty"),))
    assert {item.file: item.cause for item in dataset.skipped} == {
        "bad/1.png": "unreadable",
        "good/a.npy": "unsupported",
        "good/notes.txt": "no image",
        "good/Thumbs.db": "no image",
        "masks/zzz.png": "unplaced",
        "top.png": "unplaced",
    }
    assert [item.file for item in dataset.unread] == ["good/a.npy", "bad/1.png"]
    lines = [f"{label}|{text}" for label, text in data_lines(gather(dataset))]
    assert (
        "Folders|bad/: anomalous, 4 images" in lines
        and "Left out|1 file cannot be read: bad/1.png (the file is empty)" in lines
    )
    for item in dataset.skipped:
        assert any(item.file in line for line in lines)


@pytest.mark.parametrize("layout", ["{0}/{1}/{2}.png", "{1}/{0}/{2}.png"])
def test_class_and_split_in_either_order(tmp_path: Path, layout: str) -> None:
    for side in ("train", "val", "test"):
        grow(tmp_path, *(layout.format(side, name, n) for name in ("good", "crack", "bad/dent") for n in range(2)))
    dataset = read_folders(tmp_path)
    sides = [(sample.split, sample.kind) for sample in dataset.samples]
    assert dataset.split_from == "folders" and not dataset.split_dropped
    assert {(side, kind): sides.count((side, kind)) for side, kind in sides} == {
        (side, kind): n for kind in (None, "crack", "dent") for side, n in (("train", 4), ("test", 2))
    }
    assert {item.split for item in dataset.folders} == {"train", "test"}
    assert gather(dataset).n_train == 12


def test_a_split_of_one_class_only_is_dropped_and_told(tmp_path: Path) -> None:
    grow(tmp_path, "good/train/1.png", "good/test/2.png", "bad/3.png")
    dataset = read_folders(tmp_path)
    assert len(dataset.samples) == 3 and {sample.split for sample in dataset.samples} == {None}
    assert dataset.split_dropped == "1 image lies in no train or test folder, such as bad/3.png"
    assert "The split of the data was dropped" in dict(data_lines(gather(dataset)))["Split"]


@pytest.mark.parametrize(
    "names", [("train_good", "train_bad", "test_good", "test_bad"), ("OK-train", "ng train", "Ok.test", "NG_TEST")]
)
def test_one_name_may_give_split_and_class(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = read_folders(grow(tmp_path, *(f"{name}/1.png" for name in names)))
    found = {sample.file.split("/")[0]: (sample.split, sample.target, sample.kind) for sample in dataset.samples}
    meanings = [("train", 0.0, None), ("train", 1.0, None), ("test", 0.0, None), ("test", 1.0, None)]
    assert found == dict(zip(names, meanings, strict=True))
    assert dataset.split_from == "folders" and not dataset.split_dropped


def test_kinds_beside_such_names_are_read_like_them_and_others_are_left_whole(tmp_path: Path) -> None:
    root = grow(tmp_path / "a", "train_good/1.png", "train_cut/1.png", "test_good/1.png", "val_bad/dent/1.png")
    found = {sample.file.split("/")[0]: (sample.split, sample.kind) for sample in read_folders(root).samples}
    assert found == {
        "train_good": ("train", None),
        "train_cut": ("train", "cut"),
        "test_good": ("test", None),
        "val_bad": ("train", "dent"),
    }
    alone = read_folders(grow(tmp_path / "b", "good/1.png", "test cut/1.png"))
    assert {(sample.split, sample.kind) for sample in alone.samples} == {(None, None), (None, "test cut")}


def test_a_class_without_images_says_what_became_of_them(tmp_path: Path) -> None:
    root = grow(tmp_path, "good/1.png", "good/2.png", "bad/a.txt", "bad/b.txt")
    with pytest.raises(DataError, match=r"bad/: 2 files, none of them an image that can be used\.$"):
        check_classes(open_dataset(root), Fewest(2, 1))
    grow(root, "bad/3.png")
    with pytest.raises(DataError, match=r"bad/ \(1 image\) is named with --leave-out\.$"):
        check_classes(open_dataset(root, Reading(leave_out=("bad",))), Fewest(2, 1))


def test_where_all_must_be_read_the_first_ones_are_named() -> None:
    unread = [Skipped(f"{n}.png", "the file is empty") for n in range(5_000)]
    lines = strict_lines(unread)
    assert lines[0] == "0.png: the file is empty; --strict allows no file that cannot be read."
    assert len(lines) == 21 and lines[-1] == "... and 4,980 more."
    assert len(strict_lines(unread[:20])) == 20
