"""Files that are either the old one or the new one, never half of either, whatever kills the process."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_PART = ".part"


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Replace `path` by these pieces in one step: a temporary neighbour, flushed to disk, then renamed."""
    part = path.with_name(f".{secrets.token_hex(8)}{_PART}")
    try:
        with part.open("xb") as file:
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str) -> None:
    """As `write_bytes`, in UTF-8 and with line ends as given."""
    write_bytes(path, content.encode("utf-8"))


def is_leftover(path: Path) -> bool:
    """Whether this is the temporary neighbour of a write that was killed."""
    return path.name.startswith(".") and path.name.endswith(_PART) and path.is_file()
