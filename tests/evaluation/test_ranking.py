"""AUROC and average precision against scikit-learn, which is given the weights as `sample_weight`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from whycam.evaluation.ranking import Ranking

# Few distinct scores, so that ties within and between the classes are the rule.
ROWS = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=30)


@settings(deadline=None, max_examples=300)
@given(ROWS)
def test_any_whole_weights_agree_with_scikit_learn(rows: list[tuple[bool, int, int]]) -> None:
    truth, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    ranking = Ranking(truth, scores.astype(float))
    column = weights.astype(float)[:, np.newaxis]
    auroc, precision = ranking.auroc(column), ranking.average_precision(column)

    if weights[truth].sum() == 0 or weights[~truth].sum() == 0:
        assert np.isnan(auroc).all()
        assert np.isnan(precision).all()
    else:
        assert auroc == pytest.approx([roc_auc_score(truth, scores, sample_weight=weights)], abs=1e-12)
        assert precision == pytest.approx([average_precision_score(truth, scores, sample_weight=weights)], abs=1e-12)


def test_columns_are_independent_weightings() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random(40) < 0.4, rng.integers(0, 9, 40).astype(float)
    weights = rng.integers(0, 4, (40, 7)).astype(float)
    ranking = Ranking(truth, scores)
    together = ranking.auroc(weights)
    assert together == pytest.approx([ranking.auroc(weights[:, [i]])[0] for i in range(7)], abs=0)
    assert len(set(together)) == 7


def test_members_take_the_weight_of_their_cluster() -> None:
    truth, scores = np.array([True, True, False, False]), np.array([0.9, 0.1, 0.5, 0.2])
    clustered = Ranking(truth, scores, members=np.array([0, 0, 1, 1]))
    alone = Ranking(truth, scores)
    assert clustered.auroc(np.array([[2.0], [3.0]])) == alone.auroc(np.array([[2.0], [2.0], [3.0], [3.0]]))


def test_equal_scores_are_worth_exactly_one_half() -> None:
    rng = np.random.default_rng(0)
    ranking = Ranking(np.arange(50) % 3 == 0, np.full(50, 0.37))
    assert np.all(ranking.auroc(rng.integers(1, 5, (50, 100)).astype(float)) == 0.5)
