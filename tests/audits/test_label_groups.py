"""Labels mixed up wholesale: said where images fall into clear groups, and not where groups are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whycam.audits.cheap_head import coordinates, out_of_fold_logits
from whycam.audits.label_groups import LabelGroups, cut, group_findings, group_labels
from whycam.types import Estimate, Sample


def features(groups: np.ndarray, separation: float, rng: np.random.Generator) -> np.ndarray:
    """(N, 60): ten of them move with the group."""
    values = 3 + rng.normal(size=(len(groups), 60))
    values[:, :10] += separation * groups[:, np.newaxis]
    return values


def swapped(truth: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    labels = truth.copy()
    labels[rng.permutation(len(truth))[: round(rate * len(truth))]] ^= True
    return labels


def found(values: np.ndarray, labels: np.ndarray, units: list[str] | None = None) -> LabelGroups | None:
    units = units or [str(row) for row in range(len(labels))]
    rows = coordinates(values.astype(np.float32), seed=0)
    return group_labels(rows, out_of_fold_logits(rows, labels, units, seed=0), labels, units)


def severity(labels: np.ndarray, groups: LabelGroups | None) -> str | None:
    if groups is None:
        return None
    samples = [Sample(f"{row}.png", Path(f"{row}.png"), target=float(bad)) for row, bad in enumerate(labels)]
    return group_findings(samples, groups)[0].severity


@pytest.mark.parametrize("share", [0.5, 0.25])
@pytest.mark.parametrize(("rate", "expected"), [(0.0, None), (0.03, None), (0.1, "warning"), (0.2, "serious"),
                                                (0.33, "serious")])  # fmt: skip
def test_swapped_labels_of_clear_groups(share: float, rate: float, expected: str | None) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        truth = np.arange(240) < share * 240
        labels = swapped(truth, rate, rng)
        groups = found(features(truth, 3.0, rng), labels)
        assert severity(labels, groups) == expected
        if groups is not None:
            assert groups.followed == pytest.approx(1 - rate, abs=0.02)
            wrong = set(np.flatnonzero(labels != truth).tolist())
            assert len(wrong.intersection(groups.against)) > 0.95 * len(groups.against)


def test_labels_that_are_noise_are_said_to_look_so() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 2 == 0
    values = features(truth, 4.0, rng)
    labels = swapped(truth, 0.5, rng)
    groups = found(values, labels)
    assert groups is not None and sum(groups.sizes) == 200 and groups.against == ()
    assert severity(labels, groups) == "warning"


@pytest.mark.parametrize("separation", [0.0, 0.3, 0.8, 1.2])
def test_hard_images_are_no_mixed_labels(separation: float) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        truth = np.arange(200) % 3 == 0
        assert severity(truth, found(features(truth, separation, rng), truth)) in (None, "note")


@pytest.mark.parametrize("rates", [(0.3, 0.4), (0.2, 0.6), (0.35, 0.65)])
def test_two_products_with_defects_of_their_own_are_no_mixed_labels(rates: tuple[float, float]) -> None:
    """Groups as clear as can be, with different shares of defects; within them defects show."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        product = np.arange(400) % 2
        truth = rng.random(400) < np.array(rates)[product]
        values = features(product, 4.0, rng)
        values[:, 20:30] += 1.0 * truth[:, np.newaxis]
        assert severity(truth, found(values, truth)) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_small_product_with_hardly_any_normal_image_hides_nothing(seed: int) -> None:
    """In the large one defects show, which must count for more than what four images seem to say."""
    rng = np.random.default_rng(seed)
    product = np.arange(300) < 46
    labels = np.where(product, rng.random(300) < 0.9, rng.random(300) < 0.25)
    values = features(product, 3.0, rng)
    values[:, 20:26] += 0.6 * labels[:, np.newaxis]
    groups = found(values, labels)
    assert groups is None or groups.against == ()


def test_a_third_of_few_labels_swapped_is_told() -> None:
    """Nearly always: once in forty times labels within the groups look by chance as if a head told them."""
    truth, told = np.arange(85) < 40, 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = swapped(truth, 0.33, rng)
        told += severity(labels, found(features(truth, 4.0, rng), labels)) == "serious"
    assert told >= 7


def test_photos_of_one_part_are_one_piece_of_evidence() -> None:
    """Twelve parts, of which nine follow the groups, are no evidence; as many single images are."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(24) % 2 == 0, 10)
    part = np.repeat(np.arange(24), 10)
    labels = group ^ np.isin(part, [0, 1, 2, 3, 4, 5, 6, 7])
    values = features(group, 4.0, rng)
    one_by_one = found(values, labels)
    assert one_by_one is not None and one_by_one.against
    whole = found(values, labels, [f"part{number}" for number in part])
    assert whole is None or not whole.against


def test_one_image_unlike_all_others_is_no_group() -> None:
    truth = np.arange(30) % 2 == 0
    values = features(truth, 1.0, np.random.default_rng(0))
    values[0] += 100.0
    groups = found(values, truth)
    assert groups is None or 1 not in groups.sizes


def test_too_few_say_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(40) < 8
    assert found(features(truth, 4.0, rng), truth) is None
    assert found(features(truth, 4.0, rng), truth, ["one"] * 40) is None


def test_how_far_groups_lie_apart() -> None:
    rng = np.random.default_rng(0)
    normal, _ = cut(rng.normal(size=20_000))
    assert normal == pytest.approx(2 * np.sqrt(2 / np.pi) / np.sqrt(1 - 2 / np.pi), abs=0.1)
    uniform, high = cut(rng.random(20_000))
    assert uniform == pytest.approx(np.sqrt(12), abs=0.1) and high.mean() == pytest.approx(0.5, abs=0.05)
    apart, high = cut(np.concatenate([rng.normal(size=300), 8 + rng.normal(size=100)]))
    assert apart == pytest.approx(8, rel=0.1) and high.tolist() == [False] * 300 + [True] * 100
    assert cut(np.zeros(50))[0] == 0


def test_what_is_told() -> None:
    samples = [Sample(f"{row}.png", Path(f"{row}.png"), target=0.0) for row in range(5)]
    (mixed,) = group_findings(samples, LabelGroups(Estimate(0.6, 0.5, 0.7), (50, 40), 2 / 3, (3, 1)))
    assert (mixed.severity, mixed.files, mixed.n_files) == ("serious", ("3.png", "1.png"), 2)
    assert "two clear groups (50 and 40), but only 66.7 % of the labels follow them" in mixed.sentence
    (noise,) = group_findings(samples, LabelGroups(Estimate(0.5, 0.4, 0.6), (50, 40), 0.5, ()))
    assert noise.severity == "warning" and "AUROC 0.500 (0.400 to 0.600)): labels look no better" in noise.sentence
    (note,) = group_findings(samples, LabelGroups(Estimate(0.6, 0.5, 0.7), (0, 0), 0.5, ()))
    assert note.severity == "note" and "labels could not be checked" in note.sentence
