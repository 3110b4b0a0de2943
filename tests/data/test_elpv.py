"""The embedded example data, as the package ships them."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter

import pytest

from whycam.data import elpv
from whycam.data.elpv import elpv_dataset
from whycam.data.images import decode
from whycam.errors import MissingDependencyError


def test_all_images_with_exact_thirds_and_kinds() -> None:
    dataset = elpv_dataset()
    assert len(dataset.samples) == 2624
    assert Counter(sample.target for sample in dataset.samples) == {0.0: 1508, 1 / 3: 295, 2 / 3: 106, 1.0: 715}
    assert Counter(sample.kind for sample in dataset.samples) == {"mono": 1074, "poly": 1550}
    assert sum(sample.anomalous for sample in dataset.samples) == 821
    assert dataset.samples[0].file == "data/images/cell0001.png"
    assert decode(dataset.samples[0].path).shape == (300, 300, 1)
    assert "elpv_dataset" not in sys.modules


def test_licence_and_source_are_stated() -> None:
    assert elpv.LICENCE == "CC BY-NC-SA 4.0"
    assert "Deitsch" in elpv.SOURCE and "github.com/zae-bayern/elpv-dataset" in elpv.SOURCE


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("elpv_dataset") is not None
    monkeypatch.setattr(elpv, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "whycam\[demo\]"'):
        elpv_dataset()
