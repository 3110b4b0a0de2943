"""How pages are made from templates: one environment, in which nothing is undefined and all text is escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from whycam.errors import printable
from whycam.report import words


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
    return made
