"""What the files of a data set show when they are opened: sizes, and masks that do not fit their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np

from whycam.data.facts import commonest
from whycam.data.headers import Header, read_header
from whycam.data.levels import EIGHT_BIT, ImageFacts, Levels
from whycam.data.masks import INVERTED_ABOVE, drawn_on, read_whole
from whycam.data.parallel import in_order
from whycam.errors import ImageError
from whycam.types import Dataset, Looks, MaskFacts, Sample, Skipped, WideValues

MOST_OPENED, MOST_MEGAPIXELS = 200, 100
"""So many masks are decoded at most, and so many pixels altogether, which takes a second or two."""


def look_at(dataset: Dataset, facts: Mapping[str, ImageFacts], levels: Levels) -> Looks:
    """What the files of a data set show; masks are looked at beside their images, up to 200 of them pixel by pixel.

    Args:
        dataset: with samples that can be decoded.
        facts: of each of its files.
        levels: by which values of more than 8 bits became pixels.
    """
    masked = [sample for sample in dataset.samples if sample.mask is not None]
    with closing(in_order(lambda sample: read_header(sample.path), masked)) as read:
        headers = dict(zip((sample.file for sample in masked), read, strict=True))
    return Looks(
        sizes=commonest(
            (width, height) for height, width in (facts[sample.file].size_hw for sample in dataset.samples)
        ),
        masks=_masks(masked, headers) if masked else None,
        bit_depths=commonest(_depth(facts[sample.file]) for sample in dataset.samples),
        values=_values([facts[sample.file] for sample in dataset.samples], levels),
        remarks=_remarks({sample.file: facts[sample.file] for sample in dataset.samples}, levels),
    )


def _depth(facts: ImageFacts) -> str:
    kind = "" if facts.kind == "unsigned" else f" {facts.kind}"
    alpha = " with transparency" if facts.alpha else ""
    bits = "1 bit" if facts.bits == 1 else f"{facts.bits} bits"
    return f"{bits}{kind} {'colour' if facts.colour else 'grey'}{alpha}"


def _values(facts: Sequence[ImageFacts], levels: Levels) -> WideValues | None:
    wide = [image.values for image in facts if image.values is not None]
    if not wide:
        return None
    return WideValues(
        n=len(wide),
        lowest=min(values.lowest for values in wide),
        highest=max(values.highest for values in wide),
        black=levels.low,
        white=levels.high,
        found=levels.found,
    )


def _remarks(facts: Mapping[str, ImageFacts], levels: Levels) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(code, the files it must be said of), for what was changed or left out of pixels without anybody's asking."""
    told: dict[str, list[str]] = {}
    for file, image in facts.items():
        for remark in image.remarks:
            told.setdefault(remark.code, []).append(file)
        if image.values is None:
            if not levels.mixed:
                told.setdefault("eight bits", []).append(file)
            continue
        if levels == EIGHT_BIT:
            told.setdefault("wide", []).append(file)
        if levels.found == "full range":
            continue
        # The ends of the summary leave a thousandth of the samples out: more than that lies outside the levels.
        if image.values.low < levels.low:
            told.setdefault("below levels", []).append(file)
        if image.values.high > levels.high:
            told.setdefault("above levels", []).append(file)
    return tuple((code, tuple(files)) for code, files in told.items())


def _masks(samples: Sequence[Sample], headers: dict[str, Header | None]) -> MaskFacts:
    sizes: list[tuple[int, int]] = []
    inverted, other_aspect, turned, assumed, empty = [], [], [], [], []
    unreadable: dict[str, str] = {}
    for sample in samples:
        image, mask = headers[sample.file], read_header(sample.mask) if sample.mask else None
        if mask is not None:
            sizes.append(mask.upright_wh)
        else:
            unreadable[sample.file] = "not a readable mask"
        if image is None or mask is None:
            continue
        # A mask with an orientation of its own is turned by that.
        on = drawn_on(mask.upright_wh, image) if mask.turn is None else "upright"
        if mask.turn is not None and drawn_on(mask.upright_wh, image) == "neither":
            on = "neither"
        if on == "neither":
            other_aspect.append((sample.file, mask.upright_wh, image.upright_wh))
        elif on == "stored":
            turned.append(sample.file)
        elif on == "either":
            assumed.append(sample.file)

    pixels = [width * height for width, height in sizes] or [1]
    most = max(1, min(MOST_OPENED, len(samples), int(MOST_MEGAPIXELS * 1e6 * len(pixels) / sum(pixels))))
    opened = [samples[int(at)] for at in np.linspace(0, len(samples) - 1, most).round()]

    def share(sample: Sample) -> float | str:
        assert sample.mask is not None
        try:
            return float(read_whole(sample.mask).mean())
        except ImageError as error:
            return str(error)

    with closing(in_order(share, opened)) as shares:
        for sample, found in zip(opened, shares, strict=True):
            if isinstance(found, str):
                unreadable[sample.file] = found
            elif found > INVERTED_ABOVE:
                inverted.append(sample.file)
            elif not found and sample.anomalous:
                empty.append(sample.file)
    return MaskFacts(
        n=len(samples),
        n_opened=len(opened),
        inverted=tuple(inverted),
        other_aspect=tuple(other_aspect),
        turned=tuple(turned),
        assumed_upright=tuple(assumed),
        unreadable=tuple(Skipped(file, why) for file, why in unreadable.items()),
        empty=tuple(empty),
    )
