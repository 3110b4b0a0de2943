"""What a given time suffices for: the model of costs without a clock, and one real training within its time."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from whycam import judging, train
from whycam.budget import costs
from whycam.budget.choice import candidates, choose
from whycam.budget.costs import Job, cost
from whycam.budget.durations import parse_duration, spelled
from whycam.errors import OptionError
from whycam.report import closeup
from whycam.speeds import Speeds
from whycam.training.recipe import CLASSIC, DEFAULT, DefaultRecipe, FinetuneRecipe, Recipe, Symmetry

SPEEDS = Speeds(
    start=0.3,
    read=0.002,
    pooled={224: 0.01, 300: 0.02, 325: 0.01},
    explained={224: 0.02, 300: 0.03, 325: 0.01},
    looked=0.002,
    audited=0.0,
    head_step=0.002,
    product=5e-11,
    eigen=1e-9,
    width=4608,
    figure=0.1,
    metrics=1e-4,
    step={"finetune": 0.5, "classic": 0.1},
    cut=0.012,
)
FREE = Speeds(
    **{field.name: 0 for field in fields(Speeds) if field.name not in ("pooled", "explained", "step", "width")},
    pooled=dict.fromkeys(SPEEDS.pooled, 0.0),
    explained=dict.fromkeys(SPEEDS.explained, 0.0),
    width=4608,
    step=dict.fromkeys(SPEEDS.step, 0.0),
)
"""Nothing takes any time."""
JOB = Job(n_train=1968, n_test=656)
EVERYTHING = candidates(None, epochs=None, symmetry="auto", backbone=None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2m", 120), ("20 min", 1200), ("1h", 3600), ("1.5H", 5400), (".5h", 1800), (" 8sec ", 8)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-2m", "0s", "2d", "1h30m", "nan s", "1e3s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(OptionError, match="`budget` must be a time such as 90s, 20m or 1h, got "):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (93, "1 min 35 s"),
        (754, "13 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert spelled(seconds) == text


def test_more_of_anything_costs_more() -> None:
    default, tuned = sum(cost(JOB, DEFAULT, SPEEDS)), FinetuneRecipe()
    assert sum(cost(Job(3000, 656), DEFAULT, SPEEDS)) > default
    assert sum(cost(Job(1968, 900), DEFAULT, SPEEDS)) > default
    assert sum(cost(JOB, replace(DEFAULT, views=2), SPEEDS)) < default
    assert sum(cost(JOB, replace(DEFAULT, symmetry="none"), SPEEDS)) < default
    assert sum(cost(JOB, replace(DEFAULT, size_hw=(224, 224)), SPEEDS)) < default
    assert default < sum(cost(JOB, tuned, SPEEDS)) < sum(cost(JOB, replace(tuned, epochs=20), SPEEDS))


def test_an_epoch_costs_its_steps() -> None:
    one, two = (cost(JOB, replace(CLASSIC, epochs=n), SPEEDS)[0] for n in (1, 2))
    assert two - one == pytest.approx(246 * 0.1)


def test_a_view_costs_its_features() -> None:
    """By hand: 100 training images in one view, 32 of them for the colour scale and for the mean maps."""
    speeds = replace(FREE, pooled=SPEEDS.pooled, explained=SPEEDS.explained)
    recipe = replace(DEFAULT, symmetry="none", views=1)
    before, after = cost(Job(100, 20), recipe, speeds)
    assert before == pytest.approx(100 * 0.02)
    assert after == pytest.approx(20 * 0.02 + (32 + 20) * 0.03 + 32 * 0.02)


@pytest.mark.parametrize("recipe", [DEFAULT, FinetuneRecipe(), CLASSIC], ids=lambda recipe: recipe.name)
def test_the_audit_looks_at_every_image(recipe: Recipe) -> None:
    """At most at 20,000 of them; where the recipe has no features of its own, they are the audit's alone."""
    speeds = replace(FREE, looked=0.002)
    some, twice, many, more = (cost(Job(n, 100), recipe, speeds)[0] for n in (400, 900, 30_000, 90_000))
    assert twice / some == pytest.approx(2)
    assert many == more > 20_000 * 0.002
    assert cost(Job(300, 100), recipe, replace(FREE, audited=0.03)) == (pytest.approx(400 * 0.03), 0)


def test_an_epoch_costs_its_steps_alone() -> None:
    """An eighth of 1,968 images is kept out of them, and looked at only when they are over."""
    few, more = (cost(JOB, FinetuneRecipe(epochs=epochs), SPEEDS)[0] for epochs in (10, 20))
    assert more - few == pytest.approx(10 * 108 * 0.5)


@pytest.mark.parametrize(("symmetry", "shown", "judged"), [("none", 1, 1), ("flip", 2, 2), ("auto", 8, 4)])
def test_maps_at_the_cut_are_of_all_views_trained_on_and_few_of_images_kept_out(
    symmetry: Symmetry, shown: int, judged: int
) -> None:
    recipe = FinetuneRecipe(symmetry=symmetry)
    assert cost(JOB, recipe, replace(FREE, cut=1.0)) == (1722 * shown + 246 * judged, 0)


@pytest.mark.parametrize(("recipe", "seconds"), [(DEFAULT, 6.0), (FinetuneRecipe(), 18.0), (CLASSIC, 0.0)])
def test_novelty_is_learned_from_pooled_features(recipe: Recipe, seconds: float) -> None:
    """Eigenvectors of 1,000 images at most, for all of them and each of five folds; after the training.

    Before that, where fine-tuning gained nothing, as often for a new head and its distance from normal images.
    """
    bare, slow = (cost(JOB, recipe, replace(FREE, eigen=eigen))[1] for eigen in (0, 1e-9))
    assert slow - bare == pytest.approx(seconds)


