"""The pixels of a data set: the right ones, each photo decoded once, in flat memory, whatever is deleted meanwhile."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.store.made import edit, photos, script, start_together
from whycam.data.elpv import elpv_dataset
from whycam.data.images import decode, resize
from whycam.data.levels import EIGHT_BIT, Levels
from whycam.errors import DataError, OptionError, RunError
from whycam.progress import Bar
from whycam.store import pixels as pixels_module
from whycam.store.pixels import PixelCache, open_pixels
from whycam.store.rows import Rows
from whycam.types import Dataset, Sample

SIZE = (24, 32)


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The content of every file that is decoded, in the order of the calls."""
    calls: list[bytes] = []
    real = pixels_module.decode_resized

    def counting(data: bytes, size_hw: tuple[int, int], levels: Levels, *, first_page: bool) -> np.ndarray:
        calls.append(data)
        return real(data, size_hw, levels, first_page=first_page)

    monkeypatch.setattr(pixels_module, "decode_resized", counting)
    return calls


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for every three images or so."""
    monkeypatch.setattr(pixels_module, "_CHUNK_BYTES", 3 * 3 * SIZE[0] * SIZE[1])


def stored(cache: Path) -> list[Path]:
    return sorted(cache.glob("rows-*/*.rows"))


def same_pixels(samples: list[Sample], found: PixelCache) -> None:
    for row, sample in enumerate(samples):
        expected = resize(decode(sample.path), found.size_hw)
        np.testing.assert_array_equal(found.read([row])[0], np.broadcast_to(expected, (*SIZE, 3)))


def test_pixels_are_those_of_decode_and_resize(tmp_path: Path, small_chunks: None) -> None:
    samples = photos(tmp_path / "in", 20)
    found = open_pixels(samples, SIZE)
    assert found.files == tuple(sample.file for sample in samples) and len(found) == 20 == len(set(found.names))
    assert not found.all_grey and not found.skipped and found.size_hw == SIZE
    same_pixels(samples, found)
    batch = found.read(np.array([19, 0, 7, 7]))
    assert batch.shape == (4, *SIZE, 3) and batch.dtype == np.uint8 and batch.flags.writeable
    np.testing.assert_array_equal(batch[2], batch[3])
    np.testing.assert_array_equal(batch[1], found.read([0])[0])
    np.testing.assert_array_equal(found.rows([samples[5], samples[2]]), [5, 2])
    assert found.read([]).shape == (0, *SIZE, 3)
    with pytest.raises(IndexError):
        found.read([20])
    with pytest.raises(KeyError):
        found.rows([Sample("other.png", Path("other.png"))])


def test_all_grey_is_one_channel(tmp_path: Path, cache: Path) -> None:
    samples = photos(tmp_path / "in", 6, colour=False)
    for _ in range(2):
        found = open_pixels(samples, SIZE)
        assert found.all_grey and found.read([1, 2]).shape == (2, *SIZE, 1)
        np.testing.assert_array_equal(found.read([3])[0], resize(decode(samples[3].path), SIZE))
    (path,) = stored(cache)
    assert path.stat().st_size - 6 * SIZE[0] * SIZE[1] < 1000
    coloured = photos(tmp_path / "more", 3, seed=1)
    assert not open_pixels([*samples, *(Sample(f"more/{s.file}", s.path) for s in coloured)], SIZE).all_grey
    assert open_pixels(samples, SIZE).all_grey


def test_real_images() -> None:
    samples = list(elpv_dataset().samples[:40])
    found = open_pixels(samples, (64, 64))
    for row in (0, 17, 39):
        np.testing.assert_array_equal(found.read([row])[0], resize(decode(samples[row].path), (64, 64)))


def test_content_counts_not_name_order_or_place(tmp_path: Path, decodings: list[bytes]) -> None:
    samples = photos(tmp_path / "in", 8)
    first = open_pixels(samples, SIZE)
    assert len(decodings) == 8
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    moved = [Sample(f"new/{s.file}", tmp_path / "copy" / s.file) for s in reversed(samples)]
    again = open_pixels(moved, SIZE)
    assert len(decodings) == 8 and again.names == first.names[::-1]
    np.testing.assert_array_equal(first.read(range(8))[::-1], again.read(range(8)))


def test_one_changed_photo_is_one_decoded_photo(tmp_path: Path, decodings: list[bytes], cache: Path) -> None:
    samples = photos(tmp_path / "in", 30)
    before = open_pixels(samples, SIZE)
    assert len(decodings) == 30
    Image.new("L", (9, 9), 77).save(samples[2].path)
    found = open_pixels(samples, SIZE)
    assert decodings[30:] == [samples[2].path.read_bytes()]
    assert (found.read([2]) == 77).all() and not (before.read([2]) == 77).all()
    same_pixels(samples, found)
    # A part of the set, and a set that has more, need no more than what is new.
    open_pixels(samples[5:20], SIZE)
    open_pixels([*samples, *(Sample(f"more/{s.file}", s.path) for s in photos(tmp_path / "more", 4, seed=1))], SIZE)
    assert len(decodings) == 35
    open_pixels(samples[:3], (10, 10))
    assert len(decodings) == 38


def test_identical_files_are_stored_once(tmp_path: Path, decodings: list[bytes], cache: Path) -> None:
    samples = photos(tmp_path / "in", 3, colour=False)
    twin = Sample("twin.png", tmp_path / "twin.png")
    shutil.copy(samples[1].path, twin.path)
    found = open_pixels([*samples, twin], SIZE)
    assert len(decodings) == 3 and len(found) == 4
    assert sum(path.stat().st_size for path in stored(cache)) < 3 * SIZE[0] * SIZE[1] + 1000
    np.testing.assert_array_equal(found.read([1]), found.read([3]))
    assert found.digests["twin.png"] == found.digests["0001.png"]


def test_unreadable_files_are_skipped_by_name_and_tried_again(tmp_path: Path, decodings: list[bytes]) -> None:
    samples = photos(tmp_path / "in", 7)
    samples[1].path.write_bytes(b"")
    samples[3].path.write_bytes(samples[2].path.read_bytes()[:500])
    samples[4].path.unlink()
    Image.new("RGB", (9, 9)).save(samples[5].path)
    for _ in range(2):
        found = open_pixels(samples, SIZE)
        reasons = {item.file: item.reason for item in found.skipped}
        assert list(reasons) == ["0001.png", "0003.png", "0004.png", "0005.png"]
        assert reasons["0001.png"] == "the file is empty" and reasons["0004.png"] == "file not found"
        assert reasons["0003.png"] == "truncated: the file ends before the picture does"
        kept = Dataset(tmp_path, "", tuple(samples)).without(found.skipped).samples
        assert found.files == tuple(sample.file for sample in kept) == tuple(found.digests)
        np.testing.assert_array_equal(found.rows(kept), range(3))
        same_pixels(list(kept), found)
    # An empty and a missing file are not even tried.
    assert len(decodings) == 5 + 2


def test_nothing_readable_and_double_names(tmp_path: Path) -> None:
    samples = photos(tmp_path / "in", 2)
    samples[0].path.write_bytes(b"")
    samples[1].path.write_bytes(b"no image")
    with pytest.raises(
        DataError,
        match=r"^None of 2 images can be read: 1 such as 0000.png, the file is empty; 1 such as 0001.png, not ",
    ):
        open_pixels(samples, SIZE)
    with pytest.raises(DataError, match="No image given"):
        open_pixels([], SIZE)
    with pytest.raises(DataError, match="same name"):
        open_pixels([samples[0], samples[0]], SIZE)
    with pytest.raises(OptionError, match="`size_hw` must be"):
        open_pixels(samples, (0, 3))


@pytest.mark.parametrize("change", ["another picture", "gone"])
def test_a_file_that_changes_before_it_is_decoded_is_no_part_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, change: str
) -> None:
    samples = photos(tmp_path / "in", 3)
    real = pixels_module._make

    def meddling(*arguments: object) -> object:
        path = samples[1].path
        # Of the same length and date: only the content tells.
        date, content = path.stat().st_mtime_ns, path.read_bytes()
        path.unlink()
        if change == "another picture":
            path.write_bytes(content[:-20] + bytes(20))
            os.utime(path, ns=(date, date))
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pixels_module, "_make", meddling)
    with pytest.raises(DataError, match=r"0001\.png changed while it was in use: run again"):
        open_pixels(samples, SIZE)
    assert not stored(cache)


# ---------------------------------------------------------------- loss


def test_pixels_that_were_read_outlive_cache_and_photos(tmp_path: Path, cache: Path) -> None:
    found = open_pixels(photos(tmp_path / "in", 5), SIZE)
    expected = found.read(range(5))
    shutil.rmtree(cache)
    shutil.rmtree(tmp_path / "in")
    np.testing.assert_array_equal(found.read(range(5)), expected)


def test_lost_pixels_are_made_again_and_only_they(
    tmp_path: Path, cache: Path, decodings: list[bytes], small_chunks: None
) -> None:
    samples = photos(tmp_path / "in", 12)
    open_pixels(samples, SIZE)
    found = open_pixels(samples, SIZE)
    stored(cache)[1].unlink()
    lost = len(open_rows_of(found).missing(found.names))
    assert 0 < lost < 6
    same_pixels(samples, found)
    assert len(decodings) == 12 + lost
    shutil.rmtree(cache)
    fresh = open_pixels(samples, SIZE)
    shutil.rmtree(cache)
    same_pixels(samples, fresh)


def open_rows_of(found: PixelCache) -> Rows:
    """The same rows, as another process sees them."""
    return Rows(found._store.place)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_pixels_are_made_again(tmp_path: Path, cache: Path, damage: str) -> None:
    samples = photos(tmp_path / "in", 5)
    open_pixels(samples, SIZE)
    found = open_pixels(samples, SIZE)
    (path,) = stored(cache)
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 1000)
    else:
        edit(path, -500, bytes(400))
    same_pixels(samples, found)
    assert len(stored(cache)) == 1 and stored(cache) != [path]


def test_lost_pixels_of_a_lost_photo_are_an_error(tmp_path: Path, cache: Path) -> None:
    samples = photos(tmp_path / "in", 3)
    found = open_pixels(samples, SIZE)
    shutil.rmtree(cache)
    samples[1].path.unlink()
    with pytest.raises(DataError, match=r"0001\.png changed while it was in use: run again"):
        found.read([0])


# ---------------------------------------------------------------- several threads and processes


def test_many_threads_read_the_same(tmp_path: Path, small_chunks: None) -> None:
    found = open_pixels(photos(tmp_path / "in", 30), SIZE)
    expected = found.read(range(30))
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            rows = rng.integers(30, size=7)
            if not np.array_equal(found.read(rows), expected[rows]):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


OPEN_ALL = """
    import hashlib, sys
    from pathlib import Path
    from whycam.store.pixels import open_pixels
    from whycam.types import Sample
    samples = [Sample(path.name, path) for path in sorted(Path(sys.argv[1]).iterdir())]
    print("ready", flush=True)
    sys.stdin.readline()
    found = open_pixels(samples, (24, 32))
    print(hashlib.sha256(found.read(range(len(found))).tobytes()).hexdigest())
