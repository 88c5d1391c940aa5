"""Panels of what the questions found besides burns: open findings first, each with what to do about it and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dashboards.panels import CALM, HIDDEN, PAGE, TICKET, Column, Grid, Link, Place
from dashboards.queries.findings import (
    BOARD,
    DIMENSIONS_OF_FINDINGS,
    EVERY_FINDING,
    LABELS,
    NUMBER,
    OPEN_FINDINGS,
    TEXT,
    found,
)
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import BURN_UID, OVERVIEW_UID, drill_down

_STATES = {"firing": PAGE, "frozen": TICKET, "resolved": CALM}
_SEVERITIES = {"page": PAGE, "ticket": TICKET}
_TOLD = (
    "Every finding that was open in the range, open ones first, as it stood at its end: `frozen` is one that nothing newer "
    "confirms or ends. Do what stands under 'action'; the alert leads to where to look, the slice to what else burns there."
)
_OF_ITS_QUESTION = replace(
    drill_down(*DIMENSIONS_OF_FINDINGS, *LABELS, to=OVERVIEW_UID),
    title="The board of the question that found it, at this slice",
    board_column=BOARD,
)


def _columns(facts: Mapping[str, Column], alert: Link, label: str = "") -> dict[str, Column]:
    return {
        "state": Column(words=_STATES, width=80),
        "severity": Column(words=_SEVERITIES, width=80),
        "question": Column(width=100),
        "alert": Column(width=150, link=alert),
        "slice": Column(width=250, link=drill_down(*SLICE_VARIABLES, to=BURN_UID)),
        **dict.fromkeys(LABELS, HIDDEN),
        **({label: Column(width=140)} if label else {}),
        "since": Column("dateTimeAsIso", width=160),
        "until": Column("dateTimeAsIso", width=160),
        "lasts_s": Column("s", 0, 80),
        "summary": Column(width=420),
        "action": Column(width=320),
        **facts,
        "completeness": Column("percentunit", 1),
        "runbook": Column(width=200),
        **dict.fromkeys((*DIMENSIONS_OF_FINDINGS, BOARD), HIDDEN),
    }


def findings(
    name: str, question: str, title: str, facts: Mapping[str, Column], place: Place, *, meaning: str, to: Link,
    label: str = "", chosen: tuple[str, ...] = SLICE_VARIABLES,
) -> Grid:  # fmt: skip
    """Findings of one question; `facts` are the figures that are shown of each, words where a column has no unit."""
    kinds = {fact: NUMBER if column.unit else TEXT for fact, column in facts.items()}
    columns = _columns(facts, to, label) | {"question": HIDDEN, "until": HIDDEN}
    return Grid(found(name, (question,), kinds, chosen=chosen), title, f"{meaning} {_TOLD}", place, columns)


def open_findings() -> Grid:
    meaning = (
        "What the other questions found and has not ended: queues that grow, figures that drifted, costs that rose; pages first, then "
        "the newest. What began shortly before a burn is a candidate for its cause. An alert leads to the board of its question."
    )
    columns = _columns({}, _OF_ITS_QUESTION) | {"until": HIDDEN}
    return Grid(OPEN_FINDINGS, "Open findings", meaning, Place(24, 8), columns)


def every_finding() -> Grid:
    meaning = "What the questions found besides burns. " + _TOLD
    return Grid(EVERY_FINDING, "Findings", meaning, Place(24, 8), _columns({}, _OF_ITS_QUESTION))
