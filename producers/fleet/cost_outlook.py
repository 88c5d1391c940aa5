"""What the fleet costs at an instant, expected: GPU time that turns use, GPU time that is there, at the fleet's prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from producers.fleet.bills import MS_PER_HOUR, dollars
from producers.fleet.calibration import load_calibration
from producers.fleet.expected import running_of, success_share
from producers.fleet.fleet_file import Station
from producers.fleet.outlook import Outlook
from producers.fleet.pool_servers import AUDIO_STATIONS, Group, planned_servers
from producers.fleet.timeline import InForce
from producers.fleet.turns import prompt_tokens


@dataclass(frozen=True, slots=True)
class CostRate:
    """Of the whole fleet. Dollars per hour of used and of reserved GPU time, over turns and successes a second."""

    per_hour: float
    reserved_per_hour: float
    turns_per_s: float
    successes_per_s: float

    @property
    def per_success(self) -> float:
        return self.per_hour / 3_600 / self.successes_per_s

    @property
    def reserved_per_success(self) -> float:
        return self.reserved_per_hour / 3_600 / self.successes_per_s


def cost_at(outlook: Outlook, at_ms: int, with_events: bool) -> CostRate:
    """The rate at an instant, with the events in force then or without any."""
    in_force = outlook.in_force(at_ms) if with_events else InForce((), outlook.crowd)
    used: dict[Station, float] = {}
    reserved: dict[Station, float] = {}
    turns_per_s = 0.0
    for group, servers in planned_servers(outlook.scenario).items():
        rate = outlook.turns_per_s(group, at_ms, in_force)
        turns_per_s += rate
        for name, gpu_ms in gpu_ms_of_turn(outlook, group, at_ms, in_force).items():
            used[name] = used.get(name, 0.0) + gpu_ms * rate * 3_600
        for name, gpus in servers.planned.items():
            there = max(1, round(gpus * in_force.servers_times(name, *group)))
            reserved[name] = reserved.get(name, 0.0) + there * MS_PER_HOUR
    successes = turns_per_s * success_share(outlook.fleet)
    return CostRate(dollars(outlook.fleet, used), dollars(outlook.fleet, reserved), turns_per_s, successes)


def gpu_ms_of_turn(outlook: Outlook, group: Group, at_ms: int, in_force: InForce) -> dict[Station, float]:
    """Mean GPU time of a turn of the group, attempts included."""
    fleet, engine = outlook.fleet, outlook.engine
    retry, shadow = outlook.attempts(group, in_force)
    running = running_of(outlook, group, at_ms, in_force)
    times = outlook.prompts_times(group, in_force)
    tokens = prompt_tokens(np.linspace(0, 1, 4_001)) * times * (1 - load_calibration().prefix_cache.hit_share)
    attempt = float(engine.prefill_ms(tokens, running).mean()) + fleet.tokens_out_mean * engine.gpu_ms_per_token()
    has_audio = fleet.pools[group[1]].has_audio  # type: ignore[index]  # The names of pools are those of the fleet.
    found: dict[Station, float] = {
        "llm": attempt * (1 + retry + shadow + fleet.fallback_share),
        "retrieval": fleet.retrieval_share * fleet.servers.retrieval.service_ms / fleet.servers.retrieval.slots,
    }
    for name in AUDIO_STATIONS if has_audio else ():
        said = getattr(fleet.servers, name)
        found[name] = said.service_ms / said.slots
    return found
