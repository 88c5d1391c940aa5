"""Figures of the board of burn by slice, against what happened in the world."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dashboards.queries import burn_by_slice
from schemas.slos import Severity
from tests.board.conftest import DAY_S, Boards
from tests.board.world import BUNDLES, REGIONS
from tests.board.world_burns import BURNING_SLICE

SLO, BUDGET_RATE = "turn-4000ms-realtime", 0.01


@pytest.mark.parametrize("severity", ["page", "ticket"])
@pytest.mark.parametrize("seconds", [1_800, DAY_S])
def test_cells_are_the_nearest_row_s_smaller_burn(boards: Boards, severity: Severity, seconds: int) -> None:
    """Of every slice of one objective, from the stored windows by a join; the order is that of their peaks."""
    during = boards.last(seconds)
    told = boards.rows(burn_by_slice.nearness_by_slice(boards.watched, severity).sql, during, slo=[SLO])
    near = _nearness(boards, severity, during.from_s, during.interval_s)
    joined = told.select("series", pl.col("time").cast(pl.Int64), "value").join(near, on=["series", "time"], how="full")
    assert joined.null_count().sum_horizontal().item() == 0, "every cell, and no other"
    np.testing.assert_allclose(joined["value"], joined["near"])
    peaks = told.group_by("series").agg(pl.col("value").max()).sort("value", "series", descending=[True, False])
    newest = told.filter(pl.col("time") == told["time"].max())["series"].to_list()
    assert newest == peaks.filter(pl.col("series").is_in(newest))["series"].to_list()
    assert peaks["series"][0].endswith(f"bundle={BUNDLES[1]}")


def _nearness(boards: Boards, severity: Severity, from_s: int, step_s: int) -> pl.DataFrame:
    (watched,) = (each for each in boards.watched if each.slo.name == SLO)
    stored = pl.DataFrame(boards.world.rows["burn_windows"]).filter(
        pl.col("slo") == SLO, pl.col("decided_at").dt.epoch("s") >= from_s
    )
    step = -(-step_s // (10 if step_s == 10 else 60)) * (10 if step_s == 10 else 60)
    peaks = stored.group_by((pl.col("decided_at").dt.epoch("s") // step * step).alias("time"), "slice", "window_s").agg(
        pl.col("burn").max()
    )
    rows = pl.DataFrame(
        {"window_s": row.long_s, "short_s": row.short_s, "factor": float(row.factor)}
        for row in watched.rows
        if row.severity == severity
    ).cast({"window_s": pl.UInt32, "short_s": pl.UInt32})
    short = peaks.rename({"window_s": "short_s", "burn": "short"})
    near = peaks.join(rows, on="window_s").join(short, on=["time", "slice", "short_s"])
    cells = near.group_by("time", "slice").agg(near=(pl.min_horizontal("burn", "short") / pl.col("factor")).max())
    return cells.select(
        pl.format("{} · {}", pl.lit(SLO), "slice").alias("series"), pl.col("time").cast(pl.Int64), "near"
    )


def test_a_cell_leads_to_its_own_slice(boards: Boards) -> None:
    told = boards.rows(burn_by_slice.nearness_by_slice(boards.watched, "page").sql, slo=[SLO])
    (row,) = told.filter(series=f"{SLO} · {BURNING_SLICE}").select("slo", "pool", "region", "bundle").unique().rows()
    assert row == (SLO, "realtime", "", BUNDLES[1])


def test_burn_by_the_chosen_breakdown_is_counted_step_by_step(boards: Boards) -> None:
    during = boards.last(DAY_S)
    told = boards.rows(burn_by_slice.burn_by_breakdown(boards.watched).sql, during, slo=[SLO], by="region")
    step_ms = 180_000
    happened = (
        boards.world.turns.filter(pl.col("bucket_ms") >= during.from_s * 1_000, pool="realtime")
        .group_by("region", (pl.col("bucket_ms") // step_ms * step_ms // 1_000).alias("time"))
        .agg(burn=pl.col("turn_4000ms_bad").sum() / pl.col("turn_4000ms_total").sum() / BUDGET_RATE)
    )
    joined = told.with_columns(pl.col("time").cast(pl.Int64)).join(happened, on=["region", "time"])
    assert joined.height == told.height == happened.height
    np.testing.assert_allclose(joined["value"], joined["burn"])


def test_a_breakdown_is_of_what_is_chosen_where_a_cut_names_both(boards: Boards) -> None:
    """Bundles of one region are those inside of it, and never the fleet's; a route is named together with no region."""
    during = boards.last(DAY_S)
    burn = burn_by_slice.burn_by_breakdown(boards.watched).sql
    told = boards.rows(burn, during, slo=[SLO], by="bundle", region=[REGIONS[0]])
    step_ms = 180_000
    happened = (
        boards.world.turns.filter(pl.col("bucket_ms") >= during.from_s * 1_000, pool="realtime", region=REGIONS[0])
        .group_by("bundle", (pl.col("bucket_ms") // step_ms * step_ms // 1_000).alias("time"))
        .agg(burn=pl.col("turn_4000ms_bad").sum() / pl.col("turn_4000ms_total").sum() / BUDGET_RATE)
    )
    assert told["region"].unique().to_list() == [REGIONS[0]]
    joined = told.with_columns(pl.col("time").cast(pl.Int64)).join(happened, on=["bundle", "time"])
    assert joined.height == told.height == happened.height
    np.testing.assert_allclose(joined["value"], joined["burn"])
    routes = boards.rows(burn, during, slo=[SLO], by="route", region=[REGIONS[0]])
    assert routes["region"].unique().to_list() == [""] and routes["route"].n_unique() == 2


@pytest.mark.parametrize("region", [None, REGIONS[0]])
def test_the_slice_that_explains_most_is_first_with_its_shares(boards: Boards, region: str | None) -> None:
    """Shares are of what is selected: of one region, a bundle's are those inside of it."""
    during = boards.last(DAY_S)
    selection = {"slo": [SLO]} | ({"region": [region]} if region else {})
    told = boards.rows(burn_by_slice.explaining(boards.watched).sql, during, selection)
    first = told.row(0, named=True)
    turns = boards.world.turns.filter(pl.col("bucket_ms") >= during.from_s * 1_000, pool="realtime")
    turns = turns.filter(region=region) if region else turns
    sums = pl.col("turn_4000ms_bad", "turn_4000ms_total").sum()
    (all_bad, all_turns), (bad, total) = (
        frame.select(sums).row(0) for frame in (turns, turns.filter(bundle=BUNDLES[1]))
    )
    inside = f"pool=realtime,region={region},bundle={BUNDLES[1]}" if region else BURNING_SLICE
    named = {row["slice"]: row for row in told.to_dicts()}[inside]
    assert (named["bad"], named["total"]) == (bad, total)
    assert named["share_of_bad"] == pytest.approx(bad / all_bad)
    assert named["share_of_turns"] == pytest.approx(total / all_turns)
    assert named["lift"] == pytest.approx(bad / all_bad / (total / all_turns))
    assert named["excess_bad"] == pytest.approx(bad - total * BUDGET_RATE)
    assert first["excess_bad"] == told["excess_bad"].max() and first["bundle"] in ("", BUNDLES[1])
    assert told["excess_bad"].is_sorted(descending=True)


def test_the_smallest_slice_that_explains_it_all_is_the_canary(boards: Boards) -> None:
    told = boards.rows(burn_by_slice.explaining(boards.watched).sql, boards.last(DAY_S), slo=[SLO])
    explains = told.filter(pl.col("lift") > 2, pl.col("share_of_bad") > 0.9)
    assert explains["slice"].to_list() == [BURNING_SLICE]
