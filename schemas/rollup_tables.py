"""Tables that families of the contract feed: rollups bucket by bucket, and what came too late for them.

A family's rollups are as narrow as its narrowest buckets. Where those are seconds there is a second table of minutes, which
also takes the privacy partitions whose buckets are wider: a row of theirs stands where its bucket begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa

from schemas.families import (
    COSTS,
    DUPLEX,
    FAMILIES,
    HEARTBEATS,
    INDICATORS,
    OUTCOMES,
    PRIVACY,
    QUALITY,
    QUEUES,
    RELEASES,
    STAGE_LATENCIES,
    STREAMS,
    TENANTS,
    TURNS,
    Family,
)
from schemas.table_columns import (
    BUCKET,
    VERSION,
    Column,
    Table,
    count,
    counters,
    key_columns,
    slice_columns,
    text,
)

RETENTION_10S_D = TURNS.retention_fine_d
RETENTION_1M_D = TURNS.retention_d
MINUTE_S = 60

_WIDTHS = {10: ("10s", "10 s"), MINUTE_S: ("1m", "1 min"), 600: ("10m", "10 min"), 3_600: ("1h", "1 h")}
"""By width in seconds: how tables are named that have such buckets, and how sentences call it."""

_INDICATOR_MEASURES = {measure.name for indicator in INDICATORS for measure in indicator.measures}
TRAFFIC_MEASURES = tuple(name for name in TURNS.measure_names if name not in _INDICATOR_MEASURES)

FAMILY_TABLES: dict[str, tuple[str, ...]] = {
    "turns": ("traffic", "burn_rate"),
    "streams": ("concurrency",),
    "stages": ("stage_latency",),
    "heartbeats": ("heartbeats",),
    "duplex": ("duplex_events", "burn_rate"),
    "outcomes": ("outcomes",),
    "tenants": ("tenants",),
    "queues": ("queues",),
    "quality": ("quality",),
    "costs": ("costs",),
    "releases": ("deployments",),
    "privacy": ("privacy",),
}
"""By family: what its tables are called, without their widths. The first one holds what it counts."""
assert set(FAMILY_TABLES) == set(FAMILIES), "every family lands somewhere"


def _rollup(name: str, question: str, columns: tuple[Column, ...], order_by: tuple[str, ...]) -> Table:
    return Table(name, question, (*columns, VERSION), order_by, "bucket_start", 0)


def _counted(family: Family, question: str, measures: tuple[str, ...] = ()) -> Table:
    """A table of what a family counts: all of it, unless `measures` are given."""
    told = counters(family, measures or family.measure_names, of_gauges="; of a wider bucket, at its end")
    columns = (*slice_columns(family), *key_columns(family), BUCKET, *told)
    order_by = ("cut", "slice", *family.key_names, "bucket_start")
    return _rollup(FAMILY_TABLES[family.name][0], question, columns, order_by)


_CONCURRENCY = _rollup(
    "concurrency",
    "How many streams ran at once, what was their peak, and how many replicas does it take?",
    (
        *slice_columns(STREAMS),
        BUCKET,
        count("active_at_start", "streams active at the bucket's first instant"),
        count("starts", "streams that started"),
        count("ends", "streams that ended"),
        count("peak_lower", "peak of concurrent streams if, within each second, ends came before starts"),
        count("peak_upper", "peak of concurrent streams if, within each second, starts came before ends"),
        count(
            "replicas_needed",
            "replicas that peak_upper takes at the deployment's capacity figures; 0 where none are configured",
        ),
    ),
    ("cut", "slice", "bucket_start"),
)
_STAGE_LATENCY = replace(
    _counted(STAGE_LATENCIES, "Where did a turn's time go: the latency histogram of each stage?"),
    order_by=("cut", "slice", "stage", "bucket_start", "scale", "bucket_index"),
)
_BURN_RATE = _rollup(
    "burn_rate",
    "How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket?",
    (
        *slice_columns(TURNS, DUPLEX),
        text("indicator", "the service level indicator"),
        BUCKET,
        count("bad", "turns (or events, actions, audio frames) outside of the objective"),
        count("total", "those in which it could be judged"),
    ),
    ("indicator", "cut", "slice", "bucket_start"),
)

_OF_FAMILY: dict[str, Table] = {
    "turns": _counted(TURNS, "How much was served: turns, audio and tokens, slice by slice?", TRAFFIC_MEASURES),
    "streams": _CONCURRENCY,
    "stages": _STAGE_LATENCY,
    "heartbeats": _counted(HEARTBEATS, "What did producers see, send, drop and hold?"),
    "duplex": _counted(DUPLEX, "How many full-duplex events of each kind happened, slice by slice?", ("events",)),
    "outcomes": _counted(
        OUTCOMES, "What became of turns: successes, handoffs, refusals, retries, and how audio arrived?"
    ),
    "tenants": _counted(TENANTS, "What did tenants look up and call, and how many spoke with a synthetic voice?"),
    "queues": _counted(QUEUES, "How long is each queue, how fast is it served, and how full are batches and caches?"),
    "quality": _counted(QUALITY, "How well were labelled calls understood and answered, slice by slice?"),
    "costs": _counted(COSTS, "What did turns and replicas use of what has a price, and what succeeded for it?"),
    "releases": _counted(RELEASES, "How many hosts serve which artifact of which bundle, and since when?"),
    "privacy": _counted(PRIVACY, "What did the edge withhold, and for which reason?"),
}


@dataclass(frozen=True, slots=True)
class Rollup:
    """One table that a family feeds: its name, the width of its buckets, and the family's measures among its columns."""

    table: str
    width_s: int
    measures: tuple[str, ...]


