"""What the plots say, read from the figures' own texts and lines, and that none of it is cut off."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from whycam.evaluation.curves import curves
from whycam.evaluation.metrics import measure
from whycam.evaluation.reliability import reliability
from whycam.report import plots
from whycam.report.axes import RED, png
from whycam.report.contents import ReportInput
from whycam.report.reliability_plot import reliability_plot
from whycam.types import EpochRecord, Predictions, Threshold

MakeReport = Callable[..., ReportInput]
THRESHOLD = Threshold(0.5, "test")


def predictions(targets: list[float], scores: list[float]) -> Predictions:
    n = len(targets)
    return Predictions(tuple(map(str, range(n))), np.array(targets), np.array(scores), (None,) * n)


def drawn_texts(figure: Figure) -> list[str]:
    """All texts on the figure, after checking that each lies within it."""
    figure.canvas.draw()
    found = []
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text():
            found.append(text.get_text())
    bounds = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert bounds.x0 >= 0
    assert bounds.y0 >= 0
    assert bounds.x1 <= width
    assert bounds.y1 <= height
    return found


def test_every_plot_is_written_and_is_a_picture(make_report: MakeReport, tmp_path: Path) -> None:
    paths = plots.save_plots(tmp_path, make_report())
    assert tuple(sorted(paths)) == tuple(sorted(plots.NAMES))
    for name, path in paths.items():
        assert path == tmp_path / "plots" / f"{name}.png"
        with Image.open(path) as picture:
            assert picture.width >= 800
            assert np.asarray(picture.convert("L")).std() > 10
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths.values())


def test_plots_that_no_longer_belong_are_removed(make_report: MakeReport, tmp_path: Path) -> None:
    plots.save_plots(tmp_path, make_report())
    paths = plots.save_plots(tmp_path, make_report(with_train=False, history=()))
    assert set(paths) == {"confusion_test", "scatter_test", "roc", "precision_recall", "scores", "reliability"}
    assert sorted((tmp_path / "plots").iterdir()) == sorted(paths.values())


def test_the_training_curve_stands_beside_the_best_constant() -> None:
    history = [EpochRecord(epoch, 0.5 / epoch, 1.0) for epoch in range(1, 6)]
    texts = drawn_texts(plots.training_curve(history, loss="mean absolute error", constant_mae=0.3125))
    assert "best constant on the training images: 0.312" in texts
    assert "training loss\n(mean absolute error)" in texts


def test_a_constant_is_drawn_only_for_the_loss_it_belongs_to() -> None:
    texts = drawn_texts(plots.training_curve([EpochRecord(1, 0.7, 1.0)], loss="cross-entropy"))
    assert not any("constant" in text for text in texts)
    assert "1" in texts, "one epoch has its tick"


def test_the_confusion_matrix_says_counts_and_shares() -> None:
    metrics = measure(
        predictions([0, 0, 0, 0, 1, 1], [0.1, 0.1, 0.1, 0.9, 0.1, 0.9]), THRESHOLD, probabilities=True, resamples=10
    )
    texts = drawn_texts(plots.confusion(metrics, split="test"))
    assert "Verdicts on 6 test images" in texts
    assert {"3", "1", "75.0 % of normal", "25.0 % of normal", "50.0 % of anomalous"} <= set(texts)


def test_the_confusion_matrix_without_a_class_says_so() -> None:
    metrics = measure(predictions([0, 0], [0.1, 0.2]), THRESHOLD, probabilities=True, resamples=10)
    assert "no anomalous images" in drawn_texts(plots.confusion(metrics, split="train"))


def test_the_scatter_has_the_red_line_and_every_point_at_its_score() -> None:
    shown = predictions([0, 0, 0.33, 1, 1], [0.1, 0.7, 0.4, 0.9, 0.2])
    figure = plots.scatter(shown, THRESHOLD, split="test")
    (axes,) = figure.axes
    (red,) = [line for line in axes.lines if line.get_color() == RED]
    assert np.array_equal(red.get_xydata(), [[0, 0], [1, 1]])
    right, wrong = (collection.get_offsets().data for collection in axes.collections)
    assert sorted(right[:, 1]) == [0.1, 0.4, 0.9]
    assert sorted(wrong[:, 1]) == [0.2, 0.7]
    points = np.concatenate([right, wrong])
    targets = {0.1: 0, 0.7: 0, 0.4: 0.33, 0.9: 1, 0.2: 1}
    assert all(abs(x - targets[float(y)]) <= 0.04 for x, y in points)
    texts = drawn_texts(figure)
    assert "target (points spread sideways by up to 0.04)" in texts
    assert {"right (3)", "mistake (2)", "threshold 0.500", "0.33"} <= set(texts)


def test_continuous_targets_are_drawn_where_they_are() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random(50)
    figure = plots.scatter(predictions(list(targets), list(rng.random(50))), THRESHOLD, split="train")
    across = np.concatenate([collection.get_offsets().data for collection in figure.axes[0].collections])[:, 0]
    assert sorted(across) == sorted(targets)
    assert "target" in drawn_texts(figure)


@pytest.mark.parametrize(
    ("draw", "named"),
    [(plots.roc, "test: AUROC 0.750"), (plots.precision_recall, "test: average precision 0.833")],
)
def test_curves_carry_their_figure_and_what_chance_gets(draw: Callable[..., Figure], named: str) -> None:
    shown = predictions([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    metrics = measure(shown, THRESHOLD, probabilities=True, resamples=200)
    texts = drawn_texts(draw([("test", metrics, curves(shown)), ("train", metrics, curves(shown))]))
    assert any(text.startswith(named) and " to " in text for text in texts)
    assert any(text.startswith("chance: ") and "0.500" in text for text in texts)
    assert any(text.startswith("training: ") for text in texts)


@pytest.mark.parametrize("draw", [plots.roc, plots.precision_recall])
def test_a_missing_class_is_said_on_the_plot(draw: Callable[..., Figure]) -> None:
    shown = predictions([1, 1, 1], [0.1, 0.6, 0.4])
    metrics = measure(shown, THRESHOLD, probabilities=True, resamples=10)
    assert "No curve: all 3 test images are anomalous." in drawn_texts(draw([("test", metrics, curves(shown))]))


def test_the_histogram_counts_every_image_of_either_class() -> None:
    rng = np.random.default_rng(0)
    for scores in (rng.random(90), rng.normal(0, 1e6, 90), np.r_[rng.random(89), 3e38], np.full(90, -7.5)):
        targets = (np.arange(90) % 3 == 0).astype(float)
        figure = plots.score_histogram(predictions(list(targets), list(scores)), THRESHOLD)
        texts = drawn_texts(figure)
        assert {"normal (60)", "anomalous (30)", "threshold 0.500"} <= set(texts)
        low, high = figure.axes[0].get_xlim()
        assert low < scores.min()
        assert high > scores.max()
        assert any("symmetric log scale" in text for text in texts) == (np.abs(scores).max() > 20)


def test_the_histogram_says_which_class_is_missing() -> None:
    assert "no normal test images" in drawn_texts(plots.score_histogram(predictions([1, 1], [0.2, 0.3]), THRESHOLD))


def test_a_threshold_far_from_all_scores_is_in_sight() -> None:
    far = Threshold(3.0, "test")
    figure = plots.score_histogram(predictions([0, 1], [0.2, 0.3]), far)
    assert figure.axes[0].get_xlim()[1] > 3
    figure = plots.scatter(predictions([0, 1], [0.2, 0.3]), far, split="test")
    assert figure.axes[0].get_ylim()[1] > 3


def test_the_reliability_plot_shows_every_bin_its_interval_and_the_counts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 0.9, 656)
    value = reliability(predictions(list((rng.random(656) < scores).astype(float)), list(scores)))
    figure = reliability_plot(value)
    texts = drawn_texts(figure)
    assert "Reliability on 656 test images" in texts
    (label,) = (text for text in texts if "bins of" in text)
    assert label.startswith("10 bins of 65 to 66 images; bars are 95 % intervals")
    assert f"expected calibration error {value.error:.3g}" in label
    (bars,) = figure.axes[0].containers
    points = np.array([(one.score, one.share) for one in value.bins])
    np.testing.assert_allclose(bars.lines[0].get_xydata(), points)
    ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
    np.testing.assert_allclose(ends, [(one.low, one.high) for one in value.bins])
    (red,) = [line for line in figure.axes[0].lines if line.get_color() == RED]
    assert np.array_equal(red.get_xydata(), [[0, 0], [1, 1]])


@pytest.mark.parametrize("n", [1, 12])
def test_the_reliability_of_few_images_is_one_point(n: int) -> None:
    value = reliability(predictions([1.0] * n, [0.9] * n))
    assert any(text.startswith(f"1 bin of {n} image") for text in drawn_texts(reliability_plot(value)))


def test_no_reliability_of_what_are_no_probabilities(make_report: MakeReport) -> None:
    shown = predictions([0, 1, 0, 1], [-3.0, 7.0, 0.1, 0.2])
    assert "reliability" not in dict(plots.draw_plots(make_report(test=shown, with_train=False)))


def test_fifty_thousand_points_are_drawn() -> None:
    rng = np.random.default_rng(0)
    shown = predictions(list((rng.random(50_000) < 0.1).astype(float)), list(rng.random(50_000)))
    picture = Image.open(io.BytesIO(png(plots.scatter(shown, THRESHOLD, split="test"))))
    assert picture.width > 800
