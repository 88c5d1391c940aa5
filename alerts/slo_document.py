"""The shape of one SLO document (OpenSLO v1, `kind: SLO`).

The models hold the part of OpenSLO that turnwatch evaluates: an indicator over what the contract counts (a ratio of two
measures, or a latency's threshold), one objective, one rolling period, budgeting by occurrences or by time slices of a minute. Names that the contract
knows (measures, latencies, pools) are checked where they stand, so that all mistakes of a document are told at once.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from alerts.document_sentences import Name, Number, Part, Text, clipped, one_of, wrong
from schemas.dimensions import DIMENSIONS
from schemas.families import ALL_INDICATORS, INDICATORS, Indicator

PERIODS_D = (7, 28, 30, 90)
"""Periods that state and tables are kept for."""

OBJECTIVE_MIN = Decimal("0.5")
"""Half of all turns bad is an outage: a lower objective would be paged for while it is met."""

CUTS, OWNER, RUNBOOK, POLICY = "turnwatch/cuts", "turnwatch/owner", "turnwatch/runbook", "turnwatch/policy"

UNREAD = {
    "indicatorRef": "Indicators of other documents are not looked up: write it here, as `indicator`.",
    "alertPolicies": f"What alerts is the burn policy: name it in the annotation `{POLICY}`, and remove the field.",
    "calendar": "Periods roll: remove the field.",
}
"""Fields of OpenSLO that are not read, and what to do instead."""


def good(indicator: Indicator) -> str:
    """The name of what is left of an indicator's judged turns without the bad ones."""
    return f"{indicator.name}_good"


Pool = Annotated[str, one_of("No pool", DIMENSIONS["pool"].vocabulary)]
BadMeasure = Annotated[str, one_of("No measure of bad turns", (each.bad for each in ALL_INDICATORS))]
GoodMeasure = Annotated[str, one_of("No measure of good turns", map(good, ALL_INDICATORS))]
TotalMeasure = Annotated[str, one_of("No measure of judged turns", (each.total for each in ALL_INDICATORS))]
JudgedLatency = Annotated[
    str, one_of("No latency that is judged", dict.fromkeys(each.stage for each in INDICATORS if each.stage))
]


class Labels(Part):
    pool: Pool


class Annotations(Part):
    model_config = ConfigDict(alias_generator=None)

    cuts: Annotated[Text, Field(alias=CUTS)]
    owner: Annotated[Text, Field(alias=OWNER)]
    runbook: Annotated[Text, Field(alias=RUNBOOK)]
    policy: Annotated[Name | None, Field(alias=POLICY)] = None


class Metadata(Part):
    name: Name
    display_name: Text | None = None
    labels: Labels
    annotations: Annotations


class BadSpec(Part):
    measure: BadMeasure


class BadSource(Part):
    type: Literal["turnwatch"]
    spec: BadSpec


class BadMetric(Part):
    metric_source: BadSource


class GoodSpec(Part):
    measure: GoodMeasure


class GoodSource(Part):
    type: Literal["turnwatch"]
    spec: GoodSpec


class GoodMetric(Part):
    metric_source: GoodSource


class TotalSpec(Part):
    measure: TotalMeasure


class TotalSource(Part):
    type: Literal["turnwatch"]
    spec: TotalSpec


class TotalMetric(Part):
    metric_source: TotalSource


class RatioMetric(Part):
    """Bad of total turns, or good of total ones."""

    counter: Literal[True]
    bad: BadMetric | None = None
    good: GoodMetric | None = None
    total: TotalMetric

    @property
    def part(self) -> str:
        """The measure that is divided by the total."""
        if self.bad is not None:
            return self.bad.metric_source.spec.measure
        assert self.good is not None
        return self.good.metric_source.spec.measure

    @property
    def indicator(self) -> Indicator:
        return next(each for each in ALL_INDICATORS if self.part in (each.bad, good(each)))

    @model_validator(mode="after")
    def _is_one_ratio(self) -> RatioMetric:
        if self.bad is not None and self.good is not None:
            raise wrong("There are `bad` and `good`, and one follows from the other: keep one.")
        if self.bad is None and self.good is None:
            raise wrong("What is divided by `total` is missing: add `bad` or `good`.")
        total = self.total.metric_source.spec.measure
        if total != self.indicator.total:
            raise wrong(f"`{self.part}` is a part of `{self.indicator.total}`, not of `{total}`.")
        return self


