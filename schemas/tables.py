"""ClickHouse tables, derived from the contract: each answers one question, and is sorted by it.

Rows are absolutes with a version that only grows: the same row written twice, or an older one after a newer, changes
nothing (`ReplacingMergeTree(version)`, read with FINAL). A slice is kept as its text and as one column per dimension,
empty where the slice's cut does not name it. Numbered migrations bring a database here; a test holds that applying them
all gives exactly these tables.
"""

from __future__ import annotations

import pyarrow as pa

from schemas.drift_table import DRIFT
from schemas.families import COSTS, DUPLEX, TURNS
from schemas.rollup_tables import (
    FAMILY_TABLES,
    LATE_TABLES,
    RETENTION_1M_D,
    RETENTION_10S_D,
    ROLLUP_TABLES,
    TRAFFIC_MEASURES,
    Rollup,
    late_table,
    rollups_of,
    widest,
)
from schemas.table_columns import BUCKET, VERSION, Column, Table, count, counters, share, slice_columns, text, time

_BURN_WINDOWS = Table(
    "burn_windows",
    "How fast does each SLO spend its budget in each window, what is left, and when is it spent?",
    (
        text("slo", "the service level objective"),
        *slice_columns(TURNS, DUPLEX),
        time("decided_at", "end of the newest decided bucket, event time"),
        text("window", "the window, from short to long: 1m 5m 10m 30m 1h 2h 6h 1d 3d, and the period"),
        Column("window_s", "UInt32", "length of the window in seconds", pa.uint32()),
        count("bad", "bad turns (or events, actions, audio frames) in the window"),
        count("total", "judged ones in the window"),
        share("burn", "(bad / total) / (1 - objective); 0 without traffic"),
        share("budget_left", "1 - bad / (total x (1 - objective)) over the period"),
        Column(
            "exhausted_in_s",
            "Nullable(Float64)",
            "seconds until the budget is spent at this window's burn; empty when nothing burns",
            pa.float64(),
        ),
        Column(
            "spent_today",
            "Nullable(Float64)",
            "bad turns since 00:00 UTC / those that the period's expected traffic allows; empty before an hour of history",
            pa.float64(),
        ),
        Column(
            "one_failure_costs",
            "Nullable(Float64)",
            "1 / the bad turns that the period's expected traffic allows; empty before an hour of history",
            pa.float64(),
        ),
        share("completeness", "share of recent volume that had reported when this was decided"),
        VERSION,
    ),
    # Time before the slice: boards ask of every slice what it does now, and few for a month of one.
    ("slo", "cut", "decided_at", "slice", "window_s"),
    "decided_at",
    RETENTION_1M_D,
)
_SPEND = Table(
    "spend_10m",
    "What did each ten minutes cost, at the prices of their time, and what had none?",
    (
        *slice_columns(COSTS),
        BUCKET,
        *counters(COSTS, ("turns", "successes", "success_audio_ms")),
        count("used_nusd", "cost of what turns used (US nano-dollars)"),
        count("reserved_nusd", "cost of what was paid for, idle included (US nano-dollars)"),
        count("uncosted_gpu_ms", "GPU time that has no price (ms)"),
        count("uncosted_tokens", "tokens of hosted models that have no price"),
        VERSION,
    ),
    ("cut", "slice", "bucket_start"),
    "bucket_start",
    COSTS.retention_d,
)
_PAGES = Table(
    "pages",
    "What paged, when did it begin and end, and on what grounds?",
    (
        text("alert", "identity of the alert: slo, slice and severity"),
        text("slo", "the service level objective"),
        text("slice", "the slice that burnt"),
        text("severity", "page or ticket"),
        text("state", "pending (nobody is told yet), firing, frozen (no fresh data to judge it by) or resolved"),
        text("scope", "fleet where the slice is the whole pool, else slice"),
        text("incident", "the incident that it belongs to since it fired; empty of what never did"),
        text("policy_row", "the policy row that gave the numbers"),
        time("starts_event", "decided instant at which it began, event time"),
        time("decided_event", "decided instant of this statement, event time"),
        time("starts", "when it began, wall clock"),
        Column("ends", "Nullable(DateTime64(3, 'UTC'))", "when it ended, wall clock", pa.timestamp("ms", tz="UTC")),
        share("long_burn", "burn over the long window"),
        share("short_burn", "burn over the short window"),
        share("budget_left", "1 - bad / (total x (1 - objective)) over the period"),
        Column("exhausted_in_s", "Nullable(Float64)", "seconds until the budget is spent", pa.float64()),
        share("completeness", "share of recent volume it was decided on"),
        Column("summary", "String", "the page's summary line", pa.string()),
        VERSION,
    ),
    ("alert", "starts_event", "version"),
    "decided_event",
    400,
)

