"""From a request to what it adds: rows of families and samples of engines, and a count of everything that is refused.

A point counts in the window in which it ends. One of a minute, which is what SDKs export by default, counts in the last ten
seconds of it: export every 10 s. What is later than a family's lateness is taken all the same, and lands as late rows do.
Pure: the clock is an argument. The state is what `producers/otlp/series.py` remembers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from xxhash import xxh3_128_digest

from producers.aggregated import partition_of
from producers.otlp.attributes import LabelBook, Labels, Source, source_of
from producers.otlp.buckets import UNITS
from producers.otlp.contributions import Contributions, Withheld
from producers.otlp.counting import Told, at_ms_of, count, refusal_of
from producers.otlp.engine_samples import Cell, Engine, Sample, Waiting, given_up
from producers.otlp.mapping import DEFAULTS, QUEUE_ATTRIBUTE, TURNS_FROM, Line, lines_by_metric
from producers.otlp.points import Histogram, Point, points_of
from producers.otlp.series import Series
from schemas.families import FAMILIES, PARTS, PRIVACY, QUEUES, Family
from schemas.refusals import Refusal, Refused

FUTURE_MS_MAX = 15_000
"""How far a point's clock may be ahead of ours; intake refuses a window that ends 30 s ahead."""
PAST_MS_MAX = (7 * 24 - 1) * 3_600_000
"""Intake refuses what is 7 days old."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request adds. `tables` by kind: `rows.<family>` (`producers/aggregated.py`) and samples of `queues`.

    `points` were looked at, `refused` counts some of them by reason. `dropped` counts attributes that fill no dimension and sums that their
    buckets cannot have, `passed_over` points that add nothing: first ones of a cumulative series, repeats, those without a value.
    """

    tables: Mapping[str, pl.DataFrame]
    points: int
    refused: Mapping[str, int]
    dropped: Mapping[str, int]
    passed_over: Mapping[str, int]


