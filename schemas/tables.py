"""ClickHouse tables, derived from the contract: each answers one question, and is sorted by it.

Rows are absolutes with a version that only grows: the same row written twice, or an older one after a newer, changes
nothing (`ReplacingMergeTree(version)`, read with FINAL). A slice is kept as its text and as one column per dimension,
empty where the slice's cut does not name it. Numbered migrations bring a database here; a test holds that applying them
all gives exactly these tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa

from schemas.dimensions import DIMENSIONS
from schemas.families import DUPLEX, FAMILIES, HEARTBEATS, INDICATORS, STAGE_LATENCIES, STREAMS, TURNS, Family

RETENTION_10S_D = 8
RETENTION_1M_D = 95


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `arrow` is the type that the sink sends."""

    name: str
    type: str
    comment: str
    arrow: pa.DataType
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    question: str
    columns: tuple[Column, ...]
    order_by: tuple[str, ...]
    time_column: str
    retention_d: int

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, column.arrow) for column in self.columns])


def _time(name: str, comment: str) -> Column:
    return Column(name, "DateTime64(3, 'UTC')", comment, pa.timestamp("ms", tz="UTC"), "Delta, ZSTD(1)")


def _text(name: str, comment: str) -> Column:
    return Column(name, "LowCardinality(String)", comment, pa.string())


def _count(name: str, comment: str) -> Column:
    return Column(name, "UInt64", comment, pa.uint64(), "T64, ZSTD(1)")


def _share(name: str, comment: str) -> Column:
    return Column(name, "Float64", comment, pa.float64(), "ZSTD(1)")


_VERSION = _count("version", "grows with every source record applied to this row; the largest wins")
_BUCKET = _time("bucket_start", "start of the bucket, event time")


@cache
def slice_columns(*families: Family) -> tuple[Column, ...]:
    """`cut`, `slice`, and a column for each dimension that some cut of the families names."""
    named = dict.fromkeys(name for family in families for cut in family.cuts for name in cut.dimensions)
    return (
        _text("cut", "the dimensions that this row is grouped by"),
        _text("slice", "the row's slice, `dimension=value` pairs"),
        *(_text(name, f"{DIMENSIONS[name].meaning}; empty where the cut does not name it") for name in named),
    )


def _counters(family: Family, names: tuple[str, ...]) -> tuple[Column, ...]:
    known = {measure.name: measure for measure in family.measures}
    return tuple(_count(name, f"{known[name].meaning} ({known[name].unit})") for name in names)


_INDICATOR_MEASURES = {measure.name for indicator in INDICATORS for measure in indicator.measures}
TRAFFIC_MEASURES = tuple(name for name in TURNS.measure_names if name not in _INDICATOR_MEASURES)

_TRAFFIC = Table(
    "traffic",
    "How much was served: turns, audio and tokens, slice by slice?",
    (*slice_columns(TURNS), _BUCKET, *_counters(TURNS, TRAFFIC_MEASURES), _VERSION),
    ("cut", "slice", "bucket_start"),
    "bucket_start",
    RETENTION_10S_D,
)
_CONCURRENCY = Table(
    "concurrency",
    "How many streams ran at once, what was their peak, and how many replicas does it take?",
    (
        *slice_columns(STREAMS),
        _BUCKET,
        _count("active_at_start", "streams active at the bucket's first instant"),
        _count("starts", "streams that started"),
        _count("ends", "streams that ended"),
        _count("peak_lower", "peak of concurrent streams if, within each second, ends came before starts"),
        _count("peak_upper", "peak of concurrent streams if, within each second, starts came before ends"),
        _count(
            "replicas_needed",
            "replicas that peak_upper takes at the deployment's capacity figures; 0 where none are configured",
        ),
        _VERSION,
    ),
    ("cut", "slice", "bucket_start"),
    "bucket_start",
    RETENTION_10S_D,
)
_STAGE_LATENCY = Table(
    "stage_latency",
    "Where did a turn's time go: the latency histogram of each stage?",
    (
        *slice_columns(STAGE_LATENCIES),
        _text("stage", "which part of the turn"),
        Column("scale", "Int8", "scale of the base-2 exponential histogram", pa.int8()),
        Column(
            "bucket_index",
            "Int32",
            "bucket (base^index, base^(index+1)] ms, base = 2^(2^-scale); -32768 holds zeros",
            pa.int32(),
            "ZSTD(1)",
        ),
        _BUCKET,
        *_counters(STAGE_LATENCIES, STAGE_LATENCIES.measure_names),
        _VERSION,
    ),
    ("cut", "slice", "stage", "bucket_start", "scale", "bucket_index"),
    "bucket_start",
    RETENTION_10S_D,
)
_HEARTBEAT = Table(
    "heartbeats",
    "What did producers see, send, drop and hold?",
    (
        *slice_columns(HEARTBEATS),
        _text("reported_family", "the family that is reported on"),
        _BUCKET,
        *_counters(HEARTBEATS, HEARTBEATS.measure_names),
        _VERSION,
    ),
    ("cut", "slice", "reported_family", "bucket_start"),
    "bucket_start",
    RETENTION_10S_D,
)
_DUPLEX_EVENTS = Table(
    "duplex_events",
    "How many full-duplex events of each kind happened, slice by slice?",
    (*slice_columns(DUPLEX), _BUCKET, *_counters(DUPLEX, ("events",)), _VERSION),
    ("cut", "slice", "bucket_start"),
    "bucket_start",
    RETENTION_10S_D,
)
_BURN_RATE = Table(
    "burn_rate",
    "How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket?",
    (
        *slice_columns(TURNS, DUPLEX),
        _text("indicator", "the service level indicator"),
        _BUCKET,
        _count("bad", "turns (or events, actions, audio frames) outside of the objective"),
        _count("total", "those in which it could be judged"),
        _VERSION,
    ),
    ("indicator", "cut", "slice", "bucket_start"),
    "bucket_start",
    RETENTION_10S_D,
)


