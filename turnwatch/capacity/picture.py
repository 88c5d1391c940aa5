"""The picture: one SVG without anything from elsewhere. The day with its peak above, the week ahead with its interval below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from schemas.counted import counted
from schemas.instants import DAY_MS, HOUR_MS
from stream_jobs.operators.capacity.measured import WeekAhead
from turnwatch.backtest.series import instant_text
from turnwatch.capacity.report import Report

WIDTH, LEFT, RIGHT, HEIGHT, TOP, GAP = 1_000, 70, 20, 240, 60, 80
EXPECTED, UPPER, LOWER = "#0072b2", "#d55e00", "#e69f00"
"""Of Okabe and Ito, which people who see colours otherwise can tell apart."""
_PIXELS = WIDTH - LEFT - RIGHT
Point = tuple[float, float]


def draw(report: Report) -> str:
    """The SVG of a report; without a forecast the day alone."""
    panels = 1 if report.week is None else 2
    height = TOP + panels * (HEIGHT + GAP)
    parts = [*_day(report, TOP)]
    if report.week is not None:
        parts += _week(report.week, TOP + HEIGHT + GAP)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    title = _text(
        LEFT, 22, f"{report.told.slice_text}: {counted(report.peak['streams_peak_upper'], 'stream')} at once", size=16
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', title, *parts, "</svg>", ""])


def _day(report: Report, top: float) -> Iterator[str]:
    """Both bounds of every minute; minutes that nobody told of break the lines."""
    first_ms = report.peak["at_ms"] // DAY_MS * DAY_MS
    day, most = report.day, max(report.peak["streams_peak_upper"], 1)
    at_ms = day["at_ms"].to_numpy()
    x, y = _scales(first_ms, DAY_MS, most, top)
    yield from _axes(first_ms, DAY_MS, most, top, 8)
    for name, colour in (("streams_peak_upper", UPPER), ("streams_peak_lower", LOWER)):
        for part in np.split(np.arange(len(at_ms)), np.flatnonzero(np.diff(at_ms) > HOUR_MS) + 1):
            values = day[name].to_numpy()
            yield _line([(x(at_ms[place]), y(values[place])) for place in part], colour)
    words = f"the day with the peak, {instant_text(first_ms)[:10]} (UTC): orange if starts come before ends, yellow if after"
    yield _text(LEFT, top + HEIGHT + 34, words)


def _week(week: WeekAhead, top: float) -> Iterator[str]:
    """What is expected of each hour, in its interval where there is one."""
    forecast = week.forecast
    length_ms = len(forecast.expected) * HOUR_MS
    most = max(float(np.nanmax(np.concatenate([forecast.expected, forecast.high]))), 1.0)
    x, y = _scales(week.first_ms, length_ms, most, top)
    at = [x(week.first_ms + place * HOUR_MS) for place in range(len(forecast.expected))]
    yield from _axes(week.first_ms, length_ms, most, top, 7)
    if not week.is_without_interval:
        edge = [*_points(at, forecast.high, y), *reversed(_points(at, forecast.low, y))]
        yield f'<polygon points="{_written(edge)}" fill="{EXPECTED}" fill-opacity="0.2"/>'
    yield _line(_points(at, forecast.expected, y), EXPECTED)
    band = "" if week.is_without_interval else ", and the interval that holds nine of ten hours"
    yield _text(LEFT, top + HEIGHT + 34, f"expected peak of each hour of the week ahead{band} (UTC)")


def _scales(
    first_ms: int, length_ms: int, most: float, top: float
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """From instants, and from streams, to pixels."""
    return (
        lambda at_ms: LEFT + _PIXELS * (float(at_ms) - first_ms) / length_ms,
        lambda streams: top + HEIGHT * (1 - float(streams) / most),
    )


def _axes(first_ms: int, length_ms: int, most: float, top: float, steps: int) -> Iterator[str]:
    yield f'<rect x="{LEFT}" y="{top}" width="{_PIXELS}" height="{HEIGHT}" fill="none" stroke="#888"/>'
    for share in (0.0, 0.5, 1.0):
        yield _text(LEFT - 6, top + HEIGHT * (1 - share) + 4, f"{most * share:,.0f}", anchor="end")
    for step in range(steps):
        at_ms = first_ms + length_ms * step // steps
        yield _text(LEFT + _PIXELS * step / steps, top + HEIGHT + 16, instant_text(at_ms)[5:16])


def _points(at: Sequence[float], values: NDArray[np.float64], y: Callable[[float], float]) -> list[Point]:
    return [(x, y(value)) for x, value in zip(at, values.tolist(), strict=True)]


def _line(points: Sequence[Point], colour: str) -> str:
    return f'<polyline points="{_written(points)}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _written(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="#222" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
