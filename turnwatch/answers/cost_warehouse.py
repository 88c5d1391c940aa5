"""Rows of costs out of ClickHouse: the view `costs`, in which each ten minutes of a slice stand once, with what came late."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.declarations import Cut
from schemas.families import COSTS
from schemas.instants import DAY_MS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.cost.pricing import BUCKET
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.answers.cost_files import FINEST

READ_TIMEOUT_S = 300.0
_SETTINGS = {
    "readonly": 2,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}


def days_of(from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """[from, to) in stretches of a day at most, none beyond a midnight in UTC: so any range fits into memory."""
    for midnight_ms in range(from_ms // DAY_MS * DAY_MS, to_ms, DAY_MS):
        yield max(midnight_ms, from_ms), min(midnight_ms + DAY_MS, to_ms)


def read_cost_warehouse(address: ClickHouseAddress, from_ms: int, to_ms: int, cut: Cut = FINEST) -> pl.DataFrame:
    """Buckets that begin in [from, to): `bucket_start_ms`, the dimensions of the cut, and the measures.

    Raises `WarehouseError` where ClickHouse is away, or refuses.
    """
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        answer = client.query_arrow(_sql(cut), {"cut": cut.name, "from_ms": from_ms, "to_ms": to_ms}, _SETTINGS)
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()
    rows = pl.DataFrame(pl.from_arrow(answer))
    return rows.with_columns(
        pl.col(BUCKET, *COSTS.measure_names).cast(pl.Int64), pl.col(cut.dimensions).cast(pl.String)
    )


def _sql(cut: Cut) -> str:
    measures = ", ".join(f"toInt64({name}) AS {name}" for name in COSTS.measure_names)
    return f"""SELECT toUnixTimestamp64Milli(bucket_start) AS {BUCKET}, {", ".join(cut.dimensions)}, {measures}
FROM costs
WHERE cut = {{cut:String}} AND bucket_start >= fromUnixTimestamp64Milli({{from_ms:Int64}})
    AND bucket_start < fromUnixTimestamp64Milli({{to_ms:Int64}})
ORDER BY {BUCKET}, slice"""
