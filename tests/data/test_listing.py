"""What lies below a folder, on trees with all that real disks hold: links, pipes, odd names, runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from whycam.data.folders import read_folders
from whycam.data.images import decode
from whycam.data.listing import IMAGE_SUFFIXES, find_images
from whycam.errors import DataError, ImageError
from whycam.run_mark import SAMPLE_COLUMNS


def grow(root: Path, *files: str) -> Path:
    """Files of one byte: reading folders must not open any."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def test_listing_takes_images_in_order_and_counts_the_rest(tmp_path: Path) -> None:
    grow(tmp_path, "b/Z.JPG", "b/a 1.Png", "a/ü 照片.tiff", "x.webp", "notes.txt", "b/Thumbs.db", "c/d/e/f.jfif")
    grow(tmp_path, ".hidden.png", ".git/x.png", "__MACOSX/b/x.png", "b/._a 1.png", "no_suffix", "x.jpg.part")
    listing = find_images(tmp_path)
    assert list(listing.files) == ["a/ü 照片.tiff", "b/Z.JPG", "b/a 1.Png", "c/d/e/f.jfif", "x.webp"]
    assert listing.folders == ("a", "b", "c", "c/d", "c/d/e")
    assert {item.file: item.reason for item in listing.skipped} == {
        ".hidden.png": "a file of the system, or a hidden one",
        "b/._a 1.png": "a file of the system, or a hidden one",
        "b/Thumbs.db": "a file of the system, or a hidden one",
        "no_suffix": "no image",
        "notes.txt": "no image (.txt)",
        "x.jpg.part": "no image (.part)",
    }
    assert {item.cause for item in listing.skipped} == {"no image"}
    assert [(item.name, item.n) for item in listing.left_out] == [(".git", 1), ("__MACOSX", 1)]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_suffix_in_any_case(tmp_path: Path, suffix: str) -> None:
    grow(tmp_path, f"a{suffix}", f"b{suffix.upper()}")
    assert len(find_images(tmp_path).files) == 2
    assert len(IMAGE_SUFFIXES) == 11


def test_links_are_followed_once_and_never_shadow_real_folders(tmp_path: Path) -> None:
    root = grow(tmp_path / "root", "normal/1.png", "bad/2.png")
    outside = grow(tmp_path / "outside", "3.png", "deep/4.png")
    (root / "aaa").symlink_to(root / "normal")
    (root / "bad" / "more").symlink_to(outside)
    (root / "bad" / "loop").symlink_to(root)
    (outside / "back").symlink_to(root / "bad")
    (root / "normal" / "5.png").symlink_to(outside / "3.png")
    files = find_images(root).files
    assert sorted(files) == ["bad/2.png", "bad/more/3.png", "bad/more/deep/4.png", "normal/1.png", "normal/5.png"]


def test_dangling_links_stay_so_that_they_are_skipped_by_name(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert list(find_images(tmp_path).files) == ["gone.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this platform")
def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    listing = find_images(tmp_path)
    assert not listing.files and [item.file for item in listing.skipped] == ["pipe.png"]


def test_names_that_are_not_unicode_can_be_printed(tmp_path: Path) -> None:
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn.png"))).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    ((name, path),) = find_images(tmp_path).files.items()
    assert name.encode("utf-8") == b"gr\\xfcn.png"
    assert path.read_bytes() == b"x"


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take UTF-8 only")
def test_two_names_that_read_the_same_are_told_apart(tmp_path: Path) -> None:
    grow(tmp_path, os.fsdecode(b"f\xff.png"), "f\\xff.png", "new\nline.png")
    listing = find_images(tmp_path)
    assert list(listing.files) == ["f\\xff.png", "new\\nline.png"]
    assert [item.file for item in listing.skipped] == ["f\\xff.png"]


def test_links_to_themselves_never_crash(tmp_path: Path) -> None:
    grow(tmp_path, "normal/a.png", "bad/b.png")
    for name in ("me", "normal/loop.png", "top.png"):
        (tmp_path / name).symlink_to(Path(name).name)
    listing = find_images(tmp_path)
    assert list(listing.files) == ["bad/b.png", "normal/a.png", "normal/loop.png", "top.png"]
    (skipped,) = listing.skipped
    assert skipped.file == "me" and skipped.reason.startswith("link cannot be followed: ")
    assert listing.folders == ("bad", "normal")
    with pytest.raises(ImageError, match=r"^cannot be read: "):
        decode(listing.files["normal/loop.png"])
    assert skipped in read_folders(tmp_path).skipped
    with pytest.raises(DataError, match=r"me cannot be read: .+\.$"):
        find_images(tmp_path / "me")


def run_in(folder: Path) -> None:
    grow(folder, "normal/report.png", "plots/roc.png")
    (folder / "samples.csv").write_text(",".join(SAMPLE_COLUMNS) + "\n")


def test_runs_below_the_root_are_no_data_but_a_root_is(tmp_path: Path) -> None:
    grow(tmp_path, "normal/a.png", "bad/b.png", "bad/samples.csv")
    run_in(tmp_path / "run 1")
    run_in(tmp_path / "bad" / "runs" / "2")
    (tmp_path / "last").symlink_to(tmp_path / "run 1")
    listing = find_images(tmp_path)
    assert list(listing.files) == ["bad/b.png", "normal/a.png"]
    assert listing.folders == ("bad", "normal")
    assert [item.file for item in listing.skipped] == ["bad/samples.csv"]
    assert {item.why for item in listing.left_out} == {"a run that WhyCAM wrote", "what a training wrote"}
    assert list(find_images(tmp_path / "run 1").files) == ["normal/report.png", "plots/roc.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take UTF-8 only")
def test_messages_about_odd_folders_can_be_printed(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"d\xff")
    grow(odd, os.fsdecode(b"k\xffnd/a.png"), os.fsdecode(b"k\xffnd/deep/ok/b.png"))
    with pytest.raises(DataError) as caught:
        read_folders(odd)
    assert b"d\\xff" in str(caught.value).encode() and b"k\\xffnd/" in str(caught.value).encode()
    dataset = read_folders(grow(odd, "ok/c.png"))
    assert [item.name for item in dataset.folders if item.kind] == ["k\\xffnd"]
    for text in (
        *(item.name for item in dataset.folders),
        dataset.layout,
        *(sample.kind or "" for sample in dataset.samples),
    ):
        text.encode()
