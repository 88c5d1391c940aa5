"""`turnwatch burn`, `peak`, `saturation`, `cost` and `capacity`: each reads files, asks an operator, and prints."""

from __future__ import annotations

import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from schemas.saturation import GROWTH_PER_MINUTE, P95_MS
from stream_jobs.operators.burn_rate.sliding import sliding_violations
from stream_jobs.operators.capacity.intervals import peak
from stream_jobs.operators.cost.unit_cost import Change, Period, Ranked, Route, compare, rank
from stream_jobs.operators.saturation.saturation import ACTION, growth, saturated
from stream_jobs.operators.totals.traffic import Capacity, replicas_needed
from turnwatch.answers.csv_columns import CsvColumns
from turnwatch.answers.json_figures import Figures, read_object
from turnwatch.answers.options import option, utilization_of, vad_savings_of
from turnwatch.answers.printing import Answer, Format, print_answer

_PERIOD = ("gpu_dollars", "successful_turns", "avg_context_tokens", "retry_rate", "shadow_traffic_fraction")
_ROUTE = ("turns", "task_success_rate", "total_cost_usd")


def run_burn(points: Path, window: int, budget_rate: str, output: Format) -> int:
    """Prints the windows of minutes whose bad share is above the budget's."""
    columns = CsvColumns(points, ("minute", "bad", "total"))
    minute, bad, total = columns.ascending("minute"), columns.whole("bad", least=0), columns.whole("total", least=0)
    columns.refuse(bad > total, "bad", "is above total")
    rate = option("--budget-rate", budget_rate, most=Decimal(1))
    found = sliding_violations(minute, bad, total, window, rate)
    answer = [
        {"ending_minute": ending, "error_rate": of_bad / of_total, "window_size": window}
        for ending, of_bad, of_total in zip(
            found.ending_minute.tolist(), found.bad.tolist(), found.total.tolist(), strict=True
        )
    ]
    print_answer(answer, ("ending_minute", "error_rate", "window_size"), output)
    return 0


def run_peak(intervals: Path, output: Format) -> int:
    """Prints the most intervals that were open at once, and when."""
    columns = CsvColumns(intervals, ("start_ms", "end_ms"))
    start_ms, end_ms = columns.whole("start_ms"), columns.whole("end_ms")
    columns.refuse(end_ms < start_ms, "end_ms", "is before start_ms")
    found = peak(start_ms, end_ms)
    print_answer({"peak": found.streams, "at_ms": found.at_ms}, ("peak", "at_ms"), output)
    return 0


def run_saturation(minutes: Path, growth_min: str | None, p95_ms: str | None, output: Format) -> int:
    """Prints the minutes in which the queue grew and was slow, and what to do; limits are the operator's unless given."""
    columns = CsvColumns(minutes, ("minute", "queue_depth", "p95_ms"))
    minute, depth, p95 = columns.ascending("minute"), columns.whole("queue_depth", least=0), columns.decimals("p95_ms")
    grown = growth(minute, depth)
    slow_ms = P95_MS if p95_ms is None else option("--p95-ms", p95_ms)
    per_minute = GROWTH_PER_MINUTE if growth_min is None else option("--growth", growth_min)
    places = saturated(grown, p95.at_least(slow_ms), per_minute)
    answer = [
        {
            "minute": int(minute[place]),
            "queue_growth": _number(Fraction(int(grown.change[place]), int(grown.elapsed[place]))),
            "p95_ms": _number(Fraction(Decimal(p95.written[place]))),
            "interpolated": bool(grown.is_interpolated[place]),
            "action": ACTION,
        }
        for place in map(int, places)
    ]
    print_answer(answer, ("minute", "queue_growth", "p95_ms", "interpolated", "action"), output)
    return 0


def run_cost_change(old: Path, new: Path, tolerance: str, output: Format) -> int:
    """Prints what a successful turn cost and costs, and whether that is a regression."""
    periods = {old: _period(old), new: _period(new)}
    found = compare(periods[old], periods[new], option("--tolerance", tolerance))
    print_answer(_changed(found), ("old_unit_cost", "new_unit_cost", "relative_delta", "regressed", "drivers"), output)
    for file, period in periods.items():
        if not period.successful_turns:
            what = "its unit cost is gpu_dollars ÷ 1, which is no cost of a success"
            print(f"turnwatch: {file}: no turn succeeded, so {what}.", file=sys.stderr)
    return 0


def run_cost_routes(routes: Path, output: Format) -> int:
    """Prints routes from the dearest, those flagged that are dear without gain."""
    read = [_route(f"{routes}: route {name[:100]!r}", name, each) for name, each in read_object(routes).items()]
    answer = [_ranked(each) for each in rank(read)]
    print_answer(answer, ("route", "cost_per_success", "infinite", "task_success_rate", "flagged"), output)
    return 0


def run_capacity(streams: int, gpu_seconds: str, utilization: str, vad_savings: str, output: Format) -> int:
    """Prints how many replicas serve so many concurrent streams."""
    gpu_seconds_each = option("--gpu-seconds-per-audio-second", gpu_seconds)
    capacity = Capacity(gpu_seconds_each, utilization_of(utilization), vad_savings_of(vad_savings))
    print_answer({"replicas": replicas_needed(streams, capacity)}, ("replicas",), output)
    return 0


def _period(path: Path) -> Period:
    figures = Figures(str(path), read_object(path), _PERIOD)
    return Period(
        figures.decimal("gpu_dollars"),
        figures.whole("successful_turns"),
        figures.decimal("avg_context_tokens"),
        figures.decimal("retry_rate"),
        figures.decimal("shadow_traffic_fraction", most=1),
    )


def _route(where: str, name: str, value: object) -> Route:
    figures = Figures(where, value, _ROUTE)
    rate = Fraction(figures.decimal("task_success_rate", most=1))
    return Route(name, figures.whole("turns"), rate, figures.decimal("total_cost_usd"))


def _changed(found: Change) -> Answer:
    return {
        "old_unit_cost": float(found.old),
        "new_unit_cost": float(found.new),
        "relative_delta": None if found.relative is None else float(found.relative),
        "regressed": found.is_regressed,
        "drivers": list(found.drivers),
    }


def _ranked(found: Ranked) -> Answer:
    cost = found.route.cost_per_success
    return {
        "route": found.route.name,
        "cost_per_success": None if cost is None else float(cost),
        "infinite": found.route.is_infinite,
        "task_success_rate": float(found.route.task_success_rate),
        "flagged": found.is_flagged,
    }


def _number(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)
