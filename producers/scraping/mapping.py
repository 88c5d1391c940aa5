"""What each engine's metrics become: one YAML file an engine, checked against the contract when it is read.

An entry maps metrics by the name they are shown under to one measure of a family (or one stage, or one indicator). Of
several `names` of one entry the first that an engine shows counts: newer names come first. `labels` are those that tell
series apart; `ignored_labels` are known, and tell nothing; any other label is dropped. What is private in any of them is counted as what
it is. `identifiers` are those of them that may be random (a pod, a device), and `phrases` those that may be several words.
"""

from __future__ import annotations

from functools import cache, cached_property
from importlib import resources
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.families import FAMILIES, INDICATORS, PARTS, STAGES
from schemas.private_names import IDENTIFIER, PHRASE, Naming

Kind = Literal["vllm", "sglang", "tgi", "triton", "dcgm"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Scraped = Literal["queues", "stages", "turns", "costs"]
MetricType = Literal["gauge", "counter", "histogram", "info", "share", "utilisation", "presence"]

MS_PER = {"seconds": 1_000.0, "milliseconds": 1.0, "microseconds": 0.001}
"""Time units of metrics, in ms."""
SHARE_PER = {"ratio": 1.0, "percent": 0.01}


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Checked(_Declared):
    """Which version of the engine's documentation and code the names were read in."""

    version: str
    sources: tuple[str, ...]


class Entry(_Declared):
    """One measure, stage or indicator, and the metric that it is read from.

    `type` is the metric's: `info` reads an integer out of `label`; `share` is a part of the `info` of the same family,
    joined by label `by`; `utilisation` is a share of time that passed, and `presence` that time itself, series by series.
    """

    names: tuple[str, ...] = Field(min_length=1)
    type: MetricType
    unit: str
    family: Scraped
    measure: str | None = None
    stage: str | None = None
    indicator: str | None = None
    label: str | None = None
    by: str | None = None
    per_batch_slot: bool = False
    note: str = ""

    @property
    def factor(self) -> float:
        """What a value is multiplied by: times become ms, percents ratios; everything else is counted as it is."""
        return MS_PER.get(self.unit, SHARE_PER.get(self.unit, 1.0))

    @property
    def destination(self) -> str:
        """What it becomes, as documents show it."""
        if self.indicator:
            return f"{self.family}.{self.indicator}_total, …_bad"
        return (
            f"{self.family}.{self.measure}" if self.measure else f"{self.family}, stage {self.stage or 'of the target'}"
        )

    @model_validator(mode="after")
    def _is_of_the_contract(self) -> Entry:
        if self.measure and self.measure not in FAMILIES[self.family].measure_names:
            raise ValueError(f"family {self.family} has no measure {self.measure}")
        if self.stage and self.stage not in STAGES:
            raise ValueError(f"there is no stage {self.stage}")
        if self.indicator and self.indicator not in {each.name for each in INDICATORS}:
            raise ValueError(f"there is no indicator {self.indicator}")
        if (self.type == "histogram") == bool(self.measure):
            raise ValueError("a histogram becomes a stage or an indicator, anything else a measure")
        return self


class Mapping(_Declared):
    """One engine: its metrics, the labels of its series, and the queue that stands in front of it unless a target says."""

    engine: Kind
    title: str
    checked: Checked
    model_label: str | None = None
    labels: tuple[str, ...]
    ignored_labels: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    queue: str | None = None
    arrivals: Literal["counted", "derived"] = "counted"
    metrics: tuple[Entry, ...]

    @model_validator(mode="after")
    def _has_a_queue_of_the_contract(self) -> Mapping:
        if self.queue and self.queue not in PARTS:
            raise ValueError(f"there is no queue {self.queue}")
        return self

    @cached_property
    def naming(self) -> dict[str, Naming]:
        """What labels may be that are more than a name."""
        return dict.fromkeys(self.identifiers, IDENTIFIER) | dict.fromkeys(self.phrases, PHRASE)

    @model_validator(mode="after")
    def _names_labels_that_it_knows(self) -> Mapping:
        unknown = {*self.identifiers, *self.phrases} - {*self.labels, *self.ignored_labels}
        if unknown:
            raise ValueError(f"there is no label {', '.join(sorted(unknown))}")
        return self

    @property
    def is_serving(self) -> bool:
        """Whether a target is a replica that serves, not an exporter beside one."""
        return any(entry.measure == "depth" for entry in self.metrics)

    def of(self, *types: MetricType) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.metrics if entry.type in types)


@cache
def mapping_of(kind: Kind) -> Mapping:
    """The mapping that is shipped for an engine."""
    text = (resources.files("producers.scraping") / "mappings" / f"{kind}.yaml").read_text(encoding="utf-8")
    try:
        return Mapping.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise AssertionError(f"mappings/{kind}.yaml breaks the contract: {error}") from error
