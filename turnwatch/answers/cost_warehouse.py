"""Rows of costs out of ClickHouse: the view `costs`, in which each ten minutes of a slice stand once, with what came late."""

from __future__ import annotations

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.declarations import Cut
from schemas.families import COSTS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.pricing import BUCKET
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.answers.cost_rows import FINEST

READ_TIMEOUT_S = 300.0
_SETTINGS = {
    "readonly": 2,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}


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
