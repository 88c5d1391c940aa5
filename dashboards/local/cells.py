"""A value as a cell shows it: in its unit, with what its threshold or its word means, and with where it leads.

Colour never stands alone: a value at or above a limit has a sign beside it, and its words for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from dashboards.local.drawn import LinkTo
from dashboards.local.markup import element, hidden, instant, linked, text
from dashboards.local.themes import cell_class
from dashboards.local.units import MISSING, formatted
from dashboards.panels import PAGE, TICKET, Column, Steps

_SIGNS = {PAGE: ("▲▲", "worth a page"), TICKET: ("▲", "worth a ticket")}


def colour_of(value: object, column: Column) -> str:
    """The colour of the cell's background; nothing where the column has none, or there is no value."""
    if value is None or value == "":
        return ""
    if column.steps is not None:
        return step_colour(value, column.steps)
    if column.is_marked:
        return TICKET
    return column.words.get(str(value), "")


def step_colour(value: object, steps: Steps) -> str:
    """The colour of the highest limit that the value reaches, or the lowest."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return ""
    reached = [colour for limit, colour in steps.limits if value >= limit]
    return reached[-1] if reached else steps.lowest


def shown(value: object, column: Column) -> str:
    """The value as text in HTML."""
    if isinstance(value, datetime):
        return instant(value, formatted(value))
    unit = "percentunit" if column.bar and not column.unit else column.unit
    return text(formatted(value, unit, column.decimals)) or MISSING


def content(value: object, column: Column, row: Mapping[str, object], link_to: LinkTo) -> str:
    """What stands in the cell."""
    said = shown(value, column)
    if column.link is not None:
        said = linked(said, link_to(column.link, row), column.link.title)
    if column.bar:
        return _bar(value, column.bar) + said
    return said + sign(colour_of(value, column) if column.steps is not None else "")


def sign(colour: str) -> str:
    """What a threshold's colour means, for eyes and for ears."""
    if colour not in _SIGNS:
        return ""
    seen, said = _SIGNS[colour]
    return element("span", f" {seen}", class_="sign", aria_hidden="true") + hidden(f", {said}")


def kind_of(value: object, column: Column, is_number: bool, is_prose: bool = False) -> str | None:
    """The classes of a cell."""
    colour = colour_of(value, column)
    kinds = (
        ["number"] * is_number
        + ["prose"] * is_prose
        + [cell_class(colour)] * bool(colour)
        + ["gauge"] * bool(column.bar)
    )
    return " ".join(kinds) or None


def _bar(value: object, colour: str) -> str:
    """A share of the cell's width; whoever does not see it has the number."""
    share = value if isinstance(value, int | float) and math.isfinite(value) else 0.0
    width = f"{min(max(share, 0.0), 1.0) * 100:.1f}%"
    part = element("rect", "", width=width, height="100%", class_=f"bar-{colour.removeprefix('#').lower()}")
    return element("svg", part, class_="bar", aria_hidden="true", focusable="false")
