"""Folder layouts: what the names of folders say about their images, on trees with all that real disks hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from whycam.data.folders import read_folders
from whycam.data.words import class_target, split_name
from whycam.errors import DataError
from whycam.types import Dataset


def grow(root: Path, *files: str) -> Path:
    """Files of one byte: reading folders must not open any."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def targets(dataset: Dataset) -> dict[str, float | None]:
    return {sample.file: sample.target for sample in dataset.samples}


def kinds(dataset: Dataset) -> dict[str, str | None]:
    return {sample.file: sample.kind for sample in dataset.samples}


def masks(dataset: Dataset) -> dict[str, str]:
    return {sample.file: sample.mask.relative_to(dataset.root).as_posix() for sample in dataset.samples if sample.mask}


def error(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_folders(path)
    assert len(caught.value.problems) == 1
    return str(caught.value).replace(str(path), "ROOT")


# ---------------------------------------------------------------- class folders


@pytest.mark.parametrize(
    "normal", ["normal", "Good", "OK", "defect-free", "Non_Defective", "not defective", "0", "healthy", "NEGATIVE"]
)
@pytest.mark.parametrize("anomalous", ["anomalous", "Anomalies", "BAD", "not ok", "N.G", "1", "defects", "positive"])
def test_synonyms(tmp_path: Path, normal: str, anomalous: str) -> None:
    dataset = read_folders(grow(tmp_path, f"{normal}/a.png", f"{anomalous}/b.png"))
    assert targets(dataset) == {f"{normal}/a.png": 0.0, f"{anomalous}/b.png": 1.0}
    assert set(kinds(dataset).values()) == {None}
    assert dataset.layout == "class folders" and not dataset.notes and not dataset.skipped


def test_no_word_means_two_things() -> None:
    for word in ("normal", "bad", "abnormal", "not normal", "not ok", "non-anomalous", "nok", "unhealthy", "undamaged"):
        assert class_target(word) is not None
        assert split_name(word) is None
    assert [class_target(word) for word in ("not ok", "no defect", "abnormal", "scratch")] == [1.0, 0.0, 1.0, None]
    assert [split_name(word) for word in ("Train", "testing", "val", "extra")] == ["train", "test", "train", None]


def test_other_folders_beside_normal_are_kinds_of_anomaly(tmp_path: Path) -> None:
    dataset = read_folders(grow(tmp_path, "good/a.png", "Crack/b.png", "scratch/deep/c.png", "bad/hole/d.png"))
    assert targets(dataset) == {"good/a.png": 0, "Crack/b.png": 1, "scratch/deep/c.png": 1, "bad/hole/d.png": 1}
    assert kinds(dataset) == {
        "good/a.png": None,
        "Crack/b.png": "Crack",
        "scratch/deep/c.png": "scratch",
        "bad/hole/d.png": "hole",
    }
    assert [(item.name, item.meaning, item.n, item.why) for item in dataset.folders] == [
        ("Crack", "anomalous", 1, "beside a normal folder"),
        ("bad/hole", "anomalous", 1, ""),
        ("good", "normal", 1, ""),
        ("scratch", "anomalous", 1, "beside a normal folder"),
    ]


def test_images_outside_class_folders_are_skipped_by_name(tmp_path: Path) -> None:
    dataset = read_folders(grow(tmp_path, "ok/a.png", "bad/b.png", "overview.jpg", "readme.md"))
    assert [(item.file, item.cause, item.reason) for item in dataset.skipped] == [
        ("readme.md", "no image", "no image (.md)"),
        ("overview.jpg", "unplaced", "not in a class folder"),
    ]
    assert len(dataset.samples) == 2 and not dataset.unread


def test_order_is_by_name_whatever_the_disk_says(tmp_path: Path) -> None:
    names = [f"ok/{name}.png" for name in "qwertyuiop"] + ["bad/z.png"]
    assert [sample.file for sample in read_folders(grow(tmp_path, *names)).samples] == sorted(names)


# ---------------------------------------------------------------- train and test


def split_files(dataset: Dataset) -> dict[str, str | None]:
    return {sample.file: sample.split for sample in dataset.samples}


def test_given_split(tmp_path: Path) -> None:
    files = (
        "Train/ok/1.png",
        "Train/ng/2.png",
        "val/ok/3.png",
        "testing/ok/4.png",
        "testing/crack/5.png",
        "x/ok/6.png",
    )
    dataset = read_folders(grow(tmp_path, *files))
    assert split_files(dataset) == dict(
        zip(sorted(files[:5]), ["train", "train", "test", "test", "train"], strict=True)
    )
    assert dataset.layout == "train and test folders"
    assert kinds(dataset)["testing/crack/5.png"] == "crack"
    assert dataset.notes[0] == "The folder val/ counts as train."
    assert [(item.file, item.reason) for item in dataset.skipped] == [("x/ok/6.png", "not in the train or test folder")]


def mvtec(root: Path) -> Path:
    grow(root, *(f"train/good/{n:03}.png" for n in range(4)), *(f"test/good/{n:03}.png" for n in range(3)))
    grow(root, *(f"test/{kind}/{n:03}.png" for kind in ("crack", "hole") for n in range(2)), "license.txt")
    return grow(root, *(f"ground_truth/{kind}/{n:03}_mask.png" for kind in ("crack", "hole") for n in range(2)))


def test_mvtec(tmp_path: Path) -> None:
    dataset = read_folders(mvtec(tmp_path))
    assert dataset.layout == "MVTec folders" and [item.file for item in dataset.skipped] == ["license.txt"]
    assert len(dataset.samples) == 11 and sum(sample.anomalous for sample in dataset.samples) == 4
    assert set(split_files(dataset).values()) == {None}
    assert masks(dataset) == {
        f"test/{kind}/{n:03}.png": f"ground_truth/{kind}/{n:03}_mask.png" for kind in ("crack", "hole") for n in (0, 1)
    }
    assert dataset.split_dropped == "the train folder holds no anomalous image" and not dataset.split_from
    assert [(item.name, item.n) for item in dataset.folders if item.meaning == "masks"] == [
        ("ground_truth/crack", 2),
        ("ground_truth/hole", 2),
    ]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("train/ok/1.png", "train/bad/2.png"), "there is no labelled image for testing"),
        (("train/ok/1.png", "train/bad/2.png", "test/3.png"), "there is no labelled image for testing"),
        (("test/ok/1.png", "test/bad/2.png"), "there is no labelled image for training"),
        (("train/bad/1.png", "test/ok/2.png"), "the train folder holds no normal image"),
    ],
)
def test_useless_split_is_dropped_and_told(tmp_path: Path, files: Iterable[str], reason: str) -> None:
    dataset = read_folders(grow(tmp_path, *files))
    assert set(split_files(dataset).values()) == {None}
    assert dataset.split_dropped == reason and not dataset.split_from


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize(
    "mask",
    ["masks/x.png", "Mask/crack/x_mask.png", "masks/bad/crack/x.bmp", "bad/ground truth/x.png", "bad/crack/x_GT.png"],
)
def test_masks_find_their_image_and_are_no_class(tmp_path: Path, mask: str) -> None:
    dataset = read_folders(grow(tmp_path, "ok/x.png", "ok/y.png", "bad/crack/x.jpg", mask))
    assert masks(dataset) == {"bad/crack/x.jpg": mask}
    assert len(dataset.samples) == 3 and not dataset.notes


