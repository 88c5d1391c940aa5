"""Scenarios: what a simulated fleet looks like, what goes wrong in it, and the truth about it in closed form.

Latencies follow lognormal distributions and mixtures of two, so that means, quantiles and the share of turns beyond a
threshold are exact numbers and not estimates. The incident of `canary` is the kind that averages hide: most turns get
faster while a few get much slower, the mean and the error rate stay where they were, and only the tail tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, exp, log, pi, sqrt
from statistics import NormalDist

from schemas.failures import BadInput
from schemas.families import INDICATORS
from schemas.instants import DAY_MS

_NORMAL = NormalDist()
_TURN_4000MS = next(indicator for indicator in INDICATORS if indicator.name == "turn_4000ms")


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Latencies whose logarithm is normal; `median_ms` is exp of its mean, `spread` its standard deviation."""

    median_ms: float
    spread: float

    @property
    def mean_ms(self) -> float:
        return self.median_ms * exp(self.spread**2 / 2)

    def share_from(self, threshold_ms: float) -> float:
        """The share of latencies at or above the threshold."""
        return 1 - _NORMAL.cdf(log(threshold_ms / self.median_ms) / self.spread)


@dataclass(frozen=True, slots=True)
class Latency:
    """A body and a slow tail that a share of `tail_weight` turns meets."""

    body: Lognormal
    tail: Lognormal
    tail_weight: float = 0.0

    @property
    def mean_ms(self) -> float:
        return (1 - self.tail_weight) * self.body.mean_ms + self.tail_weight * self.tail.mean_ms

    def share_from(self, threshold_ms: float) -> float:
        body, tail = self.body.share_from(threshold_ms), self.tail.share_from(threshold_ms)
        return (1 - self.tail_weight) * body + self.tail_weight * tail

    def quantile_ms(self, share: float) -> float:
        return _root(lambda ms: 1 - share - self.share_from(ms), 1e-3, 1e9)


def healthy(p99_ms: float, spread: float) -> Latency:
    """One lognormal whose p99 is exactly `p99_ms`."""
    body = Lognormal(p99_ms / exp(spread * _NORMAL.inv_cdf(0.99)), spread)
    return Latency(body, body)


def slow_tail(before: Latency, p99_ms: float, tail_weight: float, tail_spread: float) -> Latency:
    """The same mean as `before`, but a p99 of `p99_ms`: the body got as much faster as the tail got slower.

    >>> before = healthy(p99_ms=3_800, spread=0.3)
    >>> after = slow_tail(before, p99_ms=8_400, tail_weight=0.2, tail_spread=0.25)
    >>> round(after.mean_ms - before.mean_ms, 6), round(after.quantile_ms(0.99), 3)
    (0.0, 8400.0)
    """

    def with_tail(median_ms: float) -> Latency:
        tail = Lognormal(median_ms, tail_spread)
        body_mean_ms = (before.mean_ms - tail_weight * tail.mean_ms) / (1 - tail_weight)
        body = Lognormal(body_mean_ms / exp(before.body.spread**2 / 2), before.body.spread)
        return Latency(body, tail, tail_weight)

    # Beyond this median the tail alone would weigh more than the whole mean.
    highest_ms = before.mean_ms / tail_weight / exp(tail_spread**2 / 2) * (1 - 1e-9)
    if with_tail(highest_ms).share_from(p99_ms) < 0.01:
        raise BadInput(f"No tail of weight {tail_weight} reaches a p99 of {p99_ms} ms while the mean stays equal.")
    return with_tail(_root(lambda ms: with_tail(ms).share_from(p99_ms) - 0.01, 1.0, highest_ms))


@dataclass(frozen=True, slots=True)
class Region:
    """Where calls come from. `peak_utc_h` is the hour of its busiest time."""

    name: str
    share: float
    collectors: int
    peak_utc_h: float


