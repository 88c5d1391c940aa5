"""Which stage grew: the part of a turn that made the turns of a slice longer, told minute by minute.

Compared is a slice with itself: what it observed last with the hour before the last five minutes, its *reference*. So a
change of mix shows as growth only in slices that mix, and a page names the slice that explains it. Parts of a turn add
up, so the question is which of them added the time; wholes (`turn`, `first_audio`) are never named. A stage is named
for a slice where all of this holds:

1. There is enough to compare: `NOW_MIN` observations now, `BEFORE_MIN` before, in at least five minutes.
2. Its tail grew. Take the bucket that the reference's 95th percentile lies in: at most 5 % of the observations lay above
   it. Now it is more than `TAIL_FACTOR` times 5 %, by three standard deviations of such a count (Poisson).
3. It added time: its mean grew, times how many turns have this stage, by `ADDED_MS_MIN` a turn or more.
4. It is the one: of all that parts added, it added most, and at least `OF_ADDED_MIN`. Where several stages share the
   growth (a slow host slows all of them) none is named.

The mean alone would follow single turns that hang, the tail alone would name a stage that is unsteady but adds nothing.
It is looked at twice: in the last minute, because an outage pages before five minutes know of it, and in the last five,
where slices with less traffic have enough. What shows in the last minute is told, otherwise what shows in five.

A burn may page three quarters of an hour after it began, when its beginning has long become the reference. So a slice in
which something grew is compared with the reference it had then, for as long as it goes on (`held_references.py`).

Why so: docs/decisions/0013-the-stage-that-grew.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa

from schemas.burns import StageGrowth
from schemas.families import STAGE_LATENCIES, Family
from schemas.growths import LISTED_MAX, STAGE_NUMBER, Growths
from schemas.instants import MINUTE_MS
from schemas.topics import GROWTHS
from stream_jobs.operators.stages.held_references import HeldReferences
from stream_jobs.operators.stages.minutes import (
    BUCKETS,
    KEPT_MS,
    NOW_MS,
    SLICES_MAX,
    Piece,
    StageMinutes,
    bucket_upper_ms,
)
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.watching import Known, Statement

SPANS_MS = (MINUTE_MS, NOW_MS)
"""What "now" is, the shortest first."""
NOW_MIN, BEFORE_MIN, BEFORE_MINUTES_MIN = 100, 300, 5
TAIL = 0.05
TAIL_FACTOR = 1.5
SIGMAS = 3.0
ADDED_MS_MIN = 10.0
OF_ADDED_MIN = 0.5
STATED_MAX = 15
"""Minutes that are stated at once after a pause; of older ones nobody asks any more."""
_PART = ["slice", "stage"]
_TURN = STAGE_NUMBER["turn"]
_STAGES = {number: stage for stage, number in STAGE_NUMBER.items()}


class GrowthWatch:
    """The slices of one shard: a `Watch` of stage latencies."""

    families = (STAGE_LATENCIES,)

    def __init__(self, shard: int, slices_max: int = SLICES_MAX) -> None:
        self._shard = shard
        self._minutes = StageMinutes(slices_max)
        self._held = HeldReferences()
        self._stated_ms = 0

    @property
    def left_out(self) -> int:
        """Slices of the newest minute that are not watched because others have more observations."""
        return self._minutes.left_out

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Takes whole minutes as they are known now; those before `oldest_open_ms` are told no more."""
        self._minutes.tell(totals, oldest_open_ms)

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """None: what grew is told to whoever writes a page."""
        yield from ()

    def statements(self, known: Known) -> Iterator[Statement]:
        """Which stage of which slice grew, for each minute that is decided and not stated yet."""
        for growths in self.state(known.decidable_until_ms(STAGE_LATENCIES)):
            yield Statement(GROWTHS, growths.model_dump_json().encode())

    def state(self, decided_ms: int) -> Iterator[Growths]:
        """A statement for every minute that has ended at `decided_ms` and has none yet; after a start for the newest one."""
        newest_ms = decided_ms // MINUTE_MS * MINUTE_MS
        if newest_ms <= self._stated_ms:
            return
        first_ms = max(self._stated_ms + MINUTE_MS, newest_ms - (STATED_MAX - 1) * MINUTE_MS)
        for end_ms in range(first_ms if self._stated_ms else newest_ms, newest_ms + 1, MINUTE_MS):
            yield self._statement(end_ms)
        self._stated_ms = newest_ms
        self._minutes.age(newest_ms)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied."""
        yield from self._minutes.unsaved_blocks(applied_offset)
        yield from self._held.unsaved_blocks(applied_offset)

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        return self._minutes.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks."""
        self._minutes.restore(stored)
        self._held.restore(stored)

    def _statement(self, end_ms: int) -> Growths:
        found = sorted(self._grown(end_ms), key=lambda each: (-each.added_ms * each.observed_now, each.slice))
        listed, others = found[:LISTED_MAX], found[LISTED_MAX:]
        return Growths(shard=self._shard, decided_ms=end_ms, grown=tuple(listed), unlisted=len(others))

    def _grown(self, end_ms: int) -> Iterator[StageGrowth]:
        before = self._held.in_place_of(self._references(end_ms), end_ms)
        named: set[str] = set()
        for span_ms in SPANS_MS:
            for row in grown(before, self._cells(end_ms - span_ms, end_ms)[1]).iter_rows(named=True):
                if row["slice"] not in named:
                    named.add(row["slice"])
                    yield _growth(span_ms, row)
        self._held.hold(before, named, end_ms)

    def _references(self, end_ms: int) -> pl.DataFrame:
        minutes, cells = self._cells(end_ms - KEPT_MS, end_ms - NOW_MS)
        enough = minutes >= BEFORE_MINUTES_MIN
        return reference(cells if enough else cells.clear()).with_columns(
            before_s=pl.lit(minutes * MINUTE_MS // 1_000, pl.Int64), since_ms=pl.lit(end_ms, pl.Int64)
        )

    def _cells(self, from_ms: int, until_ms: int) -> Piece:
        """Cells of a span, summed, with what they are of: slice, stage, bucket."""
        minutes, cells = self._minutes.between(from_ms, until_ms)
        summed = cells.group_by("slice_number", "cell").agg(pl.col("observations", "latency_ms").cast(pl.Float64).sum())
        named = self._minutes.named(summed)
        return Piece(minutes, named.with_columns(stage=pl.col("cell") // BUCKETS, bucket=pl.col("cell") % BUCKETS))


def grown(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """By slice the part that grew, if one did: the rule of this module. `before` is what `reference` makes of cells."""
    compared = _observed(now, before).join(before, on=_PART)
    mean_now, mean_before = (pl.col(f"latency_ms_{at}") / pl.col(f"observed_{at}") for at in ("now", "before"))
    frequency = pl.col("observed_now") / pl.col("turns")
    enough = (pl.col("observed_now") >= NOW_MIN) & (pl.col("observed_before") >= BEFORE_MIN)
    added = pl.col("added_ms").clip(lower_bound=0)
    allowed = TAIL_FACTOR * TAIL * pl.col("observed_now")
    is_named = (
        enough
        & (pl.col("above_now") > allowed + SIGMAS * allowed.sqrt())
        & (pl.col("added_ms") >= ADDED_MS_MIN)
        & (pl.col("of_added") >= OF_ADDED_MIN)
        & (pl.col("added_ms") == pl.col("added_ms").max().over("slice"))
    )
    return (
        compared.with_columns(mean_now=mean_now, mean_before=mean_before, added_ms=(mean_now - mean_before) * frequency)
        .with_columns(of_added=added / added.sum().over("slice"))
        .filter(is_named)
        .sort(_PART)
        .unique("slice", keep="first", maintain_order=True)
    )


def reference(cells: pl.DataFrame) -> pl.DataFrame:
    """By slice and part: observations, ms, the bucket of the 95th percentile, and observations above it."""
    ordered = cells.filter(pl.col("stage") != _TURN).sort("slice", "cell")
    share = pl.col("observations").cum_sum().over(_PART) / pl.col("observations").sum().over(_PART)
    tail = pl.col("bucket").filter(pl.col("share") >= 1 - TAIL - 1e-9).min()
    return (
        ordered.with_columns(share=share)
        .group_by(_PART)
        .agg(
            observed_before=pl.col("observations").sum(),
            latency_ms_before=pl.col("latency_ms").sum(),
            tail_bucket=tail,
            above_before=pl.col("observations").filter(pl.col("bucket") > tail).sum(),
        )
    )


def _observed(cells: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """What was observed by slice and part, above the reference's tail and in all, and how many turns there were."""
    of_stage = pl.col("observations").sum().over(_PART)
    is_above = pl.col("bucket") > pl.col("tail_bucket")
    return (
        cells.with_columns(turns=of_stage.max().over("slice"))
        .join(before.select(*_PART, "tail_bucket"), on=_PART)
        .group_by(_PART)
        .agg(
            observed_now=pl.col("observations").sum(),
            latency_ms_now=pl.col("latency_ms").sum(),
            above_now=pl.col("observations").filter(is_above).sum(),
            turns=pl.col("turns").first(),
        )
    )


def _growth(span_ms: int, row: dict[str, Any]) -> StageGrowth:
    return StageGrowth(
        slice=row["slice"],
        stage=_STAGES[row["stage"]],
        since_ms=row["since_ms"],
        now_s=span_ms // 1_000,
        before_s=row["before_s"],
        added_ms=row["added_ms"],
        of_added=min(1.0, row["of_added"]),
        mean_ms_now=row["mean_now"],
        mean_ms_before=row["mean_before"],
        tail_ms=bucket_upper_ms(row["tail_bucket"]),
        tail_now=row["above_now"] / row["observed_now"],
        tail_before=row["above_before"] / row["observed_before"],
        observed_now=round(row["observed_now"]),
        observed_before=round(row["observed_before"]),
    )
