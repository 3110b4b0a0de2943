"""False flags of either class as rare as stated, strangers found, and nobody measured against himself."""

from __future__ import annotations

import numpy as np
import pytest

from whycam.networks.novelty import NoveltyModel
from whycam.training import novelty
from whycam.training.novelty import fit_novelty, rows_to_learn_from

WIDTH = 40


class World:
    """Images are mixtures of 12 patterns and noise; anomalous ones have a pattern of their own and are more varied."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.patterns = self.rng.normal(size=(12, WIDTH))
        self.defect = self.rng.normal(size=WIDTH)

    def draw(self, n: int, *, anomalous: bool) -> np.ndarray:
        images = self.rng.normal(size=(n, 12)) @ self.patterns + self.rng.normal(0, 0.5, (n, WIDTH))
        if anomalous:
            images = images + self.rng.gamma(2, 1.5, (n, 1)) * self.defect + self.rng.normal(0, 0.7, (n, WIDTH))
        return np.clip(images / 8 + 1.5, 0, 6).astype(np.float32)

    def training(self, n_normal: int, n_anomalous: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        pooled = np.concatenate([self.draw(n_normal, anomalous=False), self.draw(n_anomalous, anomalous=True)])
        return pooled, np.arange(len(pooled)) >= n_normal, [str(number) for number in range(len(pooled))]


def fitted(world: World, n_normal: int, n_anomalous: int, *, level: float = 0.05) -> NoveltyModel:
    found = fit_novelty(*world.training(n_normal, n_anomalous), seed=0, level=level)
    assert found is not None
    return found


@pytest.mark.parametrize(("n_normal", "n_anomalous", "most"), [(300, 150, 0.05), (150, 300, 0.05), (400, 8, 0.15)])
def test_neither_class_is_flagged_more_often_than_stated(n_normal: int, n_anomalous: int, most: float) -> None:
    flagged = {False: 0.0, True: 0.0}
    rounds = 4
    for seed in range(rounds):
        world = World(seed)
        found = fitted(world, n_normal, n_anomalous)
        for which in flagged:
            flagged[which] += float(found.novel(world.draw(400, anomalous=which)).mean()) / rounds
    # The draw of the training images moves the rate more than that of the test images does.
    assert max(flagged.values()) <= most + 0.02
    assert max(flagged.values()) > 0.005


def test_pooling_the_classes_would_flag_mostly_anomalous_images() -> None:
    """So the test above can fail."""
    world = World(0)
    pooled, _, units = world.training(400, 8)
    found = fit_novelty(pooled, np.zeros(408, dtype=bool), units, seed=0, level=0.05)
    assert found is not None
    assert found.novel(world.draw(400, anomalous=True)).mean() > 0.3


def test_strangers_are_found() -> None:
    world = World(1)
    found = fitted(world, 300, 150)
    # Along other patterns; and as usual but for one feature in ten, which is dead.
    others = np.clip(World(2).draw(200, anomalous=False), 0, 6)
    dead = world.draw(200, anomalous=False)
    dead[:, ::10] = 0
    assert found.novel(others).mean() > 0.6
    assert found.novel(dead).mean() > 0.6


def test_images_of_a_unit_are_not_measured_against_each_other() -> None:
    """Eight copies of each: where a copy may be compared with its own, it lies at distance 0."""
    world = World(3)
    pooled, anomalous, units = world.training(30, 30)
    alone = fit_novelty(pooled, anomalous, units, seed=0, level=0.05)
    copies = fit_novelty(np.tile(pooled, (8, 1)), np.tile(anomalous, 8), units * 8, seed=0, level=0.05)
    torn = fit_novelty(np.tile(pooled, (8, 1)), np.tile(anomalous, 8), list(map(str, range(480))), seed=0, level=0.05)
    assert alone is not None and copies is not None and torn is not None
    assert 0.5 < np.median(copies.normal) / np.median(alone.normal) < 2
    assert np.median(torn.normal) == np.median(torn.anomalous) == 0
    # And as references they are apart from other units, not from their own copies.
    assert copies.neighbourhood.spacings.min() > 0.3 * alone.neighbourhood.spacings.min()


@pytest.mark.parametrize("size", [1, 3])
def test_with_too_few_units_nothing_could_ever_be_flagged(size: int) -> None:
    world = World(4)
    for n, enough in ((99, True), (98, False)):
        pooled, anomalous, _ = world.training(n * size - 10, 10)
        units = [str(number // size) for number in range(n * size)]
        assert (fit_novelty(pooled, anomalous, units, seed=0, level=0.01) is not None) == enough


def test_the_same_seed_gives_the_same_model_and_another_one_much_alike() -> None:
    world = World(5)
    data = world.training(200, 100)
    one, same, other = (fit_novelty(*data, seed=seed, level=0.05) for seed in (0, 0, 1))
    assert one is not None and same is not None and other is not None
    for name, value in one.tensors().items():
        np.testing.assert_array_equal(value, same.tensors()[name])
    probe = world.draw(200, anomalous=True)
    assert not np.array_equal(one.p_values(probe), other.p_values(probe))
    assert np.corrcoef(one.p_values(probe), other.p_values(probe))[0, 1] > 0.9


def test_references_are_few_and_hold_the_rarer_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "_MOST_REFERENCES", 128)
    rng = np.random.default_rng(6)
    pooled = rng.random((300, 8)).astype(np.float32)
    # References can be told apart by class, as anomalous images lie elsewhere.
    for n_rare, kept in ((30, 30), (100, 64)):
        anomalous = np.arange(300) < n_rare
        found = novelty.fit_novelty(pooled + 9 * anomalous[:, None], anomalous, list(map(str, range(300))), seed=0)
        assert found is not None
        near = found.neighbourhood
        assert len(near.references) == len(near.spacings) == 128
        first = near.references[:, 0]
        assert int(np.sum(first > (first.min() + first.max()) / 2)) in (kept, 128 - kept)
        assert len(found.normal) == 300 - n_rare and len(found.anomalous) == n_rare


def test_with_the_features_of_the_default_backbone_it_stays_small() -> None:
    rng = np.random.default_rng(7)
    n, width = 120, 4608
    found = fit_novelty(
        rng.random((n, width)).astype(np.float32), np.arange(n) < 30, list(map(str, range(n))), seed=0, level=0.02
    )
    assert found is not None
    sizes = {name: value.nbytes / len(value) for name, value in found.tensors().items() if len(value)}
    # With 64 directions, 2,048 references and 8,192 distances.
    most = 2 * width * 4 + 64 * sizes["basis"] + 2048 * (sizes["references"] + sizes["spacings"]) + 8192 * 4
    assert most < 1.3e6


def test_equal_images_have_finite_p_values() -> None:
    found = fit_novelty(
        np.ones((60, 8), dtype=np.float32), np.arange(60) < 9, list(map(str, range(60))), seed=0, level=0.05
    )
    assert found is not None
    assert found.p_values(np.ones((1, 8), dtype=np.float32))[0] == 1
    assert found.novel(np.full((1, 8), 3, dtype=np.float32))[0]


@pytest.mark.parametrize(("n_normal", "n_anomalous"), [(20, 5), (9000, 70), (5000, 6000)])
def test_no_more_rows_are_drawn_than_are_needed(n_normal: int, n_anomalous: int) -> None:
    anomalous = np.random.default_rng(0).permutation(np.arange(n_normal + n_anomalous) < n_anomalous)
    rows = rows_to_learn_from(anomalous, seed=3)
    assert np.all(np.diff(rows) > 0)
    assert int(anomalous[rows].sum()) == min(n_anomalous, 4096)
    assert int((~anomalous[rows]).sum()) == min(n_normal, 4096)
    assert np.array_equal(rows, rows_to_learn_from(anomalous, seed=3))


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, float("nan")])
def test_the_level_must_be_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="`level` must be above 0 and below 1"):
        fit_novelty(*World(0).training(50, 50), seed=0, level=level)
