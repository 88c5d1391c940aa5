"""How much of a core does it take to evaluate every window of every slice and SLO anew each 10 s?

The operator is the worker's own. Its state is that of a full period, restored as after a restart; then buckets come in
which every slice counts something, and each is decided, and counted for `/metrics`. What is held to the limit is that, as
processor time of 10 s; what taking a bucket in costs is printed beside it, and the memory as the operating system accounts for it.
Beside it stands what Prometheus takes for the same slices and SLOs (`prometheus_side.py`), where it is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from rich.console import Console
from rich.progress import track

from alerts.openslo import load_slos
from alerts.policies import policy_for
from schemas.families import INDICATORS, OPERATIONAL, TURNS
from schemas.partials import Partial, partial_schema
from schemas.slos import STANDARD_POLICY, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BUCKET_MS, BurnRate
from stream_jobs.operators.burn_rate.history import History, resolutions
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.totals.slice_numbers import SliceNumbers
from turnwatch.bench.memory import resident_bytes
from turnwatch.bench.prometheus_server import HOW_TO_GET_IT, find_prometheus
from turnwatch.bench.prometheus_side import Bounds, Pace, Traffic, evaluated, pasts_of

Made = TypeVar("Made")

LIMIT_SHARE = 0.10
SIZES = (0.01, 0.1, 0.5, 1.0)
"""Shares of the slices asked for, so that both sides show how they grow."""
PERIOD_S = 30 * 86_400
TURNS_MEAN = 20
BAD_SHARE = 0.0005
"""Half of what the strictest shipped objective allows: nothing burns, as nearly always."""


@dataclass(frozen=True, slots=True)
class Fleet:
    slices: tuple[str, ...]
    watched: tuple[WatchedSlo, ...]

    @property
    def series(self) -> int:
        return len(self.slices) * len(self.watched)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor time for one bucket."""

    taking_in_s: float
    deciding_s: float
    burns: int


@dataclass(frozen=True, slots=True)
class Ours:
    """What our side takes at one size, in the mean over its buckets."""

    series: int
    evaluation_s: float
    resident_bytes: int

    @property
    def core_share(self) -> float:
        return self.evaluation_s * 1_000 / BUCKET_MS

    def line(self) -> str:
        """The figures, for machines."""
        return (
            f"side=turnwatch series={self.series} period_s={PERIOD_S} evaluation_ms={self.evaluation_s * 1_000:.0f} "
            f"core_share={self.core_share:.3f} resident_mib={self.resident_bytes / 2**20:.0f}"
        )


def run_burn(slices: int, slos: int, buckets: int, seed: int, bounds: Bounds | None, pace: Pace | None = None) -> int:
    """Prints both sides at every size, Prometheus within `bounds` (`None`: without it); 1 where ours is above its limit."""
    console, fleet = Console(), _fleet(slices, slos)
    sizes = sorted({max(1, round(slices * share)) for share in SIZES})
    for size in sizes:
        ours = _ours(replace(fleet, slices=fleet.slices[:size]), buckets, seed, console)
        print(ours.line(), flush=True)
    if bounds is not None:
        _beside(fleet, sizes, seed, bounds, pace or Pace(), console)
    share = ours.core_share
    print(
        f"slices={slices} slos={slos} series={fleet.series} evaluation_ms={ours.evaluation_s * 1_000:.0f} "
        f"core_share={share:.3f} limit={LIMIT_SHARE} ratio={share / LIMIT_SHARE:.2f} "
        f"resident_mib={ours.resident_bytes / 2**20:.0f}"
    )
    return 0 if share < LIMIT_SHARE else 1


def _ours(fleet: Fleet, buckets: int, seed: int, console: Console) -> Ours:
    dice, now_ms = np.random.default_rng(seed), int(time.time()) // 3_600 * 3_600_000
    operator = BurnRate(0, 1, fleet.watched)
    operator.restore(_state(fleet, dice, now_ms, console))
    costs = [
        _step(operator, fleet, dice, now_ms, place) for place in track(range(buckets), "deciding", console=console)
    ]
    deciding = sorted(cost.deciding_s for cost in costs)
    mean_s, taking_in_s = (sum(values) / len(costs) for values in (deciding, [cost.taking_in_s for cost in costs]))
    console.print(
        f"taking in {taking_in_s * 1_000:.0f} ms a bucket; deciding {deciding[len(deciding) // 2] * 1_000:.0f} ms in the "
        f"median, {deciding[-1] * 1_000:.0f} ms at most; {max(cost.burns for cost in costs)} burns at most",
        highlight=False,
    )
    return Ours(fleet.series, mean_s, resident_bytes())


