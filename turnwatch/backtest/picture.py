"""The picture: one SVG without anything from elsewhere. Burns by row against their threshold, alerts, and the budget.

Each curve is a row's burn over its long window as a multiple of the row's factor, so that one line is the threshold of
all. A pixel shows the highest of the instants that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turnwatch.backtest.engine import Alerted, judged_rows, slice_at
from turnwatch.backtest.judgement import Detection
from turnwatch.backtest.report import Report, Verdict, summary
from turnwatch.backtest.series import instant_text

WIDTH, LEFT, RIGHT = 1_000, 60, 20
BURN_TOP, BURN_HEIGHT = 70, 260
BUDGET_GAP, BUDGET_HEIGHT = 50, 120
PANEL_GAP = 40
BURN_SHOWN_MAX = 3.0
"""Multiples of the factor: what burns faster runs along the top."""
COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Of Okabe and Ito, which people who see colours otherwise can tell apart."""
SEVERITY_COLOURS = {"page": "#d55e00", "ticket": "#f0e442"}
_PIXELS = WIDTH - LEFT - RIGHT


def draw(report: Report) -> str:
    """The SVG of a report, one part for each verdict."""
    height = BURN_TOP + BURN_HEIGHT + BUDGET_GAP + BUDGET_HEIGHT + PANEL_GAP
    parts = [line for place, each in enumerate(report.verdicts) for line in _panel(report, each, place * height)]
    size = f'width="{WIDTH}" height="{height * len(report.verdicts)}"'
    view = f'viewBox="0 0 {WIDTH} {height * len(report.verdicts)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])


def _panel(report: Report, verdict: Verdict, top: float) -> Iterator[str]:
    text = verdict.series.slices[verdict.drawn]
    title = f"{report.watched.slo.name}, {text}" + (f", with {verdict.name}" if verdict.name else "")
    yield f'<g transform="translate(0 {top})">'
    yield _text(LEFT, 22, title, size=16)
    bands = "pages orange, tickets yellow" + (", incidents grey above" if verdict.detections else "")
    yield _text(LEFT, 40, f"{next(summary(verdict))} Bands: {bands}; above the frame, those of other slices.")
    scale = _Scale(report.from_ms, report.to_ms)
    yield from _bands(scale, verdict)
    yield from _burn_curves(report, verdict, scale)
    yield from _budget_curve(verdict, scale)
    yield "</g>"


class _Scale:
    """From instants to pixels."""

    def __init__(self, from_ms: int, to_ms: int) -> None:
        self.from_ms, self.to_ms = from_ms, to_ms

    def x(self, instant_ms: float) -> float:
        within = min(max(instant_ms, self.from_ms), self.to_ms)
        return LEFT + _PIXELS * (within - self.from_ms) / (self.to_ms - self.from_ms)

    def columns(self, instants_ms: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[float, float]]:
        """The highest value of each pixel column that has any."""
        is_shown = (instants_ms >= self.from_ms) & (instants_ms <= self.to_ms)
        instants_ms, values = instants_ms[is_shown], values[is_shown]
        if len(values) == 0:
            return []
        pixels = (instants_ms - self.from_ms) * _PIXELS // (self.to_ms - self.from_ms)
        firsts = np.flatnonzero(np.diff(pixels, prepend=-1))
        highest = np.maximum.reduceat(values, firsts)
        return [(LEFT + float(pixel), float(value)) for pixel, value in zip(pixels[firsts], highest, strict=True)]


def _bands(scale: _Scale, verdict: Verdict) -> Iterator[str]:
    """Alerts of any slice; those of the drawn one reach over the curves, incidents stand above them."""
    drawn = verdict.series.slices[verdict.drawn]
    for alert in sorted(verdict.alerts, key=lambda alert: alert.severity != "ticket"):
        is_drawn = alert.slice == drawn
        top, height = (BURN_TOP, BURN_HEIGHT) if is_drawn else (BURN_TOP - 8, 6)
        yield _band(scale, alert.from_ms, alert.to_ms, top, height, SEVERITY_COLOURS[alert.severity], _told(alert))
    for each in verdict.detections or ():
        yield _band(scale, each.incident.from_ms, each.incident.to_ms, BURN_TOP - 18, 7, "#000000", _incident(each))


