"""How low a threshold must lie so that a promise about new images holds: finite samples, no assumption on the scores.

A promise is about a share: at most `share` of new values lie below the limit. Misses are the scores of anomalous images
below a threshold; false alarms are the same with the signs of normal scores changed. For each limit, from the safest
on, "more than `share` lie below it" is tested at level 1 - confidence, and the first that cannot be ruled out ends the
search: fixed-sequence testing (Angelopoulos et al. 2021, "Learn then Test", arXiv 2110.01052). As a share
never falls from limit to limit, the limit taken breaks the promise with a chance of at most 1 - confidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, rel_entr

from whycam.evaluation.bootstrap import clusters
from whycam.types import Floats

_FEW_SHARED = 0.05
_ROUNDING = 1e-9


def safe_limit(values: Floats, units: Sequence[str], *, share: float, confidence: float) -> float | None:
    """The largest of the values below which, promised with `confidence`, at most `share` of new values lie.

    Values of different units are independent of each other, and new ones come from new units; ties are allowed, and may
    be as many as they like. Where each unit has one value, the test is the exact binomial one, so that the limit is an
    order statistic, and the promise that of Clopper and Pearson (1934, Biometrika 26:404). Where units have several,
    what is promised is the mean over units of each unit's share below the limit, by the Hoeffding-Bentkus bound; but
    where not more than 5 % of them have several, such a unit counts as below as soon as one of its values is, as the
    exact test of that larger share loses less than the bound does. Which of the two is used is decided by sizes alone,
    never by values.

    Args:
        values: (N,) finite.
        units: N names; values of one unit depend on each other.
        share: in (0, 1).
        confidence: in (0, 1).

    Returns:
        The limit; None where units are too few for any: see `n_needed`.
    """
    if not len(values):
        return None
    members = clusters(units)
    sizes = np.bincount(members)
    n = len(sizes)
    weights = np.ones(n)
    if np.count_nonzero(sizes > 1) <= _FEW_SHARED * n:
        # A unit is below a limit exactly where its smallest value is.
        smallest = np.full(n, np.inf)
        np.minimum.at(smallest, members, values)
        counted, exact = smallest, True
    else:
        counted, weights, exact = values, 1 / sizes[members], False
    order = np.argsort(counted, kind="stable")
    limits, first = np.unique(counted[order], return_index=True)
    # (limits,): the sum over units of the share of each that lies below the limit.
    below = np.concatenate([[0.0], np.cumsum(weights[order])])[first]
    chances = binomial_p_value(below, n, share) if exact else hoeffding_bentkus_p_value(below, n, share)
    ruled_out = chances <= (1 - confidence) * (1 + _ROUNDING)
    n_safe = int(np.argmin(ruled_out)) if not ruled_out.all() else len(limits)
    return float(limits[n_safe - 1]) if n_safe else None


def binomial_p_value(losses: Floats, n: int, share: float) -> Floats:
    """The chance of so few losses or fewer in n draws, each lost with probability `share`; (M,) whole numbers each."""
    found: Floats = bdtr(losses, n, share)
    return found


def hoeffding_bentkus_p_value(losses: Floats, n: int, share: float) -> Floats:
    """A bound on the chance that n losses in [0, 1], of mean at least `share`, add up to so little; (M,) sums each.

    ``min(exp(-n h(min(r, share), share)), e P(Bin(n, share) <= ceil(n r)))`` with r the mean loss and h(a, b) the
    Kullback-Leibler divergence of coins: the Hoeffding-Bentkus bound of Bates et al. 2021, "Distribution-free,
    risk-controlling prediction sets", arXiv 2101.02703, section 3.1.
    """
    mean = np.minimum(losses / n, share)
    hoeffding = np.exp(-n * (rel_entr(mean, share) + rel_entr(1 - mean, 1 - share)))
    # Sums of thirds are whole numbers up to rounding, which must not add another.
    bentkus = math.e * bdtr(np.ceil(losses - _ROUNDING), n, share)
    found: Floats = np.minimum(hoeffding, bentkus)
    return found


def n_needed(share: float, confidence: float) -> int:
    """The fewest units with which `share` can be promised: none lost in n draws must be rarer than 1 - confidence."""
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-share) - _ROUNDING))


def smallest_share(n: int, confidence: float) -> float:
    """The smallest share that n >= 1 units can promise, in (0, 1)."""
    return float(-math.expm1(math.log1p(-confidence) / n))
