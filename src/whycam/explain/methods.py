"""The names of the methods that make heatmaps, free of torch: the command line lists them before anything is loaded."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal, get_args

from whycam.errors import OptionError, one_of

Method = Literal[
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "hires-cam",
    "layer-cam",
    "eigen-cam",
    "score-cam",
    "ablation-cam",
    "occlusion",
]
METHODS: tuple[Method, ...] = get_args(Method)
SLOW: tuple[Method, ...] = ("score-cam", "occlusion")
"""These look at many changed copies of every image: about a hundred times what scoring takes, and more."""

_TITLES: dict[Method, str] = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "xgrad-cam": "XGrad-CAM",
    "hires-cam": "HiResCAM",
    "layer-cam": "LayerCAM",
    "eigen-cam": "Eigen-CAM",
    "score-cam": "Score-CAM",
    "ablation-cam": "Ablation-CAM",
    "occlusion": "Occlusion",
}


def method_named(text: str) -> Method:
    """The method of exactly that name; OptionError, with the name that was probably meant, for any other."""
    for method in METHODS:
        if text == method:
            return method
    close = get_close_matches(text.casefold(), METHODS, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise OptionError(one_of("method", METHODS, text) + hint)


def title_of(method: Method) -> str:
    """The method's name as its paper spells it, for pictures, cards and reports."""
    return _TITLES[method]
