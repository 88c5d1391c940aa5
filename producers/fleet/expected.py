"""What to expect of the turns of an event's slice: bad shares, means and the tail, over the groups of servers that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from producers.fleet.densities import LATTICE_MS, POINTS, Lattice, lattice
from producers.fleet.fleet_file import Fleet
from producers.fleet.outlook import Outlook, TurnClass
from producers.fleet.pool_servers import Group, planned_servers
from producers.fleet.scenario_file import AUDIENCE, Event
from producers.fleet.timeline import InForce
from producers.fleet.waits import waits_of
from schemas.arrays import Floats
from schemas.families import INDICATORS

TIMED = tuple(indicator for indicator in INDICATORS if indicator.stage is not None)
"""Indicators that judge a latency."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Of a slice's turns. Shares of indicators are among the turns that they judge."""

    bad_shares: dict[str, float]
    stage_means_ms: dict[str, float]
    turn_ms_mean: float
    turn_ms_p99: float


def expected(outlook: Outlook, event: Event, at_ms: int, matched: tuple[Event, ...]) -> Expected:
    """The slice of an event at an instant, with the effects of `matched` on all of it and of nothing else."""
    parts = list(_classes(outlook, event, at_ms, matched))
    weights = np.array([weight for weight, _ in parts])
    weights = weights / weights.sum()
    classes = [each for _, each in parts]
    turn = Lattice(
        np.sum([weight * each.turn.probabilities for weight, each in zip(weights, classes, strict=True)], axis=0)
    )
    stages = list(dict.fromkeys(name for each in classes for name in each.stages))
    return Expected(
        bad_shares={
            indicator.name: _bad_share(weights, classes, indicator.stage or "", float(indicator.threshold_ms or 0))
            for indicator in TIMED
        },
        stage_means_ms={name: _mean_ms(weights, classes, name) for name in stages},
        turn_ms_mean=turn.mean_ms,
        turn_ms_p99=turn.quantile_ms(0.99),
    )


def running_of(outlook: Outlook, group: Group, at_ms: int, in_force: InForce) -> float:
    """The batch that decodes on each of the group's GPUs at the expected load."""
    retry, shadow = outlook.attempts(group, in_force)
    requests_per_ms = outlook.turns_per_s(group, at_ms, in_force) / 1_000 * (1 + retry + shadow - retry * shadow)
    planned = planned_servers(outlook.scenario)[group].planned["llm"]
    gpus = max(1, round(planned * in_force.servers_times("llm", *group)))
    return outlook.engine.running(requests_per_ms / gpus)


def _classes(
    outlook: Outlook, event: Event, at_ms: int, matched: tuple[Event, ...]
) -> Iterator[tuple[float, TurnClass]]:
    """The slice's turns by group of servers, with their weight."""
    in_force = outlook.in_force(at_ms)
    audience = {name: values for name, values in event.where.items() if name in AUDIENCE}
    for group in planned_servers(outlook.scenario):
        turns_per_s, reach = outlook.turns_per_s(group, at_ms, in_force), outlook.reach(event, group)
        if turns_per_s * reach > 0:
            waits_ms = np.sort(waits_of(outlook.scenario, outlook.crowd, group, in_force, turns_per_s))
            running = running_of(outlook, group, at_ms, in_force)
            connections = outlook.crowd.connections(audience)
            yield turns_per_s * reach, outlook.turn_class(group, running, waits_ms, matched, connections)


def _bad_share(weights: Floats, classes: list[TurnClass], stage: str, threshold_ms: float) -> float:
    """The share of the turns that have the stage which reach the threshold."""
    judged = [(weight, each) for weight, each in zip(weights, classes, strict=True) if has(each, stage)]
    if not judged:
        return 0.0
    bad = sum(weight * (1 - float(each.share(stage)(np.array([threshold_ms]))[0])) for weight, each in judged)
    return float(bad / sum(weight for weight, _ in judged))


def has(turns: TurnClass, stage: str) -> bool:
    """Whether turns of the class have the stage at all."""
    return stage == "turn" or (turns.has_audio if stage in ("first_audio", "heard") else stage in turns.stages)


def _mean_ms(weights: Floats, classes: list[TurnClass], stage: str) -> float:
    """The mean of the stage over the turns that have it."""
    judged = [
        (weight, lattice(each.stages[stage].share))
        for weight, each in zip(weights, classes, strict=True)
        if stage in each.stages
    ]
    places = np.arange(POINTS) * LATTICE_MS
    return float(
        sum(weight * (each.probabilities @ places) for weight, each in judged) / sum(weight for weight, _ in judged)
    )


def success_share(fleet: Fleet) -> float:
    """Turns that do what their user wanted."""
    return fleet.success_share * (1 - fleet.error_share) * (1 - fleet.abandoned_share)