def test_a_mask_that_fits_two_images_is_given_to_none(tmp_path: Path) -> None:
    dataset = read_folders(
        grow(tmp_path, "ok/y.png", "bad/crack/x.png", "bad/hole/x.png", "masks/x.png", "masks/q.png")
    )
    assert masks(dataset) == {}
    assert {item.file: item.reason for item in dataset.skipped} == dict.fromkeys(
        ("masks/q.png", "masks/x.png"), "mask of no single anomalous image by name"
    )


def test_same_stem_in_two_kinds_each_with_its_mask(tmp_path: Path) -> None:
    files = ("ok/y.png", "crack/x.png", "hole/x.png", "masks/crack/x.png", "masks/hole/x.png")
    assert masks(read_folders(grow(tmp_path, *files))) == {
        "crack/x.png": "masks/crack/x.png",
        "hole/x.png": "masks/hole/x.png",
    }


# ---------------------------------------------------------------- errors


def test_errors_name_what_was_found_and_what_was_expected(tmp_path: Path) -> None:
    expected = (
        "expected normal/ and anomalous/ (or good/, ok/ and bad/, defect/, or one folder for each kind of defect)."
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    ending = "images end in .jpg, .png, .bmp, .webp, .tif or .gif."
    assert error(empty) == f"ROOT holds no image; {ending}"
    assert error(grow(tmp_path / "texts", "a.txt", "b.txt")) == f"ROOT holds no image among 2 other files; {ending}"
    assert error(tmp_path / "nowhere") == "ROOT does not exist."
    file = grow(tmp_path, "archive.zip") / "archive.zip"
    assert error(file) == "ROOT is a file; expected a folder of images or a CSV table."
    lines = grow(tmp_path / "lines", "line1/a.png", "line 2/b.png")
    example = "If one of them is normal, say so, and the others count as anomalous: whycam audit ROOT --normal NAME"
    assert error(lines) == f"No folder of normal images in ROOT: found line 2/, line1/; {expected} {example}"
    flat = grow(tmp_path / "flat", "a.png", "b.png")
    put = "Put normal images into normal/ and anomalous ones into anomalous/."
    assert error(flat) == f"No folder of normal images in ROOT: found 2 images in no folder. {put}"
    hollow = grow(tmp_path / "hollow", "bad/a.png", "good/notes.txt")
    assert error(hollow) == "The folder good/ in ROOT holds no image."
    mixed = grow(tmp_path / "mixed", "good/a.png", "bad/b.png", "test/good/c.png")
    assert error(mixed) == (
        "ROOT holds both class folders (good/) and split folders (test/); put the class folders into train/ and test/, "
        "or take the split folders out."
    )


def test_error_points_at_the_folder_one_level_down(tmp_path: Path) -> None:
    text = error(grow(tmp_path / "a", "photos 2024/good/a.png", "photos 2024/bad/b.png"))
    assert text.endswith("There are such folders in ROOT/photos 2024: give that folder instead.")
    text = error(mvtec(tmp_path / "b" / "bottle").parent)
    assert text.endswith("There are such folders in ROOT/bottle: give that folder instead.")


@pytest.mark.parametrize("ending", ["_label", "-seg", "_segmentation", "_annotation", "_mask"])
def test_a_mask_beside_its_image_is_no_image(tmp_path: Path, ending: str) -> None:
    dataset = read_folders(grow(tmp_path, "good/1.png", "bad/2.jpg", f"bad/2{ending}.png", f"bad/3{ending}.png"))
    masks = {sample.file: sample.mask for sample in dataset.samples}
    # Without an image of its name it is one itself.
    lone = f"bad/3{ending}.png"
    assert masks == {"good/1.png": None, "bad/2.jpg": tmp_path / f"bad/2{ending}.png", lone: None}
