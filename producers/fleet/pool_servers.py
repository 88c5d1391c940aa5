"""The servers of every bundle in every region: how many GPUs they are given, and how turns pass through their stations.

GPUs are planned for the fleet's target utilisation at the mean of a day, before any event. A turn with audio passes ASR,
retrieval (if it looks something up), the language model and TTS; it waits for each, and `queue_wait` is the sum of the
waits. Retries and shadows load the model, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from producers.fleet.calibration import load_calibration
from producers.fleet.calls import Calls_
from producers.fleet.crowd import bundle_shares
from producers.fleet.engine_load import LlmEngine, llm_engine
from producers.fleet.fleet_file import Fleet
from producers.fleet.fleet_file import Station as StationName
from producers.fleet.scenario_file import ScenarioFile
from producers.fleet.stations import Sample, Station
from producers.fleet.table import Columns, Table
from producers.fleet.timeline import STEP_MS, InForce
from producers.fleet.turns import prompt_tokens
from schemas.arrays import Floats

Group = tuple[str, str, str]
"""Region, pool and bundle: what shares servers."""

AUDIO_STATIONS: tuple[StationName, ...] = ("asr", "tts")
STATION_NAMES: tuple[StationName, ...] = ("asr", "retrieval", "llm", "tts")
QUEUE_OF: dict[StationName, str] = {
    "asr": "asr_first_partial",
    "retrieval": "retrieval",
    "llm": "llm_first_token",
    "tts": "tts_first_audio",
}
"""The stage whose queue a station has."""


@dataclass(slots=True)
class Servers:
    """The stations of one group, and the batch that decodes on each of its language model's GPUs."""

    group: Group
    planned: dict[StationName, int]
    stations: dict[StationName, Station]
    engine: LlmEngine
    running: float = 0.0
    prompt_tokens_mean: float = 0.0
    tokens_out: float = 0.0
    """Generated in the step."""
    batch_share: float = 0.0
    """Of the step's turns, those of batch work."""

    def begins(self, in_force: InForce, now_ms: float) -> None:
        """A step begins: with the GPUs that there are now, and nobody in it yet."""
        self.running = self.prompt_tokens_mean = self.tokens_out = self.batch_share = 0.0
        for name, station in self.stations.items():
            times = in_force.servers_times(name, *self.group)
            station.resized(max(1, round(self.planned[name] * times)), now_ms)

    def samples(self, begin_ms: float) -> Iterator[tuple[StationName, Sample]]:
        """What each station shows of the step that began then."""
        for name, station in self.stations.items():
            yield name, station.sample(begin_ms, begin_ms + STEP_MS)


def planned_servers(scenario: ScenarioFile) -> dict[Group, Servers]:
    """Servers for every region, pool and bundle that the scenario ever has."""
    fleet = scenario.fleet
    found: dict[Group, Servers] = {}
    for pool, said in fleet.pools.items():
        last = max((each.from_min for each in scenario.deployments), default=0.0)
        moments = [bundle_shares(scenario, fleet, pool, minute) for minute in (0.0, last)]
        shares = {bundle: max(each.get(bundle, 0.0) for each in moments) for bundle in {**moments[0], **moments[1]}}
        for region in fleet.regions:
            for bundle, share in shares.items():
                rate = share * mean_turns_per_ms(fleet, region, pool)
                planned = {name: _gpus(fleet, name, rate) for name in STATION_NAMES if _has(said.has_audio, name)}
                stations = {name: Station(gpus, slots_of(fleet, name)) for name, gpus in planned.items()}
                engine = llm_engine(fleet.servers.llm_times, fleet.tokens_out_mean)
                found[(region, pool, bundle)] = Servers((region, pool, bundle), planned, stations, engine)
    return found


def mean_turns_per_ms(fleet: Fleet, region: str, pool: str) -> float:
    """Turns that a day has, in its mean and without events."""
    share = fleet.regions[region].share / sum(each.share for each in fleet.regions.values())
    share *= fleet.pools[pool].share / sum(each.share for each in fleet.pools.values())  # type: ignore[index]
    return fleet.calls * share * fleet.turns_per_call_s / 1_000


def entered(turns: Table, start_ms: int) -> Table:
    """The turns before their first station. Stations count time from `start_ms`: a float keeps that to a microsecond."""
    count = len(turns)
    zeros = ("queue_wait", "llm_first_token", "answer", *(f"gpu_{name}_ms" for name in STATION_NAMES))
    state: Columns = {name: np.zeros(count) for name in zeros}
    at_ms = np.asarray(turns.values["request_ms"], dtype=float) - start_ms
    return Table(turns.calls, {**turns.values, **state, "at_ms": at_ms, "place": np.zeros(count, dtype=np.int8)})


def pass_through(servers: Servers, fleet: Fleet, turns: Table, end_ms: float) -> None:
    """Takes a group's turns through what they come to before the instant; first come, first served at each station.

    Writes to the turns' columns. `place` counts the stations that a turn has passed.
    """
    values = turns.values
    hears, looks_up = ~np.isnan(values["vad"].astype(float)), ~np.isnan(values["retrieval"].astype(float))
    comes = {"asr": hears, "retrieval": looks_up, "llm": np.ones(len(turns), dtype=bool), "tts": hears}
    for place, name in enumerate(STATION_NAMES):
        here = (values["place"] == place) & (values["at_ms"] < end_ms)
        served = np.flatnonzero(here & comes[name])
        if len(served):
            _served(servers, fleet, name, turns, served[np.argsort(values["at_ms"][served], kind="stable")])
        for stage in _AFTER.get(name, ()):
            values["at_ms"][here] += np.nan_to_num(values[stage][here].astype(float))
        values["place"][here] += 1


