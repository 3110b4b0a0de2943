"""What Python puts into the page for its script: exact numbers, the right images, pictures of the right size."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from whycam.report.closeup import choose_images, close_up, thumbnail
from whycam.report.colours import colourise
from whycam.report.contents import ReportInput, WhatIf
from whycam.report.gallery import BOXES
from whycam.report.page import render
from whycam.report.whatif import interactive
from whycam.types import Band, Exhibit, Pixels, Predictions, Segment, Threshold

MakeReport = Callable[..., ReportInput]
MakeExhibit = Callable[..., Exhibit]
MakeWhatIf = Callable[..., WhatIf]


def predictions(targets: list[float], scores: list[float]) -> Predictions:
    n = len(scores)
    return Predictions(tuple(f"{i}.png" for i in range(n)), np.array(targets), np.array(scores), (None,) * n)


def block(source: str, opening: str) -> str:
    found = re.search(f"{re.escape(opening)}(.*?)</script>", source, re.DOTALL)
    assert found
    return found[1]


def opened(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "WEBP"
        return np.asarray(picture.convert("RGB"))


def simulated(n: int, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    targets = (rng.random(n) < 0.3).astype(float)
    return predictions(list(targets), list(np.clip(0.35 + 0.3 * targets + 0.2 * rng.standard_normal(n), 0, 1)))


# ---------------------------------------------------------------- which images


def test_all_images_are_taken_where_there_are_few() -> None:
    test = simulated(30)
    assert sorted(choose_images(test, Threshold(0.5, "test"), most=30)) == list(range(30))
    assert sorted(choose_images(test, Threshold(0.5, "test"), most=2000)) == list(range(30))
    assert choose_images(test, Threshold(0.5, "test"), most=0) == ()


@pytest.mark.parametrize("with_p_values", [False, True])
def test_the_worst_mistakes_the_nearest_and_the_most_novel_are_taken(with_p_values: bool) -> None:
    test, threshold = simulated(1000), Threshold(0.5, "test")
    p_values = np.random.default_rng(1).permutation(1000) / 1000 if with_p_values else None
    chosen = set(choose_images(test, threshold, most=200, p_values=p_values))
    assert len(chosen) == 200
    distance = np.abs(test.scores - 0.5)
    wrong = np.flatnonzero((test.targets > 0.5) != (test.scores >= 0.5))
    turns = 200 // (4 if with_p_values else 3)
    assert set(wrong[np.argsort(-distance[wrong])][:turns].tolist()) <= chosen
    assert set(np.argsort(distance)[:turns].tolist()) <= chosen
    if p_values is not None:
        assert set(np.argsort(p_values)[:turns].tolist()) <= chosen
    # The others come from everywhere: every tenth of the ranks has some.
    ranks = np.argsort(np.argsort(test.scores))[sorted(chosen)]
    assert np.histogram(ranks, bins=10, range=(0, 1000))[0].min() >= 4


def test_a_larger_choice_keeps_a_smaller_one_and_what_came_first() -> None:
    test, threshold = simulated(500), Threshold(0.5, "test")
    small = choose_images(test, threshold, most=50, first=(7, 499))
    large = choose_images(test, threshold, most=200, first=(7, 499))
    assert small[:2] == (7, 499)
    assert large[:50] == small
    assert len(set(large)) == 200
    assert choose_images(test, threshold, most=1, first=(7, 499)) == (7,)


def test_an_unsure_verdict_is_no_mistake() -> None:
    test = predictions([1, 0, 1, 0], [0.41, 0.59, 0.1, 0.2])
    assert choose_images(test, Threshold(0.5, "test", Band(0.4, 0.6, "test")), most=1) == (2,)
    nearest = Threshold(0.5, "test", Band(0.05, 0.6, "test"))
    assert choose_images(test, nearest, most=1)[0] in (0, 1), "no mistake is left, so the nearest comes first"


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        *[((300, 300, 1), (128, 128)), ((300, 300), (128, 128)), ((40, 60, 3), (60, 40))],
        *[((1000, 100, 3), (13, 128)), ((1, 900, 1), (128, 1))],
    ],
)
def test_thumbnails_are_small_and_keep_their_shape(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    picture = opened(thumbnail(np.full(shape, 90, np.uint8)))
    assert (picture.shape[1], picture.shape[0]) == size
    assert np.abs(picture.astype(int) - 90).max() <= 3


def test_a_close_up_is_hot_where_the_exhibit_is(make_exhibit: MakeExhibit) -> None:
    exhibit = make_exhibit((600, 900), image=np.full((600, 900, 3), 128, np.uint8))
    shown = close_up(exhibit, scale=2.0)
    assert shown.size_wh == (320, 213)
    plain, warm = opened(shown.image).astype(int), opened(shown.overlay).astype(int)
    assert plain.shape == warm.shape == (213, 320, 3)
    assert np.abs(plain - 128).max() <= 3
    expected = 0.25 * 128 + 0.75 * colourise(np.array([[2.0]]), 2.0)[0, 0]
    assert np.abs(warm[80, 120] - expected).max() <= 12, "the hot rectangle's middle"
    assert np.abs(warm[150:] - 128).max() <= 6, "far from it the image is as it was"
    (region,) = shown.regions
    assert region.box == (0.25, 0.25, 0.5, 0.5)
    assert region.share == 0.9
    assert (shown.n_more, shown.share_more) == (0, 0)


def test_only_the_largest_segments_are_named_and_the_rest_is_added_up(make_exhibit: MakeExhibit) -> None:
    mask = np.zeros((40, 60), bool)
    shares = [0.02, 0.3, -0.01, 0.1, 0.05, 0.2, 0.04]
    segments = tuple(Segment(mask, (place, 0, place + 1, 1), 0.01, share) for place, share in enumerate(shares))
    shown = close_up(make_exhibit(segments=segments), scale=2.0)
    assert [region.share for region in shown.regions] == sorted(shares, reverse=True)[:BOXES]
    assert shown.n_more == 2
    assert shown.share_more == pytest.approx(0.01)


def test_a_heatmap_of_another_size_is_refused_by_name(make_exhibit: MakeExhibit) -> None:
    with pytest.raises(ValueError, match=r"part\.png"):
        close_up(make_exhibit(heatmap=np.zeros((3, 3))), scale=1.0)


# ---------------------------------------------------------------- the page's data


def test_scores_reach_the_page_with_every_bit(make_report: MakeReport, make_whatif: MakeWhatIf) -> None:
    rng = np.random.default_rng(0)
    test = predictions(list(rng.random(500)), list(rng.random(500).astype(np.float32)))
    threshold = Threshold(float(test.scores[3]), "test", Band(0.1, float(np.nextafter(1, 0)), "test"))
    report = make_report(test=test, with_train=False, exhibits=())
    report = replace(report, evaluation=replace(report.evaluation, threshold=threshold))
    p_values = rng.random(500)
    whatif = make_whatif(test, close=(4,), p_values=p_values, novel_level=0.05)
    source = render(replace(report, whatif=whatif), {})
    content = json.loads(block(source, '<script type="application/json" id="what-if-data">'))
    for name, expected in (("scores", test.scores), ("targets", test.targets)):
        assert np.array_equal(np.frombuffer(base64.b64decode(content[name]), "<f8"), expected)
    assert content["threshold"] == threshold.value
    assert content["band"] == [0.1, float(np.nextafter(1, 0))]
    assert content["novelLevel"] == 0.05
    assert [image["p"] for image in content["images"]] == p_values.tolist()
    assert [image["file"] for image in content["images"]] == list(test.files)
    assert [image["place"] for image in content["images"] if image["closeUp"]] == [4]
    assert base64.b64decode(content["images"][4]["closeUp"]["overlay"]) == whatif.close_ups[4].overlay


def test_the_only_script_that_may_run_is_the_pages_own(make_report: MakeReport, make_whatif: MakeWhatIf) -> None:
    report = make_report()
    source = render(replace(report, whatif=make_whatif(report.test)), {})
    script = block(source, "\n<script>")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'\">" in source
    assert source.count("<script") == source.count("</script") == 2
    for forbidden in ("fetch(", "XMLHttpRequest", "innerHTML", "eval(", "import ", "document.write"):
        assert forbidden not in script
    assert "script" not in render(report, {}).split("</style>")[1]


@pytest.mark.parametrize(
    "change",
    [
        {"p_values": np.ones(3), "novel_level": 0.05},
        {"p_values": np.ones(40)},
        {"novel_level": 0.05},
        {"thumbnails": {40: b""}},
        {"thumbnails": {}, "close_ups": {1: None}},
    ],
)
def test_pictures_and_p_values_must_fit_the_test_images(
    make_report: MakeReport, make_whatif: MakeWhatIf, change: dict[str, Any]
) -> None:
    report = make_report()
    with pytest.raises(ValueError, match=r"p_values|thumbnails"):
        interactive(report, replace(make_whatif(report.test), **change))


def test_what_is_left_out_is_said(make_report: MakeReport, make_whatif: MakeWhatIf) -> None:
    report = make_report()
    whatif = make_whatif(report.test, close=(1, 2))
    some = replace(whatif, thumbnails={place: whatif.thumbnails[place] for place in range(25)})
    source = render(replace(report, whatif=some), {})
    assert "Of 40 test images, 25 can be looked at here" in source
    assert "2 of them have a heatmap in this page; <code>whycam explain RUN IMAGE --out DIR</code>" in source
    source = render(replace(report, whatif=make_whatif(report.test, close=tuple(range(40)))), {})
    assert "can be looked at here" not in source
    assert "have a heatmap in this page" not in source
