"""Images that no model should learn from before a person has seen them, and sets too small or too mixed to learn from.

What is odd is odd among the images of its own set: a part on pure white ground is not over-exposed, and a soft X-ray is
not blurred, where all of them are so. So an image must be far out by the set's own spread, and bad by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from whycam.audits.cue_models import units_of_each_class
from whycam.audits.cues import Measured
from whycam.audits.findings import Finding, Severity
from whycam.audits.pixel_facts import QUANTILES, PixelFacts
from whycam.data.words import counted, share
from whycam.types import Floats

_Bools = npt.NDArray[np.bool_]

FAR_OUT = 6.0
"""Robust standard deviations from the set's median at which an image is out, on a scale of ratios."""
BLANK_UNEVENNESS = 2.0
"""Grey levels by which the blocks of a blank image differ at most (standard deviation; noise averages out)."""
BLANK_RATIO = 1 / 6
"""And at most so much of what is usual in the set; its contrast, which noise adds to, at most twice as much."""
BLURRED_EDGE = 0.2
"""Laplacian of the sharpest thousandth of the pixels over the range of grey levels. A straight edge that is blurred
with sigma s has at most 0.24 / s^2 there, so this is a blur of 1.1 pixels or more (of some 300 a side)."""
BLURRED_RATIO, BLURRED_OUT = 0.5, 4.5
"""And at most so much of what is usual in the set, and so far out: the rounding of grey levels leaves some sharpness to
any image, so that none can be much further out."""
BLURRED_RANGE = 20.0
"""In a range of fewer grey levels nothing can be said about sharpness."""
CLIPPED = 0.4
"""Share of the pixels, beyond the set's median, that are pure black or white in a badly exposed image."""
DARK, BRIGHT = 48.0, 208.0
"""Or 99 % of an under-exposed image's pixels lie below the one, of an over-exposed image's above the other."""
USUAL = 0.9
"""Share of images of one size, or one aspect ratio, from which on another one is odd."""
ODD_ASPECT = 1.1
"""Factor from which on an aspect ratio is another one: stretched to the common size, the image looks different."""
MIXED_ASPECTS = 2.0
"""Factor between the widest and the narrowest (5 % left out at either end) that is told."""
VERY_FEW, FEW = 10, 30
"""Independent images of a class below which there is a warning, or a note: figures on it can hardly be measured."""
IMBALANCE = 0.1
"""Share of the rarer class below which accuracy says little."""
SEVERAL, COMMON = 0.01, 0.05
"""Shares of the images between which bad ones are a warning: fewer do little harm, and more may be a kind of their own,
such as a sky among crops of a landscape; those are a note."""

_MOST_FILES = 100
_SURE = 0.95
_ORDER: tuple[Severity, ...] = ("serious", "warning", "note")


def find_quality(measured: Measured, units: Sequence[str]) -> tuple[Finding, ...]:
    """What is wrong with single images and with the make-up of the set, the gravest first.

    Args:
        measured: N labelled images.
        units: N names; images of one name (one part, copies of one file) count once where independence matters.
    """
    pixels = measured.pixels
    blank = _blank(pixels)
    blurred = _blurred(pixels) & ~blank
    dark, bright = (which & ~blank for which in _badly_exposed(pixels))
    found = [
        *_classes(measured, units),
        *_single(measured, "blank", blank, pixels.unevenness, "nearly blank: nothing is in the picture"),
        *_single(measured, "blurred", blurred, pixels.edge, "far less sharp than all others"),
        *_single(measured, "under-exposed", dark, pixels.mean, "far too dark, so that what they show is lost"),
        *_single(measured, "over-exposed", bright, -pixels.mean, "far too bright, so that what they show is lost"),
        *_sizes(measured),
        *_grey_and_colour(measured),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))


def _out(values: Floats) -> Floats:
    """(N,) robust z-scores of positive values on a scale of ratios: distance to the median in scaled MADs."""
    logs = np.log(values)
    distance: Floats = logs - np.median(logs)
    # Where more than half of the set is alike there is no spread; any difference is then out.
    return distance / max(1.4826 * float(np.median(np.abs(distance))), 1e-9)


def _blank(pixels: PixelFacts) -> _Bools:
    even = pixels.unevenness <= min(BLANK_UNEVENNESS, BLANK_RATIO * float(np.median(pixels.unevenness)))
    flat: _Bools = pixels.deviation <= 2 * BLANK_RATIO * float(np.median(pixels.deviation))
    return even & flat


def _blurred(pixels: PixelFacts) -> _Bools:
    edge = pixels.edge
    reach = pixels.quantiles[:, QUANTILES.index(0.99)] - pixels.quantiles[:, QUANTILES.index(0.01)]
    soft = (edge <= BLURRED_EDGE) & (edge <= BLURRED_RATIO * np.median(edge)) & (reach >= BLURRED_RANGE)
    blurred: _Bools = soft & (_out(np.maximum(edge, 1e-3)) <= -BLURRED_OUT)
    return blurred


def _badly_exposed(pixels: PixelFacts) -> tuple[_Bools, _Bools]:
    """(N,) under-exposed and (N,) over-exposed."""
    lightest, darkest = pixels.quantiles[:, QUANTILES.index(0.99)], pixels.quantiles[:, QUANTILES.index(0.01)]
    black, white = (pixels.clipped - np.median(pixels.clipped, axis=0)).T
    dark = (lightest <= DARK) & (_out(lightest + 1) <= -FAR_OUT)
    bright = (darkest >= BRIGHT) & (_out(256 - darkest) <= -FAR_OUT)
    return dark | _clipped(black), bright | _clipped(white)


