"""Panels about whether the boards can be trusted: what is behind, what came late, and how long it took to tell somebody."""

from __future__ import annotations

from dashboards.panels import CALM, OKABE_ITO, TICKET, Chart, Column, Figures, Grid, Place, Steps
from dashboards.queries import freshness
from schemas.burns import RESOLVE_COMPLETENESS_MIN
from schemas.families import TURNS

_STATES = {"behind": TICKET, "nothing": OKABE_ITO[-1], "in time": CALM}
_COMPLETE = Steps(calm=RESOLVE_COMPLETENESS_MIN)


def trust() -> Figures:
    columns: dict[str, Column] = {
        "tables behind": Column("none", 0, steps=Steps(ticket=1)),
        "least completeness": Column("percentunit", 1, steps=_COMPLETE),
        "dropped": Column("percentunit", 2, steps=Steps(ticket=0.01)),
        "generalised": Column("percentunit", 1),
        "refused": Column("short", steps=Steps(ticket=1)),
    }
    meaning = (
        "Whether what other boards show can be trusted: tables whose newest row is too old, the least complete decision of the "
        f"range (below {RESOLVE_COMPLETENESS_MIN:.0%} nothing is resolved), what producers dropped, the share that left without an identifying "
        "value, and what was refused. Look at what is not calm before you believe a quiet board."
    )
    return Figures(freshness.TRUST, "Can it be trusted", meaning, Place(24, 4), columns)


def tables() -> Grid:
    columns: dict[str, Column] = {
        "state": Column(words=_STATES, width=90),
        "table": Column(width=160),
        "newest": Column("dateTimeAsIso"),
        "age_s": Column("s", 0),
        "late_after_s": Column("s", 0),
    }
    meaning = (
        "The newest row of each table in the range or the day before it, how old it was at the range's end (or is now), and from which "
        "age it is behind: what its family may be late by, and two buckets. One that is behind: its producers or its stage; all: "
        "Kafka or ClickHouse. 'nothing' is a family that nobody sends, or silence."
    )
    return Grid(freshness.FRESHNESS, "How old is the newest row of each table", meaning, Place(12, 10), columns)


def told_after() -> Grid:
    columns: dict[str, Column] = {
        "question": Column(width=130),
        "alerts": Column("none", 0),
        "waited_s_p50": Column("s", 0),
        "waited_s_max": Column("s", 0),
        "least_complete": Column("percentunit", 1, steps=_COMPLETE),
    }
    meaning = (
        "Of the alerts that began in the range: how long after the instant that decided them they began to fire, by the clock, "
        "and on how much of the volume the least complete was decided. Minutes are the pipeline's lag: look at its watermarks. In a replay "
        "of old data it is the age of that data."
    )
    return Grid(freshness.TOLD_AFTER, "From happening to telling", meaning, Place(12, 10), columns)


def late() -> Grid:
    columns: dict[str, Column] = {
        "family": Column(width=110),
        "late_frames": Column("short"),
        "late_producers": Column("none", 0),
        "such_as": Column(width=260),
        "lagged_buckets": Column("short"),
        "lagging_partitions": Column(width=220),
        "oldest": Column("dateTimeAsIso"),
        "newest": Column("dateTimeAsIso"),
        "may_be_late_s": Column("s", 0),
    }
    meaning = (
        "What came after its family's lateness, by family: frames by whose producer, and buckets of source partitions that lagged "
        "behind the others. It is in the views and not in alerts. One producer: its host's clock or network. A partition: "
        "the consumer that reads it. Empty: nothing was late."
    )
    return Grid(freshness.LATE, "Too late", meaning, Place(12, 8), columns)


def late_over_time() -> Chart:
    meaning = (
        f"Frames that came too late (after {TURNS.lateness_s} s for turns), and buckets of lagging partitions, by the time that they are "
        "about. A block of all families at once is an outage that is over; a steady trickle of one is a producer to look at."
    )
    title, unit = "Too late, by when it happened", "count:frames"
    return Chart(freshness.LATE_OVER_TIME, title, meaning, unit, Place(12, 8), axis="frames or buckets in a step")


def elsewhere() -> Grid:
    columns: dict[str, Column] = {
        "what": Column(width=120),
        "metric": Column(width=330),
        "meaning": Column(),
    }
    meaning = (
        "What workers count and no table has, so that this board cannot show it: ask Prometheus for these. Dead letters and gaps "
        "that grow are data that is missing everywhere else on these boards."
    )
    return Grid(freshness.ELSEWHERE, "Counted at /metrics only", meaning, Place(24, 9), columns)
