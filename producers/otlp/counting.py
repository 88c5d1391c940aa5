"""What one point adds, line by line: to measures of families, to histograms of stages, to samples of engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producers.aggregated import partition_of
from producers.otlp.buckets import UNITS, judged, placed, sums_ms
from producers.otlp.contributions import Contributions, StageHistogram
from producers.otlp.engine_samples import Cell, Engine, Sample
from producers.otlp.mapping import INDICATOR_OF_STAGE, Line
from producers.otlp.points import Histogram
from producers.otlp.series import Value
from schemas.families import (
    BUCKET_INDEX_MAX,
    COUNT_MAX,
    FAMILIES,
    QUEUES,
    SCALE_OF_STAGE,
    SQUARES_MAX,
    TURNS,
    WHOLES,
)
from schemas.histograms import ZERO_INDEX
from schemas.refusals import Refusal

SCALE_OF_TURNS = SCALE_OF_STAGE[WHOLES[0]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a point adds (`news`, in `unit`), when, and by which engine. `queue` is what its attribute says."""

    news: Value
    unit: str
    time_ns: int
    host: str
    queue: str


def refusal_of(told: Told, lines: Sequence[Line]) -> Refusal | None:
    """Why no row could hold it, or None."""
    if not isinstance(told.news, Histogram):
        largest = max(abs(told.news) * _factor(line, told.unit) for line in lines)
        return Refusal.TOO_LARGE if largest > COUNT_MAX else None
    if all(line.takes == "count" for line in lines) or told.unit not in UNITS:
        return Refusal.TOO_LARGE if (told.news.total or 0) > COUNT_MAX else None
    if not told.news.bounds and len(told.news.counts) == 0 and told.news.zeros != told.news.count:
        return Refusal.INCONSISTENT
    buckets = placed(told.news, told.unit, SCALE_OF_TURNS)
    is_far = (abs(buckets.indexes) > BUCKET_INDEX_MAX) & (buckets.indexes != ZERO_INDEX)
    if is_far.any() or (buckets.middles_ms > COUNT_MAX).any():
        return Refusal.INCONSISTENT
    sums, squares = sums_ms(buckets, _total_ms(told.news, told.unit))
    return Refusal.TOO_LARGE if sums.sum() > COUNT_MAX or squares.sum() > SQUARES_MAX else None


def count(line: Line, cell: Cell, told: Told, to: Contributions) -> None:
    """Adds what the line takes of the point to the window in which the point ends."""
    family = FAMILIES[line.family]
    at_ms = at_ms_of(told.time_ns)
    if family is QUEUES:
        assert not isinstance(told.news, Histogram)
        sample = Sample(Engine(told.host, cell, told.queue), at_ms)
        to.engines.add(sample, line.measure, round(told.news * _factor(line, told.unit)))
        return
    width_ms = partition_of(family).k_window_s * 1_000
    start_ms = at_ms // width_ms * width_ms
    if line.takes == "buckets":
        _count_buckets(line, start_ms, cell, told, to)
    else:
        to.add(family, start_ms, cell, line.measure, _number(line, told))


def at_ms_of(time_ns: int) -> int:
    """When a point that ends then counts: it covers its end, too, so at the very end of a window it is that window's."""
    return (time_ns - 1) // 1_000_000


def _count_buckets(line: Line, start_ms: int, cell: Cell, told: Told, to: Contributions) -> None:
    histogram = told.news
    assert isinstance(histogram, Histogram)
    if not histogram.count:
        return
    buckets = placed(histogram, told.unit, SCALE_OF_STAGE[line.stage])
    to.histograms.append(StageHistogram(start_ms, cell, line.stage, buckets, _total_ms(histogram, told.unit)))
    indicator = INDICATOR_OF_STAGE.get(line.stage) if line.is_judged else None
    if indicator is None or indicator.threshold_ms is None:
        return
    verdict = judged(histogram, told.unit, indicator.threshold_ms)
    if verdict is not None:
        to.add(TURNS, start_ms, cell, indicator.total, verdict.total)
        to.add(TURNS, start_ms, cell, indicator.bad, verdict.bad)


def _number(line: Line, told: Told) -> int:
    histogram = told.news
    if not isinstance(histogram, Histogram):
        return round(histogram * _factor(line, told.unit))
    if line.takes == "count":
        return histogram.count
    if line.takes == "sum" and told.unit not in UNITS:
        return round(histogram.total or 0.0)
    buckets = placed(histogram, told.unit, SCALE_OF_TURNS)
    sums, squares = sums_ms(buckets, _total_ms(histogram, told.unit))
    return int(sums.sum()) if line.takes == "sum" else int(squares.sum())


def _factor(line: Line, unit: str) -> float:
    """What turns a number of this unit into one of the measure's, where both are times."""
    units = {measure.name: measure.unit for measure in FAMILIES[line.family].measures}
    own = units.get(line.measure, "")
    return float(UNITS[unit] / UNITS[own]) if unit in UNITS and own in UNITS else 1.0


def _total_ms(histogram: Histogram, unit: str) -> float | None:
    return None if histogram.total is None else histogram.total * float(UNITS[unit])
