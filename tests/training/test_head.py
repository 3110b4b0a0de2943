"""The head's mathematics against formulas written out in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from whycam.training.head import Part, assemble, certainty, fit_classes, fit_distance, n_steps
from whycam.training.recipe import HeadSettings
from whycam.training.subspace import find_subspace

QUICK = HeadSettings(directions=8, hidden=16, epochs=10)


def coordinates(n: int, k: int, *, views: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (views, n, k))).float()


def random_part(rng: np.random.Generator, hidden: int, k: int) -> Part:
    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, 0.3, shape)).float()

    return Part(draw(hidden, k), draw(hidden), draw(hidden), draw(k), float(rng.normal()))


@pytest.mark.parametrize("views", [1, 3])
def test_the_assembled_head_is_the_weighted_sum_of_its_parts(views: int) -> None:
    rng = np.random.default_rng(1)
    channels = (5, 7)
    raw = torch.from_numpy(rng.uniform(0, 6, (views, 30, 2 * sum(channels)))).float()
    subspace = find_subspace(lambda rows: raw[:, rows], np.arange(30), directions=12, seed=0, widened=0.01)
    c = subspace.coordinates(lambda rows: raw[:, rows], np.arange(30))
    # The first part sees fewer directions than there are.
    parts, slopes, intercept = (random_part(rng, 9, 6), random_part(rng, 4, c.shape[2])), (0.7, 1.9), -0.4
    expected = sum(s * part.logits(c) for s, part in zip(slopes, parts, strict=True)) + intercept
    head = assemble([part.along(subspace.basis) for part in parts], slopes, intercept, subspace, channels)
    with torch.no_grad():
        found = head.from_pooled(raw.flatten(0, 1)).view(views, 30).mean(dim=0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def reference_distance(normal: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The docstring of `fit_distance`, word for word, for (V, n, K)."""
    flat = normal.reshape(-1, normal.shape[2]).astype(np.float64)
    m = flat.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    kept = min(normal.shape[1] // 10, normal.shape[2] // 4)
    first = np.argsort(-variances)[:kept]
    variances, vectors = variances[first], vectors[:, first]

    def rest(x: np.ndarray) -> np.ndarray:
        return np.abs(x - m - (x - m) @ vectors @ vectors.T)

    sizes = rest(flat).mean(axis=0)
    along = np.abs((c - m) @ vectors) / np.sqrt(variances)
    d: np.ndarray = (along.mean(axis=2) if kept else 0) + 4 * (rest(c) / sizes).mean(axis=2)
    return d.mean(axis=0)


@pytest.mark.parametrize(("n", "k", "views"), [(40, 6, 1), (40, 16, 2), (300, 20, 4), (7, 12, 1)])
def test_distance(n: int, k: int, views: int) -> None:
    c = coordinates(n, k, views=views) * torch.linspace(0.2, 3, k)
    others = coordinates(25, k, views=views, seed=1) + 1
    found = fit_distance(c).logits(others)
    np.testing.assert_allclose(found, reference_distance(c.numpy(), others.numpy()), rtol=1e-3)


@pytest.mark.parametrize("n", [30, 113, 400])
def test_known_images_lie_about_as_far_as_new_ones_of_their_kind(n: int) -> None:
    """Images of 3,000 features whose variances fall as those of real ones do, and more features than images."""
    rng = np.random.default_rng(n)
    spreads = np.linspace(1, 3000, 3000) ** -0.5
    known, new = (torch.from_numpy(rng.normal(size=(1, rows, 3000)) * spreads).float() for rows in (n, 400))
    directions = torch.nn.functional.normalize(
        torch.randn(256, 3000, generator=torch.Generator().manual_seed(0)), dim=1
    )
    part = fit_distance(known @ directions.T)
    seen, fresh = (part.logits(images @ directions.T) for images in (known, new))
    assert seen.mean() == pytest.approx(fresh.mean(), rel=0.15)
    assert (seen > np.quantile(fresh, 0.99)).mean() <= 0.02
    # Along as many directions as there are images, known ones would be told from new ones at a glance.
    _, _, own = np.linalg.svd(known[0].double().numpy(), full_matrices=False)
    along = [
        np.abs(images[0].double().numpy() @ own.T / known[0].numpy().std()).mean(axis=1) for images in (known, new)
    ]
    assert abs(along[0].mean() - along[1].mean()) > 3 * along[1].std()


def test_distance_grows_away_from_normal() -> None:
    c = coordinates(60, 5)
    part = fit_distance(c)
    steps = torch.arange(5.0)[None, :, None] * torch.ones(1, 1, 5) * 4
    assert (np.diff(part.logits(c.mean(dim=1, keepdim=True) + steps)) > 0).all()


@pytest.mark.parametrize("n", [1, 2])
def test_distance_from_hardly_any_image_or_equal_ones_is_finite(n: int) -> None:
    for c in (coordinates(n, 6), torch.ones(1, 5, 6)):
        assert np.isfinite(fit_distance(c).logits(coordinates(9, 6, seed=1))).all()


def test_classes_are_told_apart() -> None:
    c = coordinates(200, 8)
    anomalous = c[0, :, 0].numpy() > 0.5
    part = fit_classes(c, anomalous, replace(QUICK, dropout=0.2, learning_rate=0.03), seed=0)
    assert ((part.logits(c) > 0) == anomalous).mean() > 0.95
    fresh = coordinates(500, 8, seed=3)
    assert ((part.logits(fresh) > 0) == (fresh[0, :, 0].numpy() > 0.5)).mean() > 0.9


@pytest.mark.parametrize("threads", [1, 2])
def test_classes_are_learned_to_the_bit_whatever_the_number_of_threads(threads: int) -> None:
    c, anomalous = coordinates(50, 10, views=2), np.arange(50) % 3 == 0
    before = torch.get_num_threads()
    first = fit_classes(c, anomalous, QUICK, seed=4)
    try:
        torch.set_num_threads(threads)
        torch.rand(1)
        again = fit_classes(c, anomalous, QUICK, seed=4)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for name in ("hidden", "offsets", "output"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert first.bias == again.bias
    assert not torch.equal(fit_classes(c, anomalous, QUICK, seed=5).hidden, first.hidden)


def test_directions_beyond_the_first_are_not_looked_at() -> None:
    c, anomalous = coordinates(40, 12), np.arange(40) % 2 == 0
    changed = c.clone()
    changed[..., QUICK.directions :] = 99
    part = fit_classes(c, anomalous, QUICK, seed=0)
    assert torch.equal(part.hidden, fit_classes(changed, anomalous, QUICK, seed=0).hidden)
    assert np.array_equal(part.logits(c), part.logits(changed))


@pytest.mark.parametrize(("n_rare", "n_common", "share"), [(5, 95, 0.2), (20, 80, 0.2), (40, 60, 0.4), (1, 100, 0.2)])
@pytest.mark.parametrize("rare_is_anomalous", [True, False])
def test_the_rarer_class_is_repeated(n_rare: int, n_common: int, share: float, rare_is_anomalous: bool) -> None:
    """Where nothing can be learned from the images, the bias alone tells how often each class was shown."""
    anomalous = np.array([rare_is_anomalous] * n_rare + [not rare_is_anomalous] * n_common)
    settings = HeadSettings(directions=1, hidden=1, dropout=0.0, epochs=60, learning_rate=0.05, weight_decay=0.0)
    c = torch.zeros(1, len(anomalous), 1)
    logit = fit_classes(c, anomalous, settings, seed=0).logits(c)[0]
    assert expit(logit) == pytest.approx(share if rare_is_anomalous else 1 - share, abs=0.04)


@pytest.mark.parametrize(("graded", "share"), [(0.0, 0.4), (0.25, 4 / 7), (0.4, 2 / 3), (0.5, 2 / 3)])
def test_the_less_sure_a_target_the_less_its_image_counts(graded: float, share: float) -> None:
    """As above: beside 40 images of target 1, 60 normal ones count |2 t - 1| times as much, or a third."""
    targets = np.array([1.0] * 40 + [graded] * 60)
    settings = HeadSettings(directions=1, hidden=1, dropout=0.0, epochs=60, learning_rate=0.05, weight_decay=0.0)
    c = torch.zeros(1, len(targets), 1)
    logit = fit_classes(c, targets, settings, seed=0).logits(c)[0]
    assert expit(logit) == pytest.approx(share, abs=0.04)


def test_certainty_is_the_same_for_both_classes() -> None:
    np.testing.assert_allclose(certainty(np.array([0.0, 0.1, 0.3, 0.5])), [1, 0.8, 0.4, 1 / 3])
    np.testing.assert_allclose(certainty(1 - np.array([0.0, 0.1, 0.3, 0.5])), [1, 0.8, 0.4, 1 / 3])


def test_epochs_are_told_with_their_loss() -> None:
    told: list[tuple[int, float]] = []
    fit_classes(
        coordinates(30, 8),
        np.arange(30) % 2 == 0,
        replace(QUICK, epochs=3),
        seed=0,
        done=lambda epoch, loss: told.append((epoch, loss)),
    )
    assert [epoch for epoch, _ in told] == [1, 2, 3] and all(0 < loss < 5 for _, loss in told)


@pytest.mark.parametrize(("n", "steps"), [(10, 200), (64, 384), (1024, 384), (10_000, 48 * 79)])
def test_number_of_steps(n: int, steps: int) -> None:
    assert n_steps(n, HeadSettings()) >= steps if n == 10 else n_steps(n, HeadSettings()) == steps