class LatencySpec(Part):
    latency: JudgedLatency


class LatencySource(Part):
    type: Literal["turnwatch"]
    spec: LatencySpec


class ThresholdMetric(Part):
    """A latency of turns; the objective has the threshold, in ms, that good ones keep."""

    metric_source: LatencySource


class IndicatorSpec(Part):
    description: Text | None = None
    ratio_metric: RatioMetric | None = None
    threshold_metric: ThresholdMetric | None = None

    @model_validator(mode="after")
    def _is_one_metric(self) -> IndicatorSpec:
        if self.ratio_metric is None and self.threshold_metric is None:
            raise wrong("What is measured is missing: add `ratioMetric` or `thresholdMetric`.")
        if self.ratio_metric is not None and self.threshold_metric is not None:
            raise wrong("There are `ratioMetric` and `thresholdMetric`: keep one.")
        return self


class IndicatorMetadata(Part):
    name: Name
    display_name: Text | None = None


class InlineIndicator(Part):
    metadata: IndicatorMetadata
    spec: IndicatorSpec


def _known_period(written: str) -> str:
    """Durations in OpenSLO's shorthand whose length is a period that we keep.

    >>> _known_period("4w")
    '4w'
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})([dw])", written)
    if match is None or _days(written) not in PERIODS_D:
        kept = f"{', '.join(f'{days}d' for days in PERIODS_D[:-1])} or {PERIODS_D[-1]}d"
        raise wrong(f"{clipped(repr(written))} is not a period that is kept: write {kept}.")
    return written


def _days(duration: str) -> int:
    return int(duration[:-1]) * {"d": 1, "w": 7}[duration[-1]]


class TimeWindow(Part):
    duration: Annotated[str, AfterValidator(_known_period)]
    is_rolling: Literal[True]

    @property
    def period_s(self) -> int:
        return _days(self.duration) * 86_400


def _leaves_a_budget(target: Decimal) -> Decimal:
    written = clipped(str(target))
    if target < OBJECTIVE_MIN:
        raise wrong(
            f"{written} allows more than half of all turns to be bad, which pages as an outage: write 0.5 or more."
        )
    if target >= 1:
        raise wrong(f"{written} leaves no error budget or is a percentage: write a share below 1, such as 0.99.")
    return target


def _judges_a_minute(target: Decimal | None) -> Decimal | None:
    if target is not None and not 0 < target <= 1:
        written = clipped(str(target))
        raise wrong(f"{written} is no share of a minute's turns: write one above 0 and up to 1, such as 0.95.")
    return target


def _is_a_minute(window: str | None) -> str | None:
    if window not in (None, "1m"):
        raise wrong(f"{clipped(repr(window))} is not how long a time slice is: minutes are counted, write 1m.")
    return window


class Objective(Part):
    """`op` and `value` are of a latency's threshold: a turn is good when its latency is below (or up to) `value` ms.

    The time slices' fields are there if the budget is of them (`openslo.py` sees to it): a minute is good when the share of
    its good turns is at least `timeSliceTarget`.
    """

    display_name: Text | None = None
    op: Literal["lt", "lte"] | None = None
    value: Number | None = None
    target: Annotated[Number, AfterValidator(_leaves_a_budget)]
    time_slice_target: Annotated[Number | None, AfterValidator(_judges_a_minute)] = None
    time_slice_window: Annotated[str | None, AfterValidator(_is_a_minute)] = None


def _is_counted(method: str) -> str:
    if method == "RatioTimeslices":
        raise wrong("Shares of time slices are not averaged: write Timeslices, which calls each minute good or bad.")
    if method not in ("Occurrences", "Timeslices"):
        raise wrong(f'This has to be Occurrences or Timeslices, and "{clipped(method)}" is written.')
    return method


class Spec(Part):
    description: Text
    service: Name
    indicator: InlineIndicator
    time_window: Annotated[list[TimeWindow], Field(min_length=1, max_length=1)]
    budgeting_method: Annotated[str, AfterValidator(_is_counted)]
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=1)]


class SloDocument(Part):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: Spec
