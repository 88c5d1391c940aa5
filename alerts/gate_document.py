"""Gate policies as files: what `kind: GatePolicy` may say, and what is wrong when it says else. `docs/gates.md` shows how."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from alerts.document_sentences import Name, Number, Part, Text, between, clipped, said_twice, wrong
from alerts.one_document import read_one
from schemas.gates import CALLS, CALLS_MIN, Direction, GateMetric, GatePolicy

STANDARD_GATE = Path(__file__).parent / "gate_policies" / "standard.yaml"

METRICS_MAX = 100
SLICES_MAX = 10_000
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
SliceName = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Delta = Annotated[Number, between("allowed difference", "0", "1000000000")]
Ratio = Annotated[Number, between("allowed ratio", "1", "1000000")]
Weight = Annotated[Number, between("weight", "0.01", "1000")]
Floor = Annotated[Number, between("floor", "0", "1000000000")]


class MetricPart(Part):
    name: MetricName
    reason: MetricName | None = None
    direction: Direction
    allowed_delta: Delta | None = None
    allowed_ratio: Ratio | None = None
    floor: Floor = Decimal(0)
    pooled: bool = True

    @model_validator(mode="after")
    def _is_judged_one_way(self) -> Self:
        if self.name == CALLS:
            raise wrong("`calls` says how many calls the other figures are of, and is no metric: remove it.")
        if (self.allowed_delta is None) == (self.allowed_ratio is None):
            raise wrong("Write one of `allowedDelta` and `allowedRatio`: which says how much worse it may get.")
        if self.floor and self.allowed_ratio is None:
            raise wrong("A `floor` is what a ratio is taken of: write `allowedRatio`, or remove it.")
        if self.floor and self.direction == "higher_is_better":
            raise wrong(
                "A `floor` lifts a baseline next to which any rise is huge, and where higher is better there is no such: "
                "remove it, or write `allowedDelta`."
            )
        return self

    @property
    def metric(self) -> GateMetric:
        reason = self.reason or self.name
        return GateMetric(
            self.name, reason, self.direction, self.allowed_delta, self.allowed_ratio, self.floor, self.pooled
        )


class CriticalPart(Part):
    slice: SliceName
    weight: Weight


class GateMetadata(Part):
    name: Name


class GateSpec(Part):
    description: Text | None = None
    calls_min: Annotated[int, Field(ge=1, le=1_000_000_000)] = CALLS_MIN
    protected: Annotated[list[SliceName], Field(max_length=SLICES_MAX)] | None = None
    critical: Annotated[list[CriticalPart], Field(max_length=SLICES_MAX)] | None = None
    metrics: Annotated[list[MetricPart], Field(min_length=1, max_length=METRICS_MAX)]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if twice := said_twice(names):
            raise wrong(f"Metric {twice} is judged twice: keep one of them.")
        if twice := said_twice([each.slice for each in self.critical or ()]):
            raise wrong(f"Slice {clipped(twice)} is weighed twice: keep one of them.")
        return self


class GateDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["GatePolicy"]
    metadata: GateMetadata
    spec: GateSpec


def load_gate(file: Path = STANDARD_GATE) -> GatePolicy:
    """The one policy of a file; everything that is wrong in it at once as `WrongFiles`."""
    written = read_one(file, GateDocument, "a gate policy", "policies")
    spec = written.spec
    protected = None if spec.protected is None else frozenset(spec.protected)
    weights = {each.slice: each.weight for each in spec.critical or ()}
    return GatePolicy(
        written.metadata.name, tuple(each.metric for each in spec.metrics), spec.calls_min, protected, weights
    )
