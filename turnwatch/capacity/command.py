"""`turnwatch capacity --data`: how many replicas the measured peak takes, and next week's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from re import fullmatch

from schemas.counted import counted
from schemas.failures import BadInput
from schemas.families import COSTS, STREAMS
from schemas.instants import MINUTE_MS
from schemas.slices import SLICE_PATTERN, slice_dimensions
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.capacity.measured import WeekAhead, measured, vad_savings, week_ahead
from stream_jobs.operators.totals.traffic import Capacity
from turnwatch.answers.options import option, utilization_of, vad_savings_of
from turnwatch.answers.printing import Format
from turnwatch.backtest.sources import written_range
from turnwatch.capacity.files import read_file
from turnwatch.capacity.picture import draw
from turnwatch.capacity.report import Report, print_report
from turnwatch.capacity.told import Stretch, Told
from turnwatch.capacity.warehouse import read_warehouse
from turnwatch.pictures import write_picture
from turnwatch.places import clickhouse
from turnwatch.settings import load

FLEET_SLICE = "pool=realtime"


@dataclass(frozen=True, slots=True)
class Given:
    """Figures as they were written; `None` is measured, or of `streams` the measured peak."""

    streams: int | None
    gpu_seconds: str | None
    utilization: str
    vad_savings: str | None


def run_measured(data: str, slice_text: str | None, given: Given, output: Format, out: Path | None) -> int:
    """Prints what was measured, and draws it where a picture is wanted."""
    now_ms = int(time.time() * 1_000)
    told = read(data, slice_text, now_ms, lambda: clickhouse(load()))
    report = reported(told, given, now_ms)
    if out is not None:
        write_picture(out, draw(report))
    print_report(report, output)
    return 0


def read(data: str, slice_text: str | None, now_ms: int, address: Callable[[], ClickHouseAddress]) -> Told:
    """A file, or a range of ClickHouse; a slice is of ClickHouse only."""
    if Path(data).suffix == ".csv" or Path(data).exists():
        if slice_text is not None:
            raise BadInput(f"{data} is one series without slices: leave out --slice.")
        return read_file(_file(Path(data)))
    from_ms, to_ms = written_range(data, now_ms // MINUTE_MS * MINUTE_MS)  # A day up to now has as many minutes as any.
    stretch = Stretch(from_ms, min(to_ms, now_ms)).in_steps(MINUTE_MS)
    if stretch.from_ms >= stretch.to_ms:
        raise BadInput(f"--data {data} holds no minute that is over: choose an earlier range.")
    of_slice = known_slice(FLEET_SLICE if slice_text is None else slice_text)
    return read_warehouse(address(), of_slice, stretch)


def known_slice(text: str) -> str:
    """The slice with its dimensions in the order of its cut; raises `BadInput` where streams are not counted by them."""
    known = "; ".join(cut.name for cut in STREAMS.cuts)
    written = slice_dimensions(text) if fullmatch(SLICE_PATTERN, text) else {}
    for cut in STREAMS.cuts:
        if set(cut.dimensions) == set(written):
            return ",".join(f"{name}={written[name]}" for name in cut.dimensions)
    raise BadInput(f"--slice {text[:200]!r}: streams are not counted by that, but by {known}: write pool=realtime.")


def reported(told: Told, given: Given, now_ms: int) -> Report:
    """What follows from what was told and given, with a note for whatever could not be said."""
    notes: list[str] = []
    target = utilization_of(given.utilization)
    capacity = _capacity(told, given, target, now_ms, notes)
    week = _week(told, notes)
    if told.minutes_unreported:
        notes.append(
            f"{counted(told.minutes_unreported, 'minute of the range has', 'minutes of the range have')} no row: no stream, or nobody told of any."
        )
    is_measured = capacity is not None and given.gpu_seconds is None
    is_bound = is_measured and not told.saturated.is_empty()
    are_savings_assumed = given.vad_savings is None and not told.has_audio
    return Report(told, given.streams, capacity, week, tuple(notes), are_savings_assumed, is_bound)


def _capacity(told: Told, given: Given, target: Decimal, now_ms: int, notes: list[str]) -> Capacity | None:
    """What a stream takes: as given, otherwise as measured; `None`, with a note, where neither is known."""
    savings = None if given.vad_savings is None else vad_savings_of(given.vad_savings)
    if given.gpu_seconds is not None:
        gpu_seconds = option("--gpu-seconds-per-audio-second", given.gpu_seconds)
        return Capacity(gpu_seconds, target, _savings(told, notes) if savings is None else savings)
    found = _measured(told, target, now_ms, notes)
    return found if found is None or savings is None else replace(found, vad_savings=savings)


def _savings(told: Told, notes: list[str]) -> Decimal:
    """As measured of all that was said, whether or not it was billed; 0, with a note, where nobody told of audio."""
    if told.has_audio:
        return vad_savings(told.said)
    notes.append("VAD savings are taken as 0: no audio of streams was told of the range. Give --vad-savings.")
    return Decimal(0)


def _measured(told: Told, target: Decimal, now_ms: int, notes: list[str]) -> Capacity | None:
    settled_ms = now_ms - COSTS.lateness_s * 1_000
    served = told.served(settled_ms)
    if not served.gpu_used_ms and told.served(now_ms).gpu_used_ms:
        notes.append("The figure of GPU time is of bills that may still grow: they may come 6 h late.")
        served = told.served(now_ms)
    try:
        return measured(served, target)
    except ValueError:
        notes.append(
            "How many replicas that takes is unknown: no GPU time, no audio or no streams were told of the range. "
            "Give --gpu-seconds-per-audio-second."
        )
        return None


def _week(told: Told, notes: list[str]) -> WeekAhead | None:
    try:
        week = week_ahead(told.hours)
    except ValueError as error:
        notes.append(f"There is no forecast of next week. {error}")
        return None
    if week.hours_filled:
        notes.append(
            f"Nobody told of {counted(week.hours_filled, 'hour')}: the forecast takes them for those of other weeks."
        )
    if week.is_without_interval:
        notes.append(f"The forecast is of {counted(week.forecast.weeks, 'week')}, and has an interval from 5 on.")
    return week


def _file(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file.")
    return path
