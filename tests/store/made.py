"""What the tests of the store share: programs in processes of their own, rows whose right values are known, photos."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image

from whycam.store.chunk import Array
from whycam.store.rows import Rows
from whycam.types import Sample

WIDTH = 5


def script(text: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True)  # type: ignore[call-overload,no-any-return]


def start_together(processes: list[subprocess.Popen[str]]) -> None:
    """Let scripts go on that print `ready` and then wait for a line."""
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def names(start: int, stop: int) -> list[str]:
    return [f"{number:064x}" for number in range(start, stop)]


def rows(digests: list[str], width: int = WIDTH) -> np.ndarray:
    """What each image's row is in these tests: a function of its name alone."""
    numbers = np.array([int(digest, 16) for digest in digests], dtype=np.float32)
    return numbers[:, None] * 10 + np.arange(width, dtype=np.float32)


def fill(store: Rows, start: int, stop: int, width: int = WIDTH) -> None:
    store.add(names(start, stop), rows(names(start, stop), width))


def right(store: Rows, digests: list[str], width: int = WIDTH) -> None:
    values = store.read(digests)
    assert values.dtype == np.float32 and values.flags.writeable
    np.testing.assert_array_equal(values, rows(digests, width))


def files(store: Rows) -> list[Path]:
    return sorted(store.place.glob("*.rows"))


def edit(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset, 0 if offset >= 0 else 2)
        file.write(content)


def photos(folder: Path, n: int, *, colour: bool = True, seed: int = 0) -> list[Sample]:
    """`n` images of different sizes; of `colour` ones every third is grey."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(n):
        shape: tuple[int, ...] = (30 + number % 7, 40 + number % 5)
        if colour and number % 3:
            shape = (*shape, 3)
        path = folder / f"{number:04}.png"
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        samples.append(Sample(path.name, path, target=float(number % 2)))
    return samples


def same(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
