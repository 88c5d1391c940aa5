"""The panel of what is found besides burns: queues that break, figures that drift, costs that rose."""

from __future__ import annotations

from dashboards.panels import HIDDEN, PAGE, TICKET, Column, Grid, Place
from dashboards.queries.open_findings import OPEN_FINDINGS
from dashboards.queries.selection import SLICE_VARIABLES
from dashboards.variables import STAGES_UID, drill_down


def open_findings() -> Grid:
    columns: dict[str, Column] = {
        "severity": Column(words={"page": PAGE, "ticket": TICKET}, width=80),
        "state": Column(width=80),
        "question": Column(width=110),
        "alert": Column(width=150),
        "slice": Column(link=drill_down(*SLICE_VARIABLES, to=STAGES_UID), width=240),
        "since": Column("dateTimeAsIso"),
        "lasts_s": Column("s", 0),
        "summary": Column(width=380),
        "action": Column(width=320),
        **dict.fromkeys(SLICE_VARIABLES, HIDDEN),
    }
    meaning = (
        "What the other questions found and has not ended: queues that grow, figures that drifted, costs that rose; pages first, then "
        "the newest. What began shortly before a burn is a candidate for its cause. The board of each question tells more."
    )
    return Grid(OPEN_FINDINGS, "Open findings", meaning, Place(24, 8), columns)
