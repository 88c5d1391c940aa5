"""What was used, a stretch at a time: of ClickHouse day by day, so that any range fits into memory, or of files as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from schemas.families import COSTS
from schemas.instants import DAY_MS
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.cost.pricing import BUCKET
from turnwatch.answers.cost_files import FINEST, FINEST_OF_TENANTS, read_cost_files
from turnwatch.answers.cost_warehouse import days_of, read_cost_warehouse
from turnwatch.backtest.sources import written_range

BUCKET_MS = COSTS.partitions[0].k_window_s * 1_000
RANGE_MAX_D = COSTS.retention_d


@dataclass(frozen=True, slots=True)
class CostRows:
    """Rows of the finest cut of each partition: the same turns twice. `tenancy` is empty unless it was asked for."""

    operational: pl.DataFrame
    tenancy: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Costs:
    """Stretches of rows from `from_ms` to before `to_ms`, in whole buckets; no day is in two of them. Read while gone through."""

    from_ms: int
    to_ms: int
    stretches: Iterator[CostRows]


def read_costs(data: Sequence[str], address: Callable[[], ClickHouseAddress], with_tenants: bool = False) -> Costs:
    """Reads files, or the range of ClickHouse that `data` names; `address` is asked only where it is needed."""
    if len(data) == 1 and not Path(data[0]).exists() and Path(data[0]).suffix != ".csv":
        from_ms, to_ms = written_range(data[0], int(time.time() * 1_000))
        return stored(address(), from_ms, to_ms, with_tenants)
    return of_files([Path(name) for name in data], with_tenants)


def of_files(paths: Sequence[Path], with_tenants: bool = False) -> Costs:
    """The rows of files: from their first bucket to their last."""
    for path in paths:
        if not path.is_file():
            raise BadInput(f"{path}: there is no such file.")
    rows = read_cost_files(paths)
    tenants = read_cost_files(paths, FINEST_OF_TENANTS) if with_tenants else pl.DataFrame()
    from_ms, last_ms = int(rows[BUCKET].min()), int(rows[BUCKET].max())  # type: ignore[arg-type] # Integers, and some.
    return Costs(from_ms, last_ms + BUCKET_MS, iter([CostRows(rows, tenants)]))


def stored(address: ClickHouseAddress, from_ms: int, to_ms: int, with_tenants: bool = False) -> Costs:
    """The buckets of ClickHouse that lie in the range, those at its ends as a whole."""
    if to_ms - from_ms > RANGE_MAX_D * DAY_MS:
        raise BadInput(f"The range is longer than the {RANGE_MAX_D} days for which costs are kept: shorten it.")
    from_ms, to_ms = from_ms // BUCKET_MS * BUCKET_MS, -(-to_ms // BUCKET_MS) * BUCKET_MS
    return Costs(from_ms, to_ms, _days(address, from_ms, to_ms, with_tenants))


def _days(address: ClickHouseAddress, from_ms: int, to_ms: int, with_tenants: bool) -> Iterator[CostRows]:
    for first_ms, end_ms in days_of(from_ms, to_ms):
        yield CostRows(
            read_cost_warehouse(address, first_ms, end_ms, FINEST),
            read_cost_warehouse(address, first_ms, end_ms, FINEST_OF_TENANTS) if with_tenants else pl.DataFrame(),
        )
