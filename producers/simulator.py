"""The fleet simulator: calls come and go, take turns, and are observed by regional collectors.

One step simulates one window of event time for the whole fleet, in columns: live calls take turns as a Poisson process;
a turn's latency is drawn from its bundle's distribution and then divided into stages that fit in it. Everything random
comes from (seed, number of the step): the same seed and start give the same observations, and another start moves them
along the day curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.random import Generator

from producers.anatomy import amounts, slowed, stage_latencies
from producers.calls import STEP_MS, Population, collectors
from producers.conversation import duplex_events
from producers.observations import LATENCIES, STREAM_COLUMNS, TURN_COLUMNS, with_unsaid
from producers.scenarios import Latency, Scenario, Workload
from schemas.arrays import Floats

ALIGNMENT_MS = 60_000
"""Scenarios start at multiples of the longest k-window, so that their first windows are whole."""

_CALLS_OF_A_SHARE = 1_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the collectors observed in one stretch of event time: turns, changes of streams, duplex events; by producer."""

    start_ms: int
    end_ms: int
    turns: dict[str, pl.DataFrame]
    streams: dict[str, pl.DataFrame]
    duplex: dict[str, pl.DataFrame] = field(default_factory=dict)
    others: dict[str, dict[str, pl.DataFrame]] = field(default_factory=dict)
    """Observations of further kinds (`producers/observations.py`), by kind and producer."""
    silent: frozenset[str] = frozenset()
    """Producers from which nothing came, heartbeats included: their region is dead."""

    @property
    def kinds(self) -> dict[str, dict[str, pl.DataFrame]]:
        """Everything that was observed, by kind and producer."""
        return {"turns": self.turns, "streams": self.streams, "duplex": self.duplex, **self.others}


@dataclass(frozen=True, slots=True)
class Host:
    """A producer of the simulated fleet."""

    producer: str
    region: str


def hosts(scenario: Scenario) -> tuple[Host, ...]:
    """The collectors of every region."""
    return tuple(Host(producer, region.name) for region in scenario.regions for producer in collectors(region))


