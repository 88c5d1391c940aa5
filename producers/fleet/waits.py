"""How long turns wait for servers at a steady load: a sample of the same stations, run for as long as it takes.

There is no closed form for such waits behind one another. The sample is large, and drawn from dice of its own, so that
whoever asks for the same load gets the same waits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from producers.fleet.calls import CALL
from producers.fleet.crowd import Crowd
from producers.fleet.pool_servers import Group, entered, is_through, pass_through, planned_servers
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.table import empty
from producers.fleet.timeline import STEP_MS, InForce
from producers.fleet.turns import begun
from schemas.arrays import Floats

TURNS_MIN = 12_000
STEPS_MAX, STEPS_WARM = 60, 2
CALLS = 500
SEED = 0x5EED


def waits_of(scenario: ScenarioFile, crowd: Crowd, group: Group, in_force: InForce, turns_per_s: float) -> Floats:
    """Waits in ms of a group's turns at that load, with the events in force, in the order in which they got through."""
    servers, calls = planned_servers(scenario)[group], _calls(scenario, crowd, group, turns_per_s)
    bursts = np.ones(len(crowd.vocabularies["region"].names))
    steps = int(np.clip(TURNS_MIN / max(turns_per_s * STEP_MS / 1_000, 1.0), 3, STEPS_MAX)) + STEPS_WARM
    found, under_way = [], empty()
    for step in range(steps):
        rng = np.random.default_rng((SEED, step))
        new = entered(begun(scenario.fleet, crowd, calls, in_force, bursts, step * STEP_MS, rng), 0)
        turns = under_way.joined_by(new)
        servers.begins(in_force, step * STEP_MS)
        pass_through(servers, scenario.fleet, turns, (step + 1) * STEP_MS)
        list(servers.samples(step * STEP_MS))
        is_done = is_through(turns)
        order = np.argsort(turns.values["at_ms"][is_done])
        found.append(turns.values["queue_wait"][is_done][order].astype(float))
        under_way = turns.taken(~is_done)
    return np.concatenate([np.zeros(1), *found[STEPS_WARM:]])


def _calls(scenario: ScenarioFile, crowd: Crowd, group: Group, turns_per_s: float) -> NDArray[np.void]:
    """Calls of the group, alike in everything that does not matter to its servers."""
    calls, fleet = np.zeros(CALLS, CALL), scenario.fleet
    calls["ends_ms"] = 2**62
    for name, value in zip(("region", "pool", "bundle"), group, strict=True):
        calls[name] = crowd.vocabularies[name].names.index(value)
    calls["turns_per_s"], calls["tokens_times"] = turns_per_s / CALLS, 1.0
    calls["is_batch"] = not fleet.pools[group[1]].has_audio  # type: ignore[index]
    return calls
