"""Views: each row once without FINAL, and quantiles as good as the histogram promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from schemas.families import SCALE_OF_STAGE
from schemas.histograms import bucket_indexes
from schemas.tables import TABLES
from schemas.views import QUANTILES, VIEWS
from tests.warehouse.rows import START, Row, arrow_of, rows_of

SEED = 7
HISTOGRAM = TABLES["stage_latency_1m"]


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "stage_quantiles"])
def test_a_view_shows_each_row_once(client: Client, name: str) -> None:
    table = TABLES[f"{name}_1m"]
    rows = arrow_of(table, rows_of(table, SEED))
    for _ in range(2):
        client.insert_arrow(table.name, rows)
    columns = ", ".join(column for column in table.column_names if column != "version")
    final = client.query(f"SELECT {columns} FROM {table.name} FINAL ORDER BY {', '.join(table.order_by)}").result_rows
    assert client.query(f"SELECT * FROM {name} ORDER BY {', '.join(table.order_by)}").result_rows == final


@pytest.mark.parametrize("stage", ["turn", "asr_first_partial"])
def test_quantiles_are_within_the_error_of_the_histogram(client: Client, stage: str) -> None:
    """Scale 6 promises 0.55 %, scale 5 1.1 %: (base - 1) / (base + 1), and the rest of the formula adds nothing."""
    scale = SCALE_OF_STAGE[stage]
    latencies_ms = np.random.default_rng(SEED).lognormal(7, 0.8, 20_000)
    latencies_ms[:150] = 0
    client.insert_arrow(HISTOGRAM.name, arrow_of(HISTOGRAM, histogram(stage, scale, latencies_ms, version=1)))
    (row,) = client.query("SELECT p50_ms, p95_ms, p99_ms, observed, mean_ms FROM stage_quantiles").result_rows
    base = 2 ** (2**-scale)
    exact = np.quantile(latencies_ms, QUANTILES, method="inverted_cdf")
    np.testing.assert_allclose(row[:3], exact, rtol=(base - 1) / (base + 1) * (1 + 1e-9))
    assert row[3] == len(latencies_ms)
    np.testing.assert_allclose(row[4], latencies_ms.mean(), rtol=1e-3)


def test_quantiles_read_the_newest_version_only_and_mix_scales(client: Client) -> None:
    latencies_ms = np.random.default_rng(SEED).lognormal(7, 0.8, 5_000)
    client.insert_arrow(HISTOGRAM.name, arrow_of(HISTOGRAM, histogram("turn", 6, latencies_ms[:100], version=1)))
    client.insert_arrow(HISTOGRAM.name, arrow_of(HISTOGRAM, histogram("turn", 6, latencies_ms[:2_500], version=2)))
    client.insert_arrow(HISTOGRAM.name, arrow_of(HISTOGRAM, histogram("turn", 5, latencies_ms[2_500:], version=1)))
    (row,) = client.query(
        "SELECT p50_ms, p95_ms, p99_ms, observed FROM stage_quantiles WHERE stage = 'turn'"
    ).result_rows
    base = 2 ** (2**-5)
    exact = np.quantile(latencies_ms, QUANTILES, method="inverted_cdf")
    np.testing.assert_allclose(row[:3], exact, rtol=2 * (base - 1) / (base + 1))
    assert row[3] == len(latencies_ms)


def test_an_all_zero_histogram_is_zero(client: Client) -> None:
    client.insert_arrow(HISTOGRAM.name, arrow_of(HISTOGRAM, histogram("queue_wait", 5, np.zeros(40), version=1)))
    assert client.query("SELECT p50_ms, p99_ms, mean_ms FROM stage_quantiles").result_rows == [(0.0, 0.0, 0.0)]


def histogram(stage: str, scale: int, latencies_ms: Any, version: int) -> list[Row]:
    """One slice's minute of `latencies_ms` as the rows that land."""
    indexes = bucket_indexes(latencies_ms, scale)
    slice_of_them = {
        "cut": "pool",
        "slice": "pool=realtime",
        "pool": "realtime",
        "region": "",
        "route": "",
        "bundle": "",
    }
    rows = []
    for index in np.unique(indexes).tolist():
        inside = latencies_ms[indexes == index]
        measured = {
            "observations": len(inside),
            "latency_ms_sum": round(inside.sum()),
            "latency_ms_sumsq": round((inside**2).sum()),
        }
        key = {"stage": stage, "scale": scale, "bucket_index": index, "bucket_start": START}
        rows.append(slice_of_them | key | measured | {"version": version})
    return rows
