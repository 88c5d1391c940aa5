"""What is printed of capacity: as one JSON document, or as sentences, a table of queues, and the day and the week as charts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from schemas.counted import counted
from schemas.instants import DAY_MS, HOUR_MS, MINUTE_MS, utc_text
from stream_jobs.operators.capacity.measured import WeekAhead
from stream_jobs.operators.totals.traffic import Capacity, replicas_needed
from turnwatch.answers.printing import Format
from turnwatch.backtest.series import instant_text
from turnwatch.capacity.terminal import day_chart, week_chart
from turnwatch.capacity.told import Told
from turnwatch.printable import printable

BATCH_SHARE_TOLD = 0.01
Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """`wanted`: streams to serve; those of the measured peak unless given. `capacity` and `week` are `None` where unknown.

    `is_bound`: replicas are a lower bound, as GPU time was measured while requests waited.
    """

    told: Told
    wanted: int | None
    capacity: Capacity | None
    week: WeekAhead | None
    notes: tuple[str, ...]
    are_savings_assumed: bool
    """Nobody gave savings, and there was no audio to measure them by."""
    is_bound: bool = False

    @cached_property
    def peak(self) -> Row:
        """The minute with the most streams at the upper bound, the first of equal ones."""
        upper = self.told.minutes["streams_peak_upper"].to_numpy()
        return self.told.minutes.row(int(np.argmax(upper)), named=True)

    @property
    def streams(self) -> int:
        return self.peak["streams_peak_upper"] if self.wanted is None else self.wanted

    def replicas(self, streams: int) -> int | None:
        return None if self.capacity is None else replicas_needed(streams, self.capacity)

    @cached_property
    def day(self) -> pl.DataFrame:
        """The minutes of the day, in UTC, in which the peak was."""
        first_ms = self.peak["at_ms"] // DAY_MS * DAY_MS
        return self.told.minutes.filter(pl.col("at_ms").is_between(first_ms, first_ms + DAY_MS - 1))

    @cached_property
    def least_warm(self) -> Row | None:
        """The minute with the smallest warm headroom; `None` where no queue told of warm streams."""
        known = self.told.minutes.drop_nulls("warm_headroom")
        return None if known.is_empty() else known.row(int(np.argmin(known["warm_headroom"].to_numpy())), named=True)


def print_report(report: Report, output: Format) -> None:
    if output == "json":
        print(json.dumps(as_document(report), ensure_ascii=False))
        return
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    for line in lines(report):
        console.print(printable(line), soft_wrap=True)


# -- one document ------------------------------------------------------------------------------------------------------


def as_document(report: Report) -> Row:
    """Times are ISO 8601 in UTC; what is unknown is null."""
    told, capacity = report.told, report.capacity
    lower = told.minutes["streams_peak_lower"].max()
    return {
        "slice": told.slice_text,
        "from": utc_text(told.stretch.from_ms),
        "to": utc_text(told.stretch.to_ms),
        "streams_peak_lower": lower,
        "streams_peak_upper": report.peak["streams_peak_upper"],
        "peak_at": utc_text(report.peak["at_ms"]),
        "gpu_seconds_per_audio_second": float(capacity.gpu_seconds_per_audio_second) if capacity else None,
        "vad_savings": float(capacity.vad_savings) if capacity else None,
        "target_utilization": float(capacity.target_utilization) if capacity else None,
        "streams": report.streams,
        "replicas": report.replicas(report.streams),
        "replicas_are_lower_bound": report.is_bound,
        "saturated": [_saturated_queue(row) for row in told.saturated.iter_rows(named=True)],
        "audio_seconds_per_s": rates(told, "audio_seconds_per_s"),
        "tokens_per_s": rates(told, "tokens_per_s"),
        "final_transcript_ms": asdict(told.finalisation) if told.finalisation else None,
        "warm": _warm(report),
        "queues": told.queues.to_dicts(),
        "day": [_hour_of_day(report, row) for row in hourly(report.day).iter_rows(named=True)],
        "next_week": _next_week(report),
        "notes": list(report.notes),
    }


def _saturated_queue(row: Row) -> Row:
    span = {"from": utc_text(row["first_ms"]), "to": utc_text(row["last_ms"] + MINUTE_MS)}
    return {name: row[name] for name in ("queue", "minutes", "depth_most", "waited_ms_most")} | span


def rates(told: Told, name: str) -> Row | None:
    """The mean and the largest of a column's minutes; `None` where none is known."""
    known = told.minutes[name].drop_nulls()
    return None if known.is_empty() else {"mean": known.mean(), "most": known.max()}


