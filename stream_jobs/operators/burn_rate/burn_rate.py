"""Burn rates: how fast each SLO spends its error budget, in many windows, slice by slice.

Source: The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". A shard's `BurnRate` takes
partials of one family (turns, or full-duplex events), folds them into its history, and at every decided bucket end
evaluates all rows of all watched SLOs of that family. What exceeds is stated in full at each decision; what is not stated
any more has stopped burning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.burns import Decision
from schemas.families import INDICATORS_OF, OPERATIONAL, TURNS, Family, Indicator
from schemas.instants import MINUTE_MS
from schemas.partials import Partial
from schemas.slices import cut_of, slice_dimensions
from schemas.slo_counts import SloCounts
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.history import Counts, History
from stream_jobs.operators.burn_rate.judging import judge, strongest
from stream_jobs.operators.burn_rate.pending import pending
from stream_jobs.operators.burn_rate.running_counts import RunningCounts
from stream_jobs.operators.burn_rate.suspects import suspects
from stream_jobs.operators.burn_rate.time_slices import column_of, judgeable, slice_counts, slices_by_column
from stream_jobs.operators.burn_rate.windows import Watch, Windows, is_coarse, window_rows
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json
from stream_jobs.operators.totals.constant_columns import repeated
from stream_jobs.operators.totals.ledger import Ledger
from stream_jobs.operators.totals.reach import LIVE, Patience
from stream_jobs.operators.totals.rollup_rows import per_minute, timestamp, to_table
from stream_jobs.operators.totals.slice_numbers import NO_NUMBER, SliceNumbers
from stream_jobs.operators.totals.traffic import keep_ms

BUCKET_MS = OPERATIONAL.k_window_s * 1_000
DECISIONS_BEHIND_MAX = 360
"""After a longer pause decisions start again an hour back: older ones would page for what is long over."""
DECISIONS_MAX = 12
"""Decisions at one call. Each takes tens of milliseconds with thousands of slices, and others wait for the same loop."""
NUMBER_IDLE_MS = 2 * 86_400_000
"""A slice's number is free so long after its last bucket left the period: the history lets go of it a day earlier."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What one decision says: the burns for the incidents agent, and rows for the table of windows once a minute.

    `held_left_out`: how many slices are held that it does not state, because there are too many.
    """

    decision: Decision
    windows: pa.Table | None
    held_left_out: int = 0


class BurnRate:
    """State of one shard of a family, and the operator on it. Of `watched` it takes the objectives of its family."""

    def __init__(
        self,
        shard: int,
        sources: int,
        watched: Sequence[WatchedSlo],
        patience: Patience = LIVE,
        indicators: Sequence[Indicator] | None = None,
        family: Family = TURNS,
    ) -> None:
        self.shard = shard
        self.decided_ms = 0
        self._family = family
        self._operational = family.partition(OPERATIONAL.name)
        self._indicators = INDICATORS_OF[family.name] if indicators is None else tuple(indicators)
        self._watched = tuple(watch for watch in watched if watch.slo.indicator in self._indicators)
        self._measures = tuple(name for each in self._indicators for name in (each.bad, each.total))
        self._ledger = Ledger(family, keep_ms(family), sources, patience, self._measures)
        period_s = max((watch.slo.period_s for watch in self._watched), default=30 * 86_400)
        self._time_slices = slices_by_column(self._watched)
        columns = [*(each.name for each in self._indicators), *self._time_slices]
        self._history = History(columns, period_s)
        self._slices = SliceNumbers(kept_ms=period_s * 1_000 + NUMBER_IDLE_MS)
        self._running = RunningCounts(self._history, self._slices, len(columns))
        self._decided_share = 1.0
        self._saved_decided: tuple[int, float] = (0, 1.0)
        self._minute: tuple[int, float] = (0, 1.0)
        self._watches: tuple[int, list[Watch]] = (-1, [])

    # -- taking in -----------------------------------------------------------------------------------------------------

    def apply(self, partial: Partial) -> int:
        """Takes in one partial; how many of its rows came after their bucket was folded: nothing is decided anew on them."""
        if partial.rows.num_rows:
            self._slices.hear(pl.DataFrame(pl.from_arrow(partial.rows.select(["slice", "bucket_start_ms"]))))
            self._history.slices = len(self._slices)
        return len(self._ledger.apply(partial))

    def rollups(self) -> Iterator[tuple[str, pa.Table]]:
        """(table, rows) of everything that changed since the last call; history is told anew on the way."""
        changed = self._ledger.changed()
        if not changed:
            return
        totals = self._ledger.totals(changed)
        minutes = per_minute(self._ledger.totals(self._ledger.minutes_whole(changed)), ["slice"], self._measures)
        self._fold(totals, minutes)
        fine = totals.filter(self._slices.is_fine(totals))
        if not fine.is_empty():
            yield "burn_rate_10s", self._rows(fine, "burn_rate_10s")
        yield "burn_rate_1m", self._rows(minutes, "burn_rate_1m")
        self._ledger.forget_old()
        self._history.forget_old(self._judged_from_ms())

    def _judged_from_ms(self) -> int:
        """The earliest instant that is still to be decided: windows up to it need their buckets, however late it gets its turn."""
        newest_ms = self._ledger.newest_ms(OPERATIONAL.name)
        if not self.decided_ms:
            return newest_ms
        return min(newest_ms, max(self.decided_ms, newest_ms - DECISIONS_BEHIND_MAX * BUCKET_MS))

    def _fold(self, totals: pl.DataFrame, minutes: pl.DataFrame) -> None:
        """Minutes come from the ledger, which keeps them whole for as long as a lagging source may change them."""
        for level, rows in ((0, totals), (1, minutes)):
            for (start_ms,), part in rows.partition_by("bucket_start_ms", as_dict=True).items():
                numbers = self._slices.of(part["slice"])
                # What was let go since has no number any more: its buckets lie beyond every window.
                has_level = (numbers != NO_NUMBER) & (level > 0 or ~self._slices.by_minute[numbers])
                counts = self._counts(part, is_minute=level > 0)
                self._history.assign(level, int(start_ms), numbers[has_level], counts[has_level])
        everything = np.arange(len(self._slices))
        for level in (2, 3):
            for start_ms in sorted(
                {self._history.resolutions[level].start(start) for start in minutes["bucket_start_ms"]}
            ):
                self._history.retell(level, start_ms, 1, everything)

    def _counts(self, part: pl.DataFrame, is_minute: bool) -> Counts:
        """Turns by indicator, then minutes by time slice; of a bucket below a minute nothing of the latter is known."""
        columns = [part[name].to_numpy() for name in self._measures]
        turns = np.stack(columns, axis=1).reshape(-1, len(self._indicators), 2)
        slices = np.zeros((len(turns), len(self._time_slices), 2), dtype=np.int64)
        for place, (indicator, target) in enumerate(self._time_slices.values() if is_minute else ()):
            slices[:, place] = slice_counts(turns[:, self._history.columns.index(indicator)], target)
        return np.concatenate([turns, slices], axis=1)

    def _rows(self, totals: pl.DataFrame, table: str) -> pa.Table:
        shared = totals.select("slice", timestamp("bucket_start_ms").alias("bucket_start"), "version")
        of_indicator = [
            shared.hstack(
                [
                    repeated("indicator", each.name, len(totals)),
                    totals[each.bad].alias("bad"),
                    totals[each.total].alias("total"),
                ]
            )
            for each in self._indicators
        ]
        return to_table(pl.concat(of_indicator).filter(pl.col("total") > 0), table)

    # -- deciding ------------------------------------------------------------------------------------------------------

    def decide(self, now_ms: int) -> Iterator[Decided]:
        """Decisions for every bucket end that has become decidable, in order.

        `now_ms` is the shell's clock; a bucket whose grace is over by then is decided on what has come. As more of it
        comes, the newest one is decided again.
        """
        until_ms = self._ledger.decidable_until_ms(self._operational, now_ms)
        if not len(self._slices):
            return
        if until_ms <= self.decided_ms:
            if self._ledger.completeness(OPERATIONAL.name, self.decided_ms) > self._decided_share:
                yield self._decide_at(self.decided_ms)
            return
        first_ms = self.decided_ms + BUCKET_MS if self.decided_ms else until_ms
        first_ms = max(first_ms, until_ms - DECISIONS_BEHIND_MAX * BUCKET_MS)
        until_ms = min(until_ms, first_ms + (DECISIONS_MAX - 1) * BUCKET_MS)
        for end_ms in range(first_ms, until_ms + 1, BUCKET_MS):
            self.decided_ms = end_ms
            yield self._decide_at(end_ms)

    def _decide_at(self, end_ms: int) -> Decided:
        completeness = self._decided_share = self._ledger.completeness(OPERATIONAL.name, end_ms)
        windows = self._windows(end_ms)
        watching = self._watching()
        judged = [judge(watch, windows, self._slices) for watch in watching]
        quiet = {found for each in judged for found in each.quiet}
        waiting = pending(watching, judged, windows, self._slices)
        rows = self._window_rows(windows, completeness) if end_ms % MINUTE_MS == 0 else self._minute_again()
        decision = Decision(
            family=self._family.name,
            shard=self.shard,
            decided_ms=end_ms,
            completeness=completeness,
            burns=tuple(burn for each in judged for burn in strongest(each.burns)),
            quiet=tuple(sorted(quiet, key=lambda each: (each.slo, each.slice, each.severity))),
            suspects=tuple(
                suspect
                for watch, each in zip(watching, judged, strict=True)
                for suspect in suspects(watch, each.burns, windows, self._slices)
            ),
            held=waiting.held,
            holding=waiting.holding,
        )
        return Decided(decision, rows, waiting.left_out)

    def _windows(self, end_ms: int) -> Windows:
        slices_from = len(self._indicators)
        return Windows(self._history, end_ms, self._audience_end_ms(end_ms), self._slices.by_minute, slices_from)

    def _audience_end_ms(self, end_ms: int) -> int:
        """Slices of wider buckets are judged up to the newest of their own that has come."""
        reported = [
            self._ledger.decidable_until_ms(partition, end_ms)
            for partition in self._family.partitions
            if partition is not self._operational
        ]
        return min(end_ms // MINUTE_MS * MINUTE_MS, max(reported, default=end_ms))

    def _watching(self) -> list[Watch]:
        """Which slices each SLO watches; told again when slices have come or gone."""
        if self._watches[0] != self._slices.changes:
            self._watches = (self._slices.changes, [self._watch(watched) for watched in self._watched])
        return self._watches[1]

    def _watch(self, watched: WatchedSlo) -> Watch:
        slo = watched.slo
        names = self._history.columns
        wanted = [
            number
            for number, text in enumerate(self._slices.texts)
            if text and cut_of(text) in slo.cuts and slice_dimensions(text).get("pool") == slo.pool
        ]
        coarse = np.array([is_coarse(self._slices.texts[number]) for number in wanted], dtype=bool)
        cuts = np.array([slo.cuts.index(cut_of(self._slices.texts[number])) for number in wanted], dtype=np.int64)
        indicator, of_turns = names.index(column_of(slo)), names.index(slo.indicator.name)
        minutes_of = None if slo.time_slice_target is None else of_turns
        return Watch(judgeable(watched), indicator, np.array(wanted, dtype=np.int64), coarse, cuts, minutes_of)

    def _minute_again(self) -> pa.Table | None:
        """The rows of the last minute once more, where more of it has come than they were told on."""
        end_ms, share = self._minute
        completeness = self._ledger.completeness(OPERATIONAL.name, end_ms)
        if completeness <= share:
            return None
        windows = self._windows(end_ms)
        return self._window_rows(windows, completeness)

    def _window_rows(self, windows: Windows, completeness: float) -> pa.Table | None:
        self._minute = (windows.end_ms, completeness)
        told = [window_rows(watch, windows, self._slices, completeness) for watch in self._watching()]
        parts = [part for part in told if part is not None]
        return to_table(pl.concat(parts), "burn_windows") if parts else None

    def counted(self) -> SloCounts:
        """What every watched slice has counted up to the newest decision, beginning at 0 when this is asked first."""
        counts = self._running.up_to(self.decided_ms, self._audience_end_ms(self.decided_ms))
        watched = tuple((watch.watched.slo.name, watch.indicator, watch.slices) for watch in self._watching())
        return SloCounts(tuple(self._slices.texts), watched, counts)

    # -- saving and recovering -----------------------------------------------------------------------------------------

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call: slices before the counts that name them by number."""
        yield from self._slices.unsaved_blocks(applied_offset)
        yield from self._history.unsaved_blocks(applied_offset)
        yield from self._ledger.unsaved_blocks(applied_offset)

    def marker(self, applied_offset: int) -> Iterator[Block]:
        """Up to where was decided, and on what. To be confirmed after the decisions, or a crash would skip them."""
        yield from self._ledger.marker(applied_offset)
        decided = (self.decided_ms, self._decided_share)
        if decided != self._saved_decided:
            yield Block(b"decided", stamped(applied_offset, pack_json(self.decided_ms)))
            yield Block(b"decided_share", stamped(applied_offset, pack_json(self._decided_share)))
            self._saved_decided = decided

    def restore(self, stored: dict[bytes, bytes]) -> None:
        mine = f"{self._family.name}|".encode()
        self._ledger.restore({key: value for key, value in stored.items() if key.startswith(mine)})
        self._slices.restore(stored, self._ledger.newest_ms(OPERATIONAL.name))
        self._history.slices = len(self._slices)
        for key, value in stored.items():
            if key.startswith(b"history|"):
                self._history.restore(key, value)
        self.decided_ms = unpack_json(body(stored[b"decided"])) if b"decided" in stored else 0
        # State that was saved without it: as if on everything, so that nothing is decided twice.
        self._decided_share = unpack_json(body(stored[b"decided_share"])) if b"decided_share" in stored else 1.0

    @property
    def slices(self) -> int:
        return self._slices.living