def is_through(turns: Table) -> NDArray[np.bool_]:
    """Which turns have passed every station."""
    return np.asarray(turns.values["place"] == len(STATION_NAMES))


_AFTER = {
    "asr": ("vad", "asr_first_partial", "final_transcript"),
    "retrieval": ("retrieval",),
    "llm": ("llm_first_token",),
}
"""Stages that pass after a station has taken a turn, and before it comes to the next one."""


def _served(servers: Servers, fleet: Fleet, name: StationName, turns: Table, mine: NDArray[np.intp]) -> None:
    """Turns in order of their arrival: they wait, and use GPU time."""
    station, values = servers.stations[name], turns.values
    arrived = values["at_ms"][mine].astype(float)
    if name == "llm":
        waits = _model_waits(servers, turns, mine, arrived)
    else:
        service_ms = float(getattr(fleet.servers, name).service_ms)
        values[f"gpu_{name}_ms"][mine] = service_ms / station.slots
        waits = station.serve(arrived, np.full(len(mine), service_ms))
    values["queue_wait"][mine] += waits
    values["at_ms"][mine] += waits


def _model_waits(servers: Servers, turns: Table, mine: NDArray[np.intp], arrived: Floats) -> Floats:
    """The same at the language model, where further attempts queue, too: a retry or a shadow right after its turn."""
    engine, station, values = servers.engine, servers.stations["llm"], turns.values
    is_retry, is_shadowed, is_fallback = (
        values[name][mine].astype(bool) for name in ("is_retry", "is_shadowed", "is_fallback")
    )
    attempts = 1 + (is_retry | is_shadowed)
    servers.running = engine.running(attempts.sum() / STEP_MS / station.gpus)
    servers.prompt_tokens_mean = float(values["tokens_in"][mine].astype(float).mean())
    servers.batch_share = float(turns.calls["is_batch"][mine].mean())
    tokens_out = values["tokens_out"][mine].astype(float)
    servers.tokens_out = float(tokens_out.sum())
    service = engine.prefill_ms((values["tokens_in"] - values["tokens_cached"])[mine].astype(float), servers.running)
    waits = station.serve(np.repeat(arrived, attempts), np.repeat(service, attempts))
    first = (service + engine.delivery_ms(servers.running)) * values["llm_times"][mine].astype(float)
    values["llm_first_token"][mine] = first * (1 + is_retry)
    values["answer"][mine] = tokens_out * engine.step_ms(servers.running) * values["answer_times"][mine].astype(float)
    of_attempt = service + tokens_out * engine.gpu_ms_per_token()
    values["gpu_llm_ms"][mine] = of_attempt * (1.0 + is_retry + is_shadowed + is_fallback)
    of_turns: Floats = waits[np.cumsum(attempts) - attempts]
    return of_turns


def _gpus(fleet: Fleet, name: StationName, turns_per_ms: float) -> int:
    """GPUs that such a rate keeps busy for the target utilisation, one at least."""
    return max(1, ceil(turns_per_ms * mean_service_ms(fleet, name) / slots_of(fleet, name) / fleet.servers.utilisation))


def mean_service_ms(fleet: Fleet, name: StationName) -> float:
    """Mean time of a lane that a turn takes, with retries and without shadows."""
    if name == "llm":
        fresh = prompt_tokens(np.linspace(0, 1, 2_001)) * (1 - load_calibration().prefix_cache.hit_share)
        engine = llm_engine(fleet.servers.llm_times, fleet.tokens_out_mean)
        return float(engine.prefill_ms(fresh, 8.0).mean()) * (1 + fleet.retry_share)
    said = getattr(fleet.servers, name)
    return float(said.service_ms) * (fleet.retrieval_share if name == "retrieval" else 1.0)


def slots_of(fleet: Fleet, name: StationName) -> int:
    """Lanes of one GPU: the model's prefill works one prompt after the other."""
    return 1 if name == "llm" else int(getattr(fleet.servers, name).slots)


def _has(has_audio: bool, name: StationName) -> bool:
    return has_audio or name not in AUDIO_STATIONS


def group_keys(calls: Calls_) -> NDArray[np.int32]:
    """One number for each region and bundle."""
    keys: NDArray[np.int32] = calls["region"] * 1_024 + calls["bundle"]
    return keys


def groups_of(calls: Calls_) -> Iterator[tuple[int, int, slice]]:
    """Stretches of turns of one region and bundle (their codes), of turns that are ordered by `group_keys`."""
    keys = group_keys(calls)
    edges = np.flatnonzero(np.diff(keys)) + 1
    for begin, end in zip([0, *edges], [*edges, len(keys)], strict=True):
        if end > begin:
            yield int(keys[begin] // 1_024), int(keys[begin] % 1_024), slice(int(begin), int(end))
