"""Rows of what was used, finest cells only: of the view `costs` in ClickHouse, day by day, or of files that it was exported to.

Columns: bucket_start_ms, the dimensions of the partition, and the measures of family `costs`. Late rows are in the view.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.declarations import PrivacyPartition
from schemas.failures import BadInput
from schemas.families import COSTS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.backtest.sources import TABLES, written_range
from turnwatch.costs.cost_files import read_cost_files

OPERATIONAL, TENANCY = COSTS.partitions
BUCKET_MS = OPERATIONAL.k_window_s * 1_000
DAY_MS = 86_400_000
READ_TIMEOUT_S = 300.0
RANGE_MAX_D = COSTS.retention_d
_SETTINGS = {"readonly": 2, "output_format_arrow_string_as_string": 1}


@dataclass(frozen=True, slots=True)
class CostRows:
    """What was used in a stretch of time: the same turns twice, once in each partition's cells."""

    operational: pl.DataFrame
    tenancy: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Costs:
    """Stretches of rows from `from_ms` to before `to_ms`, whole buckets; read once, while they are gone through."""

    from_ms: int
    to_ms: int
    stretches: Iterator[CostRows]


def read_costs(data: Sequence[str], address: Callable[[], ClickHouseAddress]) -> Costs:
    """Reads files, or the range of ClickHouse that `data` names; `address` is asked only where it is needed."""
    if len(data) == 1 and not Path(data[0]).exists() and Path(data[0]).suffix not in TABLES:
        return stored(address(), *written_range(data[0], int(time.time() * 1_000)))
    return of_files([Path(name) for name in data])


def of_files(paths: Sequence[Path]) -> Costs:
    """The rows of files: from their first bucket to their last."""
    rows = read_cost_files(paths)
    from_ms, last_ms = rows["bucket_start_ms"].min(), rows["bucket_start_ms"].max()
    assert isinstance(from_ms, int) and isinstance(last_ms, int)
    return Costs(from_ms, last_ms + BUCKET_MS, iter([CostRows(*(_cells(rows, each) for each in COSTS.partitions))]))


def stored(address: ClickHouseAddress, from_ms: int, to_ms: int) -> Costs:
    """The buckets of ClickHouse that begin in the range, day by day, so that any range fits into memory."""
    from_ms, to_ms = from_ms // BUCKET_MS * BUCKET_MS, -(-to_ms // BUCKET_MS) * BUCKET_MS
    if to_ms - from_ms > RANGE_MAX_D * DAY_MS:
        raise BadInput(f"The range is longer than the {RANGE_MAX_D} days for which costs are kept: shorten it.")
    return Costs(from_ms, to_ms, _days(address, from_ms, to_ms))


def finest_cut(partition: PrivacyPartition) -> str:
    """The name of the cut by everything that a partition tells."""
    return ",".join(partition.dimensions)


def _cells(rows: pl.DataFrame, partition: PrivacyPartition) -> pl.DataFrame:
    return rows.filter(pl.col("cut") == finest_cut(partition)).select(_columns(partition))


def _columns(partition: PrivacyPartition) -> list[str]:
    return ["bucket_start_ms", *partition.dimensions, *COSTS.measure_names]


def _days(address: ClickHouseAddress, from_ms: int, to_ms: int) -> Iterator[CostRows]:
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        for first_ms in range(from_ms // DAY_MS * DAY_MS, to_ms, DAY_MS):
            within = {"from_ms": max(first_ms, from_ms), "to_ms": min(first_ms + DAY_MS, to_ms)}
            yield CostRows(*(_asked(client, partition, within) for partition in COSTS.partitions))
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()


def _asked(client: Client, partition: PrivacyPartition, within: dict[str, int]) -> pl.DataFrame:
    measures = ", ".join(f"toInt64({name}) AS told_{name}" for name in COSTS.measure_names)
    sql = f"""SELECT toUnixTimestamp64Milli(bucket_start) AS bucket_start_ms, {", ".join(partition.dimensions)}, {measures}
FROM costs
WHERE cut = {{cut:String}} AND bucket_start >= fromUnixTimestamp64Milli({{from_ms:Int64}})
    AND bucket_start < fromUnixTimestamp64Milli({{to_ms:Int64}})"""
    table = client.query_arrow(sql, {"cut": finest_cut(partition), **within}, _SETTINGS)
    rows = pl.DataFrame(pl.from_arrow(table)).rename({f"told_{name}": name for name in COSTS.measure_names})
    return rows.with_columns(pl.col(partition.dimensions).cast(pl.String)).select(_columns(partition))
