"""Rows from ClickHouse: minutes of the view `burn_rate`, or of the view `stage_latency` for a threshold nobody counted.

The period before the range is read, too: the windows of its first days reach back, and so does the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from schemas.failures import BadInput
from schemas.families import STAGE_LATENCIES, Family
from schemas.instants import MINUTE_MS
from schemas.slos import Slo
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.backtest.bounds import Threshold, bounded_sql
from turnwatch.backtest.series import Batch, Gathering, Series, Span, instant_text

READ_TIMEOUT_S = 300.0
_SETTINGS = {"readonly": 2, "output_format_arrow_string_as_string": 1}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: instants in ms, counts, and the names of the columns that are told."""

    sql: str
    parameters: dict[str, object]


def read_warehouse(
    address: ClickHouseAddress, slo: Slo, from_ms: int, to_ms: int, threshold: Threshold | None
) -> tuple[Series, ...]:
    """Minutes of [from, to) and of the period before; of an uncounted threshold with the fewest bad turns, and the most."""
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        first_ms = (from_ms - slo.period_s * 1_000) // MINUTE_MS * MINUTE_MS
        span = Span(first_ms, to_ms // MINUTE_MS * MINUTE_MS, MINUTE_MS)  # A minute that is not over is no news.
        return _read(client, slo, span, threshold)
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()


def _read(client: Client, slo: Slo, span: Span, threshold: Threshold | None) -> tuple[Series, ...]:
    asked = _counted(slo, span) if threshold is None else _between(slo, span, threshold)
    source = f"ClickHouse, from {instant_text(span.start_ms)} to {instant_text(span.end_ms)},"
    gatherings = [Gathering(span, slo, source) for _ in range(1 if threshold is None else 2)]
    with client.query_arrow_stream(asked.sql, asked.parameters, _SETTINGS) as stream:
        for table in stream:
            for gathering, batch in zip(gatherings, _batches(table), strict=True):
                gathering.add(batch)
    reported = _reported(client, slo, span)
    for gathering in gatherings:
        gathering.hear(reported)
    return tuple(gathering.series() for gathering in gatherings)


def _counted(slo: Slo, span: Span) -> Asked:
    sql = f"""SELECT slice, toUnixTimestamp64Milli(bucket_start) AS instant_ms, toInt64(total) AS turns, toInt64(bad) AS bad_1
FROM burn_rate
WHERE indicator = {{indicator:String}} AND {_WITHIN}
ORDER BY slice, bucket_start"""
    return Asked(sql, {"indicator": slo.indicator.name, **_within(slo, span, slo.family)})


def _between(slo: Slo, span: Span, threshold: Threshold) -> Asked:
    surely, possibly = bounded_sql(threshold)
    sql = f"""SELECT slice, toUnixTimestamp64Milli(bucket_start) AS instant_ms, toInt64(sum(observations)) AS turns,
    toInt64({surely}) AS bad_1, toInt64({possibly}) AS bad_2
FROM stage_latency
WHERE stage = {{stage:String}} AND {_WITHIN}
GROUP BY slice, bucket_start
ORDER BY slice, bucket_start"""
    return Asked(sql, {"stage": threshold.stage, **_within(slo, span, STAGE_LATENCIES)})


_WITHIN = (
    "cut IN {cuts:Array(String)} AND pool = {pool:String} "
    "AND bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64}) "
    "AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"
)


def _within(slo: Slo, span: Span, family: Family) -> dict[str, object]:
    known = {cut.name for cut in family.cuts}
    cuts = [name for name in slo.cuts if name in known]
    if not cuts:
        raise BadInput(f"Histograms of latencies are not kept by any of {' '.join(slo.cuts)}: watch the cut `pool`.")
    return {"cuts": cuts, "pool": slo.pool, "from_ms": span.start_ms, "to_ms": span.end_ms}


def _reported(client: Client, slo: Slo, span: Span) -> NDArray[np.int64]:
    """Minutes that anybody reported, of whatever pool: only then was anything decided."""
    sql = """SELECT DISTINCT toUnixTimestamp64Milli(bucket_start) AS instant_ms
FROM traffic_1m
WHERE cut = 'pool' AND bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"""
    answer = client.query_arrow(sql, {"from_ms": span.start_ms, "to_ms": span.end_ms}, _SETTINGS)
    instants: NDArray[np.int64] = answer["instant_ms"].to_numpy().astype(np.int64)
    return instants


def _batches(table: pa.Table | pa.RecordBatch) -> Iterator[Batch]:
    """One for each column of bad turns."""
    rows = table.combine_chunks() if isinstance(table, pa.Table) else table
    if rows.num_rows == 0:
        return
    column = rows.column("slice")
    coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    slices = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    instants_ms, total = (_numbers(rows, name) for name in ("instant_ms", "turns"))

    def where(row: int) -> str:
        return f"ClickHouse, {instant_text(int(instants_ms[row]))}"

    for name in rows.schema.names:
        if name.startswith("bad_"):
            yield Batch(coded.dictionary.to_pylist(), slices, instants_ms, _numbers(rows, name), total, where)


def _numbers(rows: pa.Table | pa.RecordBatch, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = rows.column(name).to_numpy().astype(np.int64, copy=False)
    return values
