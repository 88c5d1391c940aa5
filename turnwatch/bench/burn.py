"""How much of a core does it take to evaluate every window of every slice and SLO anew each 10 s?

The operator is the worker's own. Its state is that of a full period, restored as after a restart; then buckets come in
which every slice counts something, and each is decided, and counted for `/metrics`. What is held to the limit is that, as
processor time of 10 s; what taking a bucket in costs is printed beside it, and the memory as the operating system accounts for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
from schemas.slos import WatchedSlo
from stream_jobs.operators.blocks import Block
from stream_jobs.operators.burn_rate import BUCKET_MS, BurnRate
from stream_jobs.operators.history import History, resolutions
from stream_jobs.operators.slice_numbers import SliceNumbers
from turnwatch.bench.memory import resident_bytes

Made = TypeVar("Made")

LIMIT_SHARE = 0.10
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


def run_burn(slices: int, slos: int, buckets: int, seed: int) -> int:
    console = Console()
    fleet, dice = _fleet(slices, slos), np.random.default_rng(seed)
    now_ms = int(time.time()) // 3_600 * 3_600_000
    operator = BurnRate(0, 1, fleet.watched)
    operator.restore(_state(fleet, dice, now_ms, console))
    costs = [
        _step(operator, fleet, dice, now_ms, place) for place in track(range(buckets), "deciding", console=console)
    ]
    deciding = sorted(cost.deciding_s for cost in costs)
    mean_s, taking_in_s = (sum(values) / len(costs) for values in (deciding, [cost.taking_in_s for cost in costs]))
    share = mean_s * 1_000 / BUCKET_MS
    console.print(
        f"taking in {taking_in_s * 1_000:.0f} ms a bucket; deciding {deciding[len(deciding) // 2] * 1_000:.0f} ms in the "
        f"median, {deciding[-1] * 1_000:.0f} ms at most; {max(cost.burns for cost in costs)} burns at most",
        highlight=False,
    )
    print(
        f"slices={slices} slos={slos} series={fleet.series} evaluation_ms={mean_s * 1_000:.0f} core_share={share:.3f} "
        f"limit={LIMIT_SHARE} ratio={share / LIMIT_SHARE:.2f} resident_mib={resident_bytes() / 2**20:.0f}"
    )
    return 0 if share < LIMIT_SHARE else 1


def _fleet(slices: int, slos: int) -> Fleet:
    """Slices of one cut, and as many SLOs as asked for: the shipped ones with other objectives once they are used up."""
    shipped = [slo for slo in load_slos() if slo.pool == "realtime" and slo.period_s == PERIOD_S]
    watched = [
        policy_for(replace(slo, name=f"{slo.name}-{number}", objective=slo.objective - Decimal(number // len(shipped)) / 1_000))
        for number, slo in enumerate(islice(cycle(shipped), slos))
    ]  # fmt: skip
    return Fleet(tuple(f"pool=realtime,bundle=v{number}" for number in range(slices)), tuple(watched))


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
