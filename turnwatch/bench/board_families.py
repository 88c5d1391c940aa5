"""What boards beside the overview's read, for `turnwatch bench boards`: other families' rollups, money, drift, statements.

A family's slices are those of its own cuts, a twentieth of the benchmark's in each; its keys take the first values
of their vocabulary. What a worker states seldom (pages, findings, releases, verdicts) is a few thousand rows. Objectives are the ones that boards are rendered for: without them budgets would have nothing to reckon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from dashboards.queries.burn_rate import Watched
from schemas import objectives
from schemas.dimensions import DIMENSIONS
from schemas.drift_measures import MEASURE_NAMES
from schemas.families import COSTS, DUPLEX, FAMILIES, INDICATORS_OF, OUTCOMES, Cut, Family
from schemas.tables import TABLES, rollups_of
from turnwatch.bench.board_rows import BUNDLE, DAY_S, REGIONS, ROUTES, SHORT_S, SLICES, Filling, inserting, store_slices

STATED = 2_000
"""Rows of each table of statements, spread over the days."""
KEYS = 4
"""Values of each key: a cell of a family rarely has more than a few of them at once."""
VALUES = 20
"""Values of a dimension without a vocabulary, but for bundles: as many as there is room for."""

_COUNTED_ELSEWHERE = ("turns", "stages", "streams")
_WORDS = {
    "state": "['firing', 'resolved'][1 + h % 2]",
    "severity": "['page', 'ticket'][1 + h % 2]",
    "slice": "concat('pool=realtime,bundle=v', toString(h % 50))",
    "slo": "'turn-4000ms-realtime'",
    "incident": "toString(h % 100)",
    "alert": "concat('alert ', toString(h % 100))",
    "finding": "concat('finding ', toString(h % 200))",
    "question": "['saturation', 'cost', 'drift'][1 + h % 3]",
    "labels": "'{}'",
    "facts": "'{}'",
    "bundle": "concat('v', toString(h % 50))",
    "release": "concat('v', toString(h % 50))",
}


@dataclass(frozen=True, slots=True)
class Filled:
    """A table that slices of `cuts` fill, a row for each in every `width_s` of the last `length_s`, or of all days where that is 0."""

    table: str
    cuts: tuple[Cut, ...]
    width_s: int
    filling: Filling
    length_s: int = 0


def others() -> Iterator[Filled]:
    """Everything that is filled here and has slices."""
    for name, family in FAMILIES.items():
        if name not in _COUNTED_ELSEWHERE:
            keys = {key.name: [str(value) for value in key.vocabulary[:KEYS]] for key in family.keys}
            for rollup in rollups_of(family):
                is_fine = rollup is not rollups_of(family)[-1]
                yield Filled(
                    rollup.table, _told(family, rollup.width_s), rollup.width_s, Filling(keys), is_fine * SHORT_S
                )
    indicators = {"indicator": [each.name for each in INDICATORS_OF[DUPLEX.name]]}
    counts = {"total": "20 + h % 60", "bad": "toUInt64(h % 97 = 0)"}
    yield Filled("burn_rate_1m", DUPLEX.cuts, 60, Filling(indicators, counts))
    yield Filled("spend_10m", COSTS.cuts, 600, Filling())
    judged = {"state": "['steady', 'drifted'][1 + (h % 50 = 0)]", "evidence": "h % 30", "excess": "h % 30 / 100"}
    yield Filled("drift_1h", OUTCOMES.cuts, 3_600, Filling({"measure": MEASURE_NAMES}, judged))


def _told(family: Family, width_s: int) -> tuple[Cut, ...]:
    """The cuts whose buckets are no wider than the table's."""
    windows = {partition.name: partition.k_window_s for partition in family.partitions}
    return tuple(cut for cut in family.cuts if windows[cut.partition] <= width_s)


def cut_slices(cuts: tuple[Cut, ...], most: int) -> pa.Table:
    """Slices of every cut, at most `most` of each."""
    names = tuple(dict.fromkeys(name for cut in cuts for name in cut.dimensions))
    known: Mapping[str, tuple[str, ...]] = {
        "region": REGIONS,
        "route": ROUTES,
        "bundle": tuple(BUNDLE.format(place) for place in range(most)),
    }
    values = {
        name: known.get(name) or DIMENSIONS[name].vocabulary or tuple(f"{name}-{place}" for place in range(VALUES))
        for name in names
    }
    return pa.Table.from_pylist(
        [
            {"cut": cut.name, "slice": ",".join(f"{name}={value}" for name, value in named.items()), **dict.fromkeys(names, "") | named}
            for cut in cuts
            for chosen in islice(product(*(values[name] for name in cut.dimensions)), most)
            for named in [dict(zip(cut.dimensions, chosen, strict=True))]
        ]
    )  # fmt: skip


def filling_others(client: Client, watched: Watched, slices: int, end_s: int, days: int) -> Iterator[str]:
    """Stores slices, and what is stated; statements that make the rows up to `end_s`, of a table and day each."""
    client.insert_arrow("objectives", objectives.rows((each.slo for each in watched), (end_s - days * DAY_S) * 1_000))
    for name in ("pages", "findings", "releases", "verdicts"):
        yield _stating(name, end_s - days * DAY_S, end_s)
    for number, each in enumerate(others()):
        made = cut_slices(each.cuts, max(4, slices // 20))
        source = f"{SLICES}_{number}"
        store_slices(client, source, made)
        dimensions = tuple(made.column_names[2:])
        for from_s in range(end_s - (each.length_s or days * DAY_S), end_s, DAY_S):
            to_s = min(from_s + DAY_S, end_s)
            yield inserting(TABLES[each.table], each.filling, each.width_s, from_s, to_s, source, dimensions)


def _stating(name: str, from_s: int, to_s: int) -> str:
    """The statement that makes a table's statements, evenly spread."""
    every_ms = (to_s - from_s) * 1_000 // STATED
    at = f"fromUnixTimestamp64Milli(toInt64({from_s}) * 1000 + toInt64(number) * {every_ms}, 'UTC')"

    def value(column: str, kind: str) -> str:
        if kind.startswith("DateTime64"):
            return at
        return _WORDS.get(column) or ("''" if "String" in kind else "NULL" if kind.startswith("Nullable") else "1")

    told = ", ".join(f"{value(column.name, column.type)} AS {column.name}" for column in TABLES[name].columns)
    return f"INSERT INTO {name} SELECT {told} FROM (SELECT number, cityHash64(number) AS h FROM numbers({STATED}))"
