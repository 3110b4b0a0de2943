"""Test images small enough that hundreds fit into one page: which ones, how large, and with what beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from PIL import Image

from whycam.report.colours import overlay
from whycam.report.contents import CloseUp, Region
from whycam.report.gallery import BOXES
from whycam.types import ANOMALOUS_ABOVE, Exhibit, Floats, Pixels, Predictions, Threshold

MOST_THUMBNAILS = 2000
"""So many test images can be looked at in the page; it stays below some megabytes and each of them within reach."""
MOST_CLOSE_UPS = 200
"""So many of them have a heatmap in the page."""

_THUMBNAIL_SIDE = 128
_CLOSE_UP_SIDE = 320
_GOLDEN = (5**0.5 - 1) / 2


def choose_images(
    test: Predictions,
    threshold: Threshold,
    *,
    most: int,
    first: Sequence[int] = (),
    p_values: Floats | None = None,
) -> tuple[int, ...]:
    """The places in `test` of at most `most` images that are worth looking at; all of them where there are no more.

    In turn: the worst mistake, the score nearest to the threshold, an image from anywhere (evenly over the ranks of the
    scores) and, with `p_values`, the most novel one. A larger `most` keeps what a smaller one chose.

    Args:
        test: N images.
        threshold: decides what a mistake is; an unsure verdict is none.
        most: at least 0.
        first: places that are taken before all others.
        p_values: (N,) of novelty, or None.
    """
    scores = test.scores
    distance = np.abs(scores - threshold.value)
    wrong = (scores >= threshold.value) != (test.targets > ANOMALOUS_ABOVE)
    if threshold.band is not None:
        wrong &= (scores < threshold.band.low) | (scores >= threshold.band.high)
    ranked = np.argsort(scores, kind="stable")
    # Multiples of the golden ratio lie evenly over [0, 1) however many of them are taken.
    anywhere = ranked[(np.modf(np.arange(len(scores)) * _GOLDEN)[0] * len(scores)).astype(np.int64)]
    farthest = np.argsort(-distance, kind="stable")
    queues = [farthest[wrong[farthest]], np.argsort(distance, kind="stable"), anywhere]
    if p_values is not None:
        queues.append(np.argsort(p_values, kind="stable"))
    chosen = dict.fromkeys(first)
    for turn in zip_longest(*(queue.tolist() for queue in queues)):
        if len(chosen) >= most:
            break
        chosen |= dict.fromkeys(place for place in turn if place is not None)
    return tuple(chosen)[:most]


def thumbnail(picture: Pixels) -> bytes:
    """A picture (H, W), (H, W, 1) or (H, W, 3) of any size as a WEBP of at most 128 pixels a side."""
    return _webp(_within(_image(picture), _THUMBNAIL_SIDE), quality=72)


def close_up(exhibit: Exhibit, *, scale: float) -> CloseUp:
    """One exhibit as the page shows it on its own, at most 320 pixels a side.

    Args:
        exhibit: image (H, W, 3) with heatmap (H, W) and segments.
        scale: the heat shown as the hottest colour, one for the whole run.

    Raises:
        ValueError: image and heatmap differ in size, or the heatmap is not finite.
    """
    height, width = exhibit.heatmap.shape
    if exhibit.image.shape[:2] != (height, width):
        raise ValueError(f"{exhibit.file}: the heatmap is {(height, width)}, its image {exhibit.image.shape[:2]}.")
    image = _within(_image(exhibit.image), _CLOSE_UP_SIDE)
    heat = _within(Image.fromarray(exhibit.heatmap.astype(np.float32)), _CLOSE_UP_SIDE)
    warm = overlay(np.asarray(image.convert("RGB")), np.asarray(heat), scale=scale)
    ranked = sorted(exhibit.segments, key=lambda segment: segment.evidence_share, reverse=True)
    regions = []
    for segment in ranked[:BOXES]:
        left, top, right, bottom = segment.box
        box = (left / width, top / height, right / width, bottom / height)
        regions.append(Region(box, segment.evidence_share))
    return CloseUp(
        image=_webp(image, quality=80),
        overlay=_webp(Image.fromarray(warm), quality=80),
        size_wh=image.size,
        regions=tuple(regions),
        n_more=len(ranked[BOXES:]),
        share_more=sum(segment.evidence_share for segment in ranked[BOXES:]),
    )


def _image(picture: Pixels) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)


def _within(picture: Image.Image, side: int) -> Image.Image:
    """Made smaller where it is larger, never larger; averaging keeps heat between its bounds."""
    factor = side / max(picture.size)
    if factor >= 1:
        return picture
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.BOX)


def _webp(picture: Image.Image, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    # Method 1 of 6: slower ones save a tenth of the bytes for several times the time.
    picture.save(buffer, "WEBP", quality=quality, method=1)
    return buffer.getvalue()
