"""What the figures about heatmaps and the maps beside them are called, for people who know none of them."""

from __future__ import annotations

from collections.abc import Sequence

from whycam.report.measured import CENTRE, EDGES, RANDOM
from whycam.report.words import estimate
from whycam.types import Estimate

BASELINES = {RANDOM: "random map", CENTRE: "centred blob", EDGES: "edge map"}
"""The maps that know nothing, for people."""

FIGURES = {
    "deletion": (
        "Deletion",
        "Mean score while the hottest pixels are replaced by the image's mean colour, step by step. Lower is better.",
    ),
    "insertion": (
        "Insertion",
        "Mean score while the hottest pixels are put back into the blurred image, step by step. Higher is better.",
    ),
    "road": (
        "ROAD",
        "Half of what the score loses more when the hottest pixels, not the coldest, are filled in from their "
        "neighbours. 0 is chance, higher is better.",
    ),
    "pointing_game": ("Pointing game", "Share of images whose hottest pixel lies in the mask. Higher is better."),
    "mass_in_mask": ("Mass in the mask", "Share of the heat that lies in the mask. Higher is better."),
    "mean_pixel_auroc": (
        "Pixel AUROC (mean of the images)",
        "Chance that a defective pixel is hotter than a sound one of the same image. 1 is perfect, 0.5 is chance.",
    ),
    "pooled_pixel_auroc": (
        "Pixel AUROC (all pixels together)",
        "The same with pixels of all these images compared. 1 is perfect, 0.5 is chance.",
    ),
    "aupro": (
        "AUPRO",
        "Mean share of a defect that is found, over rates of false alarms up to 30 % of the sound pixels. "
        "1 is perfect, 0.15 is chance.",
    ),
}
"""Field, name, and what it says."""


def lead_words(lead: Estimate, rival: str) -> str:
    """How far ahead of its best baseline a heatmap is, or behind it: `ahead of the edge map by 0.2 (0.1 to 0.3)`."""
    if lead.value is None:
        return ""
    ahead = lead.value >= 0
    low, high = (None if end is None else end if ahead else -end for end in (lead.low, lead.high))
    # More digits than any figure has would read as if they meant something.
    ends = (None if end is None else round(end, 4) for end in ((low, high) if ahead else (high, low)))
    return f"{'ahead of' if ahead else 'behind'} the {rival} by {estimate(Estimate(round(abs(lead.value), 4), *ends))}"


def within_sentence(title: str) -> str:
    """The title within a sentence."""
    return title if title.startswith(("ROAD", "AUPRO", "Pixel AUROC")) else title[0].lower() + title[1:]


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
