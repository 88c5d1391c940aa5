"""What a burn policy is made of, as its file says it: rows, evidence, and the life of its alerts.

A row is computed for an objective's period (`budgetShare`, `long`), or written out (`long`, `short`, `factor`); an outage,
a budget that is nearly spent and a single bad turn have sections of their own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from alerts.document_sentences import Number, Part, between, clipped, wrong
from alerts.durations import duration_ms
from alerts.policy_rows import (
    BUCKET_S,
    SHORT_PER_LONG,
    AnyEvent,
    BudgetShare,
    Exhausts,
    Outage,
    WrittenRow,
    duration_text,
)
from schemas.slos import Life, LowTraffic, Severity

BAD_EVENTS_MAX = 1_000_000
LIFE_MAX_S = 86_400
"""The longest that an alert may be pending, or kept firing: beyond a day it would say nothing of what is."""
_DURATION_LENGTH_MAX = 20


def _whole_buckets(written: str) -> str:
    """Durations such as `5m` or `1h30m` that buckets can be summed over.

    >>> _whole_buckets("1h30m")
    '1h30m'
    """
    length_ms = _length_ms(written)
    if length_ms == 0 or length_ms % (BUCKET_S * 1_000):
        raise wrong(f"{written} cannot be summed from buckets of {BUCKET_S} s: write a multiple of {BUCKET_S}s.")
    return written


Duration = Annotated[str, AfterValidator(_whole_buckets)]
Share = Annotated[Number, between("share of the budget", "0.0001", "1")]
Factor = Annotated[Number, between("burn", "0.001", "1000000")]
BadShare = Annotated[Number, between("share of turns below all of them", "0.0001", "0.9999")]
Confidence = Annotated[Number, between("confidence", "0", "0.9999")]
BudgetPart = Annotated[Number, between("share of the budget", "0", "1")]
SeverityName = Literal["page", "ticket"]


def _length_ms(written: str) -> int:
    length_ms = duration_ms(written) if len(written) <= _DURATION_LENGTH_MAX else None
    if length_ms is None:
        raise wrong(f"{clipped(repr(written))} is no duration: write one such as 5m, 1h30m or 3d.")
    return length_ms


def _span(written: str) -> str:
    """Durations that an alert may wait or be kept for; none at all is one of them.

    >>> _span("0s")
    '0s'
    """
    length_ms = _length_ms(written)
    if length_ms % 1_000 or length_ms > LIFE_MAX_S * 1_000:
        raise wrong(f"{written} is no time to wait or to keep an alert: write whole seconds, 0s to 1d.")
    return written


def _part_of_a_threshold(written: Decimal) -> Decimal:
    if not 0 < written <= 1:
        raise wrong(f"{clipped(str(written))} is no part of a threshold: write one above 0, up to 1.")
    return written


Span = Annotated[str, AfterValidator(_span)]
ThresholdPart = Annotated[Number, AfterValidator(_part_of_a_threshold)]


def _seconds(written: str) -> int:
    length_ms = duration_ms(written)
    assert length_ms is not None  # `_whole_buckets` has refused anything else.
    return length_ms // 1_000


def _is_shorter(short: str, long: str) -> None:
    if _seconds(short) >= _seconds(long):
        raise wrong(f"`short` ({short}) is not shorter than `long` ({long}): the short window ends an alert soon.")


class Row(Part):
    """A row that is computed for the period, or one that is written out."""

    budget_share: Share | None = None
    long: Duration
    short: Duration | None = None
    factor: Factor | None = None
    severity: SeverityName

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.budget_share is not None:
            self._is_computed()
        elif self.factor is None:
            raise wrong("When it fires is missing: add `budgetShare`, or `short` and `factor`.")
        elif self.short is None:
            raise wrong("The short window of a row with a `factor` is missing: add `short`.")
        else:
            _is_shorter(self.short, self.long)
        return self

    def _is_computed(self) -> None:
        for name, value in (("factor", self.factor), ("short", self.short)):
            if value is not None:
                raise wrong(f"`{name}` follows from `budgetShare`: keep one of them.")
        if _seconds(self.long) < SHORT_PER_LONG * BUCKET_S:
            least = duration_text(SHORT_PER_LONG * BUCKET_S)
            raise wrong(f"The short window, a twelfth of {self.long}, is below {BUCKET_S} s: write {least} or more.")

    @property
    def spec(self) -> BudgetShare | WrittenRow:
        if self.budget_share is not None:
            return BudgetShare(self.budget_share, _seconds(self.long), self.severity)
        assert self.short is not None and self.factor is not None
        return WrittenRow(_seconds(self.long), _seconds(self.short), self.factor, self.severity)


class OutageRow(Part):
    budget_share: Share
    long: Duration
    short: Duration
    bad_share_max: BadShare
    severity: SeverityName

    @model_validator(mode="after")
    def _has_two_windows(self) -> Self:
        _is_shorter(self.short, self.long)
        return self

    @property
    def spec(self) -> Outage:
        return Outage(self.budget_share, _seconds(self.long), _seconds(self.short), self.bad_share_max, self.severity)


class ExhaustsRow(Part):
    within: Duration
    window: Duration
    severity: SeverityName

    @property
    def spec(self) -> Exhausts:
        return Exhausts(_seconds(self.within), _seconds(self.window), self.severity)


class AnyEventRow(Part):
    window: Duration
    severity: SeverityName

    @property
    def spec(self) -> AnyEvent:
        return AnyEvent(_seconds(self.window), self.severity)


def _is_a_count(written: int) -> int:
    if not 0 <= written <= BAD_EVENTS_MAX:
        raise wrong(
            f"{clipped(str(Decimal(written)))} is no number of bad turns to ask for: write 0 to {BAD_EVENTS_MAX}."
        )
    return written


_DEFAULT, _DEFAULT_LIFE = LowTraffic(), Life()


class LowTrafficRule(Part):
    confidence: Confidence = Decimal(str(_DEFAULT.confidence))
    bad_events_min: Annotated[int, AfterValidator(_is_a_count)] = _DEFAULT.bad_events_min
    budget_share_min: BudgetPart = _DEFAULT.budget_share_min

    @property
    def rule(self) -> LowTraffic:
        return LowTraffic(float(self.confidence), self.bad_events_min, self.budget_share_min)


class _BySeverity(Part):
    """A duration for pages, and one for tickets."""

    page: Span
    ticket: Span

    @property
    def seconds(self) -> dict[Severity, int]:
        return {"page": _seconds(self.page), "ticket": _seconds(self.ticket)}


class KeepFiringFor(_BySeverity):
    page: Span = duration_text(_DEFAULT_LIFE.keep_firing_s["page"])
    ticket: Span = duration_text(_DEFAULT_LIFE.keep_firing_s["ticket"])


class PendingFor(_BySeverity):
    page: Span = duration_text(_DEFAULT_LIFE.pending_s["page"])
    ticket: Span = duration_text(_DEFAULT_LIFE.pending_s["ticket"])
