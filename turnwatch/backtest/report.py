"""What a backtest says: a table on the terminal, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TextIO

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.policies import duration_text, shown
from schemas.counted import counted
from schemas.instants import MINUTE_MS
from schemas.slos import Slo, WatchedSlo
from turnwatch.backtest.engine import Alerted, judged_rows
from turnwatch.backtest.judgement import Detection
from turnwatch.backtest.series import Series, instant_text
from turnwatch.printable import printable

ROWS_MAX = 200
PIPED_WIDTH = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one series would have raised, over the stretch that was asked about.

    `name` is empty, or which of the two counts of an uncounted threshold this is. `detections` and `false` are `None`
    where nobody said what incidents there were.
    """

    name: str
    series: Series
    alerts: tuple[Alerted, ...]
    detections: tuple[Detection, ...] | None
    false: tuple[Alerted, ...] | None
    budget: pl.DataFrame
    drawn: int
    """The place of the slice whose budget and picture are shown."""

    def count(self, severity: str) -> int:
        return sum(alert.severity == severity for alert in self.alerts)


@dataclass(frozen=True, slots=True)
class Report:
    watched: WatchedSlo
    source: str
    from_ms: int
    to_ms: int
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def print_report(report: Report, output: str, stream: TextIO = sys.stdout) -> None:
    if output == "json":
        json.dump(as_json(report), stream, indent=1, ensure_ascii=False)
        stream.write("\n")
        return
    console = Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, markup=False)
    slo = report.watched.slo
    console.print(f"{slo.name}: {slo.indicator.meaning}, {_objective(slo)} over {slo.period_s // 86_400} d")
    console.print(printable(f"{report.source}, {instant_text(report.from_ms)} to {instant_text(report.to_ms)} UTC"))
    for note in report.notes:
        console.print(printable(f"note: {note}"))
    for verdict in report.verdicts:
        _print_verdict(console, verdict)


def _print_verdict(console: Console, verdict: Verdict) -> None:
    console.print()
    if verdict.name:
        console.print(printable(f"With {verdict.name}:"), style="bold")
    if verdict.alerts:
        console.print(_alert_table(verdict.alerts))
    for line in summary(verdict):
        console.print(printable(line))
    if verdict.detections:
        console.print(_incident_table(verdict.detections))


def summary(verdict: Verdict) -> Iterator[str]:
    """The sentences that answer the question."""
    slices = len(verdict.series.slices)
    pages, tickets = verdict.count("page"), verdict.count("ticket")
    yield f"{counted(pages, 'page')} and {counted(tickets, 'ticket')} on {counted(slices, 'slice')}."
    if len(verdict.alerts) > ROWS_MAX:
        yield f"The first {ROWS_MAX} of {len(verdict.alerts)} alerts are shown: --format json has all."
    if verdict.detections is not None and verdict.false is not None:
        found = [each.delay_s for each in verdict.detections if each.delay_s is not None]
        yield f"{len(found)} of {counted(len(verdict.detections), 'incident')} paged, {counted(len(verdict.false), 'false page')}."
        if found:
            yield f"Detection took {_duration(median(found))} in the median and {_duration(max(found))} at most."
    left = float(verdict.budget["left"][-1])
    yield f"Budget left of {verdict.series.slices[verdict.drawn]} at the end: {left:.1%}."
    if "corrected" in verdict.budget.columns:
        corrected = verdict.budget["corrected"][-1]
        told = "unknown: no cut of the data tells how much that is" if corrected is None else f"{corrected:.1%}"
        yield f"Without what was excluded: {told}."


def _alert_table(alerts: Sequence[Alerted]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, justify in (
        ("from", "left"), ("to", "left"), ("lasted", "right"), ("severity", "left"), ("row", "left"), ("slice", "left"),
        ("burn", "right"), ("bad", "right"), ("of", "right"),
    ):  # fmt: skip
        table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
    for alert in alerts[:ROWS_MAX]:
        values = (
            instant_text(alert.from_ms),
            "goes on" if alert.to_ms is None else instant_text(alert.to_ms),
            "" if alert.to_ms is None else _duration((alert.to_ms - alert.from_ms) / 1_000),
            alert.severity,
            alert.row.name,
            alert.slice,
            f"{alert.burn:.3g}",
            str(alert.bad),
            str(alert.total),
        )
        table.add_row(*(Text(printable(value)) for value in values))
    return table


def _incident_table(detections: Sequence[Detection]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("incident from", "to", "slice", "paged after", "by"):
        table.add_column(column, overflow="fold")
    for each in detections[:ROWS_MAX]:
        incident, page = each.incident, each.page
        by = f"{page.row.name} on {page.slice}" if page else ""
        after = "never" if each.delay_s is None else _duration(each.delay_s)
        values = (instant_text(incident.from_ms), instant_text(incident.to_ms), incident.slice, after, by)
        table.add_row(*(Text(printable(value)) for value in values))
    return table


def as_json(report: Report) -> dict[str, Any]:
    """Everything, instants in ms since 1970 and durations in seconds."""
    slo = report.watched.slo
    return {
        "slo": slo.name,
        "objective": str(slo.objective),
        "unit": slo.unit,
        "period_s": slo.period_s,
        "source": report.source,
        "from_ms": report.from_ms,
        "to_ms": report.to_ms,
        "notes": list(report.notes),
        "verdicts": [_verdict_json(verdict) for verdict in report.verdicts],
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "counted": verdict.name or "exactly",
        "slices": len(verdict.series.slices),
        "pages": verdict.count("page"),
        "tickets": verdict.count("ticket"),
        "alerts": [_alert_json(alert) for alert in verdict.alerts],
        "incidents": None if verdict.detections is None else [_detection_json(each) for each in verdict.detections],
        "false_pages": None if verdict.false is None else len(verdict.false),
        "budget": {"slice": verdict.series.slices[verdict.drawn], **verdict.budget.to_dict(as_series=False)},
    }


def _alert_json(alert: Alerted) -> dict[str, Any]:
    return {
        "slice": alert.slice,
        "severity": alert.severity,
        "row": alert.row.name,
        "from_ms": alert.from_ms,
        "to_ms": alert.to_ms,
        "burn": alert.burn,
        "bad": alert.bad,
        "total": alert.total,
        "frozen_ms": [list(each) for each in alert.frozen],
    }


def _detection_json(each: Detection) -> dict[str, Any]:
    incident = each.incident
    found = {"row": each.page.row.name, "slice": each.page.slice, "from_ms": each.page.from_ms} if each.page else None
    return {
        "from_ms": incident.from_ms,
        "to_ms": incident.to_ms,
        "slice": incident.slice,
        "delay_s": each.delay_s,
        "page": found,
    }


def _objective(slo: Slo) -> str:
    """What is asked for, of turns or of minutes."""
    asked = f"{shown(slo.objective * 100)} %"
    if slo.time_slice_target is None:
        return asked
    return f"{asked} of minutes, {shown(slo.time_slice_target * 100)} % of the turns of each,"


def width_note(series: Series, watched: WatchedSlo) -> Iterator[str]:
    """What buckets of this width cannot show, and minutes cannot judge."""
    if series.span.width_ms == MINUTE_MS:
        yield "Judged at every full minute; the stream decides every 10 s, so a page may have come up to 50 s earlier."
    judged = judged_rows(watched, series)
    for row in (row for row in watched.rows if row not in judged):
        what = "a bucket of the data" if row.short_s * 1_000 < series.span.width_ms else "the minutes that are counted"
        yield f"Row {row.name} is left out: its short window is shorter than {what}."


def _duration(seconds: float) -> str:
    return duration_text(round(seconds)) or "0s"
