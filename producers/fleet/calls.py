"""The live calls of the fleet, as one table of codes: they arrive, stay for an exponentially long time, and end.

Arrivals are Poisson along each region's day curve; who they are is drawn from the crowd. A stretch of calls for which an
event cuts a region off ends there at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from producers.fleet.calibration import load_calibration
from producers.fleet.crowd import Codes, Crowd, bundle_shares
from producers.fleet.demand import day_factor
from producers.fleet.effects import BatchWork, SyntheticVoice
from producers.fleet.scenario_file import WHERE, ScenarioFile
from producers.fleet.timeline import STEP_MS, InForce
from schemas.instants import MINUTE_MS

CALL = np.dtype(
    [
        ("session", "u8"),
        ("started_ms", "i8"),
        ("ends_ms", "i8"),
        ("turns_per_s", "f4"),
        *((name, "i4") for name in (*WHERE, "producer")),
        ("is_duplex", "?"),
        ("is_synthetic", "?"),
        ("is_batch", "?"),
        ("tokens_times", "f4"),
    ]
)

BATCH_TURNS_PER_S, BATCH_JOB_S = 0.5, 40.0
"""Of each job of batch work that an event puts on the realtime pool."""

Calls_ = NDArray[np.void]


@dataclass(slots=True)
class Line:
    """Everybody who is on the line."""

    scenario: ScenarioFile
    crowd: Crowd
    start_ms: int
    live: Calls_

    @classmethod
    def at(cls, scenario: ScenarioFile, crowd: Crowd, start_ms: int, rng: Generator) -> Line:
        """The calls already there: Poisson in number, and what lasts exponentially long has no memory."""
        line = cls(scenario, crowd, start_ms, np.empty(0, CALL))
        in_force = InForce.at(scenario, crowd, 0)
        line.live = line._arriving(in_force, start_ms, rng, instant=True)
        return line

    def during(self, begin_ms: int, in_force: InForce, rng: Generator) -> Calls_:
        """Every call with a part in the step; afterwards those that outlive it stay."""
        calls = np.concatenate([self.live, self._arriving(in_force, begin_ms, rng, instant=False)])
        self._cut_off(calls, in_force, begin_ms)
        self.live = calls[calls["ends_ms"] >= begin_ms + STEP_MS]
        return calls

    def concurrent(self, region: str, pool: str, at_ms: int) -> float:
        """Expected calls at once without any event."""
        fleet = self.scenario.fleet
        shares = fleet.regions[region].share / sum(each.share for each in fleet.regions.values())
        pools = fleet.pools[pool].share / sum(each.share for each in fleet.pools.values())  # type: ignore[index]
        factor = day_factor(load_calibration().day_curve, at_ms, fleet.regions[region].peak_shift_h)
        return fleet.calls * shares * pools * factor

    def _arriving(self, in_force: InForce, at_ms: int, rng: Generator, instant: bool) -> Calls_:
        """New calls of a step, or (`instant`) those that are there at one moment."""
        fleet, parts = self.scenario.fleet, []
        for region in fleet.regions:
            for pool in fleet.pools:
                times = in_force.calls_times(region, pool)
                concurrent = times * self.concurrent(region, pool, at_ms)
                share = 1.0 if instant else STEP_MS / 1_000 / fleet.call_s_mean
                count = int(rng.poisson(concurrent * share))
                parts.append(self._drawn(region, pool, count, at_ms, rng, instant))
        if not instant:
            parts += [self._synthetic(event.where, effect, at_ms, rng) for event, effect in in_force.of(SyntheticVoice)]
            parts += [self._batch(event.where, effect, at_ms, rng) for event, effect in in_force.of(BatchWork)]
        return np.concatenate(parts)

    def _drawn(self, region: str, pool: str, count: int, at_ms: int, rng: Generator, instant: bool) -> Calls_:
        crowd, fleet, calls = self.crowd, self.scenario.fleet, np.zeros(count, CALL)
        self._timed(calls, at_ms, fleet.call_s_mean, rng, instant)
        calls["turns_per_s"], calls["tokens_times"] = fleet.turns_per_call_s, 1.0
        calls["is_batch"] = not fleet.pools[pool].has_audio  # type: ignore[index]
        calls["region"] = crowd.vocabularies["region"].names.index(region)
        calls["pool"] = crowd.vocabularies["pool"].names.index(pool)
        calls["route"] = self._of_mapping("route", fleet.pools[pool].routes, count, rng)  # type: ignore[index]
        minute = (at_ms - self.start_ms) / MINUTE_MS
        calls["bundle"] = self._of_mapping("bundle", bundle_shares(self.scenario, fleet, pool, minute), count, rng)
        for name in ("tenant", "language", "noise_class", "device_class", "client_version", "voice"):
            calls[name] = crowd.drawn(rng, name, count)
        calls["accent"] = crowd.drawn_after(rng, "accent", calls["language"])
        calls["connection"] = crowd.drawn_after(rng, "connection", calls["device_class"])
        calls["codec"] = crowd.drawn_after(rng, "codec", calls["connection"])
        calls["producer"] = rng.integers(0, fleet.regions[region].collectors, count)
        calls["is_duplex"] = (rng.random(count) < fleet.duplex_share) & (pool == "realtime")
        return calls

    def _timed(self, calls: Calls_, at_ms: int, mean_s: float, rng: Generator, instant: bool) -> None:
        count = len(calls)
        calls["session"] = rng.integers(0, 2**64, count, dtype=np.uint64)
        calls["started_ms"] = at_ms - 1 if instant else at_ms + rng.integers(0, STEP_MS, count)
        calls["ends_ms"] = calls["started_ms"] + np.ceil(rng.exponential(mean_s * 1_000, count)).astype(np.int64)

    def _synthetic(self, where: dict[str, list[str]], effect: SyntheticVoice, at_ms: int, rng: Generator) -> Calls_:
        """Calls of one tenant, all alike: one device, one client, one voice."""
        regions = [region for region in self.scenario.fleet.regions if region in where.get("region", [region])]
        parts = []
        for region in regions:
            count = int(rng.poisson(effect.calls / len(regions) * STEP_MS / 1_000 / effect.call_s_mean))
            calls = self._drawn(region, "realtime", count, at_ms, rng, instant=False)
            self._timed(calls, at_ms, effect.call_s_mean, rng, instant=False)
            calls["turns_per_s"], calls["is_synthetic"], calls["is_duplex"] = effect.turns_per_call_s, True, False
            if where.get("tenant"):
                calls["tenant"] = self.crowd.vocabularies["tenant"].codes(where["tenant"][:1])[0]
            for name, value in (("device_class", "browser"), ("connection", "wired"), ("codec", "opus")):
                calls[name] = self.crowd.vocabularies[name].codes([value])[0]
            parts.append(calls)
        return np.concatenate([np.empty(0, CALL), *parts])

    def _batch(self, where: dict[str, list[str]], effect: BatchWork, at_ms: int, rng: Generator) -> Calls_:
        """Jobs without audio on the realtime pool, each with a turn every other second."""
        regions = [region for region in self.scenario.fleet.regions if region in where.get("region", [region])]
        parts = []
        for region in regions:
            jobs = effect.turns_per_s / len(regions) / BATCH_TURNS_PER_S
            count = int(rng.poisson(jobs * STEP_MS / 1_000 / BATCH_JOB_S))
            calls = self._drawn(region, "realtime", count, at_ms, rng, instant=False)
            self._timed(calls, at_ms, BATCH_JOB_S, rng, instant=False)
            calls["turns_per_s"], calls["is_batch"], calls["is_duplex"] = BATCH_TURNS_PER_S, True, False
            calls["route"] = self.crowd.vocabularies["route"].codes([effect.route])[0]
            calls["tokens_times"] = effect.tokens_times
            parts.append(calls)
        return np.concatenate([np.empty(0, CALL), *parts])

    def _of_mapping(self, name: str, shares: dict[str, float], count: int, rng: Generator) -> Codes:
        codes = self.crowd.vocabularies[name].codes(list(shares))
        edges = np.cumsum(list(shares.values()))
        picked: Codes = codes[np.searchsorted(edges[:-1] / edges[-1], rng.random(count), side="right")]
        return picked

    def _cut_off(self, calls: Calls_, in_force: InForce, begin_ms: int) -> None:
        """Calls of a region and pool for which there are to be none end as the step begins."""
        regions, pools = self.crowd.vocabularies["region"].names, self.crowd.vocabularies["pool"].names
        for place, region in enumerate(regions):
            for other, pool in enumerate(pools):
                if in_force.calls_times(region, pool) == 0:
                    gone = (calls["region"] == place) & (calls["pool"] == other)
                    calls["ends_ms"] = np.where(gone, np.minimum(calls["ends_ms"], begin_ms), calls["ends_ms"])
