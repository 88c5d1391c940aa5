"""What is served: turns, audio, tokens, concurrent streams and their peak, replicas needed, latency of each stage, events,
and what every other family counts: queues, outcomes, labelled quality, what has a price, deployments, what was withheld.

A shard's `Traffic` holds the open buckets of each family and tells, whenever some changed, the absolute rows of every
table they feed: at 10 s and at 1 min, or at the width of the family's own buckets where those are wider. A 1 min row is told
from its 10 s buckets, never incremented; of a gauge the last bucket counts. Questions that need the same totals watch them
here (`watching.py`): which stage grew (`stage_growth.py`), which queue is saturated (`saturation_watch.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import chain, groupby

import polars as pl
import pyarrow as pa

from schemas.families import FAMILIES, STREAMS, Family
from schemas.instants import HOUR_MS, MINUTE_MS
from schemas.partials import Partial
from schemas.tables import late_table, rollups_of
from schemas.topics import partials as partials_topic
from stream_jobs.operators.stages.growth import GrowthWatch
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.totals.late_rows import Origin, late_rows
from stream_jobs.operators.totals.ledger import BucketKey, Ledger
from stream_jobs.operators.totals.reach import LIVE, Patience
from stream_jobs.operators.totals.rollup_rows import folded, timestamp, to_table
from stream_jobs.operators.watching import Statement, Watch

KEEP_SLACK_MS = 60_000
TOLD_AT_ONCE_MS = 4 * HOUR_MS
"""Labels that come late may change three days of buckets at once. Of so many hours they are told at a time, 20 ms for 1,000 slices, and
whoever takes them has others to serve in between. Whole buckets of every width."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one stream takes. Reject: utilisation outside (0, 1], savings outside [0, 1), anything negative."""

    gpu_seconds_per_audio_second: Decimal
    target_utilization: Decimal = Decimal("0.7")
    vad_savings: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if self.gpu_seconds_per_audio_second < 0:
            raise ValueError(
                f"gpu_seconds_per_audio_second is {self.gpu_seconds_per_audio_second}; it cannot be negative."
            )
        if not 0 < self.target_utilization <= 1:
            raise ValueError(f"target_utilization is {self.target_utilization}; it has to be above 0 and at most 1.")
        if not 0 <= self.vad_savings < 1:
            raise ValueError(f"vad_savings is {self.vad_savings}; it has to be at least 0 and below 1.")

    @property
    def replicas_per_stream(self) -> Fraction:
        """(1 - savings) x GPU seconds per audio second / utilisation, exact."""
        return (
            Fraction(1 - self.vad_savings)
            * Fraction(self.gpu_seconds_per_audio_second)
            / Fraction(self.target_utilization)
        )


