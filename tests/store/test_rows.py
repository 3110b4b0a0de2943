"""The row store: the right row for every image, of any type and shape, whatever was damaged or deleted meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.store.made import WIDTH, edit, files, fill, names, right, rows, same
from whycam.errors import RunError
from whycam.store import chunk as chunk_module
from whycam.store import rows as rows_module
from whycam.store.chunk import Array, Chunk
from whycam.store.rows import open_rows

KEY = {"weights": "ab12", "taps": [3, 5], "view": "whole", "size": [64, 64], "versions": {"torch": "2.13"}}


# ---------------------------------------------------------------- rows


def test_what_was_added_is_read_in_any_order_with_duplicates(cache: Path) -> None:
    store = open_rows(KEY)
    assert store.place.parent == cache and store.place.name.startswith("rows-")
    assert store.missing(["b", "a", "b"]) == ["b", "a"] and len(store.read([])) == 0
    for start in range(0, 100, 7):
        fill(store, start, min(start + 7, 100))
    assert len(files(store)) == 15
    for reader in (store, open_rows(KEY)):
        right(reader, names(0, 100))
        right(reader, names(0, 100)[::-1])
        right(reader, [names(0, 100)[row] for row in np.random.default_rng(0).integers(100, size=300)])
        right(reader, names(42, 43) * 3)
        assert reader.missing([*names(98, 102), *names(100, 101)]) == names(100, 102)
        with pytest.raises(KeyError, match=names(100, 101)[0]):
            reader.read(names(99, 101))


def test_rows_of_any_type_and_shape_in_one_file() -> None:
    given: dict[str, Array] = {
        "grey": np.arange(12, dtype=np.uint8).reshape(3, 4, 1),
        "colour": np.arange(36, dtype=np.uint8).reshape(3, 4, 3),
        "facts": np.frombuffer(json.dumps({"bits": 12}).encode(), dtype=np.uint8),
        "number": np.array(-7, dtype=np.int64),
        "flags": np.array([True, False]),
        "big-endian": np.arange(3, dtype=">f4"),
        "nothing": np.zeros((0, 3), dtype=np.float64),
        "last": np.arange(5, dtype=np.float16),
    }
    store = open_rows(KEY)
    store.add(list(given), list(given.values()))
    assert len(files(store)) == 1
    for reader in (store, open_rows(KEY)):
        for name, row in given.items():
            same(reader.read([name])[0], row)
            assert reader.shape(name) == row.shape
        out = np.zeros((3, 3, 4, 3), dtype=np.uint8)
        assert reader.read(["colour", "grey", "colour"], out) is out
        same(out, np.stack([given["colour"], np.repeat(given["grey"], 3, axis=2), given["colour"]]))
        with pytest.raises(ValueError, match="differ in type or shape"):
            reader.read(["grey", "colour"])
        with pytest.raises(ValueError, match="broadcast"):
            reader.read(["facts"], np.zeros((1, 2), dtype=np.uint8))


def test_reads_into_an_array_of_another_layout() -> None:
    store = open_rows(KEY)
    fill(store, 0, 20)
    wide = np.zeros((20, 2 * WIDTH))
    store.read(names(0, 20), wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], rows(names(0, 20)))
    assert not wide[:, 1::2].any()


def test_an_image_keeps_its_first_row_and_is_stored_once() -> None:
    store = open_rows(KEY)
    fill(store, 0, 4)
    twice = [*names(3, 6), *names(4, 5), *names(2, 3)]
    store.add(twice, np.concatenate([rows(names(3, 6)), np.full((2, WIDTH), 777, np.float32)]))
    right(open_rows(KEY), names(0, 6))
    before = files(store)
    store.add(names(0, 3), np.ones((3, WIDTH), np.float32))
    store.add([], np.empty((0, WIDTH), np.float32))
    assert files(store) == before
    assert sum(path.stat().st_size for path in before) < 6 * (4 * WIDTH + 64 + 20) + 2 * 250


def test_neighbours_are_read_in_one_go_and_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_rows(KEY)
    fill(store, 0, 50)
    fill(store, 50, 100)
    reads: list[tuple[int, int]] = []
    real = Chunk.read

    def counting(self: Chunk, first: int, end: int, data: memoryview) -> None:
        reads.append((first, end))
        real(self, first, end, data)

    monkeypatch.setattr(Chunk, "read", counting)
    shuffled = names(0, 100)
    np.random.default_rng(1).shuffle(shuffled)
    for digests in (shuffled, names(0, 100)):
        right(store, digests)
        assert reads == [(0, 50), (0, 50)]
        reads.clear()
    right(store, [*names(7, 9), *names(8, 10), *names(60, 61)])
    assert reads == [(7, 10), (10, 11)]
    for longest in (20 * 4 * WIDTH, 1):
        reads.clear()
        monkeypatch.setattr(rows_module, "_LONGEST_READ", longest)
        right(open_rows(KEY), shuffled)
        assert max(end - first for first, end in reads) == max(1, longest // (4 * WIDTH))
        assert sum(end - first for first, end in reads) == 100


def test_other_layouts_in_memory_are_stored_right() -> None:
    store = open_rows(KEY)
    store.add(names(0, 9), np.asfortranarray(rows(names(0, 9))))
    store.add(names(9, 20), rows(names(9, 20), 2 * WIDTH)[:, :WIDTH])
    right(store, names(0, 20))


def test_another_key_or_folder_is_another_store(tmp_path: Path) -> None:
    fill(open_rows(KEY), 0, 4)
    again = json.loads(json.dumps(dict(reversed(KEY.items()))))
    assert open_rows(again).missing(names(0, 5)) == names(4, 5)
    others = [
        open_rows({**KEY, "weights": "ab13"}),
        open_rows({**KEY, "more": None}),
        open_rows(KEY, folder=tmp_path / "elsewhere"),
    ]
    assert len({store.place for store in others}) == 3
    assert all(store.missing(names(0, 4)) == names(0, 4) for store in others)


def test_what_cannot_be_stored_is_refused() -> None:
    for key in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            open_rows(key)
    store = open_rows(KEY)
    for bad in (rows(names(0, 2)), [np.array([None])] * 3, [np.array(["text"])] * 3):
        with pytest.raises(ValueError, match="`rows` must be 3 arrays of numbers"):
            store.add(names(0, 3), bad)
    assert not files(store)


# ---------------------------------------------------------------- damage

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
def test_a_damaged_file_is_missing_again_the_others_stay(damage: str) -> None:
    store = open_rows(KEY)
    fill(store, 0, 6)
    fill(store, 6, 9)
    DAMAGE[damage](files(store)[0])
    again = open_rows(KEY)
    assert again.missing(names(0, 9)) == names(0, 6)
    right(again, names(6, 9))
    fill(again, 0, 6)
    right(open_rows(KEY), names(0, 9))
    assert len(files(again)) == 2


HEADERS: dict[str, dict[str, object]] = {
    "an object": {"layouts": [["|O", [5]]]},
    "no type": {"layouts": [["five", [5]]]},
    "a negative side": {"layouts": [["<f4", [-5]]]},
    "another shape": {"layouts": [["<f4", [6]]]},
    "a layout that is not there": {"kinds": [1] * 6},
    "fewer kinds": {"kinds": [0]},
    "fewer checks": {"checks": []},
    "no rows": {"digests": [], "kinds": [], "checks": []},
}


@pytest.mark.parametrize("change", HEADERS)
def test_a_header_that_is_whole_but_wrong_is_not_believed(change: str) -> None:
    store = open_rows(KEY)
    fill(store, 0, 6)
    (path,) = files(store)
    prefix, header, *data = chunk_module.framed(store.place.name, names(0, 6), list(rows(names(0, 6))))
    wrong = json.dumps(json.loads(bytes(header)) | HEADERS[change]).encode()
    prefix = chunk_module._PREFIX.pack(chunk_module._MAGIC, len(wrong), chunk_module.zlib.crc32(wrong))
    path.write_bytes(b"".join([prefix, wrong, *data]))
    assert open_rows(KEY).missing(names(0, 6)) == names(0, 6)


def test_a_file_of_another_folder_is_not_believed() -> None:
    store, other = open_rows(KEY), open_rows({"other": 1})
    fill(store, 0, 3)
    (path,) = files(store)
    (other.place / path.name).write_bytes(path.read_bytes())
    assert other.missing(names(0, 3)) == names(0, 3)


@pytest.mark.parametrize("content", [b"\0" * 4, b"\x00\x00\xc0\x7f", b"\x01"])
def test_a_changed_row_is_an_error_then_missing(content: bytes) -> None:
    store = open_rows(KEY)
    fill(store, 0, 6)
    edit(files(store)[0], -8, content)
    again = open_rows(KEY)
    right(again, names(0, 5))
    with pytest.raises(RunError, match=r"\.rows was damaged and has been removed: run again") as caught:
        again.read(names(0, 6))
    assert "\n" not in str(caught.value)
    assert again.missing(names(0, 6)) == names(0, 6)
    fill(again, 0, 6)
    right(again, names(0, 6))


def test_a_file_cut_short_while_open_is_an_error_not_numbers() -> None:
    store = open_rows(KEY)
    fill(store, 0, 6)
    right(store, names(5, 6))
    files(store)[0].write_bytes(files(store)[0].read_bytes()[:-30])
    with pytest.raises(RunError, match="was damaged and has been removed"):
        store.read(names(5, 6))


# ---------------------------------------------------------------- deletion by others


def test_rows_that_were_read_outlive_their_deletion() -> None:
    store = open_rows(KEY)
    fill(store, 0, 3)
    right(store, names(0, 1))
    shutil.rmtree(store.place)
    right(store, names(0, 3))


def n_open() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.skipif(os.name != "posix", reason="/dev/fd")
def test_few_files_are_held_open(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_rows(KEY)
    n = chunk_module._MOST_OPEN + 40
    monkeypatch.setattr(rows_module, "prune", lambda root, keep: None)
    monkeypatch.setattr("whycam.atomic.os.fsync", lambda number: None)
    for number in range(n):
        fill(store, number, number + 1)
    held = chunk_module._held.cache_info
    others = n_open() - held().currsize
    for _ in range(2):
        right(store, names(0, n))
    assert held().currsize == chunk_module._MOST_OPEN
    assert n_open() - others == chunk_module._MOST_OPEN


def test_rows_deleted_before_they_were_read_are_an_error_and_can_be_made_anew() -> None:
    store = open_rows(KEY)
    fill(store, 0, 3)
    files(store)[0].unlink()
    store.place.rmdir()
    with pytest.raises(RunError, match="was deleted while in use: run again, with a larger WHYCAM_CACHE_GB"):
        store.read(names(0, 1))
    assert store.missing(names(0, 3)) == names(0, 3)
    fill(store, 0, 3)
    right(store, names(0, 3))


def test_without_reading_by_position_the_rows_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_rows(KEY)
    fill(store, 0, 9)
    monkeypatch.delattr(os, "preadv", raising=False)
    right(store, names(0, 9)[::-1])


@pytest.mark.parametrize("use", ["read", "missing"])
def test_reading_and_asking_count_as_use(use: str) -> None:
    store = open_rows(KEY)
    fill(store, 0, 3)
    fill(store, 3, 6)
    for path in files(store):
        os.utime(path, (time.time() - 5000,) * 2)
    getattr(open_rows(KEY), use)(names(3, 4))
    unused, used = (time.time() - path.stat().st_mtime for path in files(store))
    assert used < 100 and unused > 4000


# ---------------------------------------------------------------- threads


def test_two_instances_see_what_the_other_adds() -> None:
    one, two = open_rows(KEY), open_rows(KEY)
    fill(one, 0, 3)
    right(two, names(0, 3))
    fill(two, 2, 5)
    assert not one.missing(names(0, 5))
    right(one, names(0, 5))
    assert len(files(one)) == 2


def test_many_threads_read_while_one_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_rows(KEY)
    for start in range(0, 60, 6):
        fill(store, start, start + 6)
    # So few that handles are given up while other threads read from them.
    monkeypatch.setattr(chunk_module, "_held", chunk_module.lru_cache(maxsize=2)(chunk_module._Handle))
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(60):
                right(store, [names(0, 60)[row] for row in rng.integers(60, size=9)])
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for start in range(60, 120, 5):
        fill(store, start, start + 5)
    for thread in threads:
        thread.join()
    assert not failures
    right(store, names(0, 120))
