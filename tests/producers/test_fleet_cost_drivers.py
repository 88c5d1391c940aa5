"""The simulator's cost spikes: what the scenario changed is named first, whichever cost is explained."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import polars as pl
import pytest

from alerts.explanations import Paging
from alerts.findings import Found, step
from alerts.incident_scope import OpenIncidents
from alerts.price_document import load_prices
from producers.fleet.engine import simulate_fleet
from producers.fleet.fleet_file import Fleet
from producers.fleet.scenario_file import ScenarioFile
from schemas.instants import HOUR_MS, WEEK_MS
from schemas.spend import BUCKET_MS, CELL, CELL_MEASURES, Spend, spend_schema
from schemas.spend_policies import SpendPolicy
from stream_jobs.operators.cost.cells import Basis, cost_cells
from stream_jobs.operators.cost.decomposition import decompose
from stream_jobs.operators.cost.drivers import main_drivers
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.spending import Spending
from tests.producers.fleets import START_MS, at_once, rows_of_kind, small, without_events

SPIKES = ("cost_spike_45", "cost_spike_70")


def priced(scenario: ScenarioFile) -> pl.DataFrame:
    rows = rows_of_kind(list(simulate_fleet(scenario, 5, START_MS, 60_000)), "costs")
    return Pricing(load_prices()).priced(rows.with_columns(bucket_start_ms=pl.col("at_ms")))


@cache
def sides(name: str) -> tuple[ScenarioFile, pl.DataFrame, pl.DataFrame]:
    scenario = small(name)
    return scenario, priced(without_events(scenario)), priced(at_once(scenario))


@pytest.mark.parametrize("name", SPIKES)
@pytest.mark.parametrize("basis", ["used", "reserved"])
def test_a_spike_names_what_the_scenario_changed_first_and_where(name: str, basis: Basis) -> None:
    scenario, before, after = sides(name)
    assert scenario.cost is not None
    found = cost_cells(before, after, basis)
    change = decompose(found.old, found.new)
    assert change.new > 1.3 * change.old
    first, *others = main_drivers(change)
    assert first.name == scenario.cost.driver
    assert first.dollars > 0.9 * (change.new - change.old)
    assert all(first.dollars > 3 * other.dollars for other in others)
    assert found.cells.row(first.cell, named=True)["pool"] == "realtime"
    assert found.cells.row(first.cell, named=True)["model_version"] == scenario.fleet.models["llm"].model_version


def stated(rows: pl.DataFrame, end_ms: int) -> Spend:
    """What a shard states of these rows, had they been counted in the bucket that ends there."""
    told = rows.with_columns(gpu_used_ms_sumsq=pl.lit(0), version=pl.lit(1))
    summed = told.group_by(CELL).agg(pl.col(CELL_MEASURES).sum(), pl.col("version").max())
    cells = summed.to_arrow().select(spend_schema().names).cast(spend_schema())
    return Spend(0, end_ms - BUCKET_MS, 1, 1.0, end_ms, cells)


@pytest.mark.parametrize("name", SPIKES)
def test_a_ticket_says_first_what_the_scenario_changed_and_is_finance_s(name: str) -> None:
    """The minute before the spike stands for an hour a week ago, and the one after for the newest hour."""
    scenario, before, after = sides(name)
    spending = Spending(1, SpendPolicy("test", window_h=1, successes_min=20))
    for rows, end_ms in ((before, START_MS // HOUR_MS * HOUR_MS), (after, START_MS // HOUR_MS * HOUR_MS + WEEK_MS)):
        spending.hear(stated(rows, end_ms))
        (said,) = spending.findings()
    found = step(Found(), said, Paging(), OpenIncidents(), START_MS).published
    ticket = next(alert for alert in found if alert.finding.slice == "pool=realtime")
    assert scenario.cost is not None
    assert ticket.annotations["driver_1"] == scenario.cost.driver
    assert ticket.labels["alertname"] == "CostRegressed" and ticket.labels["owner"] == "platform-finance"
    assert {alert.labels["severity"] for alert in found} == {"ticket"}
    assert "turnwatch cost why" in ticket.annotations["action"]


@pytest.mark.parametrize("name", SPIKES)
def test_all_that_the_simulated_fleet_runs_on_has_a_price(name: str) -> None:
    _, before, after = sides(name)
    assert pl.concat([before, after]).select(pl.col("uncosted_gpu_ms", "uncosted_tokens").sum()).row(0) == (0, 0)


def test_the_shipped_prices_are_those_of_the_fleet() -> None:
    fleet: Fleet = small(SPIKES[0]).fleet
    shipped = {(price.gpu_type, price.purchase): price.usd for price in load_prices().prices if not price.region}
    for model in fleet.models.values():
        assert shipped[model.gpu_type, model.purchase] == Decimal(str(model.dollars_per_gpu_hour))