def test_slow_methods_explain_fewer_images() -> None:
    speeds = replace(FREE, explained=dict.fromkeys(SPEEDS.explained, 1.0))
    recipe = replace(DEFAULT, symmetry="none", views=1)
    seconds = [cost(Job(1968, 656, method), recipe, speeds)[1] for method in ("grad-cam", "occlusion")]
    assert seconds == [32 + 64, 4 + 36]


def test_as_many_images_are_counted_as_are_shown() -> None:
    assert costs.SMALL == closeup.MOST_THUMBNAILS
    assert costs.HEATED == (judging._SCALE_IMAGES, judging.MOST_HEATMAPS)
    # A method that is slow shows the gallery alone.
    assert costs.HEATED_SLOW == (judging._SCALE_IMAGES_SLOW, judging._MISTAKES + judging._RIGHT)


def test_more_time_buys_more() -> None:
    seen: list[int] = []
    for budget in (120, 200, 400, 800, 1600, 6400, 40_000):
        choice = choose(budget, JOB, EVERYTHING, SPEEDS, spent=2)
        assert choice.seconds <= 0.9 * budget
        seen.append(EVERYTHING.index(choice.recipe))
        assert choice.sentences[0].startswith(f"Budget {spelled(budget)}: recipe ")
    assert seen == sorted(seen, reverse=True) and len(set(seen)) > 4 and seen[-1] == 0


def test_fine_tuning_is_said_to_be_taken_only_where_it_is_clearly_better() -> None:
    """`test_finetune` shows that it is so."""
    tuned = choose(40_000, JOB, EVERYTHING, SPEEDS, spent=0)
    assert isinstance(tuned.recipe, FinetuneRecipe) and tuned.recipe.clear == 2
    assert "only if it judges held-out training images better than that of the recipe default" in tuned.sentences[0]
    assert "by 2 standard errors; otherwise the result is that of default." in tuned.sentences[0]
    assert "standard errors" not in choose(200, JOB, EVERYTHING, SPEEDS, spent=0).sentences[0]


def test_the_next_better_choice_is_named() -> None:
    cheapest = EVERYTHING[-1]
    seconds = sum(cost(JOB, cheapest, SPEEDS)) / 0.9 + 1
    choice = choose(seconds, JOB, EVERYTHING, SPEEDS, spent=0)
    assert choice.recipe == cheapest
    assert "recipe default with 1 view of an image at 224 x 224 pixels" in choice.sentences[0]
    assert "; recipe default with 1 view of an image at 300 x 300 pixels would take about" in choice.sentences[1]


def test_too_little_time_names_the_least() -> None:
    with pytest.raises(OptionError) as caught:
        choose(5, JOB, EVERYTHING, SPEEDS, spent=1)
    text = str(caught.value)
    assert text.startswith("`budget` must be at least ") and text.endswith("on this machine, got 5 s instead.")
    assert choose(parse_duration("5m"), JOB, EVERYTHING, SPEEDS, spent=1)


@pytest.mark.parametrize(("symmetry", "views"), [("none", {1}), ("flip", {2}), ("all", {2, 4}), ("auto", {1, 2, 4})])
def test_what_is_fixed_stays_fixed(symmetry: str, views: set[int]) -> None:
    found = candidates("default", epochs=7, symmetry=symmetry, backbone=None)
    assert all(isinstance(recipe, DefaultRecipe) and recipe.epochs == 7 for recipe in found)
    assert {recipe.views for recipe in found if isinstance(recipe, DefaultRecipe)} == views
    if symmetry != "auto":
        assert {recipe.symmetry for recipe in found if isinstance(recipe, DefaultRecipe)} == {symmetry}
    assert found[-1].size_hw == (224, 224)


def test_classic_gets_the_epochs_that_fit() -> None:
    found = candidates("classic", epochs=None, symmetry="auto", backbone=None)
    assert [recipe.epochs for recipe in found] == list(range(250, 0, -1))
    chosen = choose(600, JOB, found, SPEEDS, spent=0).recipe
    assert sum(cost(JOB, chosen, SPEEDS)) <= 540 < sum(cost(JOB, replace(chosen, epochs=chosen.epochs + 1), SPEEDS))
    assert candidates("classic", epochs=9, symmetry="auto", backbone=None) == [replace(CLASSIC, epochs=9)]


def test_another_backbone_is_not_fine_tuned() -> None:
    found = candidates(None, epochs=None, symmetry="auto", backbone="timm:resnet18")
    assert {recipe.name for recipe in found} == {"default"}


def test_a_training_ends_in_time_and_says_what_it_chose(parts: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    run = train(parts, out=tmp_path / "run", budget="2m", device="cpu")
    assert time.monotonic() - begin < 120 * 1.15
    first, second = run.detector.card.training.choices[:2]
    assert first.startswith("Budget 2 min: recipe ") and second.startswith("Measured here: ")


def test_too_little_time_leaves_nothing_behind(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="`budget` must be at least"):
        train(parts, out=tmp_path / "run", budget="1s", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_budget_cannot_be_resumed(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="`budget` must be left out with `resume`"):
        train(parts, out=tmp_path / "run", budget="9m", resume=True)