def _band(scale: _Scale, from_ms: int, to_ms: int | None, top: float, height: float, colour: str, told: str) -> str:
    left, right = scale.x(from_ms), scale.x(scale.to_ms if to_ms is None else to_ms)
    box = f'x="{left:.1f}" y="{top}" width="{max(right - left, 1):.1f}" height="{height}"'
    return f'<rect {box} fill="{colour}" fill-opacity="0.45"><title>{escape(told)}</title></rect>'


def _told(alert: Alerted) -> str:
    end = "goes on" if alert.to_ms is None else f"to {instant_text(alert.to_ms)}"
    return (
        f"{alert.severity}, {alert.row.name}, {alert.slice}: {instant_text(alert.from_ms)} {end}, burn {alert.burn:.3g}"
    )


def _incident(each: Detection) -> str:
    found = "not paged" if each.delay_s is None else f"paged after {each.delay_s:.0f} s"
    return f"incident on {each.incident.slice}: {instant_text(each.incident.from_ms)}, {found}"


def _burn_curves(report: Report, verdict: Verdict, scale: _Scale) -> Iterator[str]:
    def y(value: float) -> float:
        return BURN_TOP + BURN_HEIGHT * (1 - min(value, BURN_SHOWN_MAX) / BURN_SHOWN_MAX)

    series, watched = verdict.series, report.watched
    rows = [row for row in judged_rows(watched, series) if row.factor > 0]  # One bad turn is no burn.
    of_slice, instants = slice_at(series, verdict.drawn, watched)
    yield from _axes(scale, BURN_TOP, BURN_HEIGHT, [(y(value), f"{value:g} ×") for value in (0, 1, 2, 3)])
    yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(1):.1f}" y2="{y(1):.1f}" stroke="#d55e00" stroke-dasharray="6 3"/>'
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        points = scale.columns(instants.ends_ms, of_slice.burns(row.long_s) / of_slice.factors(row))
        yield _line([(x, y(value)) for x, value in points], colour)
        yield _text(LEFT + 8 + place * 150, BURN_TOP + 14, row.name, colour=colour)
    yield _text(LEFT, BURN_TOP + BURN_HEIGHT + 32, "burn over the long window as a multiple of the row's factor")


def _budget_curve(verdict: Verdict, scale: _Scale) -> Iterator[str]:
    top = BURN_TOP + BURN_HEIGHT + BUDGET_GAP
    lowest = min(0.0, float(verdict.budget["left"].min()))  # type: ignore[arg-type]  # A column of floats.
    lowest = max(lowest, -2.0)

    def y(left: float) -> float:
        return top + BUDGET_HEIGHT * (1 - (max(left, lowest) - lowest) / (1 - lowest))

    yield from _axes(scale, top, BUDGET_HEIGHT, [(y(left), f"{left:.0%}") for left in {0.0, 1.0, lowest}])
    shown = verdict.budget.filter(pl.col("instant_ms").is_between(scale.from_ms, scale.to_ms))
    curves = {"left": ("budget left over the trailing period", "#0072b2", 8)}
    if "corrected" in shown.columns:
        curves["corrected"] = ("without what was excluded", "#009e73", 250)
    for name, (label, colour, right) in curves.items():
        values = shown.select("instant_ms", name).drop_nulls()
        yield _line([(scale.x(at), y(value)) for at, value in values.iter_rows()], colour)
        yield _text(LEFT + right, top + 14, label, colour=colour)


def _axes(scale: _Scale, top: float, height: float, ticks: Sequence[tuple[float, str]]) -> Iterator[str]:
    yield f'<rect x="{LEFT}" y="{top}" width="{_PIXELS}" height="{height}" fill="none" stroke="#888"/>'
    for at, label in ticks:
        yield _text(LEFT - 6, at + 4, label, anchor="end")
    for place in range(5):
        instant_ms = scale.from_ms + (scale.to_ms - scale.from_ms) * place // 4
        anchor = "start" if place == 0 else "end" if place == 4 else "middle"
        yield _text(scale.x(instant_ms), top + height + 16, instant_text(instant_ms)[:16], anchor=anchor)


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _text(x: float, y: float, text: str, size: int = 12, colour: str = "#222", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