_FINDINGS = Table(
    "findings",
    "What did the questions find besides burns, since when, what is to be done about it, and when did it end?",
    (
        text("alert", "name of the alert, such as Saturated"),
        Column("finding", "String", "identity of the finding: alert, slice, further labels and severity", pa.string()),
        text("question", "the question that found it"),
        text("cut", "the dimensions of the slice"),
        text("slice", "the slice that it is about"),
        text("severity", "page or ticket"),
        text("state", "firing, frozen (nothing newer confirms or ends it) or resolved"),
        text("incident", "the incident that it belongs to; empty of a ticket"),
        time("since", "from when on it holds, event time"),
        time("starts_event", "what was decided when it was stated first, event time"),
        time("decided_event", "decided instant of this statement, event time"),
        time("starts", "when it began to fire, wall clock"),
        Column("ends", "Nullable(DateTime64(3, 'UTC'))", "when it ended, wall clock", pa.timestamp("ms", tz="UTC")),
        share("completeness", "share of recent volume it was decided on"),
        Column("summary", "String", "what was found, in one line", pa.string()),
        Column("action", "String", "what is to be done about it", pa.string()),
        Column("runbook", "String", "path of its runbook in the repository", pa.string()),
        Column("labels", "String", "what tells it apart from others of its slice, as a JSON object", pa.string()),
        Column(
            "facts", "String", "the figures behind it, each in the unit that its name ends in, as JSON", pa.string()
        ),
        VERSION,
    ),
    ("alert", "slice", "finding", "starts_event", "version"),
    "decided_event",
    400,
)

