"""Objectives as rows: what a budget in ClickHouse is reckoned by, as the worker that counts it was started with."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from schemas.slos import Slo
from schemas.tables import TABLES


def rows(slos: Iterable[Slo], since_ms: int) -> pa.Table:
    """Rows of the table `objectives`, one for each objective by occurrences; budgets of time slices are not in it."""
    table = TABLES["objectives"]
    told = [_row(slo) for slo in slos if slo.budgeting == "occurrences"]
    frame = pl.DataFrame(told, schema=_TYPES).with_columns(
        since=pl.lit(since_ms, pl.Int64).cast(pl.Datetime("ms", "UTC")), version=pl.lit(since_ms, pl.Int64)
    )
    return frame.select(table.column_names).to_arrow().cast(table.arrow_schema)


_TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("slo", "indicator", "pool", "cut", "slice", "cuts"), pl.String),
    "objective": pl.Float64,
    "period_s": pl.Int64,
}


def _row(slo: Slo) -> dict[str, str | float | int]:
    return {
        "slo": slo.name,
        "indicator": slo.indicator.name,
        "pool": slo.pool,
        "cut": "pool",
        "slice": f"pool={slo.pool}",
        "cuts": " ".join(slo.cuts),
        "objective": float(slo.objective),
        "period_s": slo.period_s,
    }