def _at(table: Table, suffix: str, width: str, retention_d: int) -> Table:
    return replace(
        table, name=f"{table.name}_{suffix}", question=f"{table.question} Buckets of {width}.", retention_d=retention_d
    )


_TEN_SECONDS = tuple(
    _at(table, "10s", "10 s", RETENTION_10S_D)
    for table in (_TRAFFIC, _CONCURRENCY, _STAGE_LATENCY, _HEARTBEAT, _DUPLEX_EVENTS, _BURN_RATE)
)
_ONE_MINUTE = tuple(
    _at(table, "1m", "1 min", RETENTION_1M_D)
    for table in (_TRAFFIC, _CONCURRENCY, _STAGE_LATENCY, _HEARTBEAT, _DUPLEX_EVENTS, _BURN_RATE)
)

_BURN_WINDOWS = Table(
    "burn_windows",
    "How fast does each SLO spend its budget in each window, what is left, and when is it spent?",
    (
        _text("slo", "the service level objective"),
        *slice_columns(TURNS, DUPLEX),
        _time("decided_at", "end of the newest decided bucket, event time"),
        _text("window", "the window, from short to long: 1m 5m 10m 30m 1h 2h 6h 1d 3d, and the period"),
        Column("window_s", "UInt32", "length of the window in seconds", pa.uint32()),
        _count("bad", "bad turns (or events, actions, audio frames) in the window"),
        _count("total", "judged ones in the window"),
        _share("burn", "(bad / total) / (1 - objective); 0 without traffic"),
        _share("budget_left", "1 - bad / (total x (1 - objective)) over the period"),
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
        _share("completeness", "share of recent volume that had reported when this was decided"),
        _VERSION,
    ),
    ("slo", "cut", "slice", "window_s", "decided_at"),
    "decided_at",
    RETENTION_1M_D,
)
_PAGES = Table(
    "pages",
    "What paged, when did it begin and end, and on what grounds?",
    (
        _text("alert", "identity of the alert: slo, slice and severity"),
        _text("slo", "the service level objective"),
        _text("slice", "the slice that burnt"),
        _text("severity", "page or ticket"),
        _text("state", "pending (nobody is told yet), firing, frozen (no fresh data to judge it by) or resolved"),
        _text("scope", "fleet where the slice is the whole pool, else slice"),
        _text("incident", "the incident that it belongs to since it fired; empty of what never did"),
        _text("policy_row", "the policy row that gave the numbers"),
        _time("starts_event", "decided instant at which it began, event time"),
        _time("decided_event", "decided instant of this statement, event time"),
        _time("starts", "when it began, wall clock"),
        Column("ends", "Nullable(DateTime64(3, 'UTC'))", "when it ended, wall clock", pa.timestamp("ms", tz="UTC")),
        _share("long_burn", "burn over the long window"),
        _share("short_burn", "burn over the short window"),
        _share("budget_left", "1 - bad / (total x (1 - objective)) over the period"),
        Column("exhausted_in_s", "Nullable(Float64)", "seconds until the budget is spent", pa.float64()),
        _share("completeness", "share of recent volume it was decided on"),
        Column("summary", "String", "the page's summary line", pa.string()),
        _VERSION,
    ),
    ("alert", "starts_event", "version"),
    "decided_event",
    400,
)

