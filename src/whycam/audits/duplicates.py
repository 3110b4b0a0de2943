"""Images that are there twice, as they are or nearly, and which images no split must therefore tear apart."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from whycam.audits.augmented import augmented_pairs
from whycam.audits.augmented_names import augmented_name_findings
from whycam.audits.findings import Finding, Severity
from whycam.audits.fingerprints import Bytes
from whycam.audits.near import BEYOND_DOUBT, NO_PAIRS, SURELY, NearPairs, joined, near_pairs
from whycam.data.words import counted
from whycam.types import Floats, Sample

_Ints = npt.NDArray[np.intp]

_MOSTLY = 0.5
"""A set of which so many images are augmented copies is misjudged by whoever splits it."""
_LARGEST_SHARE = 0.25
_LARGEST = 20
"""A cluster of near duplicates with more images than this and than a quarter of all is no cluster: all look alike."""


@dataclass(frozen=True)
class Clusters:
    """What belongs together, image by image."""

    units: tuple[str, ...]
    """For each image the name of its unit, which must never cross a split: images that a given group, copies or near
    duplicates or augmented copies link, directly or over others. It is the name of the unit's first image."""
    copies: _Ints
    """(N,) equal numbers for files of the same content."""
    near: _Ints
    """(N,) equal numbers for copies, near duplicates and augmented copies, linked directly or over others; given
    groups do not count."""
    pairs: NearPairs
    """The near duplicates that link, the nearest first; of identical files only the first is named."""
    augmented: NearPairs = NO_PAIRS
    """Augmented copies that link, the nearest first; their distances are 1 - the agreement of their textures."""
    n_too_alike: int = 0
    """Images that were not linked, because a quarter of all images or more would have become one cluster."""


def find_clusters(
    samples: Sequence[Sample],
    digests: Sequence[str],
    fingerprints: Bytes,
    rows: Floats,
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    seed: int = 0,
) -> Clusters:
    """Which images belong together: by group, as identical files, near duplicates (`near_pairs`) or augmented copies.

    Where links would chain more than 20 images, and more than a quarter of all, into one cluster of near duplicates,
    only those links in it count that chance could hardly make anywhere; if it is still that large, none does.

    Args:
        samples: N images.
        digests: of each image's pixels: files that differ in their bytes alone are copies too.
        fingerprints: (N, 4160), as `fingerprints_of` has them.
        rows: (N, K) coordinates of features, as `cheap_head.coordinates` has them.
        sizes: N heights and widths as stored, for `augmented_pairs`; without them, images are taken for squares.
        seed: of the rows from which is learned what images have in common.

    Raises:
        ValueError: the lengths differ.
    """
    n = len(samples)
    if not n == len(digests) == len(fingerprints) == len(rows):
        raise ValueError("`samples`, `digests`, `fingerprints` and `rows` must be of one length.")
    first_of = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    firsts = np.array(sorted(first_of.values()), dtype=np.intp)
    found = near_pairs(fingerprints[firsts], rows[firsts], seed=seed)
    stored = np.ones((n, 2)) if sizes is None else np.array(sizes, dtype=np.float64).reshape(n, 2)
    suspected = bool(augmented_name_findings(samples))
    augmented = augmented_pairs(fingerprints[firsts], rows[firsts], stored[firsts], suspected=suspected, seed=seed)
    augmented = augmented.kept(~np.isin(_keys(augmented, n), _keys(found, n)))
    kept, n_too_alike = _without_chains(joined(found, augmented), len(firsts))
    known = np.isin(_keys(kept, n), _keys(found, n))
    pairs, copies = (
        NearPairs(firsts[part.rows], part.distances, part.by_chance) for part in (kept.kept(known), kept.kept(~known))
    )
    copy_links = [(row, first_of[digest]) for row, digest in enumerate(digests)]
    group_links = _links([sample.group for sample in samples])
    near_links = [*copy_links, *map(tuple, pairs.rows.tolist()), *map(tuple, copies.rows.tolist())]
    together = _components([*near_links, *group_links], n)
    leaders = np.unique(together, return_index=True)[1]
    return Clusters(
        units=tuple(samples[row].file for row in leaders[together]),
        copies=_components(copy_links, n),
        near=_components(near_links, n),
        pairs=pairs,
        augmented=copies,
        n_too_alike=n_too_alike,
    )


