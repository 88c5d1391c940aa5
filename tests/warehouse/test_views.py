"""Views: each row once without FINAL, and quantiles as good as the histogram promises."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from schemas.families import FAMILIES, INDICATORS, PRIVACY, QUEUES, SCALE_OF_STAGE, STREAMS, TURNS, Family
from schemas.histograms import bucket_indexes
from schemas.tables import FAMILY_TABLES, TABLES, late_table, widest
from schemas.verdict_rows import rows as verdict_rows
from schemas.views import QUANTILES, SHOWN_CUTS
from tests.gates.verdicts import AT_MS, FAR_FIELD, verdict
from tests.warehouse.rows import START, Row, arrow_of, rows_of
from turnwatch.query_checks import queries_in, shown_pages

SEED = 7
HISTOGRAM = TABLES["stage_latency_1m"]


@pytest.mark.parametrize("name", [name for names in FAMILY_TABLES.values() for name in names])
def test_a_view_shows_each_row_once(client: Client, name: str) -> None:
    table = widest(name)
    rows = arrow_of(table, in_its_cut(name, rows_of(table, SEED)))
    for _ in range(2):
        client.insert_arrow(table.name, rows)
    columns = ", ".join(column for column in table.column_names if column != "version")
    final = client.query(f"SELECT {columns} FROM {table.name} FINAL ORDER BY {', '.join(table.order_by)}").result_rows
    assert client.query(f"SELECT * FROM {name} ORDER BY {', '.join(table.order_by)}").result_rows == final


def in_its_cut(view: str, rows: list[Row]) -> list[Row]:
    """These rows, all of them of the cut that the view shows, where it shows only one."""
    return [row | {"cut": SHOWN_CUTS.get(view, row["cut"])} for row in rows]


def test_what_was_refused_adds_up_though_no_cut_is_chosen(client: Client) -> None:
    """In time and late, each told in every cut."""
    of = {"reported_family": "turns", "fate": "refused", "because": "email", "observations": 3, "version": 1}
    late = {"producer": "host-1", "origin_topic": "t", "origin_partition": 0, "origin_offset": 5}
    for name, more in (("privacy_1m", {}), (late_table(PRIVACY), late)):
        rows = [
            {"cut": cut.name, "slice": cut.name, "bucket_start": START, "pool": "batch", "region": region, **of, **more}
            for cut, region in zip(PRIVACY.cuts, ("", "eu-west-1"), strict=True)
        ]
        client.insert_arrow(name, arrow_of(TABLES[name], rows))
    asked = "SELECT because, pool, sum(observations) FROM privacy WHERE fate = 'refused' GROUP BY because, pool"
    assert client.query(asked).result_rows == [("email", "batch", 6)]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_views_add_what_came_late_once(client: Client, family: Family) -> None:
    table = TABLES[late_table(family)]
    late = arrow_of(table, in_its_cut(family.name, rows_of(table, SEED)))
    for _ in range(2):
        client.insert_arrow(table.name, late)
    sums = ", ".join(f"sum({name})" for name in family.measure_names)
    (wanted,) = client.query(f"SELECT {sums} FROM {table.name} FINAL").result_rows
    assert any(wanted)
    for name in set(FAMILY_TABLES[family.name]) - {"burn_rate", "concurrency"}:  # Those do not simply add: see below.
        counters = [measure.name for measure in family.measures if measure.merge == "counter"]
        shown = [column for column in counters if column in widest(name).column_names]
        (found,) = client.query(f"SELECT {', '.join(f'sum({column})' for column in shown)} FROM {name}").result_rows
        assert found == tuple(wanted[family.measure_names.index(column)] for column in shown)


def test_spend_is_shown_once_in_dollars_to_the_last_of_their_billionths(client: Client) -> None:
    table = TABLES["spend_10m"]
    nothing = {column.name: 0 for column in table.columns if column.type == "UInt64"}
    of = {"cut": "pool", "slice": "pool=batch", "pool": "batch", "bucket_start": START, **nothing}
    told = [of | {"version": version, "used_nusd": 2**53 + version, "reserved_nusd": version} for version in (1, 2)]
    for rows in (told, told[:1]):
        client.insert_arrow(table.name, arrow_of(table, rows))
    (shown,) = client.query("SELECT used_usd, reserved_usd FROM spend WHERE pool = 'batch'").result_rows
    assert shown == (Decimal(2**53 + 2).scaleb(-9), Decimal("0.000000002"))


def test_a_late_gauge_counts_where_it_is_of_the_last_bucket_of_its_minute(client: Client) -> None:
    in_time, late = widest("queues"), TABLES[late_table(QUEUES)]
    of = {"cut": "pool", "slice": "pool=realtime", "pool": "realtime", "region": "", "bundle": "", "queue": "retrieval"}
    nothing = dict.fromkeys(QUEUES.measure_names, 0) | {"version": 1}
    told = of | nothing | {"bucket_start": START, "depth": 5, "arrivals": 10}
    came = [
        of | nothing | {"bucket_start": START + timedelta(seconds=at_s), "depth": depth, "arrivals": 1, "producer": "host-1"}
        | {"origin_topic": "t", "origin_partition": 0, "origin_offset": at_s}
        for at_s, depth in ((10, 100), (50, 3))
    ]  # fmt: skip
    client.insert_arrow(in_time.name, arrow_of(in_time, [told]))
    client.insert_arrow(late.name, arrow_of(late, came))
    found = client.query(
        "SELECT bucket_start, depth, arrivals FROM queues", query_tz="UTC", tz_mode="aware"
    ).result_rows
    assert found == [(START, 8, 12)]


def test_late_turns_count_in_every_indicator(client: Client) -> None:
    table = TABLES[late_table(TURNS)]
    client.insert_arrow(table.name, arrow_of(table, rows_of(table, SEED)))
    for indicator in INDICATORS:
        asked = (
            f"SELECT sum({indicator.bad}), sum({indicator.total}) FROM {table.name} FINAL WHERE {indicator.total} > 0"
        )
        told = f"SELECT sum(bad), sum(total) FROM burn_rate WHERE indicator = '{indicator.name}'"
        assert client.query(told).result_rows == client.query(asked).result_rows


def test_a_peak_is_bounded_by_what_came_in_time_and_late_together(client: Client) -> None:
    in_time, late = TABLES["concurrency_1m"], TABLES[late_table(STREAMS)]
    row = rows_of(in_time, SEED, count=1)[0] | {
        "bucket_start": START,
        "peak_lower": 7,
        "peak_upper": 9,
        "active_at_start": 5,
    }
    of_late = rows_of(late, SEED, count=1)[0] | {
        name: row[name] for name in ("cut", "slice", "pool", "region", "route", "bundle")
    }
    of_late |= {"bucket_start": START, "second": 0, "active_at_start": 2, "starts": 3, "ends": 1}
    client.insert_arrow(in_time.name, arrow_of(in_time, [row]))
    client.insert_arrow(late.name, arrow_of(late, [of_late]))
    told = client.query(
        "SELECT active_at_start, starts - {starts:UInt64}, peak_lower, peak_upper FROM concurrency",
        {"starts": row["starts"]},
    )
    assert told.result_rows == [(7, 3, 7, 14)]


def test_late_producers_are_named_and_their_frames_counted(client: Client) -> None:
    table = TABLES[late_table(TURNS)]
    rows = [
        row | {"producer": "host-1", "origin_topic": "t", "origin_partition": 0, "origin_offset": place // 2}
        for place, row in enumerate(rows_of(table, SEED, count=6))
    ]
    rows[4] |= {"producer": "", "origin_offset": 7}  # Of a source partition that lagged: nobody sent it late.
    client.insert_arrow(table.name, arrow_of(table, rows))
    assert client.query("SELECT family, producer, frames FROM late_producers").result_rows == [("turns", "host-1", 3)]


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


def test_the_query_of_the_page_joins_what_serves_with_what_was_declared(client: Client) -> None:
    sql = queries_in(shown_pages()["docs/releases.md"])[0]
    deployed, declared = widest("deployments"), TABLES["releases"]
    of = {"bundle": "v42", "artifact": "asr", "artifact_kind": "asr_model", "version": 1}
    serves: Row = {
        "cut": "pool,bundle,artifact",
        "slice": "pool=realtime,bundle=v42,artifact=asr",
        "pool": "realtime",
        "region": "",
    }
    serves |= {"bucket_start": START, "hosts": 3, "deployments": 3, "retirements": 0}
    said: Row = dict.fromkeys(declared.column_names, "")
    said |= {"at": START, "owner": "speech-team", "rollback_to": "asr-6"}
    client.insert_arrow(deployed.name, arrow_of(deployed, [of | serves]))
    client.insert_arrow(declared.name, arrow_of(declared, [said | of]))
    found = client.query(sql, query_tz="UTC", tz_mode="aware").result_rows
    assert found == [("v42", "asr", START, "speech-team", "asr-6")]


def test_the_query_of_the_page_shows_what_got_worse_at_every_look(client: Client) -> None:
    (sql,) = queries_in(shown_pages()["docs/release-pipelines.md"])
    for decision, at_ms in (("rollback", AT_MS), ("rollback", AT_MS), ("rollback", AT_MS + 1), ("pause", AT_MS + 2)):
        client.insert_arrow("verdicts", verdict_rows(verdict(decision, at_ms=at_ms)))
    found = client.query(sql, query_tz="UTC", tz_mode="aware").named_results()
    told = [(row["at"].timestamp() * 1_000 - AT_MS, row["slice"], row["metric"], row["low"]) for row in found]
    assert told == [(1, FAR_FIELD, "wer", 0.03), (0, FAR_FIELD, "wer", 0.03)]
