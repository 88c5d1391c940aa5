"""The simulator's cost spikes: what the scenario changed is named first, whichever cost is explained."""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import polars as pl
import pytest

from alerts.price_document import load_prices
from producers.fleet.engine import simulate_fleet
from producers.fleet.fleet_file import Fleet
from producers.fleet.scenario_file import ScenarioFile
from stream_jobs.operators.cost_cells import Basis, cost_cells
from stream_jobs.operators.cost_drivers import main_drivers
from stream_jobs.operators.decomposition import decompose
from stream_jobs.operators.pricing import Pricing
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


@pytest.mark.parametrize("name", SPIKES)
def test_all_that_the_simulated_fleet_runs_on_has_a_price(name: str) -> None:
    _, before, after = sides(name)
    assert pl.concat([before, after]).select(pl.col("uncosted_gpu_ms", "uncosted_tokens").sum()).row(0) == (0, 0)


def test_the_shipped_prices_are_those_of_the_fleet() -> None:
    fleet: Fleet = small(SPIKES[0]).fleet
    shipped = {(price.gpu_type, price.purchase): price.usd for price in load_prices().prices if not price.region}
    for model in fleet.models.values():
        assert shipped[model.gpu_type, model.purchase] == Decimal(str(model.dollars_per_gpu_hour))
