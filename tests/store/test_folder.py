"""Where the cache lies, also for users without a home folder, and what is deleted when it is full."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.made import files, fill, names, photos, right
from whycam.errors import OptionError, RunError
from whycam.progress import SilentProgress
from whycam.store import folder as folder_module
from whycam.store.folder import cache_folder, temporary_folder
from whycam.store.pixels import open_pixels
from whycam.store.rows import open_rows

# ---------------------------------------------------------------- place


class Listening(SilentProgress):
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary folder, of this test alone; and no WHYCAM_CACHE_DIR."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(folder_module.tempfile, "tempdir", str(folder))
    monkeypatch.delenv("WHYCAM_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(folder_module, "_TOLD", set())
    temporary_folder.cache_clear()
    yield folder
    temporary_folder.cache_clear()


def test_the_variable_comes_first(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("WHYCAM_CACHE_DIR", "~/kept")
    assert cache_folder() == tmp_path / "me" / "kept"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the folder of this platform")
def test_then_the_folder_of_the_platform(temporary: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listening = Listening()
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache_folder(listening) == tmp_path / "me" / ".cache" / "whycam"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(listening) == tmp_path / "xdg" / "whycam"
    assert not listening.said and not list(temporary.iterdir())


def test_then_a_private_temporary_one_of_which_people_are_told_once(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (blocked := tmp_path / "file").write_text("no folder can be made below a file")
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setattr(folder_module, "user_cache_path", lambda *_, **__: blocked / "cache")
    listening = Listening()
    samples = photos(tmp_path / "in", 2)
    for _ in range(2):
        open_pixels(samples, (8, 8), progress=listening)
    place = cache_folder()
    assert place.parent == temporary and list(place.glob("rows-*/*.rows"))
    (said,) = listening.said
    assert str(place) in said and "WHYCAM_CACHE_DIR" in said and "\n" not in said
    if os.name == "posix":
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    temporary_folder.cache_clear()
    assert cache_folder() == place, "another process finds the same"


@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("made", ["open to all", "a link", "a file"])
def test_a_temporary_folder_that_another_may_have_made_is_not_trusted(
    temporary: Path, tmp_path: Path, made: str
) -> None:
    known = temporary / f"whycam-{os.geteuid()}"
    if made == "open to all":
        known.mkdir()
        known.chmod(0o777)
    elif made == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        known.symlink_to(tmp_path / "theirs")
    else:
        known.write_bytes(b"")
    place = temporary_folder()
    assert place != known and place.parent == temporary and stat.S_IMODE(place.stat().st_mode) == 0o700


def test_nowhere_to_write_is_one_line(temporary: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folder_module, "user_cache_path", lambda *_, **__: tmp_path / "file" / "cache")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(folder_module.tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(RunError, match=r"^The cache in the temporary folder cannot be used \(.*set WHYCAM_CACHE_DIR"):
        cache_folder()


def test_an_unusable_folder_is_named_with_its_variable(cache: Path) -> None:
    cache.write_text("a file in the way")
    with pytest.raises(RunError) as caught:
        open_rows({"k": 1})
    text = str(caught.value)
    assert text.startswith(f"The cache in {cache} cannot be used (") and "WHYCAM_CACHE_DIR" in text
    assert "\n" not in text


# ---------------------------------------------------------------- no home folder

UNKNOWN = """
    import pwd, sys
    # Of a user that nobody has heard of; a true one could not read the interpreter everywhere.
    pwd.getpwuid = lambda number: {}[number]
    from whycam.cli import main
    sys.argv = ["whycam", *sys.argv[1:]]
    main()
"""


def without_home(tmp_path: Path, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command for a user without a home folder: no HOME, no entry in the list of users, as in containers."""
    (temporary := tmp_path / "tmp").mkdir(exist_ok=True)
    lost = ("HOME", "WHYCAM_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "USER", "LOGNAME")
    kept = {name: value for name, value in os.environ.items() if name not in lost}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(UNKNOWN), *map(str, arguments)],
        env=kept | {"TMPDIR": str(temporary), "COLUMNS": "200"} | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(os.name != "posix", reason="users by number")
