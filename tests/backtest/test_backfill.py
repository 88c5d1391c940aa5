"""Windows that are filled in are those that the stream told of the same frames."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.failures import BadInput
from schemas.families import TURNS
from schemas.instants import MINUTE_MS
from schemas.slos import PolicyRow, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.rollup_rows import to_table
from tests.backtest.streaming import BATCH_FRAMES, MINUTES, SLO, WATCHED, saved, world
from turnwatch.backfill import checked_range
from turnwatch.backfill_cuts import fillings
from turnwatch.backfill_windows import window_batches
from turnwatch.backtest.frames import read_frames
from turnwatch.backtest.judging import told_in_minutes
from turnwatch.backtest.series import Series, Span

ROWS = (
    PolicyRow("page_5m_1m", 300, 60, Decimal("0.2"), Decimal("4"), "page"),
    PolicyRow("ticket_370m_30m", 22_200, 1_800, Decimal("0.05"), Decimal("1"), "ticket"),
)
OF_MINUTES = replace(WATCHED, rows=ROWS)
TIME_SLICES = WatchedSlo(MINUTES.slo, ROWS)
KEYS = ["slice", "window_s", "decided_at"]
EXACT = [*KEYS, "slo", "cut", "bundle", "language", "window", "bad", "total"]
NEAR = ["burn", "budget_left", "exhausted_in_s", "spent_today", "one_failure_costs"]


@pytest.mark.parametrize("watched", [OF_MINUTES, TIME_SLICES], ids=["of turns", "of time slices"])
def test_every_column_is_what_the_stream_told_at_the_end_of_each_minute(tmp_path: Path, watched: WatchedSlo) -> None:
    records = world(4, 450)
    intake, operator = Intake(TURNS, 0, 1), BurnRate(0, 1, [watched])
    told = []
    for start in range(0, len(records), BATCH_FRAMES):
        intake.apply(records[start : start + BATCH_FRAMES])
        for _, partial in intake.unsent_partials():
            operator.apply(partial)
        list(operator.rollups())
        while made := list(operator.decide(now_ms=0)):
            told += [pl.DataFrame(each.windows) for each in made if each.windows is not None]
    at_minutes = pl.col("decided_at").dt.epoch("ms") % MINUTE_MS == 0
    expected = pl.concat(told).filter(at_minutes).unique(KEYS, keep="last").sort(KEYS)
    (series,) = read_frames(saved(records, tmp_path), SLO, None)
    series, target = of_minutes(series), watched.slo.time_slice_target
    series = series if target is None else told_in_minutes(series, target)
    filled = [rows for *_, rows in window_batches(series, watched, 0) if rows is not None]
    found = pl.DataFrame(to_table(pl.concat(filled), "burn_windows")).sort(KEYS)
    found = found.join(expected, on=KEYS, how="semi").sort(KEYS)
    assert found.height == expected.height > 300
    assert found.select(EXACT).equals(expected.select(EXACT))
    for name in NEAR:
        values = [rows[name].fill_null(float("nan")).to_list() for rows in (found, expected)]
        assert values[0] == pytest.approx(values[1], rel=1e-12, nan_ok=True), name
    assert (found["version"] <= expected["version"]).all(), "what the stream told of the same instant stays"
    assert set(found["cut"]) == set(SLO.cuts)


def of_minutes(series: Series) -> Series:
    """The same counts minute by minute, as ClickHouse has them."""
    start_ms = series.span.start_ms // MINUTE_MS * MINUTE_MS
    end_ms = -(-series.span.end_ms // MINUTE_MS) * MINUTE_MS
    before, per = (series.span.start_ms - start_ms) // series.span.width_ms, MINUTE_MS // series.span.width_ms
    buckets = (end_ms - start_ms) // series.span.width_ms
    pad = ((0, 0), (before, buckets - before - series.span.buckets))
    bad, total = (
        np.pad(counts, pad).reshape(len(counts), -1, per).sum(axis=2) for counts in (series.bad, series.total)
    )
    reported = np.asarray(np.pad(series.reported, pad[1]).reshape(-1, per).any(axis=1), dtype=np.bool_)
    return Series(Span(start_ms, end_ms, MINUTE_MS), series.slices, bad, total, series.first_ms, reported)


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ("region,bundel", "Nothing is counted by a dimension 'bundel': did you mean bundle?"),
        ("region,region", "names a dimension twice"),
        ("route,bundle", "No stored cut tells route,bundle"),
        ("region,language", "No stored cut tells region,language"),
        ("pool,region,bundle", "No stored cut tells pool,region,bundle"),
    ],
)
def test_a_cut_that_nothing_stored_tells_is_a_sentence(cut: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        fillings(cut)


def test_the_coarsest_cut_that_has_the_dimensions_is_added_up() -> None:
    assert [(each.family.name, each.source) for each in fillings("region")] == [
        ("turns", "pool,region"),
        ("duplex", "pool,region"),
    ]
    assert [(each.family.name, each.source) for each in fillings("region,bundle")] == [("turns", "pool,region,bundle")]


def test_a_range_is_of_minutes_that_are_kept_and_counted() -> None:
    now_ms = 1_790_000_000_000
    assert checked_range("30d", now_ms) == (now_ms - 30 * 86_400_000, now_ms)
    assert checked_range("2026-09-20..2027-01-01", now_ms)[1] == now_ms
    for data, told in (("96d", "begins 96 days ago"), ("2027-01-01..2027-01-02", "lies ahead")):
        with pytest.raises(BadInput, match=told):
            checked_range(data, now_ms)
