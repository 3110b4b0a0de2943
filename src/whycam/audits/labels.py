"""Labels that a model which has not seen them cannot believe: the first to look at again.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068), written from the paper for two classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from whycam.audits.findings import Finding
from whycam.data.words import counted
from whycam.types import Floats, Sample

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.intp]

_KNOWS_SOMETHING = 0.7
_SURE = 0.02
"""Labels to which a calibrated model gives less than this should be as rare as it says; an excess is told."""
_CHANCE = 1e-3
_FEWEST_SURE = 3


@dataclass(frozen=True, slots=True)
class Suspect:
    """One image whose label was not believed."""

    index: int
    """Its place among the samples."""
    anomalous: bool
    """The given label."""
    probability: float
    """That the image is anomalous, as a head says that saw neither it nor others of its unit."""


@dataclass(frozen=True)
class LabelCheck:
    """What out-of-fold predictions say about labels."""

    suspects: tuple[Suspect, ...]
    """The labels that confident learning would prune, the least believed first."""
    joint: tuple[tuple[int, int], tuple[int, int]]
    """The confident joint: rows the given label (normal, anomalous), columns the label that images confidently have."""
    probabilities: Floats
    """(N,) out-of-fold probabilities that the images are anomalous, calibrated."""
    n_sure: int
    """Units with a label to which less than 2 % is given: six photos of one part are one mistake."""
    n_sure_expected: float
    """How many of those there would be if the probabilities were exactly right: hard images are wrong at times."""

    @property
    def in_excess(self) -> bool:
        """Whether labels are disbelieved more often, and more firmly, than hard images account for (p < .001)."""
        by_chance = float(poisson.sf(self.n_sure - 1, max(self.n_sure_expected, 1e-9)))
        return self.n_sure >= _FEWEST_SURE and by_chance < _CHANCE


def check_labels(logits: Floats | None, anomalous: _Bools, units: Sequence[str]) -> LabelCheck | None:
    """Which labels disagree with out-of-fold predictions.

    None where there are none, and where the head hardly tells the classes apart (AUROC below 0.7): its doubts would say
    nothing.

    Args:
        logits: (N,) as `cheap_head.out_of_fold_logits` has them for `units`, None where these are too few.
        anomalous: (N,) given labels; graded targets above 0.5 count as anomalous.
        units: N names; images of one unit never judge each other.
    """
    if logits is None or roc_auc_score(anomalous, logits) < _KNOWS_SOMETHING:
        return None
    probabilities = _calibrated(logits, anomalous)
    joint = confident_joint(probabilities, anomalous)
    believed = np.where(anomalous, probabilities, 1 - probabilities)
    ranked = prune(joint, believed, anomalous)
    suspects = tuple(Suspect(int(row), bool(anomalous[row]), float(probabilities[row])) for row in ranked)
    firm = believed < _SURE
    doubt = np.minimum(probabilities, 1 - probabilities)
    return LabelCheck(
        suspects,
        ((int(joint[0, 0]), int(joint[0, 1])), (int(joint[1, 0]), int(joint[1, 1]))),
        probabilities,
        len(set(np.asarray(units)[firm].tolist())),
        float(doubt[doubt < _SURE].sum()),
    )


def confident_joint(probabilities: Floats, anomalous: _Bools) -> _Ints:
    """(2, 2) counts of given (rows) against confidently predicted labels (columns): equation 1 of the paper.

    A label is confident where its probability reaches the mean over the images that bear it; of two confident labels
    the likelier counts, and an image without one is left out.

    Args:
        probabilities: (N,) that an image is anomalous, from out of fold.
        anomalous: (N,) given labels, of both classes.
    """
    both = np.column_stack([1 - probabilities, probabilities])
    thresholds = np.array([both[anomalous == which, int(which)].mean() for which in (False, True)])
    confident = both >= thresholds
    predicted = np.where(confident, both, -1.0).argmax(axis=1)
    joint = np.zeros((2, 2), dtype=np.intp)
    counted_in = confident.any(axis=1)
    np.add.at(joint, (anomalous[counted_in].astype(int), predicted[counted_in]), 1)
    return joint


def prune(joint: _Ints, believed: Floats, anomalous: _Bools) -> _Ints:
    """Places of the images to prune, the least believed first: `prune by noise rate`, section 3.2 of the paper.

    Each row of the joint is scaled to the number of images that bear its label (equation 2); as many of these as it
    then holds off the diagonal are pruned, those with the largest margin first. For two classes that is also the order
    of the least self-confidence, and the same as `prune by class`.

    Args:
        joint: (2, 2) as `confident_joint` has it.
        believed: (N,) probability of each image's given label.
        anomalous: (N,) given labels.
    """
    pruned = []
    for given in (0, 1):
        mine = np.flatnonzero(anomalous == bool(given))
        total = int(joint[given].sum())
        n_wrong = round(len(mine) * int(joint[given, 1 - given]) / total) if total else 0
        pruned.append(mine[np.argsort(believed[mine], kind="stable")[:n_wrong]])
    rows = np.concatenate(pruned)
    ranked: _Ints = rows[np.argsort(believed[rows], kind="stable")]
    return ranked


def label_findings(samples: Sequence[Sample], check: LabelCheck) -> tuple[Finding, ...]:
    """What to tell about labels: nothing, or one finding; its files are the suspects, the least believed first."""
    if not check.suspects:
        return ()
    worst = check.suspects[0]
    given, belief = ("anomalous", worst.probability) if worst.anomalous else ("normal", 1 - worst.probability)
    n, sure, expected = len(check.suspects), check.n_sure, check.n_sure_expected
    told = (
        f"{counted(n, 'label')} of {len(samples):,} {'disagrees' if n == 1 else 'disagree'} with a quick model that "
        f"had not seen them, first of all that of {samples[worst.index].file}: {given}, to which the model gives "
        f"{_percent(belief)}. "
    )
    if check.in_excess:
        told += (
            f"{counted(sure, 'image')} have a label that it gives less than {_percent(_SURE)}, where hard images "
            f"account for about {expected:.1f}, so some labels are likely wrong: look at them in this order."
        )
    else:
        told += "They may be wrong, or the images hard to tell: look at the first few."
    files = tuple(samples[suspect.index].file for suspect in check.suspects)
    return (Finding("label", "warning" if check.in_excess else "note", told, files, n),)


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 1e-3 else f"{100 * share:.2g} %"


def _calibrated(logits: Floats, anomalous: _Bools) -> Floats:
    """(N,) probabilities from logits by Platt's scaling (Platt 1999) with his smoothed targets."""
    n_anomalous, n = int(anomalous.sum()), len(anomalous)
    target = np.where(anomalous, (n_anomalous + 1) / (n_anomalous + 2), 1 / (n - n_anomalous + 2))
    column = logits[:, np.newaxis] / max(float(logits.std()), 1e-9)
    model = LogisticRegression(C=1e6, max_iter=1000)
    model.fit(
        np.concatenate([column, column]),
        np.repeat([True, False], n),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    probabilities: Floats = model.predict_proba(column)[:, 1]
    return probabilities
