"""What is true: every row that producers will report, drawn from a seed, window by window.

A small fleet: three collectors in each of three regions (or fewer, which a round costs less with), three routes and three bundles of a realtime pool, and a batch pool. All
four families are told, and both privacy partitions of turns. Three incidents a round are so plain that the shipped
policy must page for them, and their bystanders so little touched that it must not: all errors in one region, a canary
whose every turn is slow, a route whose every turn waits in a queue. The audience partition stays well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.random import Generator

from schemas.arrays import Integers
from schemas.families import (
    AUDIENCE,
    HEARTBEATS,
    INDICATORS,
    OPERATIONAL,
    SCALE_OF_STAGE,
    STAGE_LATENCIES,
    STREAMS,
    TURNS,
    Family,
    PrivacyPartition,
)
from schemas.frames import FrameHeader
from turnwatch.bench.faults.schedule import WINDOWS

WINDOW_MS = 10_000
WINDOWS_PER_MINUTE = 6
INCIDENT_WINDOWS = 5 * WINDOWS_PER_MINUTE

REGIONS = {"us-east-1": 0.4, "eu-west-1": 0.35, "ap-south-1": 0.25}
COLLECTORS_PER_REGION = 3
ROUTES = {"assistant": 0.6, "support": 0.3, "booking": 0.1}
BUNDLES = {"voice-2.4.0": 0.62, "voice-2.5.0": 0.3, "voice-2.6.0-canary": 0.08}
LANGUAGES = ("en", "de", "*")
DEVICES = ("phone", "browser")
TURNS_PER_WINDOW = 3_000
BATCH_SHARE = 0.05
HEALTHY_BAD_SHARE = {
    "first_partial_500ms": 0.005,
    "first_audio_1800ms": 0.005,
    "turn_4000ms": 0.001,
    "queue_wait_250ms": 0.001,
    "turn_error": 0.0001,
    "abandonment": 0.003,
    "retrieval_stale": 0.001,
    "privacy_error": 0.0,
}
"""A tenth of what each objective allows; of privacy errors none is allowed."""
STAGES_TOLD = {"turn": (6, 700), "llm_first_token": (5, 260)}
"""Stage, its histogram's scale, and the bucket that its latencies lie around."""


@dataclass(frozen=True, slots=True)
class Told:
    """A frame before it is encoded: its header, and rows in the family's columns."""

    header: FrameHeader
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Incident:
    """From window `begins` on, and for `INCIDENT_WINDOWS`, every realtime turn of a dimension's value is bad."""

    indicator: str
    dimension: str
    value: str
    begins: int

    def covers(self, window: int) -> bool:
        return self.begins <= window < self.begins + INCIDENT_WINDOWS


def incidents(seed: int, round_: int) -> tuple[Incident, ...]:
    """The incidents of a round; they begin a few minutes apart, early enough to be resolved before its end."""
    rng = np.random.default_rng((seed, round_, 1))
    region = sorted(REGIONS)[rng.integers(len(REGIONS))]
    first = round_ * WINDOWS
    begins = [first + round((minute + rng.uniform()) * WINDOWS_PER_MINUTE) for minute in (6, 9, 12)]
    return (
        Incident("turn_error", "region", region, begins[0]),
        Incident("turn_4000ms", "bundle", "voice-2.6.0-canary", begins[1]),
        Incident("queue_wait_250ms", "route", "booking", begins[2]),
    )


