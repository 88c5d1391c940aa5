"""What is new since the last point of a series: cumulative points become differences, repeats and overlaps count nothing.

Source: OpenTelemetry's data model, "Temporality", "Resets and Gaps", "Overlap". A series is everything that tells points
apart: resource, scope, metric, attributes, temporality. It has one writer. Where the start of a cumulative series moves,
it was reset, and all of it is new; where it moves into time that was told already, two processes write one series, and the
second is refused. The first cumulative point is a baseline that counts nothing, unless its series began after we did.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from producers.otlp.points import Counts, Histogram, Point
from schemas.refusals import Refusal

SERIES_MAX = 100_000
"""Series that are remembered: 0.5 to 2 KB each. A new one beyond is refused."""
FORGOTTEN_AFTER_MS = 3_600_000
"""A series that is silent for so long is forgotten; should it go on, its next point is a baseline again."""

Value = float | Histogram
Nothing = Literal["baseline", "repeated"]


@dataclass(slots=True)
class Series:
    """The last point of every series, by a hash of what it is called. `opened_ns` is when we began to listen."""

    opened_ns: int
    series_max: int = SERIES_MAX
    _last: dict[bytes, Point] = field(default_factory=dict)
    _heard_ms: dict[bytes, int] = field(default_factory=dict)
    """In the order in which series were heard last."""

    def __len__(self) -> int:
        return len(self._last)

    def news(self, series: bytes, point: Point, now_ms: int) -> Value | Nothing | Refusal:
        """What the point adds to what was told before, why it adds nothing, or why it is refused."""
        last = self._last.get(series)
        if last is None and len(self._last) >= self.series_max and not self._forget(now_ms):
            return Refusal.TOO_LARGE
        news, is_kept = self._first(point) if last is None else _next(last, point)
        if is_kept:
            self._last[series] = point
            self._heard_ms.pop(series, None)
            self._heard_ms[series] = now_ms
        return news

    def forget(self, now_ms: int) -> None:
        """Begins to listen now: whatever was told before, others may have counted meanwhile."""
        self._last.clear()
        self._heard_ms.clear()
        self.opened_ns = max(self.opened_ns, now_ms * 1_000_000)

    def _first(self, point: Point) -> tuple[Value | Nothing | Refusal, bool]:
        if _is_negative(point.value) and point.is_monotonic and point.temporality != "instant":
            return Refusal.NEGATIVE, False
        is_baseline = point.temporality == "cumulative" and point.is_monotonic and point.start_ns < self.opened_ns
        return ("baseline" if is_baseline else point.value), True

    def _forget(self, now_ms: int) -> int:
        """Forgets series that are silent; what began before is then a baseline should it come again."""
        silent = []
        for series, heard_ms in self._heard_ms.items():
            if now_ms - heard_ms < FORGOTTEN_AFTER_MS:
                break
            silent.append(series)
        for series in silent:
            del self._heard_ms[series]
            self.opened_ns = max(self.opened_ns, self._last.pop(series).time_ns)
        return len(silent)


def _next(last: Point, point: Point) -> tuple[Value | Nothing | Refusal, bool]:
    """What is new, and whether the point is the one to compare the next with."""
    if point.time_ns <= last.time_ns:
        is_repeat = point.time_ns == last.time_ns and _is_same(last.value, point.value)
        return ("repeated" if is_repeat else Refusal.CLOCK_BACKWARDS), False
    if point.temporality == "instant" or not point.is_monotonic:
        return point.value, True
    if _is_negative(point.value):
        return Refusal.NEGATIVE, False
    if point.temporality == "delta":
        return (point.value, True) if not 0 < point.start_ns < last.time_ns else (Refusal.CLOCK_BACKWARDS, False)
    return _grown(last, point)


def _grown(last: Point, point: Point) -> tuple[Value | Refusal, bool]:
    """The difference of two cumulative points; where it is none, the second begins anew without being counted."""
    is_moved = point.start_ns not in (0, last.start_ns) and last.start_ns != 0
    if is_moved:
        return (point.value, True) if point.start_ns >= last.time_ns else (Refusal.INCONSISTENT, False)
    difference = _difference(last.value, point.value)
    if difference is not None:
        return difference, True
    return (point.value if point.start_ns == 0 else Refusal.INCONSISTENT), True


def _difference(before: Value, after: Value) -> Value | None:
    """After minus before; None where something became less."""
    if isinstance(before, Histogram) and isinstance(after, Histogram):
        return _histogram_difference(before, after)
    if isinstance(before, Histogram) or isinstance(after, Histogram):
        return None
    return after - before if after >= before else None


def _histogram_difference(before: Histogram, after: Histogram) -> Histogram | None:
    if before.bounds != after.bounds or after.count < before.count or after.zeros < before.zeros:
        return None
    if not after.bounds:
        scale = min(before.scale, after.scale)
        before, after = before.at_scale(scale), after.at_scale(scale)
    counts = _beyond(before, after)
    if counts is None:
        return None
    total = None if before.total is None or after.total is None else max(0.0, after.total - before.total)
    count, zeros = after.count - before.count, after.zeros - before.zeros
    return replace(after, count=count, zeros=zeros, counts=counts, total=total)


def _beyond(before: Histogram, after: Histogram) -> Counts | None:
    """After's counts less before's; None where one became less. It takes no more room than after's own, wherever before's lie."""
    begin = before.offset - after.offset
    end = begin + len(before.counts)
    if len(before.counts) and (begin < 0 or end > len(after.counts)):
        return None
    counts = after.counts.copy()
    if len(before.counts):
        counts[begin:end] -= before.counts
    return None if (counts < 0).any() else counts


def _is_negative(value: Value) -> bool:
    return not isinstance(value, Histogram) and value < 0


def _is_same(one: Value, other: Value) -> bool:
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        return (one.count, one.total, one.zeros, one.bounds) == (other.count, other.total, other.zeros, other.bounds)
    return one == other
