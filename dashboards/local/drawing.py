"""Panels drawn from their rows: `drawn` is what the local board's page and the report ask for."""

from __future__ import annotations

import polars as pl

from dashboards.local.asking import NO_MARKS
from dashboards.local.drawn import Drawn, LinkTo, no_link
from dashboards.panels import Panel
from dashboards.substitution import Range


def drawn(
    panel: Panel, rows: pl.DataFrame, during: Range, marks: pl.DataFrame = NO_MARKS, *, link_to: LinkTo = no_link
) -> Drawn:
    """The panel, from the `rows` that `asking.ask` gave for `during`; `marks` are those of `asking.ask_marks`."""
    if rows.is_empty():
        return Drawn("Nothing in this range.", '<p class="nothing">Nothing in this range.</p>', is_empty=True)
    raise NotImplementedError(panel.title)
