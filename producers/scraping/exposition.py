"""One answer of an exporter, as a table of the samples that its mapping wants.

Only lines of mapped metrics are parsed: what another metric says, in its labels or its value, is never read. Label values
do not leave this module but for the model's name: a series is known by a hash of what tells it apart. What of a label is private is
counted as what it is, whether the mapping knows the label or not. What cannot be right
is refused sample by sample and counted; an answer that is none (a page of HTML, half a line) is refused as a whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import polars as pl
import xxhash
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text
from prometheus_client.samples import Sample

from producers.refusing_attributes import Attribute, dropped_as, private_as
from producers.scraping.mapping import Kind, mapping_of
from producers.scraping.mapping import Mapping as EngineMapping
from schemas.misplaced import misplaced
from schemas.private_names import NAME, private_names
from schemas.private_values import private_reasons
from schemas.refusals import Refusal

BODY_BYTES_MAX = 16_000_000
"""Largest answer that is read; engines send some 100 KB."""
SAMPLES_MAX = 50_000
"""Most samples of mapped metrics in one answer."""
VALUE_MAX = 2.0**53
"""Larger values are no counts: a double skips integers there, and DCGM says "blank" with one near 2^63."""
START = "process_start_time_seconds"

SAMPLES: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "part": pl.String(),
    "series": pl.UInt64(),
    "model": pl.String(),
    "by": pl.String(),
    "le": pl.Float64(),
    "value": pl.Float64(),
    "stamped_ms": pl.Int64(),
}
"""`part` is `value`, or `bucket` and `sum` of a histogram; `le` is of buckets only; `stamped_ms` is what the
exporter says itself, and mostly null."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_Row = tuple[str, str, int, str | None, str | None, float | None, float, int | None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How a sample of one name is read: `label` is where an information metric has its value, `by` what it is joined on."""

    metric: str
    part: str = "value"
    label: str | None = None
    by: str | None = None


OfModel = tuple[str, str | None]
"""A metric, and of which model, where the engine tells them apart."""
_Refused = Counter[tuple[OfModel, Refusal]]