def test_without_a_home_folder_a_run_and_its_plots_are_made(tmp_path: Path, parts: Path) -> None:
    run = tmp_path / "run"
    done = without_home(tmp_path, "train", parts, "--out", run, "--recipe", "classic", "--epochs", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(run)
    assert "Traceback" not in done.stderr and "atplotlib" not in done.stderr
    assert (run / "report.html").exists() and list((tmp_path / "tmp").glob("whycam-*/rows-*/*.rows"))
    assert not list(tmp_path.glob("~*"))


@pytest.mark.skipif(os.name != "posix", reason="users by number")
def test_a_variable_that_needs_the_home_folder_is_one_line(tmp_path: Path, parts: Path) -> None:
    done = without_home(tmp_path, "audit", parts, "--json", WHYCAM_CACHE_DIR="~/cache")
    assert done.returncode == 2
    assert "`WHYCAM_CACHE_DIR` must be a full path" in done.stdout + done.stderr and "Traceback" not in done.stderr


# ---------------------------------------------------------------- cap


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = [open_rows({"k": number}) for number in range(4)]
    for store in stores[:3]:
        fill(store, 0, 3, 1000)
    samples = photos(tmp_path / "old", 1, colour=False)
    open_pixels(samples, (100, 100))
    (pixels,) = {path.parent for path in cache.glob("*/*.rows")} - {store.place for store in stores}
    (earlier := cache / "pack-0123").mkdir()
    (earlier / "pixels.u8").write_bytes(bytes(10_000))
    (cache / "of somebody else").mkdir()
    (foreign := cache / "of somebody else" / "large").write_bytes(bytes(50_000))
    (left := stores[1].place / ".0123.part").write_bytes(b"left by a killed process")
    aged(left, 90_000)
    aged(earlier / "pixels.u8", 400)
    for age, place in ((300, stores[0].place), (250, pixels), (200, stores[1].place), (100, stores[2].place)):
        for path in place.glob("*.rows"):
            aged(path, age)
    aged(foreign, 1000)
    assert not open_rows({"k": 0}).missing(names(0, 3))  # used again, and so the youngest
    monkeypatch.setenv("WHYCAM_CACHE_GB", str(40_000 / 1e9))
    fill(stores[3], 0, 3, 1000)
    assert foreign.exists() and not left.exists()
    assert {path.parent for pattern in ("rows-*/*", "pack-*/*") for path in cache.glob(pattern)} == {
        stores[0].place,
        stores[2].place,
        stores[3].place,
    }
    for store in (stores[0], stores[2], stores[3]):
        right(store, names(0, 3), 1000)


def test_only_as_much_of_a_folder_goes_as_must(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_rows({"k": 1})
    for start in range(0, 15, 3):
        fill(store, start, start + 3, 1000)
    for age, path in enumerate(reversed(files(store))):
        aged(path, 100 + age)
    monkeypatch.setenv("WHYCAM_CACHE_GB", str(40_000 / 1e9))
    fill(open_rows({"k": 2}), 0, 1, 1000)
    again = open_rows({"k": 1})
    assert again.missing(names(0, 15)) == names(0, 9)
    right(again, names(9, 15), 1000)


def test_what_is_in_use_stays_whatever_its_size(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("whycam.store.pixels._CHUNK_BYTES", 10_000)
    monkeypatch.setenv("WHYCAM_CACHE_GB", "1e-9")
    first = photos(tmp_path / "first", 3, colour=False)
    open_pixels(first, (100, 100))
    assert len(list(cache.glob("*/*"))) == 3
    found = open_pixels(photos(tmp_path / "second", 4, colour=False, seed=1), (100, 100))
    assert len(list(cache.glob("*/*"))) == 4
    assert not found._store.missing(found.names)


def test_a_bad_cap_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYCAM_CACHE_GB", "much")
    with pytest.raises(OptionError, match="`WHYCAM_CACHE_GB` must be a number of gigabytes above 0"):
        open_rows({"k": 1})
