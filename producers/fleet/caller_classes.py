"""Classes of callers that matter to what is drawn: which of a scenario's events can reach them, and their connection.

A call is of one class for as long as it lasts, so turns of one window that belong to few calls vary as they do turn by turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from producers.fleet.crowd import Crowd
from producers.fleet.scenario_file import AUDIENCE, Event, ScenarioFile
from schemas.failures import BadInput

EVENTS_MAX = 4
"""Most events of a scenario that reach some callers and not others."""


@dataclass(frozen=True, slots=True)
class CallerClass:
    """The events narrowed by audience that reach these callers (no others do), their connection, their share of calls."""

    events: tuple[Event, ...]
    connection: int
    share: float


def caller_classes(scenario: ScenarioFile, crowd: Crowd) -> tuple[CallerClass, ...]:
    """Every class that has a share; the shares sum to 1. Raises BadInput where there would be too many."""
    narrowed = [event for event in scenario.events if is_narrowed(event)]
    if len(narrowed) > EVENTS_MAX:
        raise BadInput(
            f"Scenario {scenario.name!r} has {len(narrowed)} events that reach some callers and not others; at most "
            f"{EVENTS_MAX} can be drawn directly. Simulate it without --aggregates."
        )
    sets = [each for size in range(len(narrowed) + 1) for each in combinations(narrowed, size)]
    names = crowd.vocabularies["connection"].names
    classes = [
        CallerClass(events, place, _exactly(crowd, events, narrowed, name))
        for events in sets
        for place, name in enumerate(names)
    ]
    return tuple(each for each in classes if each.share > 1e-12)


def is_narrowed(event: Event) -> bool:
    """Whether the event reaches some callers and not others."""
    return any(name in AUDIENCE for name in event.where)


def _exactly(crowd: Crowd, these: Sequence[Event], of: Sequence[Event], connection: str) -> float:
    """The share that these events reach and the others do not, by inclusion and exclusion."""
    others = [event for event in of if event not in these]
    return sum(
        (-1.0) ** size * _all(crowd, (*these, *more), connection)
        for size in range(len(others) + 1)
        for more in combinations(others, size)
    )


def _all(crowd: Crowd, events: Sequence[Event], connection: str) -> float:
    """The share of callers on that connection that all of these events reach."""
    where = {"connection": [connection]}
    for event in events:
        for name, values in event.where.items():
            if name in AUDIENCE:
                where[name] = [value for value in values if value in where.get(name, values)]
    return crowd.share(where)
