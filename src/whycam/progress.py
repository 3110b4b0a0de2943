"""How long work reports how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One running progress bar."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move on by `steps`; `note` is a short text shown beside the bar (a loss, say)."""


class Progress(Protocol):
    """Where long work reports to; the command line draws it, the Python API leaves it silent."""

    def bar(self, what: str, total: int) -> AbstractContextManager[Bar]:
        """A bar for `total` steps of `what`, closed when the context ends."""

    def say(self, text: str) -> None:
        """A sentence that people should read before the work goes on."""


class _SilentBar:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


class SilentProgress:
    """Reports nothing."""

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Bar]:
        """A bar that draws nothing."""
        yield _SilentBar()

    def say(self, text: str) -> None:
        """Nothing."""


SILENT: Progress = SilentProgress()
