"""Drift in one family of one shard: hours as they are decided, rows that tell of them, and what drifts now.

Series are followed hour by hour from a base: their state after the last hour that can change no more. Hours that may still
change are gone through again from there whenever another one is decided, so a label that comes days late counts in the hour
that it is of, and what is found does not depend on the order in which anything came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.drift_policies import DriftPolicy
from schemas.instants import HOUR_MS
from stream_jobs.operators.drift.buckets import DriftBuckets, Spans
from stream_jobs.operators.drift.change_points import threshold
from stream_jobs.operators.drift.figures import Figures
from stream_jobs.operators.drift.ratios import LEARNT_MIN
from stream_jobs.operators.drift.references import Referred, as_they_were, frozen, hour_before_ms, kind_of
from stream_jobs.operators.drift.rows import (
    Drifting,
    Hour,
    HourRows,
    NamedSlices,
    Retold,
    drifting,
    is_said_otherwise,
    rows_of,
    said_of,
    told,
)
from stream_jobs.operators.drift.saved import SavedSeries
from stream_jobs.operators.drift.series import Series, follow
from stream_jobs.operators.drift.slices import DriftSlices
from stream_jobs.operators.totals.blocks import Block, body, pack_json, stamped, unpack_json

WEEK_H = 168
HOURS_AT_ONCE = 4
"""Of 1,000 slices and nine figures they take 40 ms of one core. An hour at a time would take longer in all, for the frames."""


@dataclass(frozen=True, slots=True)
class Share:
    """A family's share of the false alarms that a week may bring, and what is compared with what."""

    policy: DriftPolicy
    parts: int

    def limit(self, series: int) -> float:
        """What the evidence of so many series is held against."""
        return threshold(max(series, 1), WEEK_H * self.parts, self.policy.false_alarms_per_week)


