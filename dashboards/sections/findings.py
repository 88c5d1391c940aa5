"""Panels of what the questions found: open findings first, each with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.panels import CALM, HIDDEN, PAGE, TICKET, Column, Grid, Place
from dashboards.queries.findings import NUMBER, TEXT, found
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import BURN_UID, drill_down

_STATES = {"firing": PAGE, "frozen": TICKET, "resolved": CALM}
_SEVERITIES = {"page": PAGE, "ticket": TICKET}
_TOLD = (
    "Every finding that was stated in the range, open ones first, as it was stated last: `frozen` is one that nothing newer "
    "confirms or ends. Do what stands under 'action'; the slice leads to what else burns there."
)


def findings(
    name: str, question: str, title: str, facts: Mapping[str, Column], place: Place, *, meaning: str, label: str = ""
) -> Grid:
    """Findings of one question; `facts` are the figures that are shown of each, words where a column has no unit."""
    kinds = {fact: NUMBER if column.unit else TEXT for fact, column in facts.items()}
    columns: dict[str, Column] = {
        "state": Column(words=_STATES, width=80),
        "severity": Column(words=_SEVERITIES, width=80),
        "alert": Column(width=150),
        "slice": Column(width=250, link=drill_down(*SLICE_VARIABLES, to=BURN_UID)),
        **({label: Column(width=140)} if label else {}),
        "since": Column("dateTimeAsIso", width=160),
        "lasts_s": Column("s", 0, 80),
        "summary": Column(width=420),
        "action": Column(width=320),
        **facts,
        "completeness": Column("percentunit", 1),
        "runbook": Column(width=200),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    return Grid(found(name, (question,), kinds, label), title, f"{meaning} {_TOLD}", place, columns)
