"""How pages are made from templates: one environment, in which nothing is undefined and all text is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from whycam.errors import printable
from whycam.report import data_words, words

_MOST_LEFT_OUT = 200
"""So many files that were left out are named; a page with ten thousand of them helps nobody."""


def environment() -> Environment:
    """The environment of all templates."""
    made = Environment(
        loader=PackageLoader("whycam.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": words.count, "number": words.number, "printable": printable}
    made.globals |= {"data_rows": data_words.rows, "most_left_out": _MOST_LEFT_OUT, "most_named": data_words.MOST_NAMED}
    return made
