"""What to expect of a scenario at an instant, computed: load, and how long the stages and the whole of a turn take.

The same distributions that turns are drawn from, without drawing. A class of turns is those of one group of servers that
the same events reach; within it stages are independent, so wholes are convolutions. Waits for servers have no closed form:
they are those of the same stations under the expected load (`waits.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from producers.fleet.calibration import load_calibration
from producers.fleet.calls import CALL, Line
from producers.fleet.crowd import Crowd, bundle_shares, crowd_of
from producers.fleet.densities import (
    Distribution,
    Lattice,
    around,
    gamma_quantiles,
    lattice,
    lognormal,
    mixture,
    observed,
    total,
)
from producers.fleet.effects import Attempts, Prompts, SlowStage, SlowTail
from producers.fleet.engine_load import LlmEngine, llm_engine
from producers.fleet.finished import AFTER_AUDIO
from producers.fleet.fleet_file import DRAWN_STAGES, Fleet
from producers.fleet.pool_servers import Group
from producers.fleet.scenario_file import AUDIENCE, Event, ScenarioFile
from producers.fleet.timeline import InForce, is_there
from producers.fleet.turns import AUDIO_STAGES, TOKENS_OUT_SHAPE, fleet_noise, prompt_tokens
from schemas.arrays import Floats
from schemas.families import PARTS
from schemas.instants import MINUTE_MS

PROMPT_QUANTILES = 400


@dataclass(frozen=True, slots=True)
class Stage:
    """The share of turns that have the stage, and how long it takes those."""

    happens: float
    share: Distribution


@dataclass(frozen=True)
class TurnClass:
    """Turns that are alike: each stage's distribution; wholes by convolution."""

    stages: dict[str, Stage]
    answer: Distribution
    has_audio: bool

    @cached_property
    def lattices(self) -> dict[str, Lattice]:
        return {name: lattice(stage.share, stage.happens) for name, stage in self.stages.items()}

    @cached_property
    def first_audio(self) -> Lattice:
        return total([part for name, part in self.lattices.items() if name not in AFTER_AUDIO])

    @cached_property
    def heard(self) -> Lattice:
        return total([self.first_audio, *(self.lattices[name] for name in AFTER_AUDIO if name in self.lattices)])

    @cached_property
    def turn(self) -> Lattice:
        return total([self.heard, lattice(self.answer)])

    def share(self, name: str) -> Distribution:
        """The distribution function of a stage or whole."""
        return getattr(self, name).share if name in ("first_audio", "heard", "turn") else self.stages[name].share


