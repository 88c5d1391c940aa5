"""Policies of running canaries as files: what `kind: CanaryPolicy` may say, and what is wrong when it says else.

`docs/canary.md` shows how.
"""

from __future__ import annotations

import re
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from alerts.document_sentences import Name, Number, Part, Text, between, clipped, one_of, said_twice, wrong
from alerts.gate_document import METRICS_MAX, Delta, Floor, Ratio
from alerts.one_document import read_one
from schemas.canary import (
    ALPHA,
    CANARY_METRICS,
    SAMPLES_MIN,
    WINDOW_MIN,
    CanaryPolicy,
    Minutes,
    WatchedMetric,
    cuts_beside,
)
from schemas.gates import Direction
from schemas.slices import SLICE_PATTERN, cut_of, slice_dimensions

STANDARD_CANARY = Path(__file__).parent / "canary_policies" / "standard.yaml"

PROTECTED_MAX = 100


def _slice(written: str) -> str:
    if not re.fullmatch(SLICE_PATTERN, written):
        raise wrong(
            f"{clipped(repr(written))} is no slice: write NAME=VALUE, such as `pool=realtime`, with commas between."
        )
    if "bundle" in slice_dimensions(written):
        raise wrong(f"{clipped(repr(written))} names a bundle: slices are of both releases, so leave it out.")
    return written


SliceOfBoth = Annotated[str, AfterValidator(_slice)]
MetricOf = Annotated[str, one_of("No metric of running canaries", CANARY_METRICS)]
Reason = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Alpha = Annotated[Number, between("error rate", "0.0001", "0.5")]
Weight = Annotated[Number, between("weight", "0.01", "1000")]


class WatchedPart(Part):
    name: MetricOf
    reason: Reason | None = None
    direction: Direction
    allowed_delta: Delta | None = None
    allowed_ratio: Ratio | None = None
    floor: Floor = Decimal(0)
    samples_min: Annotated[int, Field(ge=2, le=1_000_000_000)] = SAMPLES_MIN
    required: bool = True

    @model_validator(mode="after")
    def _is_judged_one_way(self) -> Self:
        metric = CANARY_METRICS[self.name]
        if self.direction != metric.direction:
            raise wrong(f"Of {self.name} {metric.direction.replace('_', ' ')}: write `direction: {metric.direction}`.")
        if (self.allowed_delta is None) == (self.allowed_ratio is None):
            raise wrong("Write one of `allowedDelta` and `allowedRatio`: which says how much worse it may get.")
        if self.floor and self.allowed_ratio is None:
            raise wrong("A `floor` is what a ratio is taken of: write `allowedRatio`, or remove it.")
        if self.allowed_ratio is not None and metric.direction == "higher_is_better":
            raise wrong(f"How much {self.name} may fall is a difference: write `allowedDelta`.")
        return self

    @property
    def watched(self) -> WatchedMetric:
        delta, ratio = (None if each is None else float(each) for each in (self.allowed_delta, self.allowed_ratio))
        return WatchedMetric(
            CANARY_METRICS[self.name],
            self.reason or self.name,
            delta,
            ratio,
            float(self.floor),
            self.samples_min,
            self.required,
        )


class CriticalPart(Part):
    slice: SliceOfBoth
    weight: Weight


class CanaryMetadata(Part):
    name: Name


class CanarySpec(Part):
    description: Text | None = None
    alpha: Alpha = Decimal(str(ALPHA))
    window_minutes: Minutes = WINDOW_MIN
    protected: Annotated[list[SliceOfBoth], Field(min_length=1, max_length=PROTECTED_MAX)]
    critical: Annotated[list[CriticalPart], Field(max_length=PROTECTED_MAX)] | None = None
    metrics: Annotated[list[WatchedPart], Field(min_length=1, max_length=METRICS_MAX)]

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        for what, names in (
            ("Metric", [metric.name for metric in self.metrics]),
            ("Slice", self.protected),
            ("Slice", [each.slice for each in self.critical or ()]),
        ):
            if twice := said_twice(names):
                raise wrong(f"{what} {clipped(twice)} is there twice: keep one of them.")
        if not any(metric.required for metric in self.metrics):
            raise wrong(
                "No metric is required, so a release would go on knowing nothing: leave out `required: false` of one."
            )
        required = [metric for metric in self.metrics if metric.required]
        critical = [each.slice for each in self.critical or ()]
        for what, metrics, slices in (
            ("required metric", required, self.protected),
            ("metric", self.metrics, critical),
        ):
            cuts = {name for metric in metrics for name in cuts_beside(CANARY_METRICS[metric.name].family)}
            if unknown := [name for name in slices if cut_of(name) not in cuts]:
                raise wrong(
                    f"No {what} is told of slices such as {clipped(unknown[0])}: name one of {'; '.join(sorted(cuts))}."
                )
        return self


class CanaryDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["CanaryPolicy"]
    metadata: CanaryMetadata
    spec: CanarySpec


def load_canary(file: Path = STANDARD_CANARY) -> CanaryPolicy:
    """The one policy of a file; everything that is wrong in it at once as `WrongFiles`."""
    written = read_one(file, CanaryDocument, "a canary policy", "policies")
    spec = written.spec
    return CanaryPolicy(
        name=written.metadata.name,
        version=sha256(spec.model_dump_json(exclude={"description"}).encode()).hexdigest()[:16],
        metrics=tuple(each.watched for each in spec.metrics),
        protected=tuple(spec.protected),
        weights=tuple((each.slice, float(each.weight)) for each in spec.critical or ()),
        alpha=float(spec.alpha),
        window_s=spec.window_minutes * 60,
    )
