from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from whycam.card import Card, CellGrid, DataCard, HeatmapCard, ModelCard, TrainingCard
from whycam.data.facts import DataFacts
from whycam.data.levels import EIGHT_BIT
from whycam.evaluation.curves import curves
from whycam.evaluation.evaluate import evaluate
from whycam.evaluation.reliability import reliability
from whycam.evaluation.threshold import midpoint
from whycam.report.closeup import close_up, thumbnail
from whycam.report.contents import ReportInput, WhatIf
from whycam.types import EpochRecord, Exhibit, Folder, Looks, Predictions, Segment, Skipped

MakeExhibit = Callable[..., Exhibit]
MakeReport = Callable[..., ReportInput]
MakeWhatIf = Callable[..., WhatIf]

FACTS = DataFacts(
    root="cells",
    layout="class folders",
    n_normal=66,
    n_anomalous=34,
    kinds=(),
    folders=(
        Folder("cracked", "anomalous", 34, why="named with --anomalous"),
        Folder("good", "normal", 66),
        Folder("good/@eaDir", "left out", 12, why="thumbnails and metadata of a Synology NAS"),
    ),
    left_out=(Skipped("notes.txt", "no image (.txt)", "no image"), Skipped("broken.png", "the file ends too early")),
    n_train=60,
    n_test=40,
    split_from="drawn",
    split_dropped="the train folder holds no anomalous image",
    n_groups=0,
    groups_from="",
    looks=Looks(sizes=(((300, 300), 100),)),
    notes=("Two images are copies of each other.",),
)
CARD = Card(
    schema=2,
    created="2026-01-12 10:31",
    class_names=("good", "cracked"),
    threshold=midpoint(),
    model=ModelCard("classic", 726_371, (325, 325), "rgb", (0.0, 1.0), EIGHT_BIT, False, "probability"),
    novelty=None,
    training=TrainingCard("classic", 7, 250, 30, 8, "RMSprop", "mean absolute error", "cpu", 2, 372.4, False),
    heatmap=HeatmapCard("grad-cam", "convolution 3", CellGrid(38, 38, 8.0, 10.5, 10.5), scale=1.25, segment_level=0.5),
    data=DataCard(
        facts=FACTS,
        fingerprint="3f" * 32,
        n_train=60,
        n_test=40,
        n_anomalous_train=20,
        n_anomalous_test=14,
        split="at random, 25 % for testing",
    ),
    versions={"whycam": "0.1.0", "torch": "2.13.0"},
)


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser of this machine; `make test` does without one, continuous integration does not (WHYCAM_NO_SKIPS)."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright's Python package")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("needs Chromium or Chrome on the PATH, such as by `sudo apt-get install chromium`")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def make_exhibit() -> MakeExhibit:
    """An exhibit with one hot rectangle, its right half the one segment."""

    def make(size_hw: tuple[int, int] = (40, 60), **changes: Any) -> Exhibit:
        height, width = size_hw
        rng = np.random.default_rng(0)
        heatmap = np.zeros(size_hw)
        heatmap[height // 4 : height // 2, width // 4 : width // 2] = 2.0
        mask = heatmap > 1
        box = (width // 4, height // 4, width // 2, height // 2)
        exhibit = Exhibit(
            file="line 2/part.png",
            split="test",
            target=1.0,
            score=0.25,
            verdict="normal",
            image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            heatmap=heatmap,
            segments=(Segment(mask, box, float(mask.mean()), 0.9),),
        )
        return replace(exhibit, **changes)

    return make


@pytest.fixture(scope="session")
def make_report(make_exhibit: MakeExhibit) -> MakeReport:
    """A report on simulated scores; `quality` 0 is noise, targets and scores may be given."""

    def predictions(n: int, quality: float, seed: int) -> Predictions:
        rng = np.random.default_rng(seed)
        targets = (np.arange(n) % 3 == 0).astype(float)
        scores = np.clip(0.3 + quality * 0.4 * targets + 0.2 * rng.standard_normal(n), 0, 1)
        return Predictions(tuple(f"{i}.png" for i in range(n)), targets, scores, (None,) * n)

    def make(
        *, quality: float = 1.0, test: Predictions | None = None, with_train: bool = True, **changes: Any
    ) -> ReportInput:
        test = test or predictions(40, quality, 1)
        train = predictions(60, quality, 2) if with_train else None
        probabilities = bool(np.all((test.scores >= 0) & (test.scores <= 1)))
        report = ReportInput(
            card=CARD,
            evaluated=None,
            evaluation=evaluate(train, test, threshold=midpoint(), probabilities=probabilities),
            history=tuple(EpochRecord(epoch, 0.3 + 0.3 / epoch, 12.0) for epoch in range(1, 6)),
            train=train,
            test=test,
            train_curves=curves(train) if train else None,
            test_curves=curves(test),
            reliability=reliability(test) if probabilities else None,
            exhibits=(make_exhibit(), make_exhibit(file="fine.png", target=0.0)),
            created="2026-01-12 10:40",
        )
        return replace(report, **changes)

    return make


@pytest.fixture(scope="session")
def make_whatif(make_exhibit: MakeExhibit) -> MakeWhatIf:
    """Pictures for all of some test images, each in a grey of its own; those in `close` have a close-up as well."""

    def make(test: Predictions, *, close: tuple[int, ...] = (), **changes: Any) -> WhatIf:
        pictures = [np.full((40, 60, 3), 60 + place % 160, np.uint8) for place in range(len(test.files))]
        whatif = WhatIf(
            thumbnails={place: thumbnail(picture) for place, picture in enumerate(pictures)},
            close_ups={place: close_up(make_exhibit(image=pictures[place]), scale=2.0) for place in close},
        )
        return replace(whatif, **changes)

    return make
