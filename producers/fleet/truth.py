"""What is true of a scenario, computed from its file and never measured: what, where, from when to when, by how much.

Each event names one measure with its value before and after, in its slice, at the load of the instant at which it begins.
What an event does to the service level indicators follows from the distributions that turns are drawn from (`outlook.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from producers.fleet.cost_outlook import cost_at
from producers.fleet.effects import (
    Attempts,
    BatchWork,
    Calls,
    Prompts,
    Servers,
    SlowStage,
    SlowTail,
    Stale,
    SyntheticVoice,
    WordErrors,
)
from producers.fleet.expected import Expected, expected
from producers.fleet.labels import ERROR_SHARE_MAX, error_shares
from producers.fleet.outlook import Outlook
from producers.fleet.scenario_file import Event, ScenarioFile
from producers.fleet.slice_share import slice_turns_per_s
from producers.fleet.timeline import span_ms


@dataclass(frozen=True, slots=True)
class EventTruth:
    """One event. `slice` is empty for the whole fleet; `magnitude` is `after` ÷ `before`, null from nothing."""

    what: str
    kind: str
    slice: dict[str, list[str]]
    from_ms: int
    to_ms: int
    measure: str
    before: float
    after: float
    magnitude: float | None
    turns_per_s: float
    """Of the slice, before the event."""
    indicators: dict[str, dict[str, float]] = field(default_factory=dict)
    """Bad share of each indicator in the slice, before and after, where the event changes it."""


@dataclass(frozen=True, slots=True)
class CostTruth:
    """Dollars per success (`cost_per_success`) or per hour (`cost`), by used and by reserved GPU time."""

    measure: str
    driver: str
    from_ms: int
    before: float
    after: float
    change: float
    reserved_before: float
    reserved_after: float
    requests_change: float


@dataclass(frozen=True, slots=True)
class FleetTruth:
    scenario: str
    sentence: str
    seed: int
    begins_ms: int
    ends_ms: int
    events: tuple[EventTruth, ...]
    cost: CostTruth | None

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def truth_of(scenario: ScenarioFile, seed: int, start_ms: int, duration_ms: int) -> FleetTruth:
    """What will have happened once the scenario has run for so long; events beyond it are not there."""
    outlook, ends_ms = Outlook.of(scenario, start_ms), start_ms + duration_ms
    spans = [(event, *span_ms(event, start_ms, ends_ms)) for event in scenario.events]
    events = tuple(_event(outlook, event, begin, end) for event, begin, end in spans if begin < end)
    cost = _cost(outlook, ends_ms) if scenario.cost is not None and events else None
    return FleetTruth(scenario.name, scenario.sentence, seed, start_ms, ends_ms, events, cost)


def _event(outlook: Outlook, event: Event, from_ms: int, to_ms: int) -> EventTruth:
    measure, before, after = _measured(outlook, event, from_ms)
    return EventTruth(
        what=event.what,
        kind=event.does.kind,
        slice=event.where,
        from_ms=from_ms,
        to_ms=to_ms,
        measure=measure,
        before=before,
        after=after,
        magnitude=after / before if before else None,
        turns_per_s=slice_turns_per_s(outlook, event, from_ms),
        indicators=_indicators(outlook, event, from_ms),
    )


def _measured(outlook: Outlook, event: Event, at_ms: int) -> tuple[str, float, float]:
    """The measure that the event changes, and its values in the slice."""
    fleet, does = outlook.fleet, event.does
    match does:
        case SlowStage():
            before, after = _of_slice(outlook, event, at_ms)
            return f"{does.stage}_ms_mean", before.stage_means_ms[does.stage], after.stage_means_ms[does.stage]
        case SlowTail():
            before, after = _of_slice(outlook, event, at_ms)
            return "turn_ms_p99", before.turn_ms_p99, after.turn_ms_p99
        case WordErrors():
            return "word_error_rate", *_word_errors(outlook, event, does.times)
        case Stale():
            return "retrieval_stale", fleet.stale_share, max(fleet.stale_share, does.share)
        case Calls():
            return "calls", *_calls(outlook, event, at_ms, does.times)
        case SyntheticVoice():
            return "synthetic_turns_per_s", 0.0, does.calls * does.turns_per_call_s
        case BatchWork():
            return "batch_turns_per_s_on_realtime", 0.0, does.turns_per_s
        case Servers():
            return "servers_times", 1.0, does.times
        case Prompts():
            return "prompt_tokens_times", 1.0, does.times
        case Attempts():
            usual = fleet.retry_share if does.of == "retry" else fleet.shadow_share
            return f"{does.of}_share", usual, does.share


def _of_slice(outlook: Outlook, event: Event, at_ms: int) -> tuple[Expected, Expected]:
    return expected(outlook, event, at_ms, ()), expected(outlook, event, at_ms, (event,))


def _indicators(outlook: Outlook, event: Event, at_ms: int) -> dict[str, dict[str, float]]:
    if not isinstance(event.does, SlowStage | SlowTail):
        return {}
    before, after = _of_slice(outlook, event, at_ms)
    return {
        name: {"before": share, "after": after.bad_shares[name]}
        for name, share in before.bad_shares.items()
        if abs(after.bad_shares[name] - share) > 1e-9
    }


def _word_errors(outlook: Outlook, event: Event, times: float) -> tuple[float, float]:
    """Expected word errors per word of the slice: over accents and noise by their shares in it."""
    crowd, names = outlook.crowd, outlook.crowd.vocabularies
    shares = np.array(
        [
            [
                crowd.share({**event.where, "accent": [accent], "noise_class": [noise]})
                if accent in event.where.get("accent", [accent]) and noise in event.where.get("noise_class", [noise])
                else 0.0
                for noise in names["noise_class"].names
            ]
            for accent in names["accent"].names
        ]
    )
    rates = error_shares(outlook.fleet, crowd)
    weights = shares / shares.sum()
    return float((weights * rates).sum()), float((weights * np.minimum(rates * times, ERROR_SHARE_MAX)).sum())


def _calls(outlook: Outlook, event: Event, at_ms: int, times: float) -> tuple[float, float]:
    quiet = outlook.in_force(outlook.start_ms - 1)
    regions = event.where.get("region", list(outlook.fleet.regions))
    pools = event.where.get("pool", list(outlook.fleet.pools))
    before = sum(outlook.calls(region, pool, at_ms, quiet) for region in regions for pool in pools)
    return before, before * times


def _cost(outlook: Outlook, ends_ms: int) -> CostTruth:
    """The bill before any event, and with all of them, at the load of the instant at which the last one begins."""
    said = outlook.scenario.cost
    assert said is not None, "asked only where the scenario says what the bill does"
    from_ms = max(span_ms(event, outlook.start_ms, ends_ms)[0] for event in outlook.scenario.events)
    before, after = (cost_at(outlook, from_ms, events) for events in (False, True))
    reserved = f"reserved_{_COST_FIELDS[said.measure]}"
    used_before, used_after = (getattr(each, _COST_FIELDS[said.measure]) for each in (before, after))
    return CostTruth(
        measure=said.measure,
        driver=said.driver,
        from_ms=from_ms,
        before=used_before,
        after=used_after,
        change=used_after / used_before - 1,
        reserved_before=getattr(before, reserved),
        reserved_after=getattr(after, reserved),
        requests_change=after.turns_per_s / before.turns_per_s - 1,
    )


_COST_FIELDS = {"cost_per_success": "per_success", "cost": "per_hour"}