@dataclass(frozen=True, slots=True)
class Exposition:
    """Samples of one answer; `started_s` is when the process began, where it says so.

    `refused` are samples that count nowhere, and `refused_of` how many of each mapped metric and model; `dropped` are labels whose
    samples count without them. `private_models` are models that are called what may not leave a host: why, and how many labels say so. A
    target may know them by that name all the same.
    """

    samples: pl.DataFrame
    started_s: float | None = None
    refused: Counter[Refusal] = field(default_factory=Counter)
    refused_of: Counter[OfModel] = field(default_factory=Counter)
    dropped: Counter[Refusal] = field(default_factory=Counter)
    private_models: Mapping[str, tuple[Refusal, int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Labels:
    """How often each label was there, by name and value: those that no mapping knows, those that one does, and models."""

    unknown: Counter[Attribute] = field(default_factory=Counter)
    known: Counter[Attribute] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def note(self, sample: Sample, wanted: _Wanted, mapping: EngineMapping) -> None:
        """Takes in a sample's labels, but for one that is read as a number. Information has labels for whatever an engine was told:
        they are known."""
        number = "le" if wanted.part == "bucket" else wanted.label
        for name, value in sample.labels.items():
            if name == number:
                continue
            if name == mapping.model_label:
                self.models[value] += 1
            elif wanted.label or name in _known_labels(mapping):
                self.known[name, value] += 1
            else:
                self.unknown[name, value] += 1

    def dropped(self, mapping: EngineMapping) -> Counter[Refusal]:
        """What the labels count as without which samples count: content, an address, a key, and of the unknown ones also that alone."""
        private = private_reasons({str(value) for _, value in self.unknown})
        counts: Counter[Refusal] = Counter()
        for (name, value), times in self.unknown.items():
            counts[dropped_as(name, value, private)] += times
        for reason, times in zip(private_as(list(self.known), mapping.naming), self.known.values(), strict=True):
            if reason is not None:
                counts[reason] += times
        return counts

    def private_models(self) -> dict[str, tuple[Refusal, int]]:
        return {name: (why, self.models[name]) for name, why in private_names(self.models, NAME).items()}


class Unreadable(Exception):
    """The answer as a whole is refused: the reason that is counted, and why, without a value."""

    def __init__(self, reason: Refusal, why: str) -> None:
        super().__init__(why)
        self.reason = reason


def read_exposition(body: bytes, content_type: str, kind: Kind) -> Exposition:
    """The mapped samples of an answer in Prometheus or OpenMetrics text. Raises `Unreadable`."""
    parse, text, wanted = _parser_of(content_type), _text_of(body), _wanted_by(kind)
    lines = [line for line in text.split("\n") if _is_wanted(line, wanted, parse is open_metrics)]
    try:
        samples = [sample for family in parse("\n".join(lines) + "\n") for sample in family.samples]
    except (ValueError, KeyError, IndexError, TypeError):
        # The parser's own sentence repeats the line, and with it whatever stood in its labels.
        raise Unreadable(Refusal.MALFORMED, "a line of a mapped metric is no sample") from None
    if len(samples) > SAMPLES_MAX:
        raise Unreadable(Refusal.TOO_LARGE, f"the answer has more than {SAMPLES_MAX:,} samples of mapped metrics")
    refused: _Refused = Counter()
    labels = _Labels()
    started = [each.value for each in samples if each.name == START and math.isfinite(each.value)]
    for each in samples:
        if each.name in wanted:
            labels.note(each, wanted[each.name][0], mapping_of(kind))
    rows = [_row(each, as_what, mapping_of(kind), refused) for each in samples for as_what in wanted.get(each.name, ())]
    if not rows:
        raise Unreadable(Refusal.MALFORMED, f"the answer shows no metric of {mapping_of(kind).title}")
    table = pl.DataFrame([row for row in rows if row], SAMPLES, orient="row")
    sound = _without_contradictions(table, refused)
    by_reason: Counter[Refusal] = Counter()
    by_metric: Counter[OfModel] = Counter()
    for (of_model, reason), count in refused.items():
        by_reason[reason] += count
        by_metric[of_model] += count
    dropped, models = labels.dropped(mapping_of(kind)), labels.private_models()
    return Exposition(sound, max(started, default=None), by_reason, by_metric, dropped, models)


def _parser_of(content_type: str) -> Callable[[str], Iterable[Metric]]:
    name = content_type.partition(";")[0].strip().lower()
    if name == "text/plain":
        return prometheus_text
    if name == "application/openmetrics-text":
        return open_metrics
    raise Unreadable(Refusal.MALFORMED, "the content type is neither text/plain nor application/openmetrics-text")


def _text_of(body: bytes) -> str:
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable(Refusal.TOO_LARGE, f"the answer has more than {BODY_BYTES_MAX:,} bytes")
    if not body:
        raise Unreadable(Refusal.MALFORMED, "the answer is empty")
    if not body.endswith(b"\n"):
        raise Unreadable(Refusal.MALFORMED, "the answer ends within a line")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(Refusal.MALFORMED, "the answer is not UTF-8") from None


@cache
def _wanted_by(kind: Kind) -> dict[str, tuple[_Wanted, ...]]:
    """Every sample name that an engine's mapping wants, and as what: the sum of a histogram may be a counter, too."""
    wanted: dict[str, dict[tuple[str, str], _Wanted]] = {}
    for entry in mapping_of(kind).metrics:
        parts = ("_bucket", "_sum") if entry.type == "histogram" else ("",)
        for name, suffix in ((name, suffix) for name in entry.names for suffix in parts):
            each = _Wanted(name, suffix[1:] or "value", entry.label, entry.by)
            wanted.setdefault(f"{name}{suffix}", {})[name, each.part] = each
    return {name: tuple(each.values()) for name, each in wanted.items()}


def _is_wanted(line: str, wanted: Mapping[str, tuple[_Wanted, ...]], needs_types: bool) -> bool:
    """Whether a line is a sample of a mapped metric, or what OpenMetrics cannot be read without: its type, and the end.

    In Prometheus text a type is left out: the parser would rename counters by it that have no suffix.
    """
    if line.startswith("#"):
        words = line.split()[1:3] if needs_types else []
        return words == ["EOF"] or (words[:1] == ["TYPE"] and _is_base(words[-1], wanted))
    name = _NAME.match(line)
    return name is not None and (name[0] in wanted or name[0] == START)


def _is_base(name: str, wanted: Mapping[str, tuple[_Wanted, ...]]) -> bool:
    return any(f"{name}{suffix}" in wanted for suffix in ("", "_total", "_bucket", "_sum"))


def _row(
    sample: Sample,
    wanted: _Wanted,
    mapping: EngineMapping,
    refused: _Refused,
) -> _Row | None:
    """A sample as a row, or none where it is refused. An unknown label is dropped, not its sample: what is left of the
    labels still tells it apart, or contradicts."""
    labels = dict(sample.labels)
    number = labels.get("le" if wanted.part == "bucket" else wanted.label or "", "")
    edge = _number(number) if wanted.part == "bucket" else None
    value = float(sample.value) if wanted.label is None else _number(number)
    stamped_ms = None if sample.timestamp is None else float(sample.timestamp) * 1_000
    reason = _why_no_edge(number) if edge is not None and math.isnan(edge) else _why_wrong(value, number)
    if stamped_ms is not None and not abs(stamped_ms) < VALUE_MAX:
        reason = reason or Refusal.NOT_FINITE
    model = labels.get(mapping.model_label or "")
    if reason:
        refused[(wanted.metric, model), reason] += 1
        return None
    told_apart_by = mapping.labels if wanted.label is None else (wanted.by or "",)
    own = [f"{name}\x00{labels[name]}" for name in told_apart_by if name in labels]
    series = xxhash.xxh3_64_intdigest("\x00".join((wanted.metric, *own)).encode())
    by = labels.get(wanted.by or "")
    return wanted.metric, wanted.part, series, model, by, edge, value, None if stamped_ms is None else round(stamped_ms)


@cache
def _known_labels(mapping: EngineMapping) -> frozenset[str]:
    return frozenset((*mapping.labels, *mapping.ignored_labels))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _why_no_edge(text: str) -> Refusal:
    """An edge that is no number, or NaN: something private, or nothing that can be read."""
    return misplaced([text])[0]


def _why_wrong(value: float, text: str) -> Refusal | None:
    """Why a value is not counted; `text` is what a label said that was read as one."""
    if math.isnan(value) and text:
        private = misplaced([text])[0]
        return Refusal.NOT_FINITE if private is Refusal.MALFORMED else private
    if not math.isfinite(value) or abs(value) >= VALUE_MAX:
        return Refusal.NOT_FINITE
    return Refusal.NEGATIVE if value < 0 else None


def _without_contradictions(samples: pl.DataFrame, refused: _Refused) -> pl.DataFrame:
    """Each sample once. One that is told twice with two values is not counted at all: nobody knows which one is right."""
    key = ["metric", "part", "series", "le"]
    once = samples.unique(maintain_order=True)
    values = pl.col("value").n_unique().over(key)
    contradicting = once.filter(values > 1).unique(key).group_by("metric", "model").len()
    refused.update({((metric, model), Refusal.INCONSISTENT): count for metric, model, count in contradicting.rows()})
    return once.filter(values == 1).unique(key, maintain_order=True, keep="first")
