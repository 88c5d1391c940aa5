"""A month of rollups for `turnwatch bench boards`, made by ClickHouse itself: slices joined with buckets, day by day.

Every slice is of a cut that boards read: two pools, five regions, ten routes, and as many bundles as it takes. `traffic` and
`burn_rate` have a row for every slice and bucket; what a worker tells of fewer slices, or as many series of each, is made for
the cuts without region and bundle together. Figures are hashes of their place, so they compress as noise does: no better than
real ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from dashboards.queries.selection import operational_cuts
from schemas.tables import TABLES, Table

POOLS = ("realtime", "batch")
REGIONS = tuple(f"eu-{place}" for place in range(5))
ROUTES = tuple(f"route-{place}" for place in range(10))
BUNDLE = "v{}"
STAGES = ("turn", "first_audio", "queue_wait", "llm_first_token")
DAY_S = 86_400
SHORT_S = 3 * 3_600
"""Rollups of 10 s are made for so long before the end: what boards read of them."""
SLICES = "bench_slices"
_DIMENSIONS = ("pool", "region", "route", "bundle")


@dataclass(frozen=True, slots=True)
class Filling:
    """How a table is filled: its further keys with their values, and its figures as expressions of the hash `h`."""

    keys: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    is_of_all: bool = True
    """Of every slice; otherwise of the cuts by at most one dimension beside the pool."""


WINDOWS = {"5m": 300, "1h": 3_600, "6h": 21_600, "30d": 30 * 86_400}
"""Burn windows that are told, and their length in seconds."""
_TOTAL = "20 + h % 60"
FILLINGS: Mapping[str, Filling] = {
    "traffic": Filling(figures={"turns": _TOTAL}),
    "burn_rate": Filling({"indicator": ("turn_4000ms",)}, {"total": _TOTAL, "bad": "toUInt64(h % 97 = 0)"}),
    "concurrency": Filling(figures={"peak_lower": _TOTAL, "peak_upper": "25 + h % 60"}, is_of_all=False),
    "stage_latency": Filling(
        {"stage": STAGES, "bucket_index": (590, 620, 650, 690)},
        {"scale": "6", "observations": "1 + h % 20", "latency_ms_sum": "observations * 900"},
        is_of_all=False,
    ),
    "burn_windows": Filling(
        {"slo": ("turn-4000ms-realtime", "turn-error-realtime"), "window": tuple(WINDOWS)},
        {
            "window_s": f"transform(window_, {list(WINDOWS)}, {list(WINDOWS.values())}, 0)",
            "total": _TOTAL,
            "bad": "toUInt64(h % 97 = 0)",
            "burn": "h % 300 / 100",
            "budget_left": "0.8",
            "spent_today": "0.01",
            "one_failure_costs": "0.0001",
            "completeness": "1.",
        },
        is_of_all=False,
    ),
}


def slices_of(count: int) -> pa.Table:
    """About `count` slices, of every operational cut."""
    values: dict[str, tuple[str, ...]] = {"pool": POOLS, "region": REGIONS, "route": ROUTES}
    without = sum(_size(cut.dimensions, values) for cut in operational_cuts() if "bundle" not in cut.dimensions)
    each = sum(_size(cut.dimensions, values | {"bundle": ("v0",)}) for cut in operational_cuts() if "bundle" in cut.dimensions)  # fmt: skip
    values["bundle"] = tuple(BUNDLE.format(place) for place in range(max(1, (count - without) // each)))
    rows = [
        {
            "cut": cut.name,
            "slice": ",".join(f"{name}={value}" for name, value in named.items()),
            **dict.fromkeys(_DIMENSIONS, "") | named,
        }
        for cut in operational_cuts()
        for chosen in product(*(values[name] for name in cut.dimensions))
        for named in [dict(zip(cut.dimensions, chosen, strict=True))]
    ]
    return pa.Table.from_pylist(rows)


def _size(dimensions: Sequence[str], values: Mapping[str, Sequence[str]]) -> int:
    size = 1
    for name in dimensions:
        size *= len(values[name])
    return size


def filling(client: Client, slices: pa.Table, end_s: int, days: int) -> Iterator[str]:
    """Stores the slices; statements that make their rows up to `end_s`, of a table and day each."""
    store_slices(client, SLICES, slices)
    for name in FILLINGS:
        if f"{name}_10s" in TABLES:
            yield _insert(f"{name}_10s", 10, end_s - SHORT_S, end_s)
        for day in range(days, 0, -1):
            yield _insert(minutes_of(name), 60, end_s - day * DAY_S, end_s - (day - 1) * DAY_S)


def store_slices(client: Client, name: str, slices: pa.Table) -> None:
    """Makes a table of slices, of which statements make rows."""
    columns = ", ".join(f"{each} LowCardinality(String)" for each in slices.column_names)
    client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY (cut, slice)")
    client.insert_arrow(name, slices)


def minutes_of(name: str) -> str:
    """The table that has what is told of every minute."""
    return f"{name}_1m" if f"{name}_1m" in TABLES else name


def _insert(name: str, width_s: int, from_s: int, to_s: int) -> str:
    """The statement that makes a table's rows between two instants."""
    filling = FILLINGS[name.removesuffix("_10s").removesuffix("_1m")]
    which = "" if filling.is_of_all else " WHERE NOT (bundle != '' AND region != '')"
    return inserting(TABLES[name], filling, width_s, from_s, to_s, f"(SELECT * FROM {SLICES}{which})", _DIMENSIONS)


def inserting(
    table: Table, filling: Filling, width_s: int, from_s: int, to_s: int, slices: str, dimensions: tuple[str, ...]
) -> str:
    """The statement that makes a table's rows between two instants, of slices with these dimensions.

    Bucket by bucket, as a sink writes them: parts follow each other in time. Were each of them of all hours and some slices,
    whoever reads the newest rows with FINAL would have to merge all parts of the day.
    """
    joined = "".join(f" ARRAY JOIN {list(values)} AS {key}_" for key, values in list(filling.keys.items())[:1])
    nested = "".join(f", arrayJoin({list(values)}) AS {key}_" for key, values in list(filling.keys.items())[1:])
    known = {
        table.time_column: f"fromUnixTimestamp64Milli(toInt64({from_s} + number * {width_s}) * 1000, 'UTC')",
        "version": "1",
    }
    known |= {name: name for name in ("cut", "slice", *dimensions)} | {key: f"{key}_" for key in filling.keys}
    told = ", ".join(
        f"{known.get(column.name, filling.figures.get(column.name, _otherwise(column.type)))} AS {column.name}"
        for column in table.columns
    )
    return f"""INSERT INTO {table.name} SELECT {told}
FROM (SELECT *, cityHash64(slice, number) AS h{nested} FROM numbers({(to_s - from_s) // width_s}) AS buckets
CROSS JOIN {slices} AS sliced){joined}
SETTINGS max_insert_threads = 1, max_threads = 1, query_plan_join_swap_table = 'false', query_plan_optimize_join_order_limit = 0"""


def _otherwise(kind: str) -> str:
    return "''" if "String" in kind else "toUInt64(h % 1000)" if kind == "UInt64" else "0"
