"""When measured heatmaps stay true: not by another method, nor of other alarms; and how slow methods are measured."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.test_measuring import ALWAYS, classic, detector
from whycam import evaluate, load
from whycam.measuring import measure_explanations
from whycam.progress import SILENT, Bar
from whycam.report.measured import Measured
from whycam.run_folder import MEASURED, read_samples
from whycam.store.pixels import open_pixels
from whycam.workflow import measure


class Heard:
    """Remembers the sentences."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def bar(self, what: str, total: int) -> AbstractContextManager[Bar]:
        return SILENT.bar(what, total)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def measured_run(shared: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run with measured heatmaps; read only."""
    folder = tmp_path_factory.mktemp("measured") / "run"
    shutil.copytree(trained, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHYCAM_CACHE_DIR", str(shared / "cache"))
        measure(folder, n_images=2)
        yield folder


@pytest.fixture
def run(measured_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(measured_run, tmp_path / "run")
    return tmp_path / "run"


def test_they_stay_where_the_alarms_are_the_same(run: Path) -> None:
    """A hair below the old threshold, and above the next lower score."""
    heard, before = Heard(), (run / MEASURED).read_bytes()
    value = load(run).card.threshold.value
    judged = evaluate(run, threshold=f"{value - 1e-9:.17g}", progress=heard)
    assert judged.evaluation.threshold.value < value
    assert (run / MEASURED).read_bytes() == before
    assert not heard.said
    assert "ROAD" in (run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "why"), [({"threshold": "-1e9"}, "of other alarms"), ({"method": "hires-cam"}, "not by this method")]
)
def test_they_go_with_a_word(run: Path, options: dict[str, str], why: str) -> None:
    heard = Heard()
    evaluate(run, progress=heard, **options)
    assert not (run / MEASURED).exists()
    (said,) = heard.said
    assert said.startswith(f"The run's measured heatmaps are {why}, so") and "explain RUN --measure" in said


def test_slow_methods_look_at_fewer_images_and_say_so(trained: Path, tmp_path: Path) -> None:
    """Occlusion: at most 6 of the alarms, and 2 images whose heatmaps are made to forget; 2 x 9 maps of those."""
    card, heard = load(trained).card, Heard()
    judge = detector(classic, replace(card, heatmap=replace(card.heatmap, method="occlusion")), threshold=ALWAYS)
    dataset, _ = read_samples(trained, Path(card.data.facts.root))
    pixels = open_pixels(dataset.samples, judge.card.model.size_hw)
    measured: Measured = measure_explanations(judge, dataset, pixels, progress=heard)
    assert measured.faithfulness is not None and measured.randomisation is not None
    assert (measured.faithfulness.n_images, measured.randomisation.n_images) == (6, 2)
    assert measured.notes[0].startswith("Occlusion takes hundreds of passes for a heatmap, so at most 6 images were ")
    (said,) = heard.said
    assert said.startswith("Occlusion is slow: measuring 24 of its heatmaps takes about ") and said.endswith(" min.")
