"""A cache of its own for every test of the store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHYCAM_CACHE_DIR", str(folder))
    monkeypatch.delenv("WHYCAM_CACHE_GB", raising=False)
    return folder
