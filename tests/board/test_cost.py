"""What the board of money says, against what was drawn, and against the operators that judge the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from dashboards.queries import cost_drivers, spend, spend_budgets
from dashboards.substitution import Range
from schemas.spend_policies import STANDARD, Budget
from stream_jobs.operators.cost.cells import cost_cells
from tests.board.conftest import DAY_S, Boards
from tests.board.world import BUNDLES, REGIONS, ROUTES
from tests.board.world_cells import DAY_MS, total

NANO = 1e9


@pytest.fixture(scope="module")
def days(boards: Boards) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What was used and paid in the same day a week before, and in the last one."""
    costs, end_ms = boards.more.happened["costs"], boards.world.end_ms
    return tuple(  # type: ignore[return-value] # two of them
        costs.filter(pl.col("bucket_ms").is_between(end - DAY_MS, end, closed="left"))
        for end in (end_ms - 7 * DAY_MS, end_ms)
    )


def _row(boards: Boards, sql: str, **selected: Any) -> dict[str, Any]:
    return boards.rows(sql, boards.last(DAY_S), **selected).row(0, named=True)


@pytest.mark.parametrize("bundle", [None, BUNDLES[1]])
def test_a_success_costs_what_was_paid_then_and_a_week_before(
    boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame], bundle: str | None
) -> None:
    told = _row(boards, spend.WORST.sql, bundle=[bundle or ""])
    before, now = (day if bundle is None else day.filter(bundle=bundle) for day in days)
    costs = [total(day, "reserved_nusd") / NANO / total(day, "successes") * 1_000 for day in (before, now)]
    assert [told["1,000 successes before"], told["1,000 successes"]] == pytest.approx(costs)
    assert told["change"] == pytest.approx(costs[1] / costs[0] - 1)
    assert told["paid"] == pytest.approx(total(now, "reserved_nusd") / NANO), "rows of tenants are not added"
    assert told["idle share"] == pytest.approx(1 - total(now, "used_nusd") / total(now, "reserved_nusd"))
    assert told["success rate"] == pytest.approx(total(now, "successes") / total(now, "turns"))


@pytest.mark.parametrize("region", [None, REGIONS[0]])
def test_routes_are_charged_as_tickets_and_bills_charge_them(
    boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame], region: str | None
) -> None:
    """As `cost_cells` shares out what replicas were paid for."""
    before, now = (day if region is None else day.filter(region=region) for day in days)
    told = boards.rows(spend.BY_SLICE.sql, boards.last(DAY_S), by="route", region=[region or ""])
    cells = cost_cells(before, now)
    for route in ROUTES:
        mine = (cells.cells["route"] == route).to_numpy()
        row = told.row(by_predicate=pl.col("value") == route, named=True)
        assert row["usd"] == pytest.approx(cells.new.dollars[mine].sum())
        successes = total(before.filter(route=route), "successes")
        assert row["usd_per_1000_before"] == pytest.approx(1_000 * cells.old.dollars[mine].sum() / successes)
    assert told["usd"].sum() == pytest.approx(total(now, "reserved_nusd") / NANO), "nothing is lost or added"
    assert told["region"].to_list() == [region or ""] * told.height, "a link keeps what is selected beside the row"