@dataclass(slots=True)
class Receiver:
    """Takes requests. `region` and `defaults` are what a dimension is that nobody says; `turns_from` names the metric that
    counts turns, `opened_ms` is when we began to listen."""

    region: str
    opened_ms: int
    turns_from: str = TURNS_FROM
    defaults: Mapping[str, str] = field(default_factory=lambda: DEFAULTS)
    _unsaid: dict[str, str] = field(init=False)
    _series: Series = field(init=False)
    _book: LabelBook = field(init=False, default_factory=LabelBook)
    _lines: dict[str, tuple[Line, ...]] = field(init=False)
    _chosen_by: dict[str, Set[str]] = field(init=False)
    """The attributes by which the lines of each metric are chosen."""
    _waiting: Waiting = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._unsaid = {"region": self.region, **self.defaults}
        self._series = Series(self.opened_ms * 1_000_000)
        self._lines = lines_by_metric(self.turns_from)
        self._chosen_by = {
            metric: frozenset().union(*(line.chosen_by for line in lines)) for metric, lines in self._lines.items()
        }

    def take(self, request: ExportMetricsServiceRequest, now_ms: int) -> Taken:
        """Everything that can be right is taken; what is not is counted, and changes nothing."""
        tally = _Tally()
        for metric, source in _metrics(request):
            lines = self._lines.get(metric.name, ())
            for raw, point in points_of(metric):
                labels, digest = self._book.of(source, raw)
                heard = _Heard(metric.name, metric.unit, source.digest, digest, labels, now_ms)
                asks = self._asked(metric.name, lines, labels)
                word = self._told(asks, heard, point, tally)
                if word:
                    self._miss(lines, heard, at_ms_of(raw.time_unix_nano), tally)
                dropped = labels.dropped_beside(asks.dimensions, asks.deciding)
                if word is None and point and not isinstance(point, Refusal) and _is_total_dropped(point.value):
                    dropped += _SUM_DROPPED
                tally.tell(word, lines, self._cell(PRIVACY, labels.dimensions), dropped)
        return tally.taken(now_ms, self._waiting)

    def forget_series(self, now_ms: int) -> None:
        """What comes next of every cumulative series is a baseline, as after a start."""
        self._series.forget(now_ms)

    def _asked(self, metric: str, lines: tuple[Line, ...], labels: Labels) -> _Asked:
        applying = tuple(line for line in lines if _applies(line, labels.deciding))
        dimensions = _dimensions_of(tuple(line.family for line in applying))
        return _Asked(applying, dimensions, self._chosen_by.get(metric, frozenset()))

    def _told(self, asks: _Asked, heard: _Heard, point: Point | Refusal | None, tally: _Tally) -> str | None:
        """Counts a point, or says in one word why not."""
        lines = asks.lines
        refusal = _refusal(asks, heard, point)
        if refusal is not None or point is None or isinstance(point, Refusal):
            return refusal or "no_value"
        cells = [self._cell(FAMILIES[line.family], heard.labels.dimensions) for line in lines]
        if not all(map(all, cells)):
            return Refusal.OUTSIDE_VOCABULARY
        news = self._series.news(heard.series(point), point, heard.now_ms)
        if isinstance(news, str):
            return news
        unit = heard.unit or lines[0].unit
        told = Told(news, unit, point.time_ns, heard.host, heard.labels.deciding.get(QUEUE_ATTRIBUTE, ""))
        refusal = refusal_of(told, lines)
        if refusal is None:
            for line, cell in zip(lines, cells, strict=True):
                count(line, cell, told, tally.contributions)
        return refusal

    def _miss(self, lines: tuple[Line, ...], heard: _Heard, at_ms: int, tally: _Tally) -> None:
        """Notes that a gauge of an engine's queue came without a number that counts; of a queue that is none there is nothing."""
        queue = heard.labels.deciding.get(QUEUE_ATTRIBUTE, "")
        cell = self._cell(QUEUES, heard.labels.dimensions)
        if queue in PARTS and not heard.labels.wrong.keys() & set(QUEUES.dimensions):
            for line in lines:
                if line.family == QUEUES.name and line.takes == "gauge":
                    tally.contributions.engines.miss(Sample(Engine(heard.host, cell, queue), at_ms), line.measure)

    def _cell(self, family: Family, dimensions: Mapping[str, str]) -> Cell:
        """The dimensions of the partition that identifies nobody; empty where one is neither said nor has a default."""
        names = partition_of(family).dimensions
        return tuple(dimensions.get(name) or self._unsaid.get(name, "") for name in names)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The lines that apply to a point, the dimensions that it needs for them, and the attributes by which a metric's lines are chosen."""

    lines: tuple[Line, ...]
    dimensions: Set[str]
    deciding: Set[str]


@dataclass(frozen=True, slots=True)
class _Heard:
    """A point's metric, where it comes from and what its attributes say."""

    metric: str
    unit: str
    source: bytes
    digest: bytes
    labels: Labels
    now_ms: int

    @property
    def host(self) -> str:
        """What tells one engine from another."""
        return self.source.hex()

    def series(self, point: Point) -> bytes:
        return xxh3_128_digest(self.digest + f"{self.metric}\0{self.unit}\0{point.temporality}".encode())


@dataclass(slots=True)
class _Tally:
    points: int = 0
    words: Counter[str] = field(default_factory=Counter)
    dropped: Counter[Refusal] = field(default_factory=Counter)
    contributions: Contributions = field(default_factory=Contributions)

    def tell(self, word: str | None, lines: tuple[Line, ...], cell: Cell, dropped: Refused) -> None:
        """Counts a point: what became of it (None: it was counted), and attributes of it that were dropped.

        Family `privacy` is told of what counts in a family of ours, but not of every attribute that is nobody's secret.
        """
        self.points += 1
        self.dropped.update(dict(dropped.by_reason))
        self.words.update([word] if word else [])
        family = lines[0].family if lines else ""
        if word in _REASONS and family:
            self.contributions.withheld[Withheld(cell, family, str(word))] += 1
        for reason, times in dropped.by_reason:
            if family and reason is not Refusal.UNKNOWN_FIELD:
                self.contributions.withheld[Withheld(cell, family, reason.value)] += times

    def taken(self, now_ms: int, waiting: Waiting) -> Taken:
        self.contributions.samples = self.contributions.engines.whole(waiting)
        for engine in given_up(waiting):
            self.words[Refusal.TOO_LARGE] += 1
            self.contributions.withhold(QUEUES, engine.cell, Refusal.TOO_LARGE, 1)
        cut = self.contributions.cut_down()
        if cut:
            self.words[Refusal.INCONSISTENT.value] += cut
        self._withhold_unprotected()
        tables = self.contributions.tables(now_ms)
        refused = {reason.value: self.words[reason.value] for reason in Refusal if self.words[reason.value]}
        passed_over = {word: times for word, times in self.words.items() if word not in refused}
        dropped = {reason.value: self.dropped[reason] for reason in Refusal if self.dropped[reason]}
        return Taken(tables, self.points, refused, dropped, passed_over)

    def _withhold_unprotected(self) -> None:
        """What is counted here has no session, so partitions with identifying dimensions lack it."""
        named = [(FAMILIES[name], cells) for name, cells in self.contributions.numbers.items()]
        for family, cells in [each for each in named if len(each[0].partitions) > 1]:
            for (_, cell), measures in cells.items():
                units = measures.get(family.measures[0].name, 0)
                self.contributions.withhold(family, cell, Refusal.NO_SESSION, units)