class World:
    """Tells windows one after the other; the same seed and start tell the same."""

    def __init__(self, seed: int, start_ms: int, collectors_per_region: int = COLLECTORS_PER_REGION) -> None:
        assert start_ms % 60_000 == 0, "rounds begin at a whole minute"
        self.seed, self.start_ms = seed, start_ms
        self._cells = cells(collectors_per_region)
        self._active = np.full(len(self._cells), 40, dtype=np.int64)
        self._sequences: defaultdict[tuple[str, str], int] = defaultdict(int)

    def window(self, number: int) -> list[Told]:
        """Every frame of one window; call with 0, 1, 2 and so on, for streams go on from window to window."""
        rng = np.random.default_rng((self.seed, number, 0))
        turns = self._turns(number, rng)
        told = [
            *self._frames(TURNS, OPERATIONAL, number, turns),
            *self._frames(STAGE_LATENCIES, OPERATIONAL, number, self._stages(turns, rng)),
            *self._frames(STREAMS, OPERATIONAL, number, self._streams(rng)),
            *self._frames(HEARTBEATS, HEARTBEATS.partition("operational"), number, _heartbeats(turns)),
        ]
        if number % WINDOWS_PER_MINUTE == WINDOWS_PER_MINUTE - 1:
            minute = number - WINDOWS_PER_MINUTE + 1
            told += self._frames(TURNS, AUDIENCE, minute, _audience(self._cells, rng))
        return told

    def _frames(self, family: Family, partition: PrivacyPartition, window: int, rows: pl.DataFrame) -> Iterator[Told]:
        columns = (*family.dimensions, *family.key_names, *family.measure_names)
        absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in partition.dimensions]
        of_contract = rows.with_columns(*absent).select("producer", *columns)
        for (producer,), mine in of_contract.partition_by("producer", as_dict=True, include_key=False).items():
            sequence = self._sequences[str(producer), family.name]
            self._sequences[str(producer), family.name] += 1
            start_ms = self.start_ms + window * WINDOW_MS
            yield Told(FrameHeader(family, partition, str(producer), self.start_ms, sequence, start_ms), mine)

    def _turns(self, number: int, rng: Generator) -> pl.DataFrame:
        turns = rng.poisson(self._cells["weight"].to_numpy() * TURNS_PER_WINDOW)
        counted = self._cells.with_columns(**_measures(turns, rng))
        for incident in incidents(self.seed, number // WINDOWS):
            if incident.covers(number):
                is_hit = (pl.col("pool") == "realtime") & (pl.col(incident.dimension) == incident.value)
                bad, total = f"{incident.indicator}_bad", f"{incident.indicator}_total"
                counted = counted.with_columns(pl.when(is_hit).then(total).otherwise(bad).alias(bad))
        return counted

    def _stages(self, turns: pl.DataFrame, rng: Generator) -> pl.DataFrame:
        parts = []
        for stage, (scale, around) in STAGES_TOLD.items():
            assert SCALE_OF_STAGE[stage] == scale
            for offset in (0, 2):
                indexes = around + offset + rng.integers(0, 2, len(turns))
                observations = turns["turns"].to_numpy() // 2 + offset
                milliseconds = np.exp2(indexes / 2.0**scale).astype(np.int64)
                parts.append(
                    turns.select("producer", *OPERATIONAL.dimensions).with_columns(
                        stage=pl.lit(stage),
                        scale=pl.lit(scale, pl.Int32),
                        bucket_index=pl.Series(indexes, dtype=pl.Int32),
                        observations=pl.Series(observations),
                        latency_ms_sum=pl.Series(observations * milliseconds),
                        latency_ms_sumsq=pl.Series(observations * milliseconds**2),
                    )
                )
        return pl.concat(parts)

    def _streams(self, rng: Generator) -> pl.DataFrame:
        """Starts and ends of each second; no more streams end than run."""
        count = len(self._active)
        at_start = self._active.copy()
        starts = rng.poisson(0.15, (count, 10))
        ends = np.zeros_like(starts)
        for second in range(10):
            ends[:, second] = np.minimum(rng.poisson(0.15, count), self._active)
            self._active = self._active + starts[:, second] - ends[:, second]
        cell, second_of = np.nonzero((starts + ends > 0) | (np.arange(10) == 0))
        return self._cells[cell].with_columns(
            second=pl.Series(second_of, dtype=pl.Int32),
            active_at_start=pl.Series(np.where(second_of == 0, at_start[cell], 0)),
            starts=pl.Series(starts[cell, second_of]),
            ends=pl.Series(ends[cell, second_of]),
        )


@cache
def cells(collectors_per_region: int = COLLECTORS_PER_REGION) -> pl.DataFrame:
    """Who reports what: a row per collector and cell, with its share of the fleet's turns."""
    rows = []
    for region, share in REGIONS.items():
        for place in range(collectors_per_region):
            who = {"producer": f"collector-{region}-{place}", "region": region}
            mine = share / collectors_per_region
            rows += [
                who | {"pool": "realtime", "route": route, "bundle": bundle, "weight": mine * of_route * of_bundle}
                for route, of_route in ROUTES.items()
                for bundle, of_bundle in BUNDLES.items()
            ]
            batch = {"pool": "batch", "route": "summaries", "bundle": "batch-1.8.0", "weight": mine * BATCH_SHARE}
            rows.append(who | batch)
    return pl.DataFrame(rows)


def _measures(turns: Integers, rng: Generator) -> dict[str, pl.Series]:
    """Every measure of family turns, for cells of so many turns."""
    count = len(turns)
    latency_ms = rng.integers(800, 2_500, count)
    measures = {
        "turns": turns,
        "audio_in_ms": turns * rng.integers(1_000, 9_000, count),
        "audio_out_ms": turns * rng.integers(1_000, 9_000, count),
        "tokens_in": turns * rng.integers(100, 4_000, count),
        "tokens_out": turns * rng.integers(10, 400, count),
        "turn_latency_ms_sum": turns * latency_ms,
        "turn_latency_ms_sumsq": turns * latency_ms**2,
    }
    for indicator in INDICATORS:
        judged = rng.binomial(turns, 0.7) if indicator.name == "retrieval_stale" else turns
        measures[indicator.total] = judged
        measures[indicator.bad] = rng.binomial(judged, HEALTHY_BAD_SHARE[indicator.name])
    return {name: pl.Series(values, dtype=pl.Int64) for name, values in measures.items()}


def _audience(reporting: pl.DataFrame, rng: Generator) -> pl.DataFrame:
    """A minute of turns by who called, in a partition of its own."""
    who = reporting.select("producer").unique(maintain_order=True)
    languages, devices = pl.DataFrame({"language": LANGUAGES}), pl.DataFrame({"device_class": DEVICES})
    callers = who.join(languages, how="cross").join(devices, how="cross").with_columns(pool=pl.lit("realtime"))
    turns = rng.poisson(TURNS_PER_WINDOW * WINDOWS_PER_MINUTE / len(callers), len(callers))
    return callers.with_columns(**_measures(turns, rng))


def _heartbeats(turns: pl.DataFrame) -> pl.DataFrame:
    """What each collector says of itself."""
    seen = turns.group_by("producer", "region", maintain_order=True).agg(
        rows_sent=pl.len().cast(pl.Int64), observations_seen=pl.col("turns").sum()
    )
    families = pl.DataFrame({"reported_family": [TURNS.name, STAGE_LATENCIES.name, STREAMS.name]})
    return seen.join(families, how="cross").with_columns(
        observations_dropped=pl.col("observations_seen") % 3, observations_held=pl.col("observations_seen") % 5
    )