def hourly(minutes: pl.DataFrame) -> pl.DataFrame:
    """Peaks by hour: `at_ms` where it begins, and both bounds."""
    hour = (pl.col("at_ms") // HOUR_MS * HOUR_MS).alias("at_ms")
    return minutes.group_by(hour).agg(pl.col("streams_peak_lower", "streams_peak_upper").max()).sort("at_ms")


def _hour_of_day(report: Report, row: Row) -> Row:
    peaks = {name: row[name] for name in ("streams_peak_lower", "streams_peak_upper")}
    return {"hour": utc_text(row["at_ms"]), **peaks, "replicas": report.replicas(row["streams_peak_upper"])}


def _warm(report: Report) -> Row | None:
    least = report.least_warm
    if least is None:
        return None
    names = {"warm_headroom": "headroom_least", "warm_streams": "streams", "warm_least_at": "queue"}
    return {"at": utc_text(least["at_ms"]), **{shown: least[name] for name, shown in names.items()}}


def _next_week(report: Report) -> Row | None:
    week = report.week
    if week is None:
        return None
    forecast = week.forecast
    columns = zip(forecast.expected.tolist(), forecast.low.tolist(), forecast.high.tolist(), strict=True)
    hours = [
        {
            "hour": utc_text(week.first_ms + place * HOUR_MS),
            "expected": expected,
            "low": _known(low),
            "high": _known(high),
        }
        for place, (expected, low, high) in enumerate(columns)
    ]
    expected, high = week.streams_expected, week.streams_high
    return {
        "from": utc_text(week.first_ms),
        "weeks": forecast.weeks,
        "streams_expected": expected,
        "streams_high": high,
        "coverage": None if high is None else week.peak.coverage,
        "replicas_expected": report.replicas(expected),
        "replicas_high": None if high is None else report.replicas(high),
        "hours": hours,
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


# -- for eyes ----------------------------------------------------------------------------------------------------------


def lines(report: Report) -> Iterator[str]:
    """The answer first, then what it was reckoned from, then the charts and what could not be said."""
    told, peak = report.told, report.peak
    of_slice = "" if told.slice_text == "all" else f"{told.slice_text}, "
    yield f"{of_slice}{told.stretch} UTC"
    yield _bounded(told.minutes["streams_peak_lower"].max(), peak["streams_peak_upper"], peak["at_ms"])
    yield from _needed(report)
    yield from _saturated(told)
    yield from _served(told)
    yield from _of_warm(report)
    yield ""
    yield from day_chart(report.day, told.step_ms)
    if report.week is not None:
        yield ""
        yield from week_chart(report.week)
    yield from report.notes


def _bounded(lower: Any, upper: int, at_ms: int) -> str:
    bounds = f"{upper:,}" if lower == upper else f"between {lower:,} and {upper:,}"
    return f"peak: {bounds} streams at once, at {instant_text(at_ms)[:16]}"


def _needed(report: Report) -> Iterator[str]:
    capacity = report.capacity
    if capacity is None:
        return
    for_what = "the peak" if report.wanted is None else counted(report.wanted, "stream")
    least = "at least " if report.is_bound else ""
    yield f"replicas: {least}{report.replicas(report.streams):,} for {for_what}"
    if report.week is not None:
        streams, high = report.week.streams_expected, report.week.streams_high
        yield f"replicas: {least}{report.replicas(streams):,} for next week's peak of {counted(streams, 'stream')}, as expected"
        if high is not None:
            share = report.week.peak.coverage
            yield f"replicas: {least}{report.replicas(high):,} for {counted(high, 'stream')}: the peaks of {share:.0%} of weeks are lower"
    yield (
        f"at {capacity.gpu_seconds_per_audio_second} GPU seconds per audio second, {capacity.vad_savings:.1%} of the time "
        f"silent{' (assumed, not measured)' if report.are_savings_assumed else ''}, {capacity.target_utilization:%} used"
    )


def _saturated(told: Told) -> Iterator[str]:
    """When requests waited while it was measured, and whose work was there besides that of streams."""
    for row in told.saturated.iter_rows(named=True):
        first, last = (instant_text(at_ms)[:16] for at_ms in (row["first_ms"], row["last_ms"]))
        many = (
            f"in {counted(row['minutes'], 'minute')} from {first} to {last}"
            if row["minutes"] > 1
            else f"in the minute {first}"
        )
        yield (
            f"saturated while it was measured: {row['queue']}, {many}: up to {counted(row['depth_most'], 'request')} waited, for "
            f"{row['waited_ms_most'] / 1_000:,.1f} s on average of the worst minute"
        )
    if not told.saturated.is_empty():
        yield "what is measured then is a lower bound: more would have been served, and used, had there been more replicas"
    for row in told.queues.filter(pl.col("batch_share") >= BATCH_SHARE_TOLD).iter_rows(named=True):
        yield (
            f"GPU time is not of streams alone: {row['batch_share']:.1%} of the requests to {row['queue']} were of batch work, "
            "whose time is in the figure"
        )


def _served(told: Told) -> Iterator[str]:
    for name, words in (("audio_seconds_per_s", "audio seconds per second"), ("tokens_per_s", "tokens per second")):
        found = rates(told, name)
        if found:
            yield f"{words}: {found['mean']:,.1f} on average, {found['most']:,.1f} in the busiest minute"
    final = told.finalisation
    if final:
        yield f"final transcript: p50 {final.p50_ms:,.0f} ms, p95 {final.p95_ms:,.0f} ms, p99 {final.p99_ms:,.0f} ms"
    for row in told.queues.iter_rows(named=True):
        saturated = told.saturated.filter(pl.col("queue") == row["queue"])["minutes"]
        though = "" if saturated.is_empty() else f" on average, though saturated in {counted(saturated[0], 'minute')}"
        yield f"utilisation of {row['queue']}: {row['utilisation']:.1%}{though}"


def _of_warm(report: Report) -> Iterator[str]:
    least = report.least_warm
    if least is None:
        return
    beyond = least["warm_headroom"]
    said = f"{beyond:,} more than the peak" if beyond >= 0 else f"{-beyond:,} fewer than the peak"
    when = instant_text(least["at_ms"])[:16]
    though = "" if report.told.saturated.is_empty() else "; yet requests waited, so fewer could be served"
    yield f"warm: {counted(least['warm_streams'], 'stream')} at the least, {said}, at {when}, bounded by {least['warm_least_at']}{though}"
