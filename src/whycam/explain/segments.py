"""Predicted segments: the connected regions of a heatmap above a stated level."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from whycam.types import Floats, Segment


def find_segments(heatmap: Floats, evidence: Floats, *, level: float) -> tuple[Segment, ...]:
    """Regions of `heatmap` at or above `level`, connected along sides and corners, largest share of the evidence first.

    Args:
        heatmap: (H, W), >= 0, placed on the picture's pixels.
        evidence: (H, W), spread over the same pixels so that it keeps its sum.
        level: in the heatmap's units; at a level of 0 or below there is nothing to cut and the result is empty.
    """
    if level <= 0:
        return ()
    labels, count = ndimage.label(heatmap >= level, structure=np.ones((3, 3)))
    whole = float(np.maximum(evidence, 0).sum())
    segments = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels, count), start=1):
        mask = labels == number
        share = float(evidence[mask].sum()) / whole if whole > 0 else 0.0
        box = (columns.start, rows.start, columns.stop, rows.stop)
        segments.append(Segment(mask=mask, box=box, area=float(mask.mean()), evidence_share=share))
    return tuple(sorted(segments, key=lambda segment: (-segment.evidence_share, -segment.area, segment.box)))