def _clipped(beyond: Floats) -> _Bools:
    spread = 1.4826 * float(np.median(np.abs(beyond)))
    clipped: _Bools = (beyond >= CLIPPED) & (beyond >= FAR_OUT * spread)
    return clipped


def _single(measured: Measured, kind: str, which: _Bools, worst_first: Floats, what: str) -> Iterator[Finding]:
    rows = np.flatnonzero(which)
    if not len(rows):
        return
    files = _files(measured, rows[np.argsort(worst_first[rows], kind="stable")])
    n, n_all = len(rows), len(measured.samples)
    harmful = SEVERAL * n_all <= n <= COMMON * n_all
    severity: Severity = "warning" if kind == "blank" or harmful else "note"
    yield Finding(
        kind,
        severity,
        f"{_some(n, n_all)} {what} ({files[0]}): look at {'it' if n == 1 else 'them'}, and take out what is a failed "
        "picture rather than a defect.",
        files,
        n,
    )


def _sizes(measured: Measured) -> Iterator[Finding]:
    sizes = [facts.size_hw for facts in measured.files]
    n_all = len(sizes)
    aspects = np.array([width / height for height, width in sizes])
    usual, count = Counter(sizes).most_common(1)[0]
    middle = usual[1] / usual[0] if count >= USUAL * n_all else float(np.median(aspects))
    twist = np.exp(np.abs(np.log(aspects / middle)))
    # A whisker more, as sizes in whole pixels seldom have the very same ratio.
    odd = np.flatnonzero(twist > ODD_ASPECT)
    if 0 < len(odd) <= (1 - USUAL) * n_all:
        files = _files(measured, odd[np.argsort(-twist[odd], kind="stable")])
        height, width = sizes[int(odd[np.argmax(twist[odd])])]
        yield Finding(
            "aspect ratio",
            "warning" if len(odd) >= SEVERAL * n_all else "note",
            f"{_some(len(odd), n_all)} of another aspect ratio than the rest ({files[0]}: {width} x {height} pixels, "
            f"usual is {middle:.2f} to 1): all are stretched to one shape, so these look distorted; crop them alike.",
            files,
            len(odd),
        )
    elif len(odd) and np.quantile(aspects, 0.95) > MIXED_ASPECTS * np.quantile(aspects, 0.05):
        narrow, wide = np.quantile(aspects, [0.05, 0.95])
        yield Finding(
            "aspect ratio",
            "note",
            f"The aspect ratios of the images differ much (most lie between {narrow:.2f} and {wide:.2f} to 1): all are "
            "stretched to one shape, so the same thing looks different in each; crop them alike where possible.",
        )
    others = np.array([row for row, size in enumerate(sizes) if size != usual and twist[row] <= ODD_ASPECT], dtype=int)
    if len(others) and count >= USUAL * n_all:
        files = _files(measured, others)
        height, width = sizes[int(others[0])]
        yield Finding(
            "size",
            "note",
            f"{_some(len(others), n_all)} of another size than the usual {usual[1]} x {usual[0]} pixels ({files[0]}: "
            f"{width} x {height}): resized, they are sharper or softer than the others.",
            files,
            len(others),
        )


def _grey_and_colour(measured: Measured) -> Iterator[Finding]:
    grey = measured.pixels.grey
    n_grey, n_all = int(grey.sum()), len(grey)
    if 0 < n_grey < n_all:
        rare = 2 * n_grey <= n_all
        files = _files(measured, np.flatnonzero(grey == rare))
        n = min(n_grey, n_all - n_grey)
        yield Finding(
            "grey and colour",
            "note",
            f"{_some(n, n_all)} {'grey' if rare else 'coloured'} and the others are not ({files[0]}): a model can tell "
            "such images apart at once; use one kind only.",
            files,
            n,
        )


def _classes(measured: Measured, units: Sequence[str]) -> Iterator[Finding]:
    anomalous = np.array([sample.anomalous for sample in measured.samples])
    figure = ("false-alarm rate of at most", "recall of at least")
    for which, n_units in enumerate(units_of_each_class(anomalous, np.array(units))):
        name, n = ("normal", "anomalous")[which], int((anomalous == bool(which)).sum())
        if not 0 < n_units < FEW:
            continue
        # Clopper and Pearson's one-sided bound (1934, Biometrika 26:404) where nothing was missed.
        least = (1 - _SURE) ** (1 / n_units)
        shown = f"{figure[which]} {100 * (least if which else 1 - least):.0f} %"
        alone = counted(n_units, f"{name} image" if n == n_units else f"independent {name} image")
        all_of = "" if n == n_units else f" ({n:,} in all)"
        yield Finding(
            "few images",
            "warning" if n_units < VERY_FEW else "note",
            f"Only {alone}{all_of}: even a model that makes no mistake on {'any of them' if n_units > 1 else 'it'} is "
            f"only shown to have a {shown} (with {100 * _SURE:.0f} % confidence); add {name} images.",
        )
    rare = int(min(anomalous.sum(), (~anomalous).sum()))
    if 0 < rare < IMBALANCE * len(anomalous):
        name, common = ("anomalous", "normal") if anomalous.mean() < 0.5 else ("normal", "anomalous")
        yield Finding(
            "imbalance",
            "note",
            f"{_some(rare, len(anomalous))} {name}: to call every image {common} is right "
            f"{share(1 - rare / len(anomalous))} % of the time, so look at recall and precision, not at accuracy.",
        )


def _some(n: int, n_all: int) -> str:
    return f"{n:,} of {counted(n_all, 'image')} {'is' if n == 1 else 'are'}"


def _files(measured: Measured, rows: npt.NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(measured.samples[row].file for row in rows[:_MOST_FILES])
