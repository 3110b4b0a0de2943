"""Principal directions against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from whycam.training.subspace import Products, Read, find_subspace


def features(n: int, d: int, views: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(views, n, d)) @ (rng.normal(size=(d, d)) * np.geomspace(1, 0.05, d)) + 3
    return torch.from_numpy(mixed).float()


def reading(x: torch.Tensor) -> Read:
    return lambda rows: x[:, rows]


@pytest.mark.parametrize(("n", "d", "views"), [(60, 8, 1), (30, 8, 4), (12, 40, 1), (5, 40, 2)])
def test_directions_are_those_of_a_pca(n: int, d: int, views: int) -> None:
    x = features(n, d, views)
    found = find_subspace(reading(x), np.arange(n), directions=6, seed=0, widened=0.01)
    flat = x.flatten(0, 1).double().numpy()
    np.testing.assert_allclose(found.shift.numpy(), flat.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scale.numpy(), 1 / (flat.std(axis=0) + 0.01), rtol=1e-3)
    truth = PCA(n_components=min(6, len(flat) - 1)).fit((flat - flat.mean(axis=0)) / (flat.std(axis=0) + 0.01))
    kept = min(len(found.basis), len(truth.components_), 4)
    for mine, theirs in zip(found.basis[:kept].numpy(), truth.components_[:kept], strict=True):
        assert abs(mine @ theirs) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose((found.basis @ found.basis.T).numpy(), np.eye(len(found.basis)), atol=1e-4)
    c = found.coordinates(reading(x), np.arange(n))
    assert c.shape == (views, n, len(found.basis))
    variances = c.flatten(0, 1).var(dim=0, unbiased=False).numpy()
    np.testing.assert_allclose(variances[:kept], truth.explained_variance_[:kept] * (1 - 1 / len(flat)), rtol=1e-3)


@pytest.mark.parametrize("views", [1, 3])
def test_rows_held_out_have_no_part_in_directions_and_their_origin(views: int) -> None:
    x = features(40, 12, views) + torch.linspace(0, 2, 40)[:, None]
    held = np.arange(40) >= 30
    products = Products(reading(x), np.arange(40), seed=0, widened=3, projections=5)
    found = products.directions(6, without=held)
    flat, others = (values.flatten(0, 1).double().numpy() for values in (x, x[:, ~held]))
    truth = PCA(n_components=6).fit(others / (flat.std(axis=0) + 3))
    expected = np.abs(truth.transform(flat / (flat.std(axis=0) + 3)))
    coordinates = products.coordinates(found, views=range(views))
    np.testing.assert_allclose(coordinates.flatten(0, 1).abs().numpy(), expected, atol=1e-4)
    again = products.subspace(found).coordinates(reading(x), np.arange(40))
    torch.testing.assert_close(again, coordinates, rtol=1e-4, atol=1e-4)
    scaled = (flat - flat.mean(axis=0)) / (flat.std(axis=0) + 3)
    projected = products.projected(views=range(views)).flatten(0, 1).numpy()
    np.testing.assert_allclose(projected, scaled @ products.random.double().numpy().T, atol=1e-4)
    np.testing.assert_allclose(products.random.norm(dim=1).numpy(), 1, rtol=1e-5)


def test_random_directions_depend_on_the_seed_alone() -> None:
    first, second, other = (
        Products(reading(features(20, 9, 1, seed=data)), np.arange(20), seed=seed, widened=3, projections=7).random
        for data, seed in ((0, 0), (1, 0), (0, 1))
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_rows_that_are_not_asked_for_decide_nothing() -> None:
    x = features(30, 10, 1)
    rows = np.arange(0, 30, 2)
    other = x.clone()
    other[:, 1::2] = 100
    first, second = (find_subspace(reading(values), rows, directions=5, seed=0, widened=0.01) for values in (x, other))
    assert torch.equal(first.basis, second.basis) and torch.equal(first.shift, second.shift)


def test_more_rows_than_are_drawn_and_than_a_chunk() -> None:
    x = features(2500, 6, 1)
    found = find_subspace(reading(x), np.arange(2500), directions=3, seed=0, widened=0.01)
    again = find_subspace(reading(x), np.arange(2500), directions=3, seed=0, widened=0.01)
    assert torch.equal(found.basis, again.basis)
    np.testing.assert_allclose(found.shift.numpy(), x[0].double().mean(dim=0).numpy(), rtol=1e-4)


def test_constant_and_hardly_varying_features_stay_small() -> None:
    x = features(40, 6, 1)
    x[..., 0], x[..., 1] = 2.0, 2.0 + 1e-4 * x[..., 1]
    found = find_subspace(reading(x), np.arange(40), directions=6, seed=0, widened=0.01)
    c = found.coordinates(reading(x), np.arange(40))
    assert torch.isfinite(c).all()
    assert found.basis[:3, :2].abs().max() < 0.05
    assert float(found.scale.max()) <= 100.001


def test_equal_images_give_finite_coordinates() -> None:
    x = torch.full((2, 5, 7), 1.5)
    found = find_subspace(reading(x), np.arange(5), directions=4, seed=0, widened=0.01)
    assert torch.isfinite(found.basis).all() and len(found.basis)
    assert torch.isfinite(found.coordinates(reading(x), np.arange(5))).all()
