"""A range of ClickHouse is judged as the same minutes in a file, with the period before it; histograms between bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from schemas.failures import BadInput
from schemas.histograms import bucket_indexes
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.operators.totals.rollup_rows import to_table
from stream_jobs.sinks.clickhouse import WarehouseError, connect
from stream_jobs.sinks.migrate import migrate
from tests.backtest.rows import FLEET, MINUTE_MS, SLO, START_MS, WATCHED, minutes, written
from tests.stack_fixtures import own_database
from turnwatch.backtest.bounds import uncounted
from turnwatch.backtest.command import judged
from turnwatch.backtest.engine import Alerted
from turnwatch.backtest.sources import Told, read_files
from turnwatch.backtest.warehouse import read_warehouse
from turnwatch.query import ask

DAY_MINUTES = 1_440
REGION = f"{FLEET},region=eu-west-1"
BAD = np.where((np.arange(DAY_MINUTES) >= 700) & (np.arange(DAY_MINUTES) < 730), 60, 0)


@pytest.fixture(scope="module")
def address(clickhouse_server: ClickHouseServer) -> Iterator[ClickHouseAddress]:
    with own_database(clickhouse_server) as address:
        migrate(address)
        yield address


@pytest.fixture(scope="module")
def start_ms() -> int:
    """A day ago, as tables forget what is old."""
    return int(time.time() * 1_000) // 3_600_000 * 3_600_000 - DAY_MINUTES * MINUTE_MS


@pytest.fixture(scope="module")
def filled(address: ClickHouseAddress, start_ms: int) -> ClickHouseAddress:
    """A day of two slices that are watched, the second for a part of it, and of one that is not."""
    rows = [
        _counted(FLEET, start_ms, BAD),
        _counted(REGION, start_ms, BAD[:900]),
        _counted("pool=batch", start_ms, BAD),
    ]
    _insert(address, "burn_rate_1m", pl.concat(rows))
    _insert(address, "stage_latency_1m", _histogram(start_ms))
    return address


def _insert(address: ClickHouseAddress, table: str, rows: pl.DataFrame) -> None:
    client = connect(address)
    try:
        client.insert_arrow(table, to_table(rows.with_columns(version=pl.lit(1, pl.Int64)), table))
    finally:
        client.close()


def _counted(text: str, start_ms: int, bad: NDArray[Any]) -> pl.DataFrame:
    rows = pl.DataFrame({"at": start_ms + np.arange(len(bad)) * MINUTE_MS, "bad": bad})
    return rows.select(
        slice=pl.lit(text),
        indicator=pl.lit(SLO.indicator.name),
        bucket_start=pl.col("at").cast(pl.Datetime("ms", "UTC")),
        bad="bad",
        total=pl.lit(100, pl.Int64),
    )


def _histogram(start_ms: int) -> pl.DataFrame:
    """An hour in which of 100 turns 10 took 9 s, 5 took 3.5 s, and the others 0.9 s."""
    at = pl.DataFrame({"bucket_start": start_ms + np.arange(60) * MINUTE_MS}).cast(pl.Datetime("ms", "UTC"))
    index = bucket_indexes(np.array([900.0, 3_500.0, 9_000.0]), 6)
    bins = pl.DataFrame({"bucket_index": index, "observations": [85, 5, 10]})
    return at.join(bins, how="cross").with_columns(
        slice=pl.lit(FLEET), stage=pl.lit("turn"), scale=pl.lit(6), latency_ms_sum=pl.lit(0), latency_ms_sumsq=pl.lit(0)
    )


def test_a_range_is_judged_as_the_same_minutes_in_a_file(
    filled: ClickHouseAddress, start_ms: int, tmp_path: Path
) -> None:
    end_ms = start_ms + DAY_MINUTES * MINUTE_MS
    (series,) = read_warehouse(filled, SLO, start_ms, end_ms, None)
    assert set(series.slices) == {FLEET, REGION}
    assert (series.span.start_ms, series.span.end_ms) == (start_ms - SLO.period_s * 1_000, end_ms)
    first = (start_ms - START_MS) // MINUTE_MS
    path = written(tmp_path / "a.csv", minutes([(int(bad), 100) for bad in BAD], first))
    expected = _alerts(read_files([path], SLO))
    assert expected
    assert [alert for alert in _alerts(Told((series,), start_ms, end_ms)) if alert.slice == FLEET] == expected


def test_what_a_query_exports_is_read_back(filled: ClickHouseAddress, start_ms: int, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ask(filled, "SELECT * FROM burn_rate ORDER BY slice, bucket_start", "csv"))
    (exported,) = read_files([tmp_path / "a.csv"], SLO).series
    (asked,) = read_warehouse(filled, SLO, start_ms, start_ms + DAY_MINUTES * MINUTE_MS, None)
    assert exported.slices == asked.slices
    assert (exported.bad == asked.bad[:, -DAY_MINUTES:]).all() and (
        exported.total == asked.total[:, -DAY_MINUTES:]
    ).all()


def test_only_alerts_of_the_range_are_told(filled: ClickHouseAddress, start_ms: int) -> None:
    """The windows of its first minutes look back all the same."""
    after_ms, end_ms = start_ms + 715 * MINUTE_MS, start_ms + 725 * MINUTE_MS
    (series,) = read_warehouse(filled, SLO, after_ms, end_ms, None)
    lasting = [alert for alert in _alerts(Told((series,), after_ms, end_ms)) if alert.slice == FLEET]
    assert lasting and all(alert.to_ms is None for alert in lasting)
    assert min(alert.from_ms for alert in lasting) < after_ms


def test_the_budget_is_told_of_the_range_only(filled: ClickHouseAddress, start_ms: int) -> None:
    end_ms = start_ms + DAY_MINUTES * MINUTE_MS
    told = Told(read_warehouse(filled, SLO, start_ms, end_ms + 30_000, None), start_ms, end_ms + 30_000)
    (verdict,) = judged(WATCHED, "", told, None, None).verdicts
    hours = verdict.budget["instant_ms"].to_list()
    assert hours == [start_ms + hour * 3_600_000 for hour in range(25)]


def test_a_threshold_that_was_not_counted_is_read_from_histograms_twice(
    filled: ClickHouseAddress, start_ms: int
) -> None:
    threshold = uncounted(SLO, 3_510)
    fewest, most = read_warehouse(filled, SLO, start_ms, start_ms + 60 * MINUTE_MS, threshold)
    assert (fewest.bad[0, -60:].tolist(), most.bad[0, -60:].tolist()) == ([10] * 60, [15] * 60)
    assert fewest.total[0, -60:].tolist() == [100] * 60
    assert int(fewest.total.sum()) == 6_000


def test_a_range_without_rows_is_told_and_not_called_well(filled: ClickHouseAddress, start_ms: int) -> None:
    with pytest.raises(BadInput, match="holds no rows of turn_4000ms"):
        read_warehouse(filled, SLO, start_ms - 90_000_000, start_ms - 60_000_000, None)


def test_a_database_that_is_not_there_is_told(clickhouse_server: ClickHouseServer) -> None:
    with pytest.raises(WarehouseError, match="has no database nowhere"):
        read_warehouse(ClickHouseAddress(f"{clickhouse_server.url}/nowhere"), SLO, 0, MINUTE_MS, None)


def _alerts(told: Told) -> list[Alerted]:
    (verdict,) = judged(WATCHED, "", told, None, None).verdicts
    return list(verdict.alerts)
