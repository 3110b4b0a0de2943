"""What a header says, also where Pillow does not know the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.tiffs import file
from whycam.audits.file_facts import read_file_facts
from whycam.errors import DataError
from whycam.types import Sample


def test_tiffs_that_pillow_does_not_know_have_facts(tmp_path: Path) -> None:
    path = tmp_path / "a_2023-05-17.tif"
    path.write_bytes(file(np.linspace(0, 1, 12).reshape(3, 4), more={274: 6}))
    (facts,) = read_file_facts([Sample("a", path)])
    assert (facts.size_hw, facts.type, facts.n_bytes) == ((4, 3), "TIFF 64-bit float grey", path.stat().st_size)
    assert facts.named == 1684281600


def test_what_is_no_image_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"hello" * 20)
    with pytest.raises(DataError, match=r"a\.tif cannot be opened: not a readable JPEG, PNG"):
        read_file_facts([Sample("a", path)])