def test_a_chosen_route_is_charged_its_share_in_every_breakdown(
    boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    cells = cost_cells(*days)
    of_route = (cells.cells["route"] == ROUTES[0]).to_numpy()
    for by in ("pool", "bundle", "model_version"):
        told = boards.rows(spend.BY_SLICE.sql, boards.last(DAY_S), by=by, route=[ROUTES[0]])
        assert told["usd"].sum() == pytest.approx(cells.new.dollars[of_route].sum())


def test_models_cost_for_each_success_of_all(boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    told = boards.rows(spend.BY_SLICE.sql, boards.last(DAY_S), by="model_version")
    model = told.row(by_predicate=pl.col("value") == "hear-1", named=True)
    paid = total(days[1].filter(model_version="hear-1"), "reserved_nusd") / NANO
    assert model["usd_per_1000"] == pytest.approx(1_000 * paid / total(days[1], "successes"))
    parts = boards.rows(spend.PARTS_BY_MODEL.sql, boards.last(DAY_S)).rows_by_key("model", named=True)
    assert sum(parts["hear-1"][0][part] for part in spend.PARTS) == pytest.approx(paid)
    assert parts["hosted-large-3"][0]["GPU time used"] == 0 < parts["hosted-large-3"][0]["hosted tokens"]


def test_what_is_spent_by_the_hour_adds_up_to_what_was_paid(
    boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    told = boards.rows(spend.PARTS_OVER_TIME.sql, boards.last(DAY_S))
    assert told["time"].n_unique() == 144
    assert told["value"].sum() / 6 == pytest.approx(total(days[1], "reserved_nusd") / NANO)


def test_the_limit_is_what_the_policy_tolerates(boards: Boards) -> None:
    for tolerance in (float(STANDARD.tolerance), 0.5):
        told = boards.rows(spend.per_success_over_time(tolerance).sql, boards.last(DAY_S))
        drawn = told.pivot("series", index="time", values="value")
        limit = drawn["tolerated realtime"] / drawn["realtime before"]
        assert limit.to_list() == pytest.approx([1 + tolerance] * 144)


def test_drivers_sum_to_the_change_and_are_what_moved(boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    told = boards.rows(cost_drivers.MOVED.sql, boards.last(DAY_S))
    added = dict(zip(told["driver"], told["dearer"] + told["cheaper"], strict=True))
    costs = [total(day, "reserved_nusd") / NANO / total(day, "successes") * 1_000 for day in days]
    assert sum(added.values()) == pytest.approx(costs[1] - costs[0])
    mean = (costs[1] - costs[0]) / np.log(costs[1] / costs[0])
    attempts = [total(day, "attempts") / total(day, "turns") for day in days]
    assert added["attempts for each turn"] == pytest.approx(mean * np.log(attempts[1] / attempts[0]))
    assert set(added) == set(cost_drivers.DRIVERS)


def test_rates_are_those_of_both_periods_and_what_changed_most_is_first(
    boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    told = boards.rows(cost_drivers.RATES.sql, boards.last(DAY_S)).rows_by_key("rate", named=True)
    for rate, part, whole in (
        ("prompt carried over", "tokens_carried", "attempts"),
        ("success rate", "successes", "turns"),
        ("GPU time", "gpu_used_ms", "turns"),
    ):
        quotients = [total(day, part) / total(day, whole) for day in days]
        assert [told[rate][0]["before"], told[rate][0]["now"]] == pytest.approx(quotients)
    assert next(iter(told)) == "shadow traffic", "it was not there before"


def test_what_has_no_price_is_named(boards: Boards, days: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    told = boards.rows(spend.UNCOSTED.sql, boards.last(DAY_S))
    assert told.select("model_version", "share_of_gpu_time").unique().rows() == [("try-1", 1.0)]
    assert told["gpu_ms"].sum() == total(days[1], "uncosted_gpu_ms") > 0


def test_a_month_is_held_against_the_budgets_of_the_policy(boards: Boards) -> None:
    # Not to the world's end, which may be the instant at which a month begins.
    during = Range(boards.world.fine_ms // 1_000, boards.world.end_ms // 1_000 - 600)
    end_ms = during.to_s * 1_000
    began = pl.from_epoch(pl.lit(end_ms), "ms").dt.truncate("1mo").dt.epoch("ms")
    month = boards.more.happened["costs"].filter(pl.col("bucket_ms") >= began, pl.col("bucket_ms") < end_ms)
    budgets = (Budget(Decimal(900)), Budget(Decimal("0.01"), "realtime", ROUTES[0]))
    rows = boards.rows(spend_budgets.month(replace(STANDARD, budgets=budgets)).sql, during)
    told = rows.rows_by_key("slice", named=True)
    route, everything = told[f"pool=realtime,route={ROUTES[0]}"][0], told["all"][0]
    assert everything["usd"] == pytest.approx(total(month, "reserved_nusd") / NANO)
    assert everything["share_of_budget"] == pytest.approx(everything["usd"] / 900)
    assert route["usd"] == pytest.approx(total(month.filter(route=ROUTES[0]), "used_nusd") / NANO)
    assert next(iter(told)) == f"pool=realtime,route={ROUTES[0]}", "what is most beyond its budget is first"
    assert told["pool=realtime"][0]["budget_usd"] is None
    assert boards.rows(spend_budgets.month(STANDARD).sql, during)["slice"].to_list() == ["all", "pool=realtime"]