_EXCLUSIONS = Table(
    "exclusions",
    "What is a budget not charged for, who said so, when and why? Every event is a row.",
    (
        _text("id", "the exclusion: the same window of the same slice and objective has the same"),
        Column("action", "String", "declared or withdrawn; the newest event of an id counts", pa.string()),
        _text("slo", "the service level objective, or all"),
        _text("cut", "the dimensions of the slice"),
        _text("slice", "the slice that is excluded, with every slice inside of it"),
        _time("from_at", "first excluded minute, event time"),
        _time("to_at", "the minute after the last excluded one, event time"),
        Column("who", "String", "who declared or withdrew it", pa.string()),
        Column("why", "String", "the reason that they gave", pa.string()),
        _time("at", "when they did, wall clock"),
        _VERSION,
    ),
    ("slo", "slice", "id", "at"),
    "to_at",
    400,
)
_OBJECTIVES = Table(
    "objectives",
    "By which objectives does the worker judge, with what budget? Every start of a worker tells all of its objectives.",
    (
        _text("slo", "the service level objective"),
        Column("indicator", "String", "the service level indicator", pa.string()),
        Column("pool", "String", "the serving pool that it is about", pa.string()),
        Column("cut", "String", "the cut of the slice", pa.string()),
        _text("slice", "the widest slice that it is about, its pool"),
        Column("cuts", "String", "names of the cuts that it watches, with blanks between them", pa.string()),
        _share("objective", "the share of good turns that is wanted"),
        Column("period_s", "UInt32", "length of the period in seconds", pa.uint32()),
        _time("since", "when the worker started, wall clock; the newest start of any worker counts"),
        _VERSION,
    ),
    ("slo", "slice", "since"),
    "since",
    3_650,
)

_KEY_COLUMNS = {
    column.name: column
    for table in (_STAGE_LATENCY, _HEARTBEAT)
    for column in table.columns
    if column.name != "version"
} | {
    "second": Column("second", "UInt8", "second of the bucket, from 0", pa.uint8()),
    "queue": _text("queue", "the stage that is waited for"),
    "artifact_kind": _text("artifact_kind", "what the artifact is"),
    "fate": _text("fate", "what the edge did with observations"),
    "because": _text("because", "the dimension that gave way, or the reason of a refusal"),
}


def late_table(family: Family) -> str:
    """The name of the table that holds what came after the family's lateness."""
    return f"{family.name}_late"


def _late(family: Family) -> Table:
    return Table(
        late_table(family),
        f"What came later than {family.lateness_s} s in {family.name}, and whose was it? The views add it; alerts do not look back.",
        (
            *slice_columns(family),
            *(_KEY_COLUMNS[name] for name in family.key_names),
            _BUCKET,
            _text("origin_topic", "the topic it was read from"),
            Column("origin_partition", "UInt32", "partition of that topic", pa.uint32()),
            _count(
                "origin_offset", "offset of the frame; 0 for rows of a source partition that lagged behind the others"
            ),
            _text("producer", "the producer that was late; empty for rows of a lagging partition"),
            *_counters(family, family.measure_names),
            _VERSION,
        ),
        ("cut", "slice", *family.key_names, "bucket_start", "origin_topic", "origin_partition", "origin_offset"),
        "bucket_start",
        RETENTION_1M_D,
    )


_LATE = tuple(_late(family) for family in FAMILIES.values())

TABLES: dict[str, Table] = {
    table.name: table
    for table in (*_TEN_SECONDS, *_ONE_MINUTE, *_LATE, _BURN_WINDOWS, _PAGES, _EXCLUSIONS, _OBJECTIVES)
}

FAMILY_TABLES: dict[str, tuple[str, ...]] = {
    "turns": ("traffic", "burn_rate"),
    "streams": ("concurrency",),
    "stages": ("stage_latency",),
    "heartbeats": ("heartbeats",),
    "duplex": ("duplex_events", "burn_rate"),
    "outcomes": (),
    "queues": (),
    "quality": (),
    "costs": (),
    "releases": (),
    "privacy": (),
}
assert set(FAMILY_TABLES) == set(FAMILIES), "every family lands somewhere"
