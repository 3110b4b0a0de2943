"""Warnings that no user can act on stay away in any number of threads, and come back afterwards."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from whycam.data.hushed import HUSHED, HUSHED_SOLVERS, Hushed


def warn(module: str) -> None:
    warnings.warn_explicit("of no use", UserWarning, "file.py", 1, module=module)


@pytest.mark.parametrize(("hushed", "module"), [(HUSHED, "PIL.Image"), (HUSHED_SOLVERS, "sklearn.linear_model._glm")])
def test_threads_that_come_and_go_do_not_let_each_others_warnings_through(hushed: Hushed, module: str) -> None:
    together = Barrier(8)

    def work(_: int) -> None:
        together.wait()
        for _ in range(200):
            with hushed:
                warn(module)

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [None] * 8
    assert list(warnings.filters) == before
    for other in (module, "whycam.cli"):
        with pytest.raises(UserWarning, match="of no use"):
            warn(other)


def test_others_warnings_are_not_hushed() -> None:
    with HUSHED_SOLVERS, pytest.raises(UserWarning, match="of no use"):
        warn("PIL.Image")