def _beside(fleet: Fleet, sizes: Sequence[int], seed: int, bounds: Bounds, pace: Pace, console: Console) -> None:
    """Prints what Prometheus takes, or how to get it."""
    binary = find_prometheus()
    if binary is None:
        console.print(HOW_TO_GET_IT, highlight=False)
        return
    slices = [fleet.slices[:size] for size in sizes]
    pasts = pasts_of(Traffic(TURNS_MEAN, BAD_SHARE), bounds, seed)
    with closing(evaluated(binary, slices, fleet.watched, pasts, bounds, pace, console)) as figures:
        for each in figures:
            print(each.line(), flush=True)
            if each.ended:
                console.print(f"Prometheus does not carry {each.series} series: {each.ended}.", highlight=False)


def _fleet(slices: int, slos: int) -> Fleet:
    """Slices of one cut, and as many SLOs as asked for: the shipped ones with other objectives once they are used up."""
    shipped = [slo for slo in load_slos() if slo.pool == "realtime" and slo.period_s == PERIOD_S and _is_usual(slo)]
    watched = [
        policy_for(replace(slo, name=f"{slo.name}-{number}", objective=slo.objective - Decimal(number // len(shipped)) / 1_000))
        for number, slo in enumerate(islice(cycle(shipped), slos))
    ]  # fmt: skip
    return Fleet(tuple(f"pool=realtime,bundle=v{number}" for number in range(slices)), tuple(watched))


def _is_usual(slo: Slo) -> bool:
    """Whether the operator of turns judges it, by all rows of the standard policy: every series costs as much as another."""
    return slo.family is TURNS and slo.policy == STANDARD_POLICY and slo.budgeting == "occurrences"


def _state(fleet: Fleet, dice: np.random.Generator, now_ms: int, console: Console) -> dict[bytes, bytes]:
    """What Kafka would hold of a full period: the slices, and every bucket of every resolution."""
    numbers = SliceNumbers(kept_ms=PERIOD_S * 1_000)
    first_ms = now_ms - PERIOD_S * 1_000
    numbers.hear(_heard(fleet.slices, first_ms))
    numbers.hear(_heard(fleet.slices, now_ms))
    stored = dict(_stored(numbers.unsaved_blocks(0)))
    places = np.arange(len(fleet.slices))
    for level, width_ms, start_ms in track(list(_buckets(now_ms)), "filling", console=console):
        history = History([each.name for each in INDICATORS], PERIOD_S)
        total = dice.poisson(TURNS_MEAN * width_ms / BUCKET_MS, (len(places), len(INDICATORS)))
        history.assign(level, start_ms, places, np.stack([dice.binomial(total, BAD_SHARE), total], axis=-1))
        stored.update(_stored(history.unsaved_blocks(0)))
    return stored


def _heard(slices: Sequence[str], instant_ms: int) -> pl.DataFrame:
    return pl.DataFrame({"slice": slices}).with_columns(bucket_start_ms=pl.lit(instant_ms, pl.Int64))


def _stored(blocks: Iterator[Block]) -> Iterator[tuple[bytes, bytes]]:
    return ((block.key, block.value) for block in blocks if block.value is not None)


def _buckets(now_ms: int) -> Iterator[tuple[int, int, int]]:
    for level, resolution in enumerate(resolutions(PERIOD_S)):
        first_ms = resolution.start(now_ms - resolution.keep_ms)
        starts = range(first_ms, now_ms, resolution.width_ms)
        yield from ((level, resolution.width_ms, start_ms) for start_ms in starts)


def _step(operator: BurnRate, fleet: Fleet, dice: np.random.Generator, now_ms: int, place: int) -> Cost:
    partial = _partial(fleet, dice, now_ms + place * BUCKET_MS, place + 1)
    taking_in_s, _ = _timed(lambda: (operator.apply(partial), list(operator.rollups())))
    deciding_s, (decided, _) = _timed(lambda: (list(operator.decide(now_ms=0)), operator.counted()))
    assert len(decided) == 1, "every bucket is decided once"
    return Cost(taking_in_s, deciding_s, len(decided[0].decision.burns))


def _timed(make: Callable[[], Made]) -> tuple[float, Made]:
    started = time.process_time()
    made = make()
    return time.process_time() - started, made


def _partial(fleet: Fleet, dice: np.random.Generator, start_ms: int, version: int) -> Partial:
    """One bucket in which every slice counted something."""
    count = len(fleet.slices)
    columns: dict[str, object] = {"slice": fleet.slices, "bucket_start_ms": np.full(count, start_ms)}
    columns |= {name: np.full(count, TURNS_MEAN) for name in TURNS.measure_names}
    for indicator in INDICATORS:
        total = dice.poisson(TURNS_MEAN, count)
        columns |= {indicator.total: total, indicator.bad: dice.binomial(total, BAD_SHARE)}
    schema = partial_schema(TURNS)
    rows = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return Partial(TURNS, OPERATIONAL, 0, version, ((start_ms + BUCKET_MS, 100),), rows)
