"""Trainings on few anomalies, from end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_parts
from whycam import train
from whycam.errors import DataError
from whycam.training import recipe as recipes


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(recipes.DEFAULT, size_hw=(64, 64), views=2)
    monkeypatch.setitem(recipes.RECIPES, "default", small)


@pytest.mark.parametrize(("n_anomalous", "to_train"), [(1, 0), (2, 1), (3, 2), (10, 8)])
def test_as_many_as_there_are(n_anomalous: int, to_train: int, tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=16, n_anomalous=n_anomalous)
    run = train(data, out=tmp_path / "run", device="cpu")
    assert run.data.n_anomalous_train == to_train
    assert run.data.n_anomalous_test == n_anomalous - to_train
    told = " ".join((*run.data.facts.notes, *run.detector.card.training.choices))
    assert ("knows normal images only" in told) == (to_train < 2)
    assert f"nly {n_anomalous - to_train} anomalous image" in told
    if to_train:
        assert f"nly {to_train} anomalous image" in told
    # A bright blot on noise is found without ever having been seen.
    assert run.evaluation.test.auroc.value == 1.0
    page = (run.folder / "report.html").read_text()
    assert "to test on" in page


def test_no_anomaly_at_all(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=8, n_anomalous=0)
    with pytest.raises(DataError):
        train(data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classic_needs_both_classes(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=8, n_anomalous=3)
    with pytest.raises(DataError, match=r"Only 3 anomalous images in .*: at least 4 are needed to train and to test"):
        train(data, out=tmp_path / "run", recipe="classic")


@pytest.mark.usefixtures("no_report")
def test_a_given_split_without_anomalies_to_train_on(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=9, n_anomalous=3)
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    lines = [f"{n},{int(n[0] == 'a')},{'test' if n[0] == 'a' or n.endswith('000.png') else 'train'}" for n in names]
    (data / "manifest.csv").write_text("\n".join(["file,target,split", *lines]) + "\n")
    run = train(data, out=tmp_path / "run", device="cpu")
    assert (run.data.n_anomalous_train, run.data.n_anomalous_test) == (0, 3)
    with pytest.raises(DataError):
        train(data, out=tmp_path / "other", recipe="classic")


@pytest.mark.usefixtures("no_report")
def test_equal_images_end_in_finite_scores(tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=6, n_anomalous=1)
    for path in (data / "normal").iterdir():
        path.write_bytes((data / "normal" / "normal-000.png").read_bytes())
    run = train(data, out=tmp_path / "run", device="cpu")
    assert np.isfinite(run.evaluation.test.mae.value or np.nan)


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("n_to_train", [0, 4])
def test_all_normal_training_images_of_one_group(n_to_train: int, tmp_path: Path) -> None:
    data = make_parts(tmp_path / "parts", n_normal=8, n_anomalous=6)
    lines = []
    for path in sorted(data.rglob("*.png")):
        number, odd = int(path.stem[-3:]), path.stem.startswith("anom")
        split = "train" if number < (n_to_train if odd else 6) else "test"
        group = "plate" if not odd and split == "train" else path.stem
        lines.append(f"{path.relative_to(data).as_posix()},{int(odd)},{group},{split}")
    (data / "manifest.csv").write_text("\n".join(["file,target,group,split", *lines]) + "\n")
    run = train(data, out=tmp_path / "run", device="cpu")
    assert run.evaluation.test.auroc.value == 1.0
