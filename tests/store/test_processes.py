"""The row store and processes: many at once, forked, killed in the middle of a write, and on a disk that is full."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.store.made import files, fill, names, right, script, start_together
from whycam.store.rows import open_rows

ADD = """
    import sys
    import numpy as np
    from whycam.store.rows import open_rows
    store = open_rows({"k": 1})
    print("ready", flush=True)
    sys.stdin.readline()
    for start in range(int(sys.argv[1]), int(sys.argv[2]), 10):
        names = [f"{number:064x}" for number in range(start, start + 10)]
        numbers = np.arange(start, start + 10, dtype=np.float32)
        store.add(names, numbers[:, None] * 10 + np.arange(5, dtype=np.float32))
        store.read(names)
"""


def test_processes_add_different_and_the_same_images_at_once() -> None:
    workers = [script(ADD, 0, 200), script(ADD, 0, 200), script(ADD, 150, 350)]
    start_together(workers)
    mine = open_rows({"k": 1})
    for start in range(300, 400, 10):
        fill(mine, start, start + 10)
    results = [process.communicate(timeout=60) for process in workers]
    assert [process.returncode for process in workers] == [0, 0, 0], results
    right(mine, names(0, 400))
    right(open_rows({"k": 1}), names(0, 400)[::-1])
    assert not [path for path in mine.place.iterdir() if path.suffix != ".rows"]


ADD_LARGE = """
    import numpy as np
    from whycam.store.rows import open_rows
    store = open_rows({"large": 1})
    for turn in range(60):
        names = [f"{number:064x}" for number in range(20 * turn, 20 * turn + 20)]
        numbers = np.arange(20 * turn, 20 * turn + 20, dtype=np.float32)
        store.add(names, numbers[:, None] * 10 + np.arange(100_000, dtype=np.float32))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGSTOP and SIGKILL")
def test_a_killed_add_leaves_the_rest_usable_and_is_swept_after_a_day() -> None:
    store = open_rows({"large": 1})
    process = script(ADD_LARGE)
    try:
        deadline = time.monotonic() + 60
        # Stopped in the middle of a write: then what is seen cannot change before the kill.
        while True:
            assert process.poll() is None and time.monotonic() < deadline, "never seen writing"
            if files(store) and list(store.place.glob(".*.part")):
                os.kill(process.pid, signal.SIGSTOP)
                os.waitpid(process.pid, os.WUNTRACED)
                if list(store.place.glob(".*.part")):
                    break
                os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.0005)
        done = 20 * len(files(store))
        # Nobody waits for a process that is stopped.
        assert store.missing(names(0, done + 40)) == names(done, done + 40)
        right(store, names(done - 20, done), 100_000)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    (left,) = store.place.glob(".*.part")
    fill(store, done, done + 2, 100_000)
    right(open_rows({"large": 1}), names(done - 1, done + 2), 100_000)
    assert left.exists(), "young leftovers may belong to a living process"
    os.utime(left, (time.time() - 90_000,) * 2)
    fill(store, done + 2, done + 3, 100_000)
    assert not left.exists()


FORK = """
    import os, sys
    import numpy as np
    from whycam.store.rows import open_rows
    store = open_rows({"k": 1})
    names = [f"{number:064x}" for number in range(60)]
    right = np.arange(60, dtype=np.float32)[:, None] * 10 + np.arange(5, dtype=np.float32)
    assert (store.read(names[:5]) == right[:5]).all()
    children = [os.fork() for _ in range(2)]
    if 0 in children:
        children = []
    rng = np.random.default_rng(os.getpid())
    for _ in range(300):
        rows = rng.integers(60, size=7)
        assert (store.read([names[row] for row in rows]) == right[rows]).all()
    sys.exit(max([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], default=0))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_forked_processes_read_the_same_handles() -> None:
    store = open_rows({"k": 1})
    for start in range(0, 60, 20):
        fill(store, start, start + 20)
    out, err = (process := script(FORK)).communicate(timeout=60)
    assert process.returncode == 0, out + err


FILL_UP = """
    import resource
    import numpy as np
    from whycam.errors import RunError
    from whycam.store.rows import open_rows
    store = open_rows({"k": 1})
    store.add(["a"], np.ones((1, 1000), np.float32))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        store.add([str(n) for n in range(50)], np.ones((50, 1000), np.float32))
    except RunError as error:
        print(error)
    print(store.missing(["a", "0"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files")
def test_a_disk_that_takes_no_more(cache: Path) -> None:
    out, err = (process := script(FILL_UP)).communicate(timeout=60)
    assert process.returncode == 0, err
    told, missing = out.splitlines()
    assert told.startswith(f"The cache in {cache} cannot be used (File too large): set WHYCAM_CACHE_DIR")
    assert missing == "['0']"
    assert len(list(cache.glob("rows-*/*"))) == 1 and not list(cache.glob("rows-*/.*.part"))