@dataclass(frozen=True, slots=True)
class Outlook:
    """A scenario that starts at `start_ms`, seen ahead."""

    scenario: ScenarioFile
    crowd: Crowd
    start_ms: int

    @classmethod
    def of(cls, scenario: ScenarioFile, start_ms: int) -> Outlook:
        return cls(scenario, crowd_of(scenario), start_ms)

    @property
    def fleet(self) -> Fleet:
        return self.scenario.fleet

    @property
    def engine(self) -> LlmEngine:
        return llm_engine(self.fleet.servers.llm_times, self.fleet.tokens_out_mean)

    def in_force(self, at_ms: int) -> InForce:
        return InForce.at(self.scenario, self.crowd, at_ms - self.start_ms)

    def calls(self, region: str, pool: str, at_ms: int, in_force: InForce) -> float:
        """Expected calls at once, where what changes their number has lasted for longer than calls do."""
        line = Line(self.scenario, self.crowd, self.start_ms, np.empty(0, CALL))
        return line.concurrent(region, pool, at_ms) * in_force.calls_times(region, pool)

    def turns_per_s(self, group: Group, at_ms: int, in_force: InForce) -> float:
        """Expected turns of the usual calls; what events put on besides is not in it."""
        region, pool, bundle = group
        share = bundle_shares(self.scenario, self.fleet, pool, (at_ms - self.start_ms) / MINUTE_MS).get(bundle, 0.0)
        return self.calls(region, pool, at_ms, in_force) * share * self.fleet.turns_per_call_s

    def reach(self, event: Event, group: Group) -> float:
        """The share of the group's turns that the event's slice has."""
        region, pool, bundle = group
        if not is_there(event, region=region, pool=pool, bundle=bundle):
            return 0.0
        routes = self.fleet.pools[pool].routes  # type: ignore[index]
        wanted = event.where.get("route", list(routes))
        share = sum(routes.get(route, 0.0) for route in wanted) / sum(routes.values())
        return share * self.crowd.share({name: values for name, values in event.where.items() if name in AUDIENCE})

    def attempts(self, group: Group, in_force: InForce) -> tuple[float, float]:
        """Mean retries and shadows of a turn of the group."""
        said = {"retry": self.fleet.retry_share, "shadow": self.fleet.shadow_share}
        for event, effect in in_force.of(Attempts):
            part = self.reach(event, group)
            said[effect.of] = said[effect.of] * (1 - part) + effect.share * part
        return said["retry"], said["shadow"]

    def prompts_times(self, group: Group, in_force: InForce) -> float:
        """How many times as long the group's prompts are in the mean."""
        times = 1.0
        for event, effect in in_force.of(Prompts):
            times *= 1 + self.reach(event, group) * (effect.times - 1)
        return times

    def turn_class(
        self,
        group: Group,
        running: float,
        waits_ms: Floats,
        matched: tuple[Event, ...] = (),
        connections: Floats | None = None,
    ) -> TurnClass:
        """The class of the group's turns that these events reach, with the waits of a sample that is sorted."""
        has_audio = self.fleet.pools[group[1]].has_audio  # type: ignore[index]
        stages = {"queue_wait": Stage(1.0, observed(waits_ms))}
        for name in DRAWN_STAGES:
            if has_audio or name not in AUDIO_STAGES:
                happens = self.fleet.retrieval_share if name == "retrieval" else 1.0
                stages[name] = Stage(happens, self._drawn(name, _times(matched, name), connections))
        stages["llm_first_token"] = Stage(1.0, self._first_token(running, matched, group))
        ordered = {name: stages[name] for name in PARTS if name in stages}
        return TurnClass(ordered, self._answer(running, matched), has_audio)

    def on_connection(self, turns: TurnClass, connections: Floats, matched: tuple[Event, ...]) -> TurnClass:
        """The same turns with the network's time that these shares of connections have."""
        network = Stage(1.0, self._drawn("network", _times(matched, "network"), connections))
        return replace(turns, stages={**turns.stages, "network": network})

    def _drawn(self, name: str, times: float, connections: Floats | None) -> Distribution:
        said = self.fleet.stages[name]
        if name != "network":
            return lognormal(said.median_ms * times, said.spread)
        shares = self.crowd.connections({}) if connections is None else connections
        names = self.crowd.vocabularies["connection"].names
        medians = [said.median_ms * times * self.fleet.network_times[each] for each in names]
        return mixture([(share, lognormal(median, said.spread)) for share, median in zip(shares, medians, strict=True)])

    def _first_token(self, running: float, matched: tuple[Event, ...], group: Group) -> Distribution:
        prompts = float(np.prod([event.does.times for event in matched if isinstance(event.does, Prompts)]))
        spread, engine = fleet_noise(self.fleet)[0], self.engine
        tokens = np.floor(prompt_tokens((np.arange(PROMPT_QUANTILES) + 0.5) / PROMPT_QUANTILES) * prompts)
        fresh = tokens - np.floor(tokens * load_calibration().prefix_cache.hit_share)
        once = (engine.prefill_ms(fresh, running) + engine.delivery_ms(running)) * _times(matched, "llm_first_token")
        retries = [
            event.does.share for event in matched if isinstance(event.does, Attempts) and event.does.of == "retry"
        ]
        retried = retries[-1] if retries else self.fleet.retry_share
        return mixture([(1 - retried, around(once, spread)), (retried, around(2 * once, spread))])

    def _answer(self, running: float, matched: tuple[Event, ...]) -> Distribution:
        tokens = 1 + gamma_quantiles(TOKENS_OUT_SHAPE, self.fleet.tokens_out_mean - 1, PROMPT_QUANTILES)
        medians, spread = tokens * self.engine.step_ms(running), fleet_noise(self.fleet)[1]
        parts = [(1.0, 1.0)]
        for event in matched:
            if isinstance(event.does, SlowTail):
                tail, body = event.does.times, event.does.body_times
                weight = event.does.weight
                parts = [
                    (share * part, times * each)
                    for share, times in parts
                    for part, each in ((weight, tail), (1 - weight, body))
                ]
        return mixture([(share, around(medians * times, spread)) for share, times in parts])


def _times(matched: tuple[Event, ...], stage: str) -> float:
    """How many times as long a stage takes under these events."""
    found = [event.does.times for event in matched if isinstance(event.does, SlowStage) and event.does.stage == stage]
    return float(np.prod(found))