def duplicate_findings(samples: Sequence[Sample], clusters: Clusters) -> tuple[Finding, ...]:
    """What to tell about copies and near duplicates, whatever the split: labels that contradict each other first."""
    return (
        *_contradicting_copies(samples, clusters),
        *_contradicting_near(samples, clusters),
        *_copies(samples, clusters),
        *_augmented(samples, clusters),
        *augmented_name_findings(samples),
        *_near_duplicates(samples, clusters),
        *_too_alike(samples, clusters),
    )


def members(numbers: _Ints) -> list[_Ints]:
    """The rows of every number that several rows have, in the order of their first rows."""
    order = np.argsort(numbers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def _keys(pairs: NearPairs, n: int) -> _Ints:
    """(P,) a number for each pair, the same in any set of pairs."""
    keys: _Ints = pairs.rows[:, 0] * n + pairs.rows[:, 1]
    return keys


def _components(links: Iterable[tuple[int, ...]], n: int) -> _Ints:
    """(N,) the number of each row's connected component."""
    ends = np.array(list(links), dtype=np.intp).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _links(names: Sequence[Hashable | None]) -> list[tuple[int, int]]:
    """Each row with the first of its name."""
    first: dict[Hashable, int] = {}
    return [(row, first.setdefault(name, row)) for row, name in enumerate(names) if name is not None]


def _without_chains(pairs: NearPairs, n: int) -> tuple[NearPairs, int]:
    """The pairs less those that chain too many images, and the number of these images."""
    largest = max(_LARGEST, int(_LARGEST_SHARE * n))
    too_alike = np.zeros(n, dtype=np.bool_)
    for least in (BEYOND_DOUBT, -1.0):
        numbers = _components(map(tuple, pairs.rows.tolist()), n)
        oversized = (np.bincount(numbers, minlength=1) > largest)[numbers] if n else too_alike
        too_alike |= oversized
        pairs = pairs.kept(~oversized[pairs.rows[:, 0]] | (pairs.by_chance <= least))
    return pairs, int(too_alike.sum())


def _classes(samples: Sequence[Sample], rows: Iterable[int]) -> set[bool]:
    return {samples[row].anomalous for row in rows if samples[row].target is not None}


def _contradicting_copies(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    disputed = [rows for rows in members(clusters.copies) if len(_classes(samples, rows)) > 1]
    if not disputed:
        return []
    files = tuple(samples[row].file for rows in disputed for row in rows)
    labelled = [samples[row] for row in disputed[0] if samples[row].target is not None]
    normal, anomalous = (next(s.file for s in labelled if s.anomalous == which) for which in (False, True))
    verb = "is" if len(disputed) == 1 else "are"
    sentence = (
        f"{counted(len(disputed), 'image')} ({len(files):,} files) {verb} there both as normal and as anomalous "
        f"({normal} is {anomalous}), so one of the labels must be wrong; keep the copies of the right class only."
    )
    return [Finding("contradicting-copies", "serious", sentence, files, len(files))]


def _contradicting_near(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    disputed = [
        (first, second, distance)
        for (first, second), distance in zip(clusters.pairs.rows.tolist(), clusters.pairs.distances, strict=True)
        if len(_classes(samples, (first, second))) > 1
    ]
    if not disputed:
        return []
    first, second, nearest = disputed[0]
    names = [f"{samples[row].file} is {'anomalous' if samples[row].anomalous else 'normal'}" for row in (first, second)]
    have = "has" if len(disputed) == 1 else "have"
    sentence = (
        f"{counted(len(disputed), 'pair')} of nearly identical images {have} different labels ({', '.join(names)}): "
        "look whether a small defect makes the difference, or a label is wrong."
    )
    severity: Severity = "warning" if nearest <= SURELY else "note"
    files = _two_by_two(samples, [(one, other) for one, other, _ in disputed])
    return [Finding("contradicting-near-duplicates", severity, sentence, files, len(set(files)))]


def _copies(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    several = members(clusters.copies)
    if not several:
        return []
    extra = tuple(samples[row].file for rows in several for row in rows[1:])
    first, second = (samples[row].file for row in several[0][:2])
    are = "is an identical copy" if len(extra) == 1 else "are identical copies"
    sentence = (
        f"{counted(len(extra), 'file')} of {len(samples):,} {are} of another ({second} is {first}): delete what is "
        "there twice, it teaches and proves nothing."
    )
    return [Finding("copies", "note", sentence, extra, len(extra))]


def _near_duplicates(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    rows = clusters.pairs.rows
    if not len(rows):
        return []
    touched = np.unique(rows)
    sizes = np.bincount(clusters.near)[np.unique(clusters.near[touched])]
    first, second = (samples[row].file for row in rows[0])
    sentence = (
        f"{len(touched):,} of {len(samples):,} images look nearly the same as another ({second} and {first}, for "
        f"example), in {counted(len(sizes), 'cluster')} of up to {sizes.max():,}: a split that WhyCAM draws keeps each "
        "cluster whole."
    )
    torn = sorted(
        {
            (min(a, b), max(a, b))
            for a, b in ((samples[one].group, samples[other].group) for one, other in rows.tolist())
            if a is not None and b is not None and a != b
        }
    )
    if torn:
        sentence += (
            f" Some belong to groups that are given as different ({torn[0][0]} and {torn[0][1]}"
            f"{f', and {len(torn) - 1:,} more' if len(torn) > 1 else ''}): these may be one."
        )
    return [Finding("near-duplicates", "note", sentence, _two_by_two(samples, rows.tolist()), len(touched))]


def _augmented(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    rows = clusters.augmented.rows
    if not len(rows):
        return []
    numbers = np.unique(clusters.near[rows])
    sizes = np.bincount(clusters.near)[numbers]
    touched = int(sizes.sum())
    first, second = (samples[row].file for row in rows[0])
    sentence = (
        f"{touched:,} of {len(samples):,} images show the same as others, turned, mirrored, moved, zoomed or lit "
        f"differently ({second} and {first}, for example), in {counted(len(numbers), 'cluster')} of up to "
        f"{sizes.max():,}: copies made by augmentation, or shots of one thing. A split that WhyCAM draws keeps each "
        "cluster whole, any other leaks: where the data give one, use `--split safe`, and augment after splitting, "
        "training images only."
    )
    severity: Severity = "warning" if touched >= _MOSTLY * len(samples) else "note"
    return [Finding("augmented-copies", severity, sentence, _two_by_two(samples, rows.tolist()), touched)]


def _two_by_two(samples: Sequence[Sample], pairs: Iterable[Sequence[int]]) -> tuple[str, ...]:
    """The files of pairs, both of each side by side, without pairs of which both images stood there before."""
    known: set[int] = set()
    files: list[str] = []
    for pair in pairs:
        if not known.issuperset(pair):
            known.update(pair)
            files += [samples[row].file for row in pair]
    return tuple(files)


def _too_alike(samples: Sequence[Sample], clusters: Clusters) -> list[Finding]:
    if not clusters.n_too_alike:
        return []
    sentence = (
        f"{clusters.n_too_alike:,} of {len(samples):,} images look so much alike that near duplicates among them "
        "cannot be told from different images; if some show the same part, say so in a column `group`."
    )
    return [Finding("too-alike", "note", sentence, (), clusters.n_too_alike)]
