"""The pixel cache: the right pixels, decoded once, whole or absent, in flat memory, whoever is killed meanwhile."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from whycam.data import cache as cache_module
from whycam.data import pack as pack_module
from whycam.data.cache import open_pixels
from whycam.data.elpv import elpv_dataset
from whycam.data.images import decode, resize
from whycam.data.pack import cache_folder
from whycam.errors import DataError, OptionError, RunError
from whycam.progress import Bar
from whycam.types import Dataset, Sample

SIZE = (24, 32)
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHYCAM_CACHE_DIR", str(folder))
    monkeypatch.delenv("WHYCAM_CACHE_GB", raising=False)
    return folder


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path that is decoded, in the order of the calls."""
    calls: list[Path] = []
    real = cache_module.decode_resized

    def counting(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
        calls.append(path)
        return real(path, size_hw)

    monkeypatch.setattr(cache_module, "decode_resized", counting)
    return calls


def photos(folder: Path, n: int, *, colour: bool = True, seed: int = 0, ending: str = "png") -> list[Sample]:
    """`n` images of different sizes; of `colour` ones every third is grey."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(n):
        shape = (30 + number % 7, 40 + number % 5)
        if colour and number % 3:
            shape = (*shape, 3)
        path = folder / f"{number:04}.{ending}"
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        samples.append(Sample(path.name, path, target=float(number % 2)))
    return samples


def packs(store: Path) -> list[Path]:
    return sorted(path for path in store.iterdir() if path.name.startswith("pack-"))


def same_pixels(samples: list[Sample], found: cache_module.PixelCache) -> None:
    for row, sample in enumerate(samples):
        expected = resize(decode(sample.path), found.size_hw)
        np.testing.assert_array_equal(found.read([row])[0], np.broadcast_to(expected, (*SIZE, 3)))


def test_pixels_are_those_of_decode_and_resize(tmp_path: Path) -> None:
    samples = photos(tmp_path / "in", 20)
    found = open_pixels(samples, SIZE)
    assert found.files == tuple(sample.file for sample in samples) and len(found) == 20
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


def test_all_grey_is_one_channel(tmp_path: Path, store: Path) -> None:
    samples = photos(tmp_path / "in", 6, colour=False)
    found = open_pixels(samples, SIZE)
    assert found.all_grey and found.read([1, 2]).shape == (2, *SIZE, 1)
    np.testing.assert_array_equal(found.read([3])[0], resize(decode(samples[3].path), SIZE))
    (pack,) = packs(store)
    assert (pack / "pixels.u8").stat().st_size == 6 * SIZE[0] * SIZE[1]


def test_real_images(store: Path) -> None:
    samples = list(elpv_dataset().samples[:40])
    found = open_pixels(samples, (64, 64))
    for row in (0, 17, 39):
        np.testing.assert_array_equal(found.read([row])[0], resize(decode(samples[row].path), (64, 64)))


def test_second_open_decodes_nothing(tmp_path: Path, decodings: list[Path], store: Path) -> None:
    samples = photos(tmp_path / "in", 8)
    first = open_pixels(samples, SIZE)
    assert len(decodings) == 8
    again = open_pixels(samples, SIZE)
    assert len(decodings) == 8 and len(packs(store)) == 1
    np.testing.assert_array_equal(first.read(range(8)), again.read(range(8)))
    assert first.digests == again.digests


def test_content_counts_not_name_order_or_place(tmp_path: Path, decodings: list[Path]) -> None:
    samples = photos(tmp_path / "in", 8)
    first = open_pixels(samples, SIZE)
    shutil.copytree(tmp_path / "in", tmp_path / "copy")
    moved = [Sample(f"new/{s.file}", tmp_path / "copy" / s.file) for s in reversed(samples)]
    again = open_pixels(moved, SIZE)
    assert len(decodings) == 8
    np.testing.assert_array_equal(first.read(range(8))[::-1], again.read(range(8)))


def test_a_changed_image_or_size_is_decoded_anew(tmp_path: Path, decodings: list[Path], store: Path) -> None:
    samples = photos(tmp_path / "in", 4)
    open_pixels(samples, SIZE)
    Image.new("L", (9, 9), 77).save(samples[2].path)
    assert (open_pixels(samples, SIZE).read([2]) == 77).all()
    open_pixels(samples, (10, 10))
    assert len(decodings) == 12 and len(packs(store)) == 3


def test_identical_files_are_stored_once(tmp_path: Path, decodings: list[Path], store: Path) -> None:
    samples = photos(tmp_path / "in", 3, colour=False)
    twin = Sample("twin.png", tmp_path / "twin.png")
    shutil.copy(samples[1].path, twin.path)
    found = open_pixels([*samples, twin], SIZE)
    assert len(decodings) == 3 and len(found) == 4
    assert (packs(store)[0] / "pixels.u8").stat().st_size == 3 * SIZE[0] * SIZE[1]
    np.testing.assert_array_equal(found.read([1]), found.read([3]))
    assert found.digests["twin.png"] == found.digests["0001.png"]


def test_unreadable_files_are_skipped_by_name_also_the_second_time(tmp_path: Path, decodings: list[Path]) -> None:
    samples = photos(tmp_path / "in", 7)
    samples[1].path.write_bytes(b"")
    samples[3].path.write_bytes(samples[2].path.read_bytes()[:500])
    samples[4].path.unlink()
    Image.new("RGB", (9, 9)).save(samples[5].path)
    expected = [
        ("0001.png", "the file is empty"),
        ("0003.png", "truncated: the file ends before the picture does"),
        ("0004.png", "file not found"),
        ("0005.png", "every pixel is black: a damaged file or a covered lens"),
    ]
    for _ in range(2):
        found = open_pixels(samples, SIZE)
        assert [(item.file, item.reason) for item in found.skipped] == expected
        kept = Dataset(tmp_path, "", tuple(samples)).without(found.skipped).samples
        assert found.files == tuple(sample.file for sample in kept) == tuple(found.digests)
        np.testing.assert_array_equal(found.rows(kept), range(3))
        same_pixels(list(kept), found)
    assert len(decodings) == 6


def test_nothing_readable_and_double_names(tmp_path: Path) -> None:
    samples = photos(tmp_path / "in", 2)
    samples[0].path.write_bytes(b"")
    samples[1].path.write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        open_pixels(samples, SIZE)
    assert str(caught.value) == (
        "None of 2 images can be decoded (0000.png: the file is empty; "
        "0001.png: not a readable JPEG, PNG, BMP, WebP, TIFF or GIF image)."
    )
    with pytest.raises(DataError, match="No image given"):
        open_pixels([], SIZE)
    with pytest.raises(DataError, match="same name"):
        open_pixels([samples[0], samples[0]], SIZE)
    with pytest.raises(OptionError, match="`size_hw` must be"):
        open_pixels(samples, (0, 3))


def test_a_file_that_changes_meanwhile_is_no_part_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    samples = photos(tmp_path / "in", 3)
    real = cache_module.decode_resized

    def meddling(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
        if path == samples[1].path:
            Image.new("L", (5, 5), 9).save(path)
        return real(path, size_hw)

    monkeypatch.setattr(cache_module, "decode_resized", meddling)
    with pytest.raises(DataError, match=r"0001\.png changed while it was read: run again"):
        open_pixels(samples, SIZE)
    assert not list(store.iterdir())


# ---------------------------------------------------------------- damage


def shorten(pack: Path) -> None:
    with (pack / "pixels.u8").open("r+b") as file:
        file.truncate(1000)


def edit(pack: Path, key: str, change: object) -> None:
    index = json.loads((pack / "index.json").read_text())
    index[key] = change
    (pack / "index.json").write_text(json.dumps(index))


def shift(pack: Path) -> None:
    images = json.loads((pack / "index.json").read_text())["images"]
    edit(pack, "images", {key: [offset + 7, channels] for key, (offset, channels) in images.items()})


def overlap(pack: Path) -> None:
    images = json.loads((pack / "index.json").read_text())["images"]
    edit(pack, "images", {key: [0, 1] for key in images})


DAMAGE = {
    "pixels cut short": shorten,
    "pixels gone": lambda pack: (pack / "pixels.u8").unlink(),
    "index gone": lambda pack: (pack / "index.json").unlink(),
    "index empty": lambda pack: (pack / "index.json").write_bytes(b""),
    "index binary": lambda pack: (pack / "index.json").write_bytes(bytes(range(256))),
    "index cut": lambda pack: (pack / "index.json").write_bytes((pack / "index.json").read_bytes()[:150]),
    "index a list": lambda pack: (pack / "index.json").write_text("[1, 2]"),
    "index deep": lambda pack: (pack / "index.json").write_text("[" * 100_000),
    "key missing": lambda pack: (pack / "index.json").write_text('{"format": 1}'),
    "another format": lambda pack: edit(pack, "format", 2),
    "another size": lambda pack: edit(pack, "size_hw", [32, 24]),
    "wrong types": lambda pack: edit(pack, "images", {"a": "xy"}),
    "no images": lambda pack: edit(pack, "images", {}),
    "one place for all": overlap,
    "shifted": shift,
    "all gone": lambda pack: [path.unlink() for path in pack.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pack_is_rebuilt(tmp_path: Path, damage: str, decodings: list[Path], store: Path) -> None:
    samples = photos(tmp_path / "in", 5)
    open_pixels(samples, SIZE).close()
    DAMAGE[damage](packs(store)[0])
    found = open_pixels(samples, SIZE)
    assert len(decodings) == 10
    same_pixels(samples, found)
    open_pixels(samples, SIZE)
    assert len(decodings) == 10
    assert len(list(store.iterdir())) == 1


def test_a_pack_cut_short_while_open_is_an_error_not_pixels(tmp_path: Path, store: Path) -> None:
    found = open_pixels(photos(tmp_path / "in", 5), SIZE)
    shorten(packs(store)[0])
    with pytest.raises(RunError, match="cut short while in use: run again"):
        found.read([4])


def test_an_open_pack_survives_its_deletion(tmp_path: Path, store: Path) -> None:
    samples = photos(tmp_path / "in", 5)
    found = open_pixels(samples, SIZE)
    shutil.rmtree(store)
    same_pixels(samples, found)


def test_a_closed_cache_reads_nothing(tmp_path: Path) -> None:
    found = open_pixels(photos(tmp_path / "in", 2), SIZE)
    found.close()
    found.close()
    # The number of the closed handle may by now belong to another file.
    with (tmp_path / "other").open("wb+"), pytest.raises(RunError, match="is closed"):
        found.read([0])


def test_without_pread_the_pixels_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = open_pixels(photos(tmp_path / "in", 5), SIZE)
    expected = found.read(range(5))
    monkeypatch.delattr(os, "pread", raising=False)
    np.testing.assert_array_equal(found.read(range(5)), expected)


# ---------------------------------------------------------------- several threads and processes


def test_many_threads_read_the_same(tmp_path: Path) -> None:
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


def script(text: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True)  # type: ignore[call-overload,no-any-return]


OPEN_ALL = """
    import hashlib, sys
    from pathlib import Path
    from whycam.data.cache import open_pixels
    from whycam.types import Sample
    samples = [Sample(path.name, path) for path in sorted(Path(sys.argv[1]).iterdir())]
    print("ready", flush=True)
    sys.stdin.readline()
    found = open_pixels(samples, (24, 32))
    print(hashlib.sha256(found.read(range(len(found))).tobytes()).hexdigest())
"""


def test_two_processes_build_the_same_pack_at_once(tmp_path: Path, store: Path) -> None:
    samples = photos(tmp_path / "in", 150)
    both = [script(OPEN_ALL, tmp_path / "in") for _ in range(2)]
    for process in both:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert len(list(store.iterdir())) == 1
    same_pixels(samples[:10], open_pixels(samples, SIZE))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_build_leaves_no_half_pack_and_is_swept_after_a_day(tmp_path: Path, store: Path) -> None:
    samples = photos(tmp_path / "in", 400)
    process = script(OPEN_ALL.replace("(24, 32)", "(600, 600)"), tmp_path / "in")
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
    try:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size > 5_000_000 for path in store.glob("building-*/pixels.u8")):
            assert process.poll() is None and time.monotonic() < deadline, "never seen building"
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    (left,) = store.iterdir()
    assert left.name.startswith("building-") and not (left / "index.json").exists()

    same_pixels(samples[:5], open_pixels(samples[:5], SIZE))
    assert left.exists(), "young leftovers may belong to a living process"
    for path in (*left.iterdir(), left):
        os.utime(path, (time.time() - 90_000,) * 2)
    open_pixels(samples[:6], SIZE)
    assert not left.exists()


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


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, store: Path) -> None:
    samples = photos(tmp_path / "in", 60)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        open_pixels(samples, SIZE, progress=Interrupting(10))
    assert not list(store.iterdir())
    assert threading.active_count() == threads
    patient = Interrupting(60)
    same_pixels(samples[:5], open_pixels(samples, SIZE, progress=patient))
    assert patient.seen == [("reading images", 60), ("decoding", 60)]


MEMORY = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from whycam.data.cache import open_pixels
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
    for number in range(2000):
        colour = Image.new("RGB", (16, 16), (number % 251 + 1, number // 251, 90))
        colour.save(folder / f"{number:05}.bmp")
    peaks = []
    for n in (200, 2000):
        out, err = (process := script(MEMORY, folder, n)).communicate(timeout=100)
        assert process.returncode == 0, err
        peaks.append(int(out))
    # 1,800 more images are 138 MB of pixels.
    assert peaks[1] - peaks[0] < 30, peaks


# ---------------------------------------------------------------- place, space and cap


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("WHYCAM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "whycam"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert cache_folder() == tmp_path / "me" / ".cache" / "whycam"
    monkeypatch.setattr(pack_module, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "whycam" / "cache"


def test_the_folder_can_be_given(tmp_path: Path, store: Path) -> None:
    open_pixels(photos(tmp_path / "in", 2), SIZE, folder=tmp_path / "elsewhere")
    assert len(packs(tmp_path / "elsewhere")) == 1 and not store.exists()


def test_an_unusable_folder_is_named_with_its_variable(tmp_path: Path, store: Path) -> None:
    store.write_text("a file in the way")
    with pytest.raises(RunError) as caught:
        open_pixels(photos(tmp_path / "in", 2), SIZE)
    text = str(caught.value)
    assert text.startswith(f"The pixel cache in {store} cannot be used (") and "WHYCAM_CACHE_DIR" in text
    assert "\n" not in text


def test_too_little_space_is_told_before_decoding(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, decodings: list[Path]
) -> None:
    monkeypatch.setattr(pack_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    with pytest.raises(RunError) as caught:
        open_pixels(photos(tmp_path / "in", 2), (6000, 6000))
    assert str(caught.value).startswith(f"The pixel cache needs at least 0.1 GB and {store} has 0.0 GB free:")
    assert "WHYCAM_CACHE_DIR" in str(caught.value)
    assert not decodings and not list(store.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pack_module.PackWriter.add

    def filling(self: pack_module.PackWriter, digest: str, pixels: np.ndarray) -> None:
        self._file = io.FileIO("/dev/full", "w")
        try:
            real(self, digest, pixels)
        finally:
            self._file.close()

    monkeypatch.setattr(pack_module.PackWriter, "add", filling)
    with pytest.raises(RunError, match=r"cannot be used \(No space left on device\): set WHYCAM_CACHE_DIR"):
        open_pixels(photos(tmp_path / "in", 2), SIZE)
    assert not list(store.iterdir())


def test_the_pack_used_longest_ago_goes_first(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [photos(tmp_path / f"in{seed}", 4, seed=seed, colour=False) for seed in range(4)]
    names = []
    for age, samples in zip((300, 200, 100), sets, strict=False):
        open_pixels(samples, SIZE)
        (new,) = {path.name for path in packs(store)} - set(names)
        names.append(new)
        os.utime(store / new, (time.time() - age,) * 2)
    open_pixels(sets[0], SIZE)  # used again, and so the youngest
    size = sum(file.stat().st_size for file in (store / names[0]).iterdir())
    monkeypatch.setenv("WHYCAM_CACHE_GB", str(2.5 * size / 1e9))
    open_pixels(sets[3], SIZE)
    left = {path.name for path in packs(store)}
    assert names[0] in left and names[1] not in left and names[2] not in left and len(left) == 2
    monkeypatch.setenv("WHYCAM_CACHE_GB", "1e-9")
    same = open_pixels(sets[1], SIZE)
    assert len(packs(store)) == 1, "the one just written stays whatever its size"
    assert same.read([0]).shape == (1, *SIZE, 1)


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan"])
def test_a_bad_cap_is_told_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, decodings: list[Path]
) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_GB", text)
    with pytest.raises(OptionError, match=f"`WHYCAM_CACHE_GB` must be a number of gigabytes above 0, got '{text}'"):
        open_pixels(photos(tmp_path / "in", 2), SIZE)
    assert not decodings
