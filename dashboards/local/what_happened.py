"""What opens a report: the pages, tickets and findings of its range, as a board of its own."""

from __future__ import annotations

from dashboards.boards import Board
from dashboards.panels import CALM, PAGE, TICKET, Column, Grid, Place
from dashboards.queries.burn_rate import Watched
from dashboards.queries.what_happened import EVERY_FINDING
from dashboards.sections.burn_rate import pages
from dashboards.variables import slices, slo

_STATES = {"firing": PAGE, "frozen": TICKET, "resolved": CALM}
_SEVERITIES = {"page": PAGE, "ticket": TICKET}


def what_happened(watched: Watched) -> Board:
    """Whoever was paged or told, of what, and for how long."""
    return Board(
        "turnwatch-what-happened",
        "What happened",
        "Whom turnwatch paged or told in this range, of what, and for how long.",
        {"Pages, tickets and findings": [pages(), findings()]},
        [slo(watched), *slices()],
        (),
    )


def findings() -> Grid:
    columns: dict[str, Column] = {
        "state": Column(words=_STATES),
        "severity": Column(words=_SEVERITIES),
        "since": Column("dateTimeAsIso"),
        "until": Column("dateTimeAsIso"),
    }
    meaning = (
        "What was found besides burns and was open in the range, as it was stated last; under 'action' stands what to do. "
        "`frozen` is one that nothing newer confirms or ends."
    )
    return Grid(EVERY_FINDING, "Findings", meaning, Place(24, 8), columns)
