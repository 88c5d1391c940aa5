"""Figures of the board of SLOs and budgets, against what happened in the world."""

from __future__ import annotations

import math

import polars as pl
import pytest

from dashboards.queries import budget_history
from tests.board.conftest import DAY_S, Boards
from tests.board.world import REGIONS
from tests.board.world_burns import EXCLUDED_S

SLO, BUDGET_RATE = "turn-4000ms-realtime", 0.01


def _judged(boards: Boards, from_ms: int = 0) -> pl.DataFrame:
    """Bad and judged turns of the objective by bucket, with the day (UTC)."""
    counted = (
        boards.world.turns.filter(pl.col("bucket_ms") >= from_ms, pool="realtime")
        .group_by("region", "bucket_ms")
        .agg(bad=pl.col("turn_4000ms_bad").sum(), total=pl.col("turn_4000ms_total").sum())
    )
    return counted.with_columns(day=pl.from_epoch("bucket_ms", "ms").dt.date()).sort("bucket_ms")


@pytest.mark.parametrize("days", [1, 30])
def test_an_objective_is_kept_where_its_good_share_is(boards: Boards, days: int) -> None:
    during = boards.last(days * DAY_S)
    told = boards.rows(budget_history.kept(boards.watched).sql, during).filter(slo=SLO).row(0, named=True)
    bad, total = _judged(boards, during.from_s * 1_000).select(pl.col("bad", "total").sum()).row(0)
    assert (told["bad"], told["total"], told["in this range"]) == (bad, total, "missed")
    assert told["good_share"] == pytest.approx(1 - bad / total)
    assert told["burn"] == pytest.approx(bad / total / BUDGET_RATE)


def test_exactly_on_the_objective_is_kept(boards: Boards) -> None:
    """1 - 0.9 is a little less than 0.1 in floating point, and one of ten is still allowed."""
    condition = budget_history.KEPT
    for bad, total, objective, is_kept in ((1, 10, 0.9, 1), (7, 70, 0.9, 1), (8, 70, 0.9, 0), (1, 1_000, 0.999, 1)):
        counted = f"SELECT {bad} AS bad, {total} AS total, toFloat64({objective}) AS objective"
        assert boards.client.query(f"SELECT {condition} FROM ({counted})").result_rows == [(is_kept,)]


def test_the_glance_counts_budgets_that_are_spent(boards: Boards) -> None:
    told = boards.rows(budget_history.AT_A_GLANCE.sql).row(0, named=True)
    newest = pl.DataFrame(boards.world.rows["burn_windows"]).filter(
        pl.col("cut") == "pool", pl.col("decided_at") == pl.col("decided_at").max()
    )
    left = newest.group_by("slo").agg(pl.col("budget_left").first(), pl.col("spent_today").first())
    assert told["objectives watched"] == left.height == len(boards.watched)
    assert told["budgets spent"] == left.filter(pl.col("budget_left") <= 0).height > 0
    assert told["least budget left"] == left["budget_left"].min()
    assert told["most spent today"] == left["spent_today"].max()


def test_no_decision_is_no_figure(boards: Boards) -> None:
    long_ago = boards.last(DAY_S)
    long_ago = type(long_ago)(long_ago.from_s - 100 * DAY_S, long_ago.to_s - 100 * DAY_S)
    assert boards.rows(budget_history.AT_A_GLANCE.sql, long_ago).is_empty(), "silence is never good news"


def test_each_day_tells_what_it_took(boards: Boards) -> None:
    """Of each day the bad turns until it was decided last, over those that all turns until then allow.

    A decision at midnight is the first of the day that begins.
    """
    told = boards.rows(budget_history.SPENT_BY_DAY.sql, boards.last(30 * DAY_S), slo=[SLO], pool=["realtime"])
    happened = _judged(boards)
    is_decided = (pl.col("bucket_ms") >= boards.world.fine_ms) | (pl.col("bucket_ms") % 3_600_000 == 0)
    decided_ms = pl.col("bucket_ms") + pl.when(pl.col("bucket_ms") >= boards.world.fine_ms).then(10_000).otherwise(
        60_000
    )
    decided = happened.filter(is_decided).with_columns(decided_on=pl.from_epoch(decided_ms, "ms").dt.date())
    for (day,), of_day in decided.group_by("decided_on"):
        so_far = happened.filter(pl.col("bucket_ms") <= of_day["bucket_ms"].max())
        bad_today = pl.col("bad").filter(pl.col("day") == day).sum()
        spent = so_far.select(bad_today / (pl.col("total").sum() * BUDGET_RATE)).item()
        assert told.filter(pl.col("time").dt.date() == day)["value"].to_list() == [pytest.approx(spent)]
    assert told["time"].n_unique() == decided["decided_on"].n_unique()


def test_one_failure_costs_a_share_of_what_the_turns_allow(boards: Boards) -> None:
    told = boards.rows(budget_history.ONE_FAILURE.sql, slo=[SLO]).row(0, named=True)
    bad, total = _judged(boards).select(pl.col("bad", "total").sum()).row(0)
    assert told["one_failure_costs"] == pytest.approx(1 / (total * BUDGET_RATE))
    assert told["failures_left"] == max(math.floor(total * BUDGET_RATE - bad), 0)
    everything = boards.rows(budget_history.ONE_FAILURE.sql)["failures_left"]
    assert everything.is_sorted() and everything[-1] > 0


def test_a_correction_parts_from_the_count_on_the_day_of_the_exclusion(boards: Boards) -> None:
    told = boards.rows(budget_history.CORRECTED_BY_DAY.sql, boards.last(30 * DAY_S), slo=[SLO])
    days = told.pivot("series", index="time", values="value").sort("time")
    counted, corrected = days[f"{SLO} · pool=realtime as counted"], days[f"{SLO} · pool=realtime corrected"]
    assert counted[:-1].to_list() == pytest.approx(corrected[:-1].to_list())
    from_ms, to_ms = (boards.world.fine_ms + second * 1_000 for second in EXCLUDED_S)
    is_excluded = pl.col("bucket_ms").is_between(from_ms, to_ms - 1) & (pl.col("region") == REGIONS[0])
    bad, total = _judged(boards).filter(~is_excluded).select(pl.col("bad", "total").sum()).row(0)
    assert corrected[-1] == pytest.approx(1 - bad / total / BUDGET_RATE) and corrected[-1] != counted[-1]


def test_exclusions_are_listed_with_who_and_why(boards: Boards) -> None:
    told = boards.rows(budget_history.EXCLUDED.sql)
    assert told.select("state", "slo", "slice").rows() == [
        ("in force", "all", f"region={REGIONS[0]}"),
        ("withdrawn", "all", "all"),
    ]
    assert told["lasts_s"].to_list() == [EXCLUDED_S[1] - EXCLUDED_S[0]] * 2
    assert told["why"].to_list() == ['a drill, "failover" é'] * 2
