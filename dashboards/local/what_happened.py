"""What opens a report: the pages, tickets and findings of its range, as a board of its own."""

from __future__ import annotations

from dashboards.boards import Board
from dashboards.queries.burn_rate import Watched
from dashboards.sections.burn_rate import pages
from dashboards.sections.findings import every_finding
from dashboards.variables import slices, slo


def what_happened(watched: Watched) -> Board:
    """Whoever was paged or told, of what, and for how long."""
    return Board(
        "turnwatch-what-happened",
        "What happened",
        "Whom turnwatch paged or told in this range, of what, and for how long.",
        {"Pages, tickets and findings": [pages(), every_finding()]},
        [slo(watched), *slices()],
        (),
    )
