"""Every scenario by its name or file: the two in closed form (`producers/scenarios.py`), and those that are files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from producers import simulator
from producers.fleet.engine import fleet_hosts, simulate_fleet, simulate_labels
from producers.fleet.scenario_file import ScenarioFile, load_scenario, names
from producers.fleet.truth import truth_of
from producers.scenarios import SCENARIOS, Scenario, scenario
from producers.simulator import Chunk, Host
from schemas.failures import BadInput

AnyScenario = Scenario | ScenarioFile

CLOSED_FORM = {
    "canary": "A canary's p99 grows while its mean and its errors stay; its page is predicted to the bucket.",
    "quiet": "A healthy fleet of 10,600 calls at its daily rhythm, for as long as it is left to run.",
}
"""What the scenarios in closed form are, in a sentence each."""
assert set(CLOSED_FORM) == set(SCENARIOS), "a scenario without a sentence cannot be listed"


@dataclass(frozen=True, slots=True)
class Listed:
    name: str
    minutes: float | None
    """None: no length of its own."""
    sentence: str


def listed() -> list[Listed]:
    """Every shipped scenario, by name."""
    closed = [Listed(name, None, sentence) for name, sentence in CLOSED_FORM.items()]
    files = [Listed(each.name, each.minutes, each.sentence) for each in map(load_scenario, names())]
    return sorted(closed + files, key=lambda each: each.name)


def chosen(name_or_path: str) -> AnyScenario:
    """The scenario of that name, or the one in the file at that path. Raises BadInput."""
    if name_or_path.endswith((".yaml", ".yml")) or name_or_path in names():
        return load_scenario(name_or_path)
    if name_or_path not in SCENARIOS:
        known = ", ".join(each.name for each in listed())
        raise BadInput(f"There is no scenario {name_or_path!r}; known are {known}. A file of your own ends in .yaml.")
    return scenario(name_or_path)


def minutes_of(either: AnyScenario) -> float | None:
    """The scenario's own length; None without one."""
    return either.minutes if isinstance(either, ScenarioFile) else None


def hosts_of(either: AnyScenario) -> tuple[Host, ...]:
    """The collectors of every region."""
    return fleet_hosts(either) if isinstance(either, ScenarioFile) else simulator.hosts(either)


def chunks_of(either: AnyScenario, seed: int, start_ms: int, duration_ms: int) -> Iterator[Chunk]:
    """The fleet's observations from `start_ms` on, step by step."""
    if isinstance(either, ScenarioFile):
        return simulate_fleet(either, seed, start_ms, duration_ms)
    return simulator.simulate(either, seed, start_ms, duration_ms)


def observations_of(
    kind: str, either: AnyScenario, seed: int, start_ms: int, duration_ms: int
) -> Iterator[tuple[int, dict[str, pl.DataFrame]]]:
    """What `chunks_of` has of one kind, by producer, with when each step begins."""
    if kind == "quality" and isinstance(either, ScenarioFile):
        yield from simulate_labels(either, seed, start_ms, duration_ms)
        return
    for chunk in chunks_of(either, seed, start_ms, duration_ms):
        yield chunk.start_ms, chunk.kinds.get(kind, {})


def truth_document(either: AnyScenario, seed: int, start_ms: int, duration_ms: int) -> dict[str, Any]:
    """What will have happened, for JSON; times in event time."""
    if isinstance(either, ScenarioFile):
        return truth_of(either, seed, start_ms, duration_ms).as_document()
    found, ends_ms = either.truth(start_ms), start_ms + duration_ms
    said = {"scenario": either.name, "sentence": CLOSED_FORM[either.name], "seed": seed}
    events = [] if found is None or found.incident_ms >= ends_ms else [_as_event(asdict(found), ends_ms)]
    return {**said, "begins_ms": start_ms, "ends_ms": ends_ms, "events": events, "cost": None}


def _as_event(truth: dict[str, Any], ends_ms: int) -> dict[str, Any]:
    """The incident in closed form as an event like those of files."""
    bad = {"before": truth["bad_share_before"], "after": truth["bad_share_after"]}
    return {
        "what": "The bundle's p99 grows while its mean stays.",
        "kind": "slow_tail",
        "slice": {name: [value] for name, value in (part.split("=") for part in truth["slice"].split(","))},
        "from_ms": truth["incident_ms"],
        "to_ms": ends_ms,
        "measure": "turn_ms_p99",
        "before": truth["p99_ms_before"],
        "after": truth["p99_ms_after"],
        "magnitude": truth["p99_ms_after"] / truth["p99_ms_before"],
        "turns_per_s": truth["turns_per_s"],
        "indicators": {"turn_4000ms": bad},
    }
