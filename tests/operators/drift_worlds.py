"""Slices as the drift watch is told of them: totals of labelled quality, outcomes and stages, and how far a shard has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.random import Generator

from schemas.drift_policies import STANDARD, DriftPolicy
from schemas.families import OUTCOMES, QUALITY, STAGE_LATENCIES, Family
from schemas.findings import Finding, Findings, decode
from schemas.histograms import bucket_indexes
from stream_jobs.operators.drift.watch import DriftWatch

HOUR_MS = 3_600_000
DAY, WEEK = 24, 168
START_MS = 1_788_739_200_000
"""Monday 2026-09-07."""
POOL = "pool=realtime"


def totals(family: Family, hour: int, slices: Mapping[str, Mapping[str, int]], version: int = 1) -> pl.DataFrame:
    """One bucket, of an hour's first minute where buckets are minutes; `slices` by text, with what is counted of them."""
    rows = [
        {"bucket_start_ms": START_MS + hour * HOUR_MS, "slice": text, **dict.fromkeys(family.measure_names, 0)}
        | dict(measures)
        | {"version": version}
        for text, measures in slices.items()
    ]
    schema = {"bucket_start_ms": pl.Int64, "slice": pl.String}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys((*family.measure_names, "version"), pl.Int64))


def calls(dice: Generator, rate: float, count: int = 60, words: int = 50) -> dict[str, int]:
    """So many labelled calls, each with an error rate of its own around `rate`: the words of one are not independent."""
    said = dice.poisson(words, count) + 1
    wrong = dice.binomial(said, dice.beta(20 * rate, 20 * (1 - rate), count))
    return {
        "calls": count,
        "words": int(said.sum()),
        "word_errors": int(wrong.sum()),
        "words_sumsq": int((said**2).sum()),
        "word_errors_sumsq": int((wrong**2).sum()),
        "word_errors_by_words": int((said * wrong).sum()),
    }


def turns(dice: Generator, failing: float, count: int = 3_000) -> dict[str, int]:
    """So many turns, of which a share does not succeed."""
    return {"outcomes": count, "successes": count - int(dice.binomial(count, failing))}


def latencies(hour: int, slices: Mapping[str, Sequence[float]], stage: str = "llm_first_token") -> pl.DataFrame:
    """One minute of a stage; milliseconds by slice."""
    rows = []
    for text, values in slices.items():
        found, counts = np.unique(bucket_indexes(np.asarray(values, dtype=float), 5), return_counts=True)
        start = {"bucket_start_ms": START_MS + hour * HOUR_MS, "slice": text, "stage": stage, "scale": 5}
        for index, count in zip(found.tolist(), counts.tolist(), strict=True):
            rows.append({**start, "bucket_index": index, "observations": count, "version": 1})
    return pl.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class Heard:
    """How far a shard has come."""

    until_ms: int
    now_ms: int = 0

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        return True

    def decidable_until_ms(self, family: Family) -> int:
        return self.until_ms

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        return 1.0


@dataclass
class Shard:
    """A watch that is told hours, one after the other, and what it says."""

    policy: DriftPolicy = STANDARD
    watch: DriftWatch = field(init=False)
    tables: list[pl.DataFrame] = field(default_factory=list)
    said: list[Findings] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = DriftWatch(0, 1, self.policy)

    def tell(self, family: Family, rows: pl.DataFrame) -> None:
        self.watch.tell(family, rows, 0)

    def decide(self, hours: int) -> dict[str, Finding]:
        """The first so many hours are over; what drifts then, by slice and measure."""
        known = Heard(START_MS + hours * HOUR_MS)
        self.hear(known)
        self.tables += [pl.DataFrame(pl.from_arrow(rows)) for _, rows in self.watch.rows()]
        self.hear(Heard(known.until_ms + 600_000))
        return self.drifting

    def hear(self, known: Heard) -> None:
        self.said += [decode(each.payload) for each in self.watch.statements(known)]

    @property
    def drifting(self) -> dict[str, Finding]:
        found = self.said[-1].findings if self.said else ()
        return {f"{each.slice}|{each.labels['measure']}": each for each in found}

    @property
    def rows(self) -> pl.DataFrame:
        """The newest row of each figure of each slice in each hour."""
        named = ["slice", "measure", "bucket_start"]
        return pl.concat(self.tables).unique(named, keep="last", maintain_order=True).sort(named)


def told(
    shard: Shard, family: Family, hours: range, of: Callable[[int], Mapping[str, Mapping[str, int]]], every: int = 1
) -> Shard:
    """Tells hour by hour, and decides after so many."""
    for hour in hours:
        shard.tell(family, totals(family, hour, of(hour)))
        if (hour + 1) % every == 0:
            shard.decide(hour + 1)
    return shard


FAMILIES = (QUALITY, OUTCOMES, STAGE_LATENCIES)