def replicas_needed(streams: int, capacity: Capacity) -> int:
    """How many replicas serve so many concurrent streams, rounded up exactly.

    >>> replicas_needed(7, Capacity(Decimal("0.1")))
    1
    >>> replicas_needed(10**9, Capacity(Decimal("0.35"), Decimal("0.7"), Decimal("0.5")))
    250000000
    """
    if streams < 0:
        raise ValueError(f"streams is {streams}; it cannot be negative.")
    needed = streams * capacity.replicas_per_stream
    return -(-needed.numerator // needed.denominator)


class Traffic:
    """State of one shard, and the operator on it."""

    def __init__(
        self,
        sources: int,
        capacity: Capacity | None = None,
        shard: int = 0,
        patience: Patience = LIVE,
        watches: Sequence[Watch] = (),
    ) -> None:
        self._capacity = capacity
        self._ledgers = {name: Ledger(family, keep_ms(family), sources, patience) for name, family in FAMILIES.items()}
        self._watches: tuple[Watch, ...] = (GrowthWatch(shard), *watches)
        self._late: list[tuple[str, pa.Table]] = []

    def apply(self, partial: Partial) -> int:
        """Takes in one partial; how many of its rows came after their bucket was folded, and will be told as late."""
        late = self._ledgers[partial.family.name].apply(partial)
        if len(late):
            origin = Origin(partials_topic(partial.family.name), partial.source_partition)
            self._late.append((late_table(partial.family), late_rows(partial.family, late, origin)))
        return len(late)

    def rollups(self) -> Iterator[tuple[str, pa.Table]]:
        """(table, rows) of everything that changed since the last call."""
        late, self._late = self._late, []
        yield from late
        for ledger in self._ledgers.values():
            changed = ledger.changed()
            if changed:
                yield from (pair for pair in self._told(ledger, changed) if pair[1].num_rows)
                ledger.forget_old()
        for watch in self._watches:
            yield from watch.rows()

    def statements(self, now_ms: int) -> Iterator[Statement]:
        """What the watches have to say by now; after `rollups`."""
        known = _Known(self._ledgers, now_ms)
        for watch in self._watches:
            yield from watch.statements(known)

    def left_out(self, family: Family) -> int:
        """Slices that the watches which are saved with this family do not watch, being too many."""
        return sum(watch.left_out for watch in self._saved_with(family))

    def unsaved_blocks(self, family: Family, applied_offset: int) -> Iterator[Block]:
        yield from self._ledgers[family.name].unsaved_blocks(applied_offset)
        for watch in self._saved_with(family):
            yield from watch.unsaved_blocks(applied_offset)

    def marker(self, family: Family, applied_offset: int) -> Iterator[Block]:
        """To be confirmed after the blocks of `unsaved_blocks`."""
        yield from self._ledgers[family.name].marker(applied_offset)
        for watch in self._saved_with(family):
            yield from watch.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        for ledger in self._ledgers.values():
            ledger.restore(stored)
        for watch in self._watches:
            watch.restore(stored)

    def _saved_with(self, family: Family) -> list[Watch]:
        return [watch for watch in self._watches if watch.families[0] is family]

    def _told(self, ledger: Ledger, changed: list[BucketKey]) -> Iterator[tuple[str, pa.Table]]:
        if ledger.family is STREAMS:
            return self._concurrency(ledger, changed)
        by_time = sorted(changed, key=lambda key: key[1])
        spans = (list(some) for _, some in groupby(by_time, lambda key: key[1] // TOLD_AT_ONCE_MS))
        return chain.from_iterable(summed(ledger, some, lambda totals: self._tell(ledger, totals)) for some in spans)

    def _tell(self, ledger: Ledger, totals: pl.DataFrame) -> None:
        told = [watch for watch in self._watches if ledger.family in watch.families]
        if told:
            oldest_open_ms = min(start_ms for _, start_ms in ledger.kept()) // MINUTE_MS * MINUTE_MS
            for watch in told:
                watch.tell(ledger.family, totals, oldest_open_ms)

    def _concurrency(self, ledger: Ledger, changed: list[BucketKey]) -> Iterator[tuple[str, pa.Table]]:
        peaks = with_peaks(ledger.totals(changed))
        yield "concurrency_10s", to_table(self._with_replicas(peaks), "concurrency_10s")
        peaks = with_peaks(ledger.totals(ledger.minutes_whole(changed)))
        minute = (pl.col("bucket_start_ms") // MINUTE_MS * MINUTE_MS).alias("bucket_start_ms")
        first = pl.col("active_at_start").sort_by("within_ms").first()
        by_minute = (
            peaks.with_columns(within_ms=pl.col("bucket_start_ms") % MINUTE_MS)
            .group_by(minute, "slice")
            .agg(first, pl.col("starts", "ends", "version").sum(), pl.col("peak_lower", "peak_upper").max())
        )
        yield "concurrency_1m", to_table(self._with_replicas(by_minute), "concurrency_1m")

    def _with_replicas(self, rows: pl.DataFrame) -> pl.DataFrame:
        peaks = rows["peak_upper"].unique().to_list()
        needed = [replicas_needed(peak, self._capacity) if self._capacity else 0 for peak in peaks]
        replicas = pl.col("peak_upper").replace_strict(peaks, needed, return_dtype=pl.Int64)
        return rows.with_columns(timestamp("bucket_start_ms").alias("bucket_start"), replicas_needed=replicas)


@dataclass(frozen=True, slots=True)
class _Known:
    """How far the ledgers have come at `now_ms`."""

    ledgers: dict[str, Ledger]
    now_ms: int

    def is_open(self, family: Family, bucket_start_ms: int) -> bool:
        return self.ledgers[family.name].is_kept(family.partitions[0].name, bucket_start_ms)

    def decidable_until_ms(self, family: Family) -> int:
        return self.ledgers[family.name].decidable_until_ms(family.partitions[0], self.now_ms)

    def completeness(self, family: Family, bucket_end_ms: int) -> float:
        return self.ledgers[family.name].completeness(family.partitions[0].name, bucket_end_ms)


def keep_ms(family: Family) -> int:
    """How long a bucket may still change after the newest report: its lateness, and a minute of slack."""
    return family.lateness_s * 1_000 + KEEP_SLACK_MS


def with_peaks(seconds: pl.DataFrame) -> pl.DataFrame:
    """Per (bucket, slice): active at start, starts, ends, and the peak of concurrent streams between two bounds.

    Within a second the order of starts and ends is unknown: ends first gives `peak_lower`, starts first `peak_upper`;
    they agree where no second has both.
    """
    ordered = seconds.sort("bucket_start_ms", "slice", "second")
    cell = ["bucket_start_ms", "slice"]
    change = (pl.col("starts") - pl.col("ends")).cum_sum().over(cell)
    active = pl.col("active_at_start").sum().over(cell)
    running = ordered.with_columns(after=active + change, before=active + change - pl.col("starts") + pl.col("ends"))
    return running.group_by(cell).agg(
        pl.col("active_at_start", "starts", "ends").sum(),
        pl.col("version").sum(),
        peak_lower=pl.max_horizontal(pl.col("before").max(), pl.col("after").max()).clip(lower_bound=0),
        peak_upper=(pl.col("before") + pl.col("starts")).max().clip(lower_bound=0),
    )


def summed(
    ledger: Ledger, changed: list[BucketKey], on_widest: Callable[[pl.DataFrame], None] = lambda by_minute: None
) -> Iterator[tuple[str, pa.Table]]:
    """Rows of what its family feeds, at each width: of buckets that are no wider, and at the widest of all of them.

    `on_widest` is shown the rows of the widest besides.
    """
    family = ledger.family
    gauges = [measure.name for measure in family.measures if measure.merge == "gauge"]
    named = timestamp("bucket_start_ms").alias("bucket_start")
    *narrow, widest = rollups_of(family)
    for rollup in narrow:
        fine = [key for key in changed if family.partition(key[0]).k_window_s <= rollup.width_s]
        yield rollup.table, to_table(ledger.totals(fine).with_columns(named), rollup.table)
    totals = ledger.totals(ledger.minutes_whole(changed))
    wide = folded(totals, ["slice", *family.key_names], widest.measures, widest.width_s * 1_000, gauges)
    on_widest(wide)
    yield widest.table, to_table(wide.with_columns(named), widest.table)