def simulate(scenario: Scenario, seed: int, start_ms: int, duration_ms: int) -> Iterator[Chunk]:
    """The fleet's observations from `start_ms` on, step by step."""
    if start_ms % ALIGNMENT_MS:
        raise ValueError(f"A simulation starts at a whole minute of event time; {start_ms} ms is none.")
    pairs = [(workload, region) for workload in scenario.workloads for region in scenario.regions]
    populations = [
        Population.at(scenario, workload, region, np.random.default_rng((seed, place, 0)), start_ms)
        for place, (workload, region) in enumerate(pairs)
    ]
    for step in range(-(-duration_ms // STEP_MS)):
        begin_ms = start_ms + step * STEP_MS
        turns, changes, events = [], [], []
        for place, population in enumerate(populations):
            rng = np.random.default_rng((seed, place, step + 1))
            calls = population.during(begin_ms, rng)
            changes.append(_changes(calls, begin_ms, is_first=step == 0))
            turns.append(_turns(scenario, population.workload, calls, rng, begin_ms, start_ms))
            events.append(_events(population.workload, turns[-1], np.random.default_rng((seed, place, step + 1, 1))))
        yield Chunk(begin_ms, begin_ms + STEP_MS, _by_producer(turns), _by_producer(changes), _by_producer(events))


def _changes(calls: pl.DataFrame, begin_ms: int, is_first: bool) -> pl.DataFrame:
    """Starts and ends of streams in the window; the first one also tells of the calls that were already there."""
    keys = ["producer", *STREAM_COLUMNS]
    starts = calls.filter((pl.col("started_ms") >= begin_ms) | is_first).with_columns(at_ms="started_ms", is_start=True)
    ends = calls.filter(pl.col("ends_ms") < begin_ms + STEP_MS).with_columns(at_ms="ends_ms", is_start=False)
    return pl.concat([starts.select(keys), ends.select(keys)])


def _turns(
    scenario: Scenario, workload: Workload, calls: pl.DataFrame, rng: Generator, begin_ms: int, start_ms: int
) -> pl.DataFrame:
    """Turns that end in the window, each within its call."""
    from_ms = np.maximum(calls["started_ms"].to_numpy(), begin_ms)
    until_ms = np.minimum(calls["ends_ms"].to_numpy(), begin_ms + STEP_MS)
    counts = rng.poisson(workload.turns_per_call_s * (until_ms - from_ms) / 1_000)
    owner = np.repeat(np.arange(len(calls)), counts)
    total = len(owner)
    ended_ms = from_ms[owner] + np.floor(rng.random(total) * (until_ms - from_ms)[owner]).astype(np.int64)
    mine = calls[owner].with_columns(pl.Series("ended_at_ms", ended_ms))
    turn_ms, healthy_ms = _turn_latencies(scenario, workload, mine, rng, start_ms)
    stage = scenario.incident.stage if scenario.incident else None
    timed = mine.with_columns(
        **_stages(rng, turn_ms, healthy_ms, workload.has_audio, stage),
        **amounts(rng, total, workload.has_audio),
        is_error=pl.Series(rng.random(total) < workload.error_share),
        is_abandoned=pl.Series(rng.random(total) < workload.abandoned_share),
    )
    stale = pl.Series(rng.random(total) < 0.003)
    timed = timed.with_columns(
        is_retrieval_stale=pl.when(pl.col("retrieval_ms").is_not_null()).then(stale), is_privacy_error=pl.lit(False)
    )
    observed = with_unsaid(timed, TURN_COLUMNS).select(pl.col(name).cast(dtype) for name, dtype in TURN_COLUMNS.items())
    return timed.select("producer").hstack(observed)


def _stages(
    rng: Generator, turn_ms: Floats, healthy_ms: Floats, has_audio: bool, slow_stage: str | None
) -> dict[str, pl.Series]:
    """The latency of every stage; what turns take longer than healthy ones is in `slow_stage`, if there is one."""
    if slow_stage is None:
        return stage_latencies(rng, turn_ms, has_audio)
    quick_ms = np.minimum(turn_ms, healthy_ms)
    latencies = slowed(stage_latencies(rng, quick_ms, has_audio), slow_stage, turn_ms - quick_ms)
    return {**latencies, LATENCIES["turn"]: pl.Series(turn_ms)}


def _events(workload: Workload, turns: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """What happened in the turns of full-duplex calls; a call is one by its key, for as long as it lasts."""
    share = int(workload.duplex_share * _CALLS_OF_A_SHARE)
    return duplex_events(turns.filter(pl.col("session") % _CALLS_OF_A_SHARE < share), rng)


def _turn_latencies(
    scenario: Scenario, workload: Workload, turns: pl.DataFrame, rng: Generator, start_ms: int
) -> tuple[Floats, Floats]:
    """Whole-turn latencies, and what they would be without the incident.

    An incident begins within no window by chance: each turn looks at its own end.
    """
    normal, is_tail = rng.standard_normal(len(turns)), rng.random(len(turns))
    latency_ms = healthy_ms = _drawn(workload.latency, normal, is_tail)
    incident = scenario.incident
    if incident is not None and incident.pool == workload.pool:
        is_hit = (turns["bundle"] == incident.bundle) & (turns["ended_at_ms"] >= start_ms + incident.after_ms)
        latency_ms = np.where(is_hit.to_numpy(), _drawn(incident.latency, normal, is_tail), latency_ms)
    return latency_ms, healthy_ms


def _drawn(latency: Latency, normal: Floats, is_tail: Floats) -> Floats:
    body = latency.body.median_ms * np.exp(latency.body.spread * normal)
    tail = latency.tail.median_ms * np.exp(latency.tail.spread * normal)
    return np.where(is_tail < latency.tail_weight, tail, body)


def _by_producer(frames: list[pl.DataFrame]) -> dict[str, pl.DataFrame]:
    parts = pl.concat(frames).partition_by("producer", as_dict=True, include_key=False)
    return {str(producer): rows for (producer,), rows in sorted(parts.items())}
