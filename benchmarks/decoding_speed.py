"""Scanning and decoding 10,000 files into the pixel cache, beside Pillow in one loop; and opening the cache again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import record
from whycam.data.elpv import elpv_dataset
from whycam.store.pixels import open_pixels
from whycam.types import Sample

FILES, SIZE = 10_000, (325, 325)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = [sample.path.read_bytes() for sample in elpv_dataset().samples]
        samples = []
        for number in range(FILES):
            path = folder / f"{number:05}.png"
            # Bytes after the end of a PNG are ignored by decoders; they make every file's content its own.
            path.write_bytes(cells[number % len(cells)] + number.to_bytes(4, "big"))
            samples.append(Sample(path.name, path))
        start = time.perf_counter()
        for sample in samples:
            with Image.open(sample.path) as image:
                np.asarray(image.resize(SIZE, Image.Resampling.BILINEAR))
        loop = time.perf_counter() - start
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            open_pixels(samples, SIZE, folder=folder / "cache")
            seconds.append(time.perf_counter() - start)
    row = {
        "files": FILES,
        "Pillow loop s": loop,
        "first open s": seconds[0],
        "faster than the loop": loop / seconds[0],
        "second open s": seconds[1],
        "second faster than first": seconds[0] / seconds[1],
    }
    record("decoding_speed", "reading, hashing, decoding, resizing and storing image files", [row])