"""


def test_two_processes_decode_the_same_set_at_once(tmp_path: Path) -> None:
    samples = photos(tmp_path / "in", 150)
    both = [script(OPEN_ALL, tmp_path / "in") for _ in range(2)]
    start_together(both)
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert results[0][0] == results[1][0]
    same_pixels(samples[:10], open_pixels(samples, SIZE))


class Interrupting:
    """A progress bar at which somebody presses Ctrl-C."""

    def __init__(self, after: int) -> None:
        self.seen: list[tuple[str, int]] = []
        self.left = after

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        self.seen.append((what, total))

        def advance(steps: int = 1, note: str = "") -> None:
            if what == "decoding":
                self.left -= steps
                if self.left < 0:
                    raise KeyboardInterrupt

        yield SimpleNamespace(advance=advance)

    def say(self, text: str) -> None:
        raise AssertionError(text)


def test_after_an_interrupt_what_was_decoded_counts(tmp_path: Path, cache: Path, small_chunks: None) -> None:
    samples = photos(tmp_path / "in", 60)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        open_pixels(samples, SIZE, progress=Interrupting(10))
    assert threading.active_count() == threads
    assert not list(cache.glob("rows-*/.*"))
    patient = Interrupting(60)
    same_pixels(samples[:5], open_pixels(samples, SIZE, progress=patient))
    (reading, decoding) = patient.seen
    assert reading == ("reading images", 60) and decoding[0] == "decoding" and 50 <= decoding[1] < 60


MEMORY = """
    import resource, sys
    from pathlib import Path
    from whycam.store.pixels import open_pixels
    from whycam.types import Sample
    paths = sorted(Path(sys.argv[1]).iterdir())[: int(sys.argv[2])]
    found = open_pixels([Sample(path.name, path) for path in paths], (160, 160))
    total = 0
    for start in range(0, len(found), 32):
        total += int(found.read(range(start, min(start + 32, len(found))))[:, 0, 0, 0].sum())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2500):
        colour = Image.new("RGB", (16, 16), (number % 251 + 1, number // 251, 90))
        colour.save(folder / f"{number:05}.bmp")
    peaks = []
    for n in (700, 2500):
        out, err = (process := script(MEMORY, folder, n)).communicate(timeout=100)
        assert process.returncode == 0, err
        peaks.append(int(out))
    # 1,800 more images are 138 MB of pixels.
    assert peaks[1] - peaks[0] < 30, peaks


# ---------------------------------------------------------------- space


def test_the_folder_can_be_given(tmp_path: Path, cache: Path) -> None:
    open_pixels(photos(tmp_path / "in", 2), SIZE, folder=tmp_path / "elsewhere")
    assert len(stored(tmp_path / "elsewhere")) == 1 and not cache.exists()


def test_too_little_space_is_told_before_decoding(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, decodings: list[bytes]
) -> None:
    samples = photos(tmp_path / "in", 2)
    open_pixels(samples, SIZE)
    monkeypatch.setattr("whycam.store.folder.shutil.disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    with pytest.raises(RunError) as caught:
        open_pixels(samples, (6000, 6000))
    assert str(caught.value).startswith(f"The cache needs at least 0.072 GB and {cache} has 0.01 GB free:")
    assert "WHYCAM_CACHE_DIR" in str(caught.value) and len(decodings) == 2
    monkeypatch.setattr("whycam.store.folder.shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    same_pixels(samples, open_pixels(samples, SIZE))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def filling(path: Path, mode: str = "r", *arguments: int) -> object:
        return real(Path("/dev/full"), "wb") if mode == "xb" else real(path, mode, *arguments)

    monkeypatch.setattr(Path, "open", filling)
    with pytest.raises(RunError, match=r"cannot be used \(No space left on device\): set WHYCAM_CACHE_DIR"):
        open_pixels(photos(tmp_path / "in", 2), SIZE)
    assert not list(cache.glob("rows-*/*"))


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan"])
def test_a_bad_cap_is_told_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, decodings: list[bytes]
) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_GB", text)
    with pytest.raises(OptionError, match=f"`WHYCAM_CACHE_GB` must be a number of gigabytes above 0, got '{text}'"):
        open_pixels(photos(tmp_path / "in", 2), SIZE)
    assert not decodings


# ---------------------------------------------------------------- levels, pages


def wide_photos(folder: Path, n: int, *, factor: int, offset: int = 0) -> list[Sample]:
    """`n` grey images of 8 bits, stored in 16 as `offset + factor * value`."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    samples = []
    for number in range(n):
        values = rng.integers(0, 256, (30, 40)).astype(np.uint16)
        path = folder / f"{number}.png"
        Image.fromarray(offset + factor * values).save(path)
        samples.append(Sample(path.name, path, target=float(number % 2)))
    return samples


def test_wide_images_go_through_the_levels_of_their_set(tmp_path: Path, decodings: list[bytes]) -> None:
    samples = wide_photos(tmp_path / "in", 8, factor=4, offset=51200)
    found = open_pixels(samples, SIZE)
    assert found.levels.found == "range in use"
    for row, sample in enumerate(samples):
        expected = resize(decode(sample.path, found.levels), SIZE)
        np.testing.assert_array_equal(found.read([row])[0], expected)
    assert len(np.unique(found.read(range(8)))) > 150
    assert len(decodings) == 8
    # Looked at and decoded once for all runs.
    again = open_pixels(samples, SIZE)
    assert again.levels == found.levels and again.facts == found.facts and len(decodings) == 8


def test_other_levels_are_other_pixels_of_wide_images_alone(tmp_path: Path, decodings: list[bytes]) -> None:
    samples = [*wide_photos(tmp_path / "wide", 3, factor=16), *photos(tmp_path / "in", 4, colour=False)]
    samples = [Sample(f"{number}", sample.path, target=1.0) for number, sample in enumerate(samples)]
    found = open_pixels(samples, SIZE)
    assert found.levels == Levels(0, 4095, "bits in use", mixed=True) and len(decodings) == 7
    darker = found.at_levels(Levels(0, 65535, "bits in use"))
    assert len(decodings) == 10
    assert found.at_levels(found.levels) is found
    for row in range(7):
        before, after = (cache.read([row])[0].astype(int) for cache in (found, darker))
        assert (after.max() < before.max() / 8) == (row < 3)
        assert (found.names[row] == darker.names[row]) == (row >= 3)
    # An image that is black by the new levels is left out, by name.
    black = found.at_levels(Levels(60000, 65535, "range in use"))
    assert [item.file for item in black.skipped] == ["0", "1", "2"] and black.files == ("3", "4", "5", "6")
    assert open_pixels(samples[3:], SIZE).levels == EIGHT_BIT


def test_several_pages_are_read_only_where_told_so(tmp_path: Path) -> None:
    samples = photos(tmp_path / "in", 2, colour=False)
    pages = [Image.fromarray(np.full((30, 40), 10 * n + 9, dtype=np.uint8)) for n in range(3)]
    pages[0].save(tmp_path / "in" / "pages.tif", save_all=True, append_images=pages[1:])
    samples.append(Sample("pages.tif", tmp_path / "in" / "pages.tif"))
    for _ in range(2):
        refused = open_pixels(samples, SIZE)
        assert [item.file for item in refused.skipped] == ["pages.tif"] and "3 pages" in refused.skipped[0].reason
        read = open_pixels(samples, SIZE, first_page=True)
        assert not read.skipped and (read.read([2]) == 9).all() and read.facts["pages.tif"].n_pages == 3
