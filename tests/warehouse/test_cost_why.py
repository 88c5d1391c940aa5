"""What `turnwatch cost why` reads of ClickHouse is what a query exports to a file, and late rows are in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from alerts.price_document import load_prices
from schemas.families import COSTS
from schemas.warehouse import ClickHouseAddress
from stack.clickhouse import ClickHouseServer
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.totals.rollup_rows import to_table
from stream_jobs.sinks.clickhouse import connect
from stream_jobs.sinks.migrate import migrate
from tests.stack_fixtures import own_database
from turnwatch.answers.cost_files import FINEST, read_cost_files
from turnwatch.answers.cost_warehouse import read_cost_warehouse
from turnwatch.answers.cost_why import Asked, explain, told
from turnwatch.query import ask

DAY_MS = 86_400_000
SLICE = (
    "region=eu-west-1,pool=realtime,route=agent,bundle=v1,model_version=talk-1,gpu_type=h100,purchase=reserved"
)  # fmt: skip

LATE = {
    "producer": pl.lit("host-1"),
    "origin_topic": pl.lit("aggregates.costs"),
    "origin_partition": pl.lit(0),
    "origin_offset": pl.lit(7),
}


@pytest.fixture(scope="module")
def start_ms() -> int:
    """Midnight of three days ago: tables forget what is old."""
    return int(time.time() * 1_000) // DAY_MS * DAY_MS - 3 * DAY_MS


@pytest.fixture(scope="module")
def address(clickhouse_server: ClickHouseServer, start_ms: int) -> Iterator[ClickHouseAddress]:
    """Two days of one slice, with 10 turns each ten minutes, shadowed on the second; the first bucket had one more, late."""
    with own_database(clickhouse_server) as address:
        migrate(address)
        client = connect(address)
        at_ms = [start_ms + number * 600_000 for number in range(288)]
        for table, rows in (
            ("costs_10m", _rows(at_ms)),
            ("costs_late", _rows(at_ms[:1], turns=1).with_columns(**LATE)),
        ):
            both = pl.concat([rows, rows.with_columns(slice=pl.lit("pool=realtime"))])
            client.insert_arrow(table, to_table(both, table))
        client.close()
        yield address


def _rows(at_ms: list[int], turns: int = 10) -> pl.DataFrame:
    shadows = pl.Series([turns if number >= 144 else 0 for number in range(len(at_ms))])
    attempts = shadows + turns
    told = {"turns": turns, "successes": turns, "gpu_reserved_ms": 900_000}
    summed = {"attempts": attempts, "attempts_shadow": shadows, "tokens_out": 50 * attempts}
    rows = pl.DataFrame({"bucket_start": at_ms}).cast(pl.Datetime("ms", "UTC"))
    measures = [pl.lit(told.get(name, 0), pl.Int64).alias(name) for name in COSTS.measure_names if name not in summed]
    used = (attempts * 4_000).alias("gpu_used_ms")
    return rows.with_columns(*measures, slice=pl.lit(SLICE), version=pl.lit(1, pl.Int64)).with_columns(
        used, **summed
    )  # fmt: skip


def test_a_range_has_what_a_query_exports_with_what_came_late_and_no_other_cut(
    address: ClickHouseAddress, start_ms: int, tmp_path: Path
) -> None:
    stored = read_cost_warehouse(address, start_ms, start_ms + 2 * DAY_MS)
    assert (len(stored), stored["turns"].sum()) == (288, 2_881)
    assert stored.columns == ["bucket_start_ms", *FINEST.dimensions, *COSTS.measure_names]
    (tmp_path / "a.csv").write_text(ask(address, "SELECT * FROM costs ORDER BY slice, bucket_start", "csv"))
    assert read_cost_files([tmp_path / "a.csv"]).equals(stored)
    assert read_cost_warehouse(address, start_ms + 600_000, start_ms + 1_200_000)["turns"].to_list() == [10]


def test_two_days_are_compared_and_the_second_was_shadowed(
    address: ClickHouseAddress, start_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWATCH_CLICKHOUSE__URL", address.url)
    old, new = (time.strftime("%Y-%m-%d", time.gmtime(start_ms / 1_000 + day * 86_400)) for day in (0, 1))
    said = told(explain(Asked(old, new, basis="used"), Pricing(load_prices())))
    assert (said["old"]["turns"], said["new"]["turns"]) == (1_441, 1_440)
    assert [each["driver"] for each in said["drivers"]] == ["attempts_shadow"]
    both = Asked(f"{old}..{new}", new, old_where=("pool=realtime",), basis="used")
    week = told(explain(both, Pricing(load_prices())))
    assert week["old"]["turns"] == 2_881
    assert week["old"]["bill_cents"] == round(1_441 * 4 / 3_600 * 2.6 * 100 + 2_880 * 4 / 3_600 * 2.6 * 100)