_REASONS = frozenset(Refusal)
_SUM_DROPPED = Refused(((Refusal.INCONSISTENT, 1),))


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[Any, Source]]:
    """Every metric with where it comes from."""
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            source = source_of(of_resource.resource, of_scope.scope)
            for metric in of_scope.metrics:
                yield metric, source


@cache
def _dimensions_of(families: tuple[str, ...]) -> Set[str]:
    return {name for family in families for name in partition_of(FAMILIES[family]).dimensions}


def _applies(line: Line, deciding: Mapping[str, str]) -> bool:
    return all(
        name in deciding and (values == "*" or deciding[name] in values.split("|")) for name, values in line.where
    )


def _refusal(asks: _Asked, heard: _Heard, point: Point | Refusal | None) -> Refusal | None:
    """Why a point cannot be counted, whatever was told before."""
    wrong, lines = heard.labels.refused(asks.dimensions, asks.deciding), asks.lines
    if wrong or not lines:
        return wrong or Refusal.UNKNOWN_FIELD
    if point is None or isinstance(point, Refusal):
        return point
    at_ms = point.time_ns // 1_000_000
    if not heard.now_ms - PAST_MS_MAX <= at_ms <= heard.now_ms + FUTURE_MS_MAX:
        return Refusal.INCONSISTENT
    if lines[0].family == QUEUES.name and heard.labels.deciding.get(QUEUE_ATTRIBUTE) not in PARTS:
        return Refusal.OUTSIDE_VOCABULARY
    if not all(_is_of_kind(line, heard.unit or line.unit, point) for line in lines):
        return Refusal.MALFORMED
    if _is_total_dropped(point.value) and any(_is_sum_alone(line, heard.unit or line.unit) for line in lines):
        return Refusal.INCONSISTENT
    return Refusal.NEGATIVE if not isinstance(point.value, Histogram) and point.value < 0 else None


def _is_total_dropped(value: float | Histogram) -> bool:
    return isinstance(value, Histogram) and value.is_total_dropped


def _is_sum_alone(line: Line, unit: str) -> bool:
    """Whether the line counts an amount, of which buckets know nothing: only times are told with their buckets."""
    return line.takes == "sum" and unit not in UNITS


def _is_of_kind(line: Line, unit: str, point: Point) -> bool:
    """Whether the metric is the instrument that the line takes something of, in a unit of what the line means."""
    is_told = _is_unit_of(line, unit)
    if line.takes == "gauge":
        is_sinking = point.temporality == "cumulative" and not point.is_monotonic
        return is_told and not isinstance(point.value, Histogram) and (point.temporality == "instant" or is_sinking)
    if line.takes == "value":
        return (
            is_told and not isinstance(point.value, Histogram) and point.is_monotonic and point.temporality != "instant"
        )
    return is_told and isinstance(point.value, Histogram)


def _is_unit_of(line: Line, unit: str) -> bool:
    """Whether times are in a unit of time, and nothing else is in one. What counts something may be called as it likes."""
    if line.takes == "buckets" or line.unit in UNITS:
        return unit in UNITS
    return unit.replace("^", "") == line.unit.replace("^", "") or unit.rstrip("^0123456789") not in UNITS