@dataclass(frozen=True, slots=True)
class Workload:
    """One pool: its calls, how often they take a turn, and how its bundles answer.

    `bundles` are (name, share of calls); the shares of a mapping sum to 1. `duplex_share` of calls are full-duplex.
    """

    pool: str
    concurrent_calls: float
    call_s_mean: float
    turns_per_call_s: float
    routes: dict[str, float]
    bundles: dict[str, float]
    has_audio: bool
    latency: Latency
    error_share: float
    abandoned_share: float
    duplex_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Incident:
    """From `after_ms` of event time on, `bundle` in `pool` answers with `latency`; nothing else changes.

    What a turn takes longer than it would have is spent in `stage`, where one is given and the turn has it; otherwise in
    no stage that is told, as in an answer that is spoken more slowly.
    """

    pool: str
    bundle: str
    after_ms: int
    latency: Latency
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """What an incident does to its slice, computed and not measured. Times are event time; rates are per second."""

    slice: str
    begins_ms: int
    incident_ms: int
    turns_per_s: float
    bad_share_before: float
    bad_share_after: float
    mean_ms_before: float
    mean_ms_after: float
    p99_ms_before: float
    p99_ms_after: float
    error_share: float
    stage: str | None = None
    """The part of the turn that slow turns wait in, if it is one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    regions: tuple[Region, ...]
    workloads: tuple[Workload, ...]
    languages: dict[str, float]
    devices: dict[str, float]
    day_amplitude: float = 0.25
    incident: Incident | None = None

    def demand(self, region: Region, at_ms: int) -> float:
        """The region's share of the fleet's calls at an instant: a day curve around its mean share."""
        hour = at_ms % DAY_MS / 3_600_000
        return region.share * (1 + self.day_amplitude * cos((hour - region.peak_utc_h) / 24 * 2 * pi))

    def calls(self, workload: Workload, at_ms: int) -> float:
        """Expected concurrent calls of a workload over all regions."""
        return workload.concurrent_calls * sum(self.demand(region, at_ms) for region in self.regions)

    def latency(self, workload: Workload, bundle: str, since_start_ms: int) -> Latency:
        """How turns that end `since_start_ms` after the scenario's start are answered."""
        incident = self.incident
        if incident is None or (incident.pool, incident.bundle) != (workload.pool, bundle):
            return workload.latency
        return incident.latency if since_start_ms >= incident.after_ms else workload.latency

    def truth(self, start_ms: int) -> Truth | None:
        """What will have happened if the scenario starts at `start_ms`; nothing for a quiet one."""
        incident = self.incident
        if incident is None:
            return None
        workload = next(known for known in self.workloads if known.pool == incident.pool)
        incident_ms = start_ms + incident.after_ms
        before, after = workload.latency, incident.latency
        threshold_ms = float(_TURN_4000MS.threshold_ms or 0)
        calls = workload.bundles[incident.bundle] * self.calls(workload, incident_ms)
        return Truth(
            slice=f"pool={incident.pool},bundle={incident.bundle}",
            begins_ms=start_ms,
            incident_ms=incident_ms,
            turns_per_s=calls * workload.turns_per_call_s,
            bad_share_before=before.share_from(threshold_ms),
            bad_share_after=after.share_from(threshold_ms),
            mean_ms_before=before.mean_ms,
            mean_ms_after=after.mean_ms,
            p99_ms_before=before.quantile_ms(0.99),
            p99_ms_after=after.quantile_ms(0.99),
            error_share=workload.error_share,
            stage=incident.stage,
        )


def _root(of: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function crosses zero between two positive bounds, to the last bits of a float."""
    for _ in range(200):
        middle = sqrt(low * high)
        low, high = (middle, high) if of(middle) < 0 else (low, middle)
    return sqrt(low * high)


STABLE_BUNDLE, CANARY_BUNDLE = "voice-2.4.0", "voice-2.5.0-canary"

_REGIONS = (
    Region("us-east-1", 0.4, collectors=2, peak_utc_h=19.0),
    Region("eu-west-1", 0.35, collectors=2, peak_utc_h=13.0),
    Region("ap-south-1", 0.25, collectors=2, peak_utc_h=8.0),
)
_REALTIME = Workload(
    pool="realtime",
    concurrent_calls=10_000,
    call_s_mean=240,
    turns_per_call_s=0.12,
    routes={"assistant": 0.55, "support": 0.3, "booking": 0.15},
    bundles={STABLE_BUNDLE: 1.0},
    has_audio=True,
    latency=healthy(p99_ms=3_800, spread=0.3),
    error_share=0.000_4,
    abandoned_share=0.01,
    duplex_share=0.05,
)
_BATCH = Workload(
    pool="batch",
    concurrent_calls=600,
    call_s_mean=600,
    turns_per_call_s=0.1,
    routes={"summaries": 0.7, "transcripts": 0.3},
    bundles={"batch-1.8.0": 1.0},
    has_audio=False,
    latency=healthy(p99_ms=3_600, spread=0.4),
    error_share=0.000_4,
    abandoned_share=0.0,
)
_LANGUAGES = {
    "en": 0.48,
    "es": 0.18,
    "de": 0.12,
    "fr": 0.1,
    "hi": 0.07,
    "pt": 0.035,
    "nl": 0.012,
    "is": 0.002,
    "cy": 0.001,
}
_DEVICES = {"phone": 0.42, "mobile_app": 0.3, "browser": 0.15, "speaker": 0.08, "car": 0.04, "headset": 0.01}


def quiet() -> Scenario:
    """A healthy fleet at its daily rhythm; nothing may page."""
    return Scenario("quiet", _REGIONS, (_REALTIME, _BATCH), _LANGUAGES, _DEVICES)


def canary(
    healthy_s: int = 600,
    share: float = 0.25,
    p99_ms: float = 8_400,
    tail_weight: float = 0.2,
    slow_stage: str | None = None,
) -> Scenario:
    """A canary with a share of realtime calls, healthy for `healthy_s`; then its p99 grows while its mean stays.

    With a `slow_stage` the slow turns wait in that stage.
    """
    bundles = {STABLE_BUNDLE: 1 - share, CANARY_BUNDLE: share}
    realtime = replace(_REALTIME, bundles=bundles)
    slow = slow_tail(realtime.latency, p99_ms, tail_weight, tail_spread=0.25)
    incident = Incident(realtime.pool, CANARY_BUNDLE, after_ms=healthy_s * 1_000, latency=slow, stage=slow_stage)
    return Scenario("canary", _REGIONS, (realtime, _BATCH), _LANGUAGES, _DEVICES, incident=incident)


SCENARIOS: dict[str, Callable[[], Scenario]] = {"canary": canary, "quiet": quiet}


def scenario(name: str) -> Scenario:
    """The scenario of that name, as shipped."""
    if name not in SCENARIOS:
        raise BadInput(f"There is no scenario {name!r}; known are {', '.join(sorted(SCENARIOS))}.")
    return SCENARIOS[name]()
