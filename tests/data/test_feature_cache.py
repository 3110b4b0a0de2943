"""The feature cache: the right row for every image, whole or absent, whoever adds, is killed or prunes meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from whycam.data import feature_cache as feature_cache_module
from whycam.data.cache import open_pixels
from whycam.data.feature_cache import FeatureCache, open_features
from whycam.errors import OptionError, RunError
from whycam.types import Sample

WIDTH = 5
KEY = {"weights": "ab12", "taps": [3, 5], "view": "whole", "size": [64, 64], "versions": {"torch": "2.13"}}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHYCAM_CACHE_DIR", str(folder))
    monkeypatch.delenv("WHYCAM_CACHE_GB", raising=False)
    return folder


def names(start: int, stop: int) -> list[str]:
    return [f"{number:064x}" for number in range(start, stop)]


def rows(digests: list[str], width: int = WIDTH) -> np.ndarray:
    """What each image's features are in these tests: a function of its name alone."""
    numbers = np.array([int(digest, 16) for digest in digests], dtype=np.float32)
    return numbers[:, None] * 10 + np.arange(width, dtype=np.float32)


def fill(cache: FeatureCache, start: int, stop: int) -> None:
    cache.add(names(start, stop), rows(names(start, stop), cache.width))


def right(cache: FeatureCache, digests: list[str]) -> None:
    values = cache.read(digests)
    assert values.dtype == np.float32 and values.flags.writeable
    np.testing.assert_array_equal(values, rows(digests, cache.width))


def chunks(cache: FeatureCache) -> list[Path]:
    return sorted(cache.place.glob("*.rows"))


# ---------------------------------------------------------------- rows


def test_what_was_added_is_read_in_any_order_with_duplicates(store: Path) -> None:
    cache = open_features(KEY, WIDTH)
    assert cache.place.parent == store and cache.place.name.startswith("features-")
    assert cache.missing(["b", "a", "b"]) == ["b", "a"] and cache.read([]).shape == (0, WIDTH)
    for start in range(0, 100, 7):
        fill(cache, start, min(start + 7, 100))
    assert len(chunks(cache)) == 15
    for reader in (cache, open_features(KEY, WIDTH)):
        right(reader, names(0, 100))
        right(reader, names(0, 100)[::-1])
        right(reader, [names(0, 100)[row] for row in np.random.default_rng(0).integers(100, size=300)])
        right(reader, names(42, 43) * 3)
        assert reader.read([]).shape == (0, WIDTH)
        assert reader.missing([*names(98, 102), *names(100, 101)]) == names(100, 102)
        with pytest.raises(KeyError, match=names(100, 101)[0]):
            reader.read(names(99, 101))


def test_an_image_keeps_its_first_row_and_is_stored_once() -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 4)
    twice = [*names(3, 6), *names(4, 5), *names(2, 3)]
    cache.add(twice, np.concatenate([rows(names(3, 6)), np.full((2, WIDTH), 777, np.float32)]))
    right(open_features(KEY, WIDTH), names(0, 6))
    before = chunks(cache)
    cache.add(names(0, 3), np.ones((3, WIDTH), np.float32))
    cache.add([], np.empty((0, WIDTH), np.float32))
    assert chunks(cache) == before
    assert sum(path.stat().st_size for path in before) < 6 * (4 * WIDTH + 64 + 20) + 2 * 200


def test_neighbours_are_read_in_one_go_and_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 50)
    fill(cache, 50, 100)
    reads: list[tuple[int, int]] = []
    real = FeatureCache._read_rows

    def counting(self: FeatureCache, file: object, chunk: object, first: int, end: int) -> np.ndarray:
        reads.append((first, end))
        return real(self, file, chunk, first, end)  # type: ignore[arg-type]

    monkeypatch.setattr(FeatureCache, "_read_rows", counting)
    shuffled = names(0, 100)
    np.random.default_rng(1).shuffle(shuffled)
    right(cache, shuffled)
    assert reads == [(0, 50), (0, 50)]
    reads.clear()
    right(cache, [*names(7, 9), *names(8, 10), *names(60, 61)])
    assert reads == [(7, 10), (10, 11)]
    reads.clear()
    monkeypatch.setattr(feature_cache_module, "_LONGEST_READ", 20 * 4 * WIDTH + 3)
    right(cache, shuffled)
    assert reads == [(0, 20), (20, 40), (40, 50)] * 2
    monkeypatch.setattr(feature_cache_module, "_LONGEST_READ", 1)
    right(cache, shuffled)


