"""Small fleets for tests: the shipped scenarios with fewer calls, events from the start on, and one region."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from producers.fleet.scenario_file import Event, ScenarioFile, load_scenario
from producers.simulator import Chunk

START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 16 * 3_600_000


def small(name: str, calls: float = 800, regions: Iterable[str] = ("us-east-1",), **fleet: Any) -> ScenarioFile:
    """The shipped scenario with so many calls in these regions, each with one collector."""
    scenario = load_scenario(name)
    kept = {region: scenario.fleet.regions[region].model_copy(update={"collectors": 1}) for region in regions}
    changed = scenario.fleet.model_copy(update={"calls": calls, "regions": kept, **fleet})
    return scenario.model_copy(update={"fleet": changed})


def at_once(scenario: ScenarioFile) -> ScenarioFile:
    """Every event from the first step to the end."""
    events = tuple(event.model_copy(update={"from_min": 0.0, "to_min": None}) for event in scenario.events)
    return scenario.model_copy(update={"events": events})


def without_events(scenario: ScenarioFile) -> ScenarioFile:
    return scenario.model_copy(update={"events": ()})


def rows_of_kind(chunks: Iterable[Chunk], kind: str) -> pl.DataFrame:
    return pl.concat([rows for chunk in chunks for rows in chunk.kinds.get(kind, {}).values()])


def inside(rows: pl.DataFrame, event: Event) -> pl.DataFrame:
    """The rows of the event's slice."""
    return rows.filter(pl.col(name).is_in(values) for name, values in event.where.items())


def total(rows: pl.DataFrame, column: str) -> float:
    """The sum of a column, as a number."""
    return float(rows[column].to_numpy().sum())