_EXCLUSIONS = Table(
    "exclusions",
    "What is a budget not charged for, who said so, when and why? Every event is a row.",
    (
        text("id", "the exclusion: the same window of the same slice and objective has the same"),
        Column("action", "String", "declared or withdrawn; the newest event of an id counts", pa.string()),
        text("slo", "the service level objective, or all"),
        text("cut", "the dimensions of the slice"),
        text("slice", "the slice that is excluded, with every slice inside of it"),
        time("from_at", "first excluded minute, event time"),
        time("to_at", "the minute after the last excluded one, event time"),
        Column("who", "String", "who declared or withdrew it", pa.string()),
        Column("why", "String", "the reason that they gave", pa.string()),
        time("at", "when they did, wall clock"),
        VERSION,
    ),
    ("slo", "slice", "id", "at"),
    "to_at",
    400,
)
_RELEASES = Table(
    "releases",
    "What is each bundle made of, who answers for each part, what was it made from, and what are the ways back?",
    (
        text("bundle", "the release bundle"),
        Column("cut", "String", "the dimensions of the slice: bundle", pa.string()),
        text("slice", "the slice of everything that it serves"),
        text("artifact_kind", "what the artifact is"),
        text("artifact", "one versioned part of the bundle"),
        Column("artifact_version", "String", "its version", pa.string()),
        Column("owner", "String", "who answers for it", pa.string()),
        Column("lineage", "String", "what it was made from: references, with blanks between them", pa.string()),
        Column("evaluation", "String", "its evaluation report", pa.string()),
        Column("rollback_to", "String", "the version to go back to", pa.string()),
        Column("ways_back", "String", "ways to undo the release, with semicolons between them", pa.string()),
        Column("who", "String", "who declared the release", pa.string()),
        time("at", "when they did, wall clock; the newest declaration of a bundle counts, whole"),
        VERSION,
    ),
    ("bundle", "artifact_kind", "artifact", "at"),
    "at",
    3_650,
)
_VERDICTS = Table(
    "verdicts",
    "What did gates say of each release at every look, and by which figures, slice by slice and metric by metric?",
    (
        text("release", "the bundle that is judged"),
        text("baseline", "the bundle that it is compared with"),
        Column("cut", "String", "the dimensions of the slice; bundle in the row of the verdict itself", pa.string()),
        text("slice", "the slice, without its bundle; the release's in the row of the verdict itself"),
        text("metric", "the metric; empty in the row of the verdict itself"),
        text("decision", "of the whole verdict: continue, pause or rollback"),
        text("outcome", "of the metric: worse, undecided, insufficient or inside"),
        text("reason", "what a verdict calls the metric; in the row of the verdict itself all that got worse"),
        count("is_protected", "1 where nothing may go on while this is not judged"),
        text("unit", "the unit of values, bounds and of what is allowed"),
        *(
            Column(f"{side}_value", "Nullable(Float64)", f"the metric of the {side}", pa.float64())
            for side in ("baseline", "candidate")
        ),
        *(count(f"{side}_samples", f"what the {side}'s value is of") for side in ("baseline", "candidate")),
        count("windows", "roll-up windows in which both served"),
        Column(
            "allowed",
            "Nullable(Float64)",
            "how much worse it may get; unknown where that is a ratio of nothing yet",
            pa.float64(),
        ),
        *(
            Column(
                name, "Nullable(Float64)", f"{which} bound of how much worse it is, valid at all looks", pa.float64()
            )
            for name, which in (("low", "lower"), ("high", "upper"))
        ),
        Column(
            "alpha",
            "Nullable(Float64)",
            "the error rate that the bounds hold, unknown where nothing is spent yet; in the row of the verdict itself that of all of them",
            pa.float64(),
        ),
        Column("because", "String", "why, in one line", pa.string()),
        Column("blockers", "String", "slices that got worse with their reasons, semicolons between them", pa.string()),
        Column("insufficient", "String", "slices of too few samples, semicolons between them", pa.string()),
        Column("way_back", "String", "the smallest declared step that restores what got worse", pa.string()),
        Column("way_back_because", "String", "why that step", pa.string()),
        text("policy", "the policy that judged"),
        text("policy_version", "hash of all that the policy said"),
        Column("asked", "String", "the queries that the figures came from", pa.string()),
        time("from_at", "from when on both were read, event time"),
        time("to_at", "up to when, event time"),
        Column("who", "String", "who asked", pa.string()),
        time("at", "when they did, wall clock; the newest verdict of a release counts"),
        VERSION,
    ),
    ("release", "at", "slice", "metric"),
    "at",
    400,
)
_OBJECTIVES = Table(
    "objectives",
    "By which objectives does the worker judge, with what budget? Every start of a worker tells all of its objectives.",
    (
        text("slo", "the service level objective"),
        Column("indicator", "String", "the service level indicator", pa.string()),
        Column("pool", "String", "the serving pool that it is about", pa.string()),
        Column("cut", "String", "the cut of the slice", pa.string()),
        text("slice", "the widest slice that it is about, its pool"),
        Column("cuts", "String", "names of the cuts that it watches, with blanks between them", pa.string()),
        share("objective", "the share of good turns that is wanted"),
        Column("period_s", "UInt32", "length of the period in seconds", pa.uint32()),
        time("since", "when the worker started, wall clock; the newest start of any worker counts"),
        VERSION,
    ),
    ("slo", "slice", "since"),
    "since",
    3_650,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *ROLLUP_TABLES,
        *LATE_TABLES,
        _SPEND,
        DRIFT,
        _BURN_WINDOWS,
        _PAGES,
        _FINDINGS,
        _EXCLUSIONS,
        _RELEASES,
        _VERDICTS,
        _OBJECTIVES,
    )
}

__all__ = [
    "FAMILY_TABLES",
    "RETENTION_1M_D",
    "RETENTION_10S_D",
    "TABLES",
    "TRAFFIC_MEASURES",
    "Column",
    "Rollup",
    "Table",
    "late_table",
    "rollups_of",
    "widest",
]