def test_other_layouts_in_memory_are_stored_right() -> None:
    cache = open_features(KEY, WIDTH)
    cache.add(names(0, 9), np.asfortranarray(rows(names(0, 9))))
    cache.add(names(9, 20), rows(names(9, 20), 2 * WIDTH)[:, :WIDTH])
    right(cache, names(0, 20))


def test_another_key_width_or_folder_is_another_cache(tmp_path: Path) -> None:
    fill(open_features(KEY, WIDTH), 0, 4)
    same = json.loads(json.dumps(dict(reversed(KEY.items()))))
    assert open_features(same, WIDTH).missing(names(0, 5)) == names(4, 5)
    others = [
        open_features({**KEY, "weights": "ab13"}, WIDTH),
        open_features({**KEY, "more": None}, WIDTH),
        open_features(KEY, WIDTH + 1),
        open_features(KEY, WIDTH, folder=tmp_path / "elsewhere"),
    ]
    assert len({cache.place for cache in others}) == 4
    assert all(cache.missing(names(0, 4)) == names(0, 4) for cache in others)


@pytest.mark.parametrize("key", [{"a": object()}, {"a": float("nan")}])
def test_a_key_that_is_not_json_is_refused(key: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        open_features(key, WIDTH)


def test_values_of_another_shape_or_type_and_not_finite_are_refused() -> None:
    cache = open_features(KEY, WIDTH)
    with pytest.raises(ValueError, match="`width` must be at least 1"):
        open_features(KEY, 0)
    for bad in (rows(names(0, 2)), rows(names(0, 3), 4), rows(names(0, 3)).astype(np.float64)):
        with pytest.raises(ValueError, match=r"`values` must be \(3, 5\) float32, got "):
            cache.add(names(0, 3), bad)
    values = rows(names(0, 3))
    values[1, 2] = np.inf
    with pytest.raises(RunError, match=f"image {names(1, 2)[0]} are not all finite"):
        cache.add(names(0, 3), values)
    assert not chunks(cache)


# ---------------------------------------------------------------- damage


def edit(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        file.write(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "prefix cut": lambda path: path.write_bytes(path.read_bytes()[:9]),
    "header cut": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "rows cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "too long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another magic": lambda path: edit(path, 0, b"x"),
    "header too long": lambda path: edit(path, 8, b"\xff\xff\xff\xff"),
    "a digest changed": lambda path: edit(path, 150, b"f"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chunk_is_missing_again_the_others_stay(damage: str) -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 6)
    fill(cache, 6, 9)
    DAMAGE[damage](chunks(cache)[0])
    again = open_features(KEY, WIDTH)
    assert again.missing(names(0, 9)) == names(0, 6)
    right(again, names(6, 9))
    fill(again, 0, 6)
    right(open_features(KEY, WIDTH), names(0, 9))
    assert len(chunks(again)) == 2


def test_a_chunk_of_another_folder_is_not_believed() -> None:
    cache, other = open_features(KEY, WIDTH), open_features({"other": 1}, WIDTH)
    fill(cache, 0, 3)
    (path,) = chunks(cache)
    (other.place / path.name).write_bytes(path.read_bytes())
    assert other.missing(names(0, 3)) == names(0, 3)


@pytest.mark.parametrize("content", [b"\0" * 4, b"\x00\x00\xc0\x7f", b"\x01"])
def test_a_changed_row_is_an_error_then_missing(content: bytes) -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 6)
    edit(chunks(cache)[0], -8, content)
    again = open_features(KEY, WIDTH)
    right(again, names(0, 5))
    with pytest.raises(RunError, match=r"\.rows was damaged and has been removed: run again") as caught:
        again.read(names(0, 6))
    assert "\n" not in str(caught.value)
    assert again.missing(names(0, 6)) == names(0, 6)
    fill(again, 0, 6)
    right(again, names(0, 6))


def test_a_chunk_cut_short_while_open_is_an_error_not_numbers() -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 6)
    chunks(cache)[0].write_bytes(chunks(cache)[0].read_bytes()[:-30])
    with pytest.raises(RunError, match="was damaged and has been removed"):
        cache.read(names(5, 6))


def test_a_row_that_is_not_finite_is_an_error_whatever_its_checksum() -> None:
    cache = open_features(KEY, WIDTH)
    values = np.full((1, WIDTH), np.nan, np.float32)
    (cache.place / "0.rows").write_bytes(cache._framed(names(0, 1), values))
    assert not cache.missing(names(0, 1))
    with pytest.raises(RunError, match="was damaged"):
        cache.read(names(0, 1))


# ---------------------------------------------------------------- several threads and processes


def test_two_instances_see_what_the_other_adds() -> None:
    one, two = open_features(KEY, WIDTH), open_features(KEY, WIDTH)
    fill(one, 0, 3)
    right(two, names(0, 3))
    fill(two, 2, 5)
    assert not one.missing(names(0, 5))
    right(one, names(0, 5))
    assert len(chunks(one)) == 2


def test_many_threads_read_while_one_adds() -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 60)
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(60):
                right(cache, [names(0, 60)[row] for row in rng.integers(60, size=9)])
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for start in range(60, 120, 5):
        fill(cache, start, start + 5)
    for thread in threads:
        thread.join()
    assert not failures
    right(cache, names(0, 120))


