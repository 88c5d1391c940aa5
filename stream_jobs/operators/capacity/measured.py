"""Capacity as it was measured: what a second of audio took of a GPU, and next week's peaks from those of the weeks before.

A stream takes (1 - savings) x GPU seconds per audio second of a GPU. Both are measured: GPU time that turns used ÷ audio of
both sides, and the part of a stream's time in which nobody speaks. Their product is GPU time ÷ time of streams, whatever
the audio was; where both sides speak at once for so long that there is more audio than time, it is told without savings.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from schemas.instants import HOUR_MS
from stream_jobs.operators.capacity.forecast import HOURS, WEEKS_MAX, Forecast, PeakAhead, next_peak, next_week
from stream_jobs.operators.totals.traffic import Capacity

UNREPORTED_SHARE_MAX = 0.1
"""Most of the hours that may be filled in before a forecast is none."""
_FIGURES = Context(prec=6)
"""Measured figures have six digits, so that what is shown is what is reckoned with."""


@dataclass(frozen=True, slots=True)
class Served:
    """Of one stretch: GPU time that turns used, audio of both sides, and time of streams, each stream for itself; in ms."""

    gpu_used_ms: int
    audio_ms: int
    stream_ms: int


def measured(served: Served, target_utilization: Decimal) -> Capacity:
    """What one stream took. Raises `ValueError` where nothing was served, or no GPU time was told."""
    for name in ("gpu_used_ms", "audio_ms", "stream_ms"):
        if getattr(served, name) <= 0:
            raise ValueError(f"{name} is {getattr(served, name)}; it has to be above 0 to say what a stream takes.")
    audio_ms = Decimal(_spoken_ms(served))
    return Capacity(_FIGURES.divide(Decimal(served.gpu_used_ms), audio_ms), target_utilization, vad_savings(served))


def vad_savings(served: Served) -> Decimal:
    """The part of a stream's time in which nobody speaks; of what has streams and audio."""
    assert served.audio_ms > 0 and served.stream_ms > 0
    return 1 - _FIGURES.divide(Decimal(_spoken_ms(served)), Decimal(served.stream_ms))


def _spoken_ms(served: Served) -> int:
    return min(served.audio_ms, served.stream_ms)


@dataclass(frozen=True, slots=True)
class Hours:
    """The largest peak of each hour in a row, oldest first, from `first_ms` on; `is_reported` where somebody told of it."""

    first_ms: int
    peak: NDArray[np.int64]
    is_reported: NDArray[np.bool_]

    @property
    def end_ms(self) -> int:
        return self.first_ms + len(self.peak) * HOUR_MS


@dataclass(frozen=True, slots=True)
class WeekAhead:
    """Peaks of the 168 hours after `first_ms`, that of the week, and how many hours of the weeks before were filled in."""

    first_ms: int
    forecast: Forecast
    peak: PeakAhead
    hours_filled: int

    @property
    def is_without_interval(self) -> bool:
        return bool(np.isnan(self.peak.high))

    @property
    def streams_expected(self) -> int:
        return _whole(self.peak.expected)

    @property
    def streams_high(self) -> int | None:
        """What the week's peak stays below in `peak.coverage` of weeks; `None` where there are too few of them."""
        return None if self.is_without_interval else _whole(self.peak.high)


def week_ahead(hours: Hours, coverage: float = 0.9) -> WeekAhead:
    """Next week's peak of each hour. An hour that nobody told of is taken for the mean of the same hour of other weeks.

    Raises `ValueError` where there are fewer than two whole weeks, or more than a tenth of their hours is unknown.
    """
    from_first = int(np.argmax(hours.is_reported)) if hours.is_reported.any() else len(hours.peak)
    weeks = min((len(hours.peak) - from_first) // HOURS, _WEEKS_READ)
    used = slice(len(hours.peak) - weeks * HOURS, len(hours.peak))
    is_reported = hours.is_reported[used].reshape(weeks, HOURS)
    unreported = int((~is_reported).sum())
    if unreported > UNREPORTED_SHARE_MAX * weeks * HOURS:
        raise ValueError(f"Nobody told of {unreported} of {weeks * HOURS} hours: a forecast would be made of guesses.")
    series = _filled(hours.peak[used].reshape(weeks, HOURS).astype(np.float64), is_reported)
    ahead = next_week(series.ravel(), coverage), next_peak(series.ravel(), coverage)
    return WeekAhead(hours.end_ms, *ahead, unreported)


_WEEKS_READ = 2 * WEEKS_MAX
"""Those that a forecast looks at, and as many again from which its errors are told."""


def _whole(streams: float) -> int:
    """As many as that, rounded up; what rounds to a whole number is one."""
    return int(np.ceil(streams * (1 - 1e-9)))


def _filled(peak: NDArray[np.float64], is_reported: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weeks of 168 hours; an hour that no week knows is the mean of all hours."""
    known = is_reported.sum(axis=0)
    sums = np.where(is_reported, peak, 0).sum(axis=0)
    mean = sums.sum() / max(int(known.sum()), 1)
    usual = np.where(known > 0, sums / np.maximum(known, 1), mean)
    return np.where(is_reported, peak, usual[None, :])
