"""Keeps warnings that no user can act on from the user, in any number of threads: those of Pillow about odd files, and
those of scikit-learn where a solver hands over to a slower one."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any, cast


class Hushed:
    """While any thread is inside, a package's warnings and log lines go nowhere; afterwards all filters are as before.

    `warnings.catch_warnings` swaps the filters of all threads at once and restores what it happened to find, so it
    cannot overlap with itself in two threads. Here the threads are counted and one filter entry comes and goes.
    """

    def __init__(self, package: str) -> None:
        # The comment in the pattern makes the entry differ from any that the caller may have set.
        self._package, self._modules = package, rf"{package}\.(?#while WhyCAM works)"
        self._lock = threading.Lock()
        self._inside = 0
        self._touched: list[list[Any]] = []
        # Without any handler Python prints log lines to the terminal.
        self._sink = logging.NullHandler()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            logging.getLogger(self._package).addHandler(self._sink)
            # A list that this process swapped in since the first thread entered needs the entry as well.
            if not any(filters is warnings.filters for filters in self._touched):
                warnings.filterwarnings("ignore", module=self._modules)
                self._touched.append(cast("list[Any]", warnings.filters))

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            logging.getLogger(self._package).removeHandler(self._sink)
            for filters in self._touched:
                ours = [entry for entry in filters if getattr(entry[3], "pattern", None) == self._modules]
                for entry in ours:
                    filters.remove(entry)
            self._touched.clear()


HUSHED = Hushed("PIL")
HUSHED_SOLVERS = Hushed("sklearn")
