"""Charts of blocks for a terminal: the day with its peak, and the week ahead with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.instants import HOUR_MS, MINUTE_MS
from stream_jobs.operators.capacity.measured import WeekAhead
from turnwatch.backtest.series import instant_text

HEIGHT = 10
STEPS_MAX, STEPS_LABELLED = 48, 6
STEPS_MS = tuple(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30, 60))
WEEK_STEP_HOURS = 3
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_SHADE = "░"
Values = NDArray[np.float64]


def day_chart(minutes: pl.DataFrame, row_ms: int) -> Iterator[str]:
    """The minutes of a day in at most 48 steps, each with its largest upper bound; a step that nobody told of is empty.

    `row_ms` is how long a row stands for: no step is shorter, nor longer than an hour.
    """
    at_ms = minutes["at_ms"].to_numpy()
    step_ms = _step_ms(int(at_ms[-1] - at_ms[0]), row_ms)
    first_ms = int(at_ms[0]) // step_ms * step_ms
    steps = np.zeros(int(at_ms[-1] - first_ms) // step_ms + 1)
    np.maximum.at(steps, (at_ms - first_ms) // step_ms, minutes["streams_peak_upper"].to_numpy())
    yield f"streams at once on {instant_text(first_ms)[:10]}, the day with the peak (UTC)"
    yield from bars(steps, steps)
    labelled = range(0, len(steps), STEPS_LABELLED)
    yield _axis([instant_text(first_ms + place * step_ms)[11:16] for place in labelled], STEPS_LABELLED * len(labelled))


def _step_ms(span_ms: int, row_ms: int) -> int:
    """The shortest step that is wide enough for a row, and for `STEPS_MAX` of them to hold the span."""
    return next(
        step_ms for step_ms in STEPS_MS if (step_ms >= row_ms and span_ms < step_ms * STEPS_MAX) or step_ms == HOUR_MS
    )


def week_chart(week: WeekAhead) -> Iterator[str]:
    """The week ahead in steps of three hours: what is expected in blocks, and what may come besides shaded."""
    forecast = week.forecast
    top = forecast.expected if week.is_without_interval else forecast.high
    shade = "" if week.is_without_interval else f"; {_SHADE} up to the top of the 90 % interval"
    yield f"streams at once expected from {instant_text(week.first_ms)[:16]} on (UTC){shade}"
    expected, most = (each.reshape(-1, WEEK_STEP_HOURS).max(axis=1) for each in (forecast.expected, top))
    yield from bars(expected, most)
    days = [instant_text(week.first_ms + day * 24 * HOUR_MS)[5:10] for day in range(7)]
    yield _axis(days, len(expected))


def bars(values: Values, tops: Values) -> Iterator[str]:
    """One line for each of `HEIGHT` levels, from the top: blocks up to `values`, shade from there up to `tops`.

    >>> list(bars(np.array([0.0, 10.0]), np.array([10.0, 10.0])))[0]
    '       10 ┤░█'
    """
    most = float(tops.max())
    scale = HEIGHT / most if most > 0 else 0.0
    for level in range(HEIGHT - 1, -1, -1):
        label = f"{most * (level + 1) / HEIGHT:>9,.0f} ┤" if level % 3 == 0 else f"{'':>9} │"
        yield label + "".join(_cell(value * scale - level, top * scale - level) for value, top in _pairs(values, tops))


def _pairs(values: Values, tops: Values) -> Iterator[tuple[float, float]]:
    yield from zip(values.tolist(), tops.tolist(), strict=True)


def _cell(value: float, top: float) -> str:
    """What of one level is filled: 1 and more is all of it."""
    eighths = round(min(max(value, 0.0), 1.0) * 8)
    if eighths == 0 and top > 0.5:
        return _SHADE
    return _EIGHTHS[eighths]


def _axis(labels: Sequence[str], width: int) -> str:
    each = width // len(labels)
    return f"{'':>9} └" + "".join(f"{label:<{each}}" for label in labels)
