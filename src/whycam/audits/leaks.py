"""What a given split leaks: test images of which training has seen a copy, a near duplicate, or others of the group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whycam.audits.audit import Optimism
from whycam.audits.duplicates import Clusters
from whycam.audits.findings import Finding, Severity
from whycam.audits.name_groups import NameGroups, find_name_groups
from whycam.data.words import counted
from whycam.types import Floats, Sample

_Ints = npt.NDArray[np.intp]
_Bools = npt.NDArray[np.bool_]

_SERIOUS_SHARE = 0.02
"""Fewer test images than this share hardly move any figure."""
_AS_GOOD_AS_COPIES = 0.01
"""Distance of near duplicates, as `NearPairs` has it, that most copies stored or lit anew keep."""
_SAFE = "`--split safe` draws a split that keeps copies, near duplicates and groups whole"


def leak_findings(
    samples: Sequence[Sample],
    clusters: Clusters,
    rows: Floats,
    *,
    optimism: Optimism | None = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Leaks of the split that the data give, if they give one for all images, and groups that names tell in any case.

    An image counts once: as a copy, else as a near duplicate, else as a member of its group. Copies and groups are
    serious. Near duplicates are, where figures are clearly too good when those are torn apart, or where 2 % of the test
    images or more have an augmented copy in train, or one that is as good as a copy; otherwise they are a warning.

    Args:
        samples: N images.
        clusters: of these images.
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        optimism: as `measure_optimism` found it for the units of `clusters`.
        seed: of the draws with which names are judged.
    """
    names = find_name_groups(samples, rows, clusters.units, seed=seed)
    return (*_split_findings(samples, clusters, optimism), *_name_findings(samples, names))


def _split_findings(samples: Sequence[Sample], clusters: Clusters, optimism: Optimism | None) -> tuple[Finding, ...]:
    if not samples or any(sample.split is None for sample in samples):
        return ()
    test = np.array([sample.split == "test" for sample in samples])
    copied = test & _shared(clusters.copies, test)
    near = test & _shared(clusters.near, test) & ~copied
    group_names = sorted({sample.group for sample in samples if sample.group is not None})
    numbers = {name: number for number, name in enumerate(group_names)}
    # Images without a group are groups of their own.
    groups = np.array([numbers.get(s.group or "", -1 - row) if s.group else -1 - row for row, s in enumerate(samples)])
    grouped = test & _shared(groups, test) & ~copied & ~near
    n_test = int(test.sum())
    as_good = (clusters.pairs.rows[clusters.pairs.distances <= _AS_GOOD_AS_COPIES], clusters.augmented.rows)
    torn = np.concatenate(as_good)
    crossing = torn[test[torn].sum(axis=1) == 1]
    n_sure = int((near & np.isin(np.arange(len(samples)), crossing)).sum())
    flattered = n_sure >= _SERIOUS_SHARE * n_test or (optimism is not None and optimism.misleads)
    return (
        *_finding(samples, copied, clusters.copies, n_test, "serious", "an identical copy in train", "is", "copy"),
        *_finding(
            samples, near, clusters.near, n_test, "serious" if flattered else "warning", "a near duplicate in train",
            "looks like", "near",
        ),
        *_finding(
            samples, grouped, groups, n_test, "serious", "other images of the same group in train",
            "is of the group of", "group",
        ),
    )  # fmt: skip


def _name_findings(samples: Sequence[Sample], names: NameGroups | None) -> tuple[Finding, ...]:
    if names is None:
        return ()
    counts = Counter(part for part in names.parts if part is not None)
    ((largest, most),) = counts.most_common(1)
    files = [sample.file for sample, part in zip(samples, names.parts, strict=True) if part is not None]
    sentence = (
        f"File names suggest {len(counts):,} groups that are not stated ({largest}: {most:,} images, for example): "
        f"images that share such a part are {'far' if names.strong else 'clearly'} more alike than others of their "
        "class (p < .001)"
    )
    severity: Severity = "warning"
    if all(sample.split is not None for sample in samples):
        train = {part for part, sample in zip(names.parts, samples, strict=True) if sample.split == "train"}
        torn = [
            sample.file
            for part, sample in zip(names.parts, samples, strict=True)
            if part is not None and part in train and sample.split == "test"
        ]
        n_test = sum(sample.split == "test" for sample in samples)
        if torn:
            files = torn
            sentence += f", and {len(torn):,} of {counted(n_test, 'test image')} share theirs with train"
        if names.strong and len(torn) >= _SERIOUS_SHARE * n_test:
            severity = "serious"
    sentence += ". If they are patients, parts or the like, put them into a column `group`, and splits keep them whole."
    return (Finding("unstated-groups", severity, sentence, tuple(files), len(files)),)


def _shared(numbers: _Ints, test: _Bools) -> _Bools:
    """(N,) whether an image's number is also one of a train image."""
    shared: _Bools = np.isin(numbers, numbers[~test])
    return shared


def _finding(
    samples: Sequence[Sample],
    leaked: _Bools,
    numbers: _Ints,
    n_test: int,
    severity: Severity,
    what: str,
    verb: str,
    kind: str,
) -> list[Finding]:
    rows = np.flatnonzero(leaked).tolist()
    if not rows:
        return []
    trained = {int(numbers[row]): row for row, sample in reversed(list(enumerate(samples))) if sample.split == "train"}
    first, twin = rows[0], trained[int(numbers[rows[0]])]
    pairs = tuple(samples[at].file for row in rows for at in (row, trained[int(numbers[row])]))
    too_good = "may be a little too good" if severity == "warning" else "are too good"
    delete = "delete the copies, or: " if kind == "copy" else ""
    sentence = (
        f"{len(rows):,} of {counted(n_test, 'test image')} {'has' if len(rows) == 1 else 'have'} {what} "
        f"({samples[first].file} {verb} {samples[twin].file}), so figures on the given test images {too_good}; "
        f"{delete}{_SAFE}."
    )
    return [Finding(f"leak-{kind}", severity, sentence, pairs, len(rows))]