def script(text: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True)  # type: ignore[call-overload,no-any-return]


ADD = """
    import sys
    import numpy as np
    from whycam.data.feature_cache import open_features
    cache = open_features({"k": 1}, 5)
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(int(sys.argv[1]), int(sys.argv[2]), 10):
        names = [f"{number:064x}" for number in range(start, start + 10)]
        numbers = np.arange(start, start + 10, dtype=np.float32)
        cache.add(names, numbers[:, None] * 10 + np.arange(5, dtype=np.float32))
        cache.read(names)
"""


def test_processes_add_different_and_the_same_images_at_once() -> None:
    workers = [script(ADD, 0, 200), script(ADD, 0, 200), script(ADD, 150, 350)]
    for process in workers:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in workers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    mine = open_features({"k": 1}, WIDTH)
    for start in range(300, 400, 10):
        fill(mine, start, start + 10)
    results = [process.communicate(timeout=60) for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0], results
    right(mine, names(0, 400))
    right(open_features({"k": 1}, WIDTH), names(0, 400)[::-1])
    assert not [path for path in mine.place.iterdir() if path.suffix != ".rows"]


ADD_LARGE = """
    import sys
    import numpy as np
    from whycam.data.feature_cache import open_features
    cache = open_features({"large": 1}, 100_000)
    for turn in range(60):
        names = [f"{number:064x}" for number in range(20 * turn, 20 * turn + 20)]
        numbers = np.arange(20 * turn, 20 * turn + 20, dtype=np.float32)
        cache.add(names, numbers[:, None] * 10 + np.arange(100_000, dtype=np.float32))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGSTOP and SIGKILL")
def test_a_killed_add_leaves_the_rest_usable_and_is_swept_after_a_day() -> None:
    cache = open_features({"large": 1}, 100_000)
    process = script(ADD_LARGE)
    try:
        deadline = time.monotonic() + 60
        # Stopped in the middle of a write: then what is seen cannot change before the kill.
        while True:
            assert process.poll() is None and time.monotonic() < deadline, "never seen writing"
            if chunks(cache) and list(cache.place.glob(".*.part")):
                os.kill(process.pid, signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                if list(cache.place.glob(".*.part")):
                    break
                os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.0005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    (left,) = cache.place.glob(".*.part")
    done = 20 * len(chunks(cache))
    assert cache.missing(names(0, done + 40)) == names(done, done + 40)
    right(cache, names(done - 20, done))
    fill(cache, done, done + 2)
    right(open_features({"large": 1}, 100_000), names(done - 1, done + 2))
    assert left.exists(), "young leftovers may belong to a living process"
    os.utime(left, (time.time() - 90_000,) * 2)
    fill(cache, done + 2, done + 3)
    assert not left.exists()


# ---------------------------------------------------------------- place, space and cap


def pack_of(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    open_pixels([Sample("a.png", folder / "a.png")], (100, 100))


def test_the_cap_covers_packs_and_features_oldest_use_first(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = [open_features({"k": number}, 1000) for number in range(4)]
    for cache in caches[:3]:
        fill(cache, 0, 3)
    pack_of(tmp_path / "old", 0)
    (old_pack,) = store.glob("pack-*")
    for age, place in ((300, caches[0].place), (250, old_pack), (200, caches[1].place), (100, caches[2].place)):
        if age == 200:  # sweeping it is no use of the folder
            (left := place / ".0123.part").write_bytes(b"left by a killed process")
            os.utime(left, (time.time() - 90_000,) * 2)
        os.utime(place, (time.time() - age,) * 2)
    open_features({"k": 0}, 1000)  # used again, and so the youngest
    monkeypatch.setenv("WHYCAM_CACHE_GB", str(40_000 / 1e9))
    fill(caches[3], 0, 3)
    assert not old_pack.exists() and not caches[1].place.exists()
    for cache in (caches[0], caches[2], caches[3]):
        right(cache, names(0, 3))

    monkeypatch.setenv("WHYCAM_CACHE_GB", "1e-9")
    pack_of(tmp_path / "new", 1)
    assert [path.name[:5] for path in store.iterdir()] == ["pack-"], "a new pack prunes features too"
    fill(caches[0], 0, 3)
    assert [path.name for path in store.iterdir()] == [caches[0].place.name], "the one just written stays"
    right(caches[0], names(0, 3))


def test_reading_counts_as_use() -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 3)
    os.utime(cache.place, (time.time() - 5000,) * 2)
    cache.read(names(0, 1))
    assert time.time() - cache.place.stat().st_mtime < 100


def test_a_cache_deleted_while_in_use_is_an_error_and_can_be_filled_anew() -> None:
    cache = open_features(KEY, WIDTH)
    fill(cache, 0, 3)
    chunks(cache)[0].unlink()
    cache.place.rmdir()
    with pytest.raises(RunError, match="was deleted while in use: run again, with a larger WHYCAM_CACHE_GB"):
        cache.read(names(0, 1))
    assert cache.missing(names(0, 3)) == names(0, 3)
    fill(cache, 0, 3)
    right(cache, names(0, 3))


def test_an_unusable_folder_is_named_with_its_variable(store: Path) -> None:
    store.write_text("a file in the way")
    with pytest.raises(RunError) as caught:
        open_features(KEY, WIDTH)
    text = str(caught.value)
    assert text.startswith(f"The feature cache in {store} cannot be used (") and "WHYCAM_CACHE_DIR" in text
    assert "\n" not in text


def test_a_bad_cap_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_GB", "much")
    with pytest.raises(OptionError, match="`WHYCAM_CACHE_GB` must be a number of gigabytes above 0"):
        open_features(KEY, WIDTH)


FILL_UP = """
    import resource
    import numpy as np
    from whycam.data.feature_cache import open_features
    from whycam.errors import RunError
    cache = open_features({"k": 1}, 1000)
    cache.add(["a"], np.ones((1, 1000), np.float32))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        cache.add([str(n) for n in range(50)], np.ones((50, 1000), np.float32))
    except RunError as error:
        print(error)
    print(cache.missing(["a", "0"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files")
def test_a_disk_that_takes_no_more(store: Path) -> None:
    out, err = (process := script(FILL_UP)).communicate(timeout=60)
    assert process.returncode == 0, err
    told, missing = out.splitlines()
    assert told.startswith(f"The feature cache in {store} cannot be used (File too large): set WHYCAM_CACHE_DIR")
    assert missing == "['0']"
    assert len(list(store.glob("features-*/*"))) == len(list(store.glob("features-*/.*.part"))) + 1 == 1
