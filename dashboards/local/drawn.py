"""What becomes of a panel: a chart for Vega, or HTML; either with a sentence that says what is to be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.panels import Link

Spec = dict[str, Any]
"""A Vega-Lite specification. Colours are CSS variables (`dashboards.local.themes`), so one serves light and dark."""

LinkTo = Callable[[Link, Mapping[str, object]], str]
"""The address that a link leads to from a row; nothing for no link."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel as it is shown.

    A chart is its `spec`, and `html` is the legend below it: a table of its series with the newest and the highest of
    each. Whatever else is `html` alone, and nothing but that. All HTML is escaped.
    """

    summary: str
    """What screen readers say of the panel: plain text."""
    html: str
    spec: Spec | None = None
    is_empty: bool = False


def no_link(link: Link, row: Mapping[str, object]) -> str:
    """Links of a page that leads nowhere, such as a report."""
    return ""
