"""Calls at a steady pace, of which shares fail: as the state that a shard would hold of them, and as buckets that come in.

What there is of them in any interval is arithmetic, so a test can say beforehand what each window holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

import numpy as np
import polars as pl

from schemas.burns import Decision
from schemas.families import INDICATORS, OPERATIONAL, TURNS
from schemas.partials import Partial, partial_schema
from stream_jobs.operators.burn_rate.burn_rate import BUCKET_MS, BurnRate
from stream_jobs.operators.burn_rate.history import History, resolutions
from stream_jobs.operators.totals.slice_numbers import SliceNumbers

PERIOD_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class Calls:
    """One slice's calls, `per_s` of them from `begins_ms` on; `failing` says when which share of them fails."""

    begins_ms: int
    per_s: Fraction
    failing: tuple[tuple[int, int, Fraction], ...] = ()

    def fail(self, from_ms: int, to_ms: int, share: Fraction = Fraction(1)) -> Self:
        return replace(self, failing=(*self.failing, (from_ms, to_ms, share)))

    def within(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """Bad and total calls that ended in [from, to)."""
        bad, total = (until(to_ms) - until(from_ms) for until in (self._bad_until, self._total_until))
        assert 0 <= bad <= total, "failing calls begin and end where a call does"
        return bad, total

    def _total_until(self, to_ms: int) -> int:
        return int(self.per_s * max(0, to_ms - self.begins_ms) / 1_000)

    def _bad_until(self, to_ms: int) -> int:
        failed = (share * max(0, min(to_ms, end_ms) - start_ms) for start_ms, end_ms, share in self.failing)
        return int(self.per_s * sum(failed, Fraction(0)) / 1_000)


def state(fleet: Mapping[str, Calls], now_ms: int) -> dict[bytes, bytes]:
    """What Kafka would hold of these slices at the end of a minute."""
    assert now_ms % 60_000 == 0
    numbers = SliceNumbers(kept_ms=PERIOD_MS)
    for instants in ([each.begins_ms for each in fleet.values()], [now_ms - BUCKET_MS] * len(fleet)):
        numbers.hear(pl.DataFrame({"slice": [*fleet], "bucket_start_ms": instants}))
    history = History([each.name for each in INDICATORS], PERIOD_MS // 1_000)
    places, texts = np.arange(len(fleet)), sorted(fleet, key=lambda text: int(numbers.of([text])[0]))
    first_ms = min(each.begins_ms for each in fleet.values())
    for level, resolution in enumerate(resolutions(PERIOD_MS // 1_000)):
        start_ms = resolution.start(max(first_ms, now_ms - resolution.keep_ms))
        for bucket_ms in range(start_ms, now_ms, resolution.width_ms):
            end_ms = min(bucket_ms + resolution.width_ms, now_ms)
            counts = np.array([fleet[text].within(bucket_ms, end_ms) for text in texts], dtype=np.int64)
            if counts.any():
                of_each = np.repeat(counts[:, None], len(INDICATORS), axis=1)
                history.assign(level, bucket_ms, places, of_each)
    blocks = (*numbers.unsaved_blocks(0), *history.unsaved_blocks(0))
    return {block.key: block.value for block in blocks if block.value is not None}


def decisions(operator: BurnRate, fleet: Mapping[str, Calls], from_ms: int, to_ms: int) -> list[Decision]:
    """Every decision on the buckets in [from, to), each taken in as it ends."""
    decided: list[Decision] = []
    for place, start_ms in enumerate(range(from_ms, to_ms, BUCKET_MS)):
        operator.apply(_partial(fleet, start_ms, place + 1))
        list(operator.rollups())
        decided += [each.decision for each in operator.decide(now_ms=0)]
    return decided


def _partial(fleet: Mapping[str, Calls], start_ms: int, version: int) -> Partial:
    """One bucket, with the same counts for every indicator; a slice without calls is not in it."""
    rows = []
    for text, calls in fleet.items():
        bad, total = calls.within(start_ms, start_ms + BUCKET_MS)
        if total:
            counts = {name: bad if name.endswith("_bad") else total for name in TURNS.measure_names}
            rows.append({"slice": text, "bucket_start_ms": start_ms, **counts})
    schema = partial_schema(TURNS)
    table = schema.empty_table().from_pylist(rows, schema=schema)
    return Partial(TURNS, OPERATIONAL, 0, version, ((start_ms + BUCKET_MS, 100),), table)