def _widths_s(family: Family) -> tuple[int, ...]:
    finest = min(partition.k_window_s for partition in family.partitions)
    return (finest, MINUTE_S) if finest < MINUTE_S else (finest,)


def _at(table: Table, width_s: int, retention_d: int) -> Table:
    suffix, words = _WIDTHS[width_s]
    question = f"{table.question} Buckets of {words}."
    return replace(table, name=f"{table.name}_{suffix}", question=question, retention_d=retention_d)


@cache
def rollups_of(family: Family) -> tuple[Rollup, ...]:
    """The tables of what a family counts, from the narrowest buckets to the widest."""
    table = _OF_FAMILY[family.name]
    measures = tuple(name for name in table.column_names if name in family.measure_names)
    return tuple(Rollup(_at(table, width_s, 0).name, width_s, measures) for width_s in _widths_s(family))


def widest(base: str) -> Table:
    """The table with the widest buckets among those that are called so, such as `traffic_1m` of `traffic`."""
    return next(table for table in reversed(ROLLUP_TABLES) if table.name.rpartition("_")[0] == base)


def _tables() -> Iterator[Table]:
    """Narrow ones first."""
    found = [*((_OF_FAMILY[name], family) for name, family in FAMILIES.items()), (_BURN_RATE, TURNS)]
    for width_s in _WIDTHS:
        for table, family in found:
            widths_s = _widths_s(family)
            if width_s in widths_s:
                is_widest = width_s == widths_s[-1]
                yield _at(table, width_s, family.retention_d if is_widest else family.retention_fine_d)


ROLLUP_TABLES = tuple(_tables())


def late_table(family: Family) -> str:
    """The name of the table that holds what came after the family's lateness."""
    return f"{family.name}_late"


def _late(family: Family) -> Table:
    return Table(
        late_table(family),
        f"What came later than {family.lateness_s} s in {family.name}, and whose was it? The views add it; alerts do not look back.",
        (
            *slice_columns(family),
            *key_columns(family),
            BUCKET,
            text("origin_topic", "the topic it was read from"),
            Column("origin_partition", "UInt32", "partition of that topic", pa.uint32()),
            count(
                "origin_offset", "offset of the frame; 0 for rows of a source partition that lagged behind the others"
            ),
            text("producer", "the producer that was late; empty for rows of a lagging partition"),
            *counters(family, family.measure_names),
            VERSION,
        ),
        ("cut", "slice", *family.key_names, "bucket_start", "origin_topic", "origin_partition", "origin_offset"),
        "bucket_start",
        family.retention_d,
    )


LATE_TABLES = tuple(map(_late, FAMILIES.values()))