class DriftFamily:
    """State of one family in one shard, and the operator on it. Its blocks are saved under `prefix`."""

    def __init__(self, prefix: str, figures: Figures, slices: DriftSlices, spans: Spans, share: Share) -> None:
        self._figures, self._share = figures, share
        self._buckets = DriftBuckets(prefix, figures.columns, spans, slices)
        if share.policy.frozen is not None:
            self._buckets.held = range(*share.policy.frozen, HOUR_MS)
        self._slices = slices
        self._base = Series.quiet(len(figures.names), 0)
        self._base_ms = 0
        """The hours before this are in the base."""
        self._now: Series | None = None
        self.judged_ms = 0
        """The end of the newest hour that was judged."""
        self._referred_last: Referred | None = None
        self._said: dict[int, NDArray[np.int64]] = {}
        """By hour that may still change: what its rows say of each figure."""
        self._names = NamedSlices(slices)
        self._saved = SavedSeries(prefix, figures.names)
        family, *rest = prefix.split("|")
        self._position_key = "|".join((family, "decided", *rest)).encode()
        self._is_unsaved = False

    @property
    def left_out(self) -> int:
        """Slices that are not watched, being too many."""
        return self._slices.left_out

    def tell(self, totals: pl.DataFrame) -> None:
        """Takes buckets as they are known now, whole."""
        self._buckets.tell(self._figures.rows(self._slices.watched(totals)))

    def judge(self, decided_ms: int) -> Iterator[pl.DataFrame]:
        """Goes through the hours that have ended by then, if there is another one; rows of those that are new or changed, of a few
        hours at a time: whoever takes them has others to serve in between.
        """
        until_ms = max(decided_ms // HOUR_MS * HOUR_MS, self.judged_ms)
        if until_ms == self.judged_ms and self._now is not None:
            return
        changed, self._buckets.changed = self._buckets.changed, {}
        goes_on = min(changed, default=until_ms) >= self.judged_ms >= self._buckets.folded_before_ms
        goes_on &= self._now is not None
        hours = chain(self._settle(until_ms, changed, goes_on), self._go_through(until_ms, changed, goes_on))
        while some := list(islice(hours, HOURS_AT_ONCE)):
            yield self._names.named(told(some, self._figures.names, self._slices))
        self._buckets.changed |= {hour_ms: found for hour_ms, found in changed.items() if hour_ms >= until_ms}
        self.judged_ms = until_ms
        self._forget_old()

    def drifting(self) -> list[Drifting]:
        """What drifts as of the newest hour that was judged."""
        if self._now is None:
            return []
        return drifting(self._now, self._figures.names, self._slices, self._referred_last)

    def unsaved_blocks(self, applied_offset: int, decided_ms: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied.

        Hours come before the base and the position that speak of them: after a kill in between they are gone through again.
        """
        yield from self._buckets.unsaved_blocks(applied_offset, decided_ms)
        if self._is_unsaved:
            yield from self._saved.blocks(self._base, self._base_ms, self._slices, applied_offset)
            content = [self.judged_ms, *self._buckets.position]
            yield Block(self._position_key, stamped(applied_offset, pack_json(content)))
            self._is_unsaved = False

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        yield from self._saved.forgotten_blocks()
        yield from self._buckets.forgotten_blocks()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks; hours are judged again from the base."""
        self._buckets.restore(stored)
        self._base, self._base_ms = self._saved.restored(stored, self._slices)
        self._base = self._base.grown(len(self._slices))
        if self._position_key in stored:
            self.judged_ms, *position = unpack_json(body(stored[self._position_key]))
            self._buckets.set_out_from(*position)

    def _settle(self, until_ms: int, changed: dict[int, set[int]], goes_on: bool) -> Iterator[HourRows]:
        """Takes the hours into the base that can change no more; rows of them unless all were told, and nothing changed."""
        self._base = self._base.grown(len(self._slices))
        for start_ms in self._hours(until_ms):
            if not self._buckets.is_final(start_ms):
                return
            hour = self._step(self._base, start_ms)
            if not goes_on:
                yield self._told(start_ms, hour, self._base, changed)
            self._said.pop(start_ms, None)
            self._base_ms, self._is_unsaved = start_ms + HOUR_MS, True

    def _go_through(self, until_ms: int, changed: dict[int, set[int]], goes_on: bool) -> Iterator[HourRows]:
        """Those that may still change, on a copy of the base; only new ones where it goes on from what is known."""
        is_known = goes_on and self._now is not None
        self._now = self._now.grown(len(self._slices)) if is_known and self._now else self._base.copied()
        for start_ms in self._hours(until_ms):
            if is_known and start_ms < self.judged_ms:
                continue
            yield self._told(start_ms, self._step(self._now, start_ms), self._now, changed)
        self._is_unsaved = True

    def _hours(self, until_ms: int) -> list[int]:
        return [start_ms for start_ms in self._buckets.hours() if self._base_ms <= start_ms < until_ms]

    def _step(self, series: Series, start_ms: int) -> Hour:
        """Follows all series through one hour."""
        new = self._buckets.hour(start_ms)
        assert new is not None
        referred = self._referred(start_ms, len(new))
        series.inherit(referred.numbers)
        judged = self._figures.judge(series, new, referred.sums, is_fixed=referred.kind == "frozen")
        series.see(judged.hour[1] > 0, start_ms)
        is_learnt = series.weight >= LEARNT_MIN
        excess = judged.excess.where(is_learnt)
        follow(series, excess, judged.sums, start_ms, self._share.limit(int((series.weight > 0).sum())))
        self._referred_last = referred
        return Hour(start_ms, excess.whole, judged, is_learnt, referred, new[:, -1])

    def _referred(self, start_ms: int, slices: int) -> Referred:
        """What an hour is compared with."""
        nothing = np.zeros((slices, len(self._figures.columns) + 1))
        if self._share.policy.frozen is not None:
            found = [self._buckets.hour(each) for each in self._buckets.held]
            known = [each for each in found if each is not None]
            return frozen(sum(known, nothing), self._slices.groups)
        before_ms = hour_before_ms(start_ms, self._buckets.began_ms, self._buckets)
        before = None if before_ms is None else self._buckets.hour(before_ms)
        if before_ms is None or before is None:
            return Referred(nothing, np.arange(slices, dtype=np.int64), "none")
        is_of_bundles = self._share.policy.reference == "previous_bundle"
        groups = self._slices.groups if is_of_bundles else np.arange(slices, dtype=np.int64)
        return as_they_were(before, kind_of(start_ms, before_ms), self._slices.ranks, groups)

    def _told(self, start_ms: int, hour: Hour, series: Series, changed: dict[int, set[int]]) -> HourRows:
        """Rows of an hour: all of one that was not judged before, else those of slices that changed in it, and of figures of
        which something else is said than its rows did: a label that comes late may date, or undo, a change of hours after it.
        """
        said, before = said_of(hour, series), self._said.get(start_ms)
        self._said[start_ms] = said
        again = None
        if start_ms < self.judged_ms:
            again = Retold(sorted(changed.get(start_ms, ())), is_said_otherwise(said, before))
        return rows_of(hour, series, self._slices, again)

    def _forget_old(self) -> None:
        gone = self._buckets.forget_old()
        if gone:
            self._base = self._base.grown(len(self._slices))
            for series in (self._base, self._now):
                if series is not None:
                    series.forget(gone)
