"""Drift policies as files: what `kind: DriftPolicy` may say, and what is wrong when it says else. `docs/drift.md` shows how."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from alerts.document_sentences import Name, Number, Part, Text, between, clipped, one_of, said_twice, wrong
from alerts.one_document import read_one
from schemas.drift_measures import MEASURE_NAMES, SHAPES
from schemas.drift_policies import FROZEN_HOURS_MAX, DriftPolicy, Reference, WatchedMeasure
from schemas.instants import HOUR_MS

STANDARD_DRIFT = Path(__file__).parent / "drift_policies" / "standard.yaml"

_REFERENCES: dict[str, Reference] = {
    "previousBundle": "previous_bundle",
    "sameHourOfWeek": "same_hour_of_week",
    "frozen": "frozen",
}


def _hour(written: str) -> str:
    """Checks that this is a whole hour with its zone."""
    try:
        is_whole = datetime.fromisoformat(written).tzinfo is not None and _milliseconds(written) % HOUR_MS == 0
    except (ValueError, OverflowError):  # The latter of an hour of the first or last day of the calendar, elsewhere.
        is_whole = False
    if not is_whole:
        raise wrong(f"{clipped(written)} is no whole hour: write it such as 2026-09-07T00:00Z.")
    return written


def _milliseconds(written: str) -> int:
    return math.floor(datetime.fromisoformat(written).astimezone(UTC).timestamp() * 1_000)


def _samples(written: int) -> int:
    if not 1 <= written <= 1_000_000_000:
        raise wrong(f"{written} is no number of samples to ask for: write 1 to 1000000000.")
    return written


Measure = Annotated[str, one_of("No measure of drift", MEASURE_NAMES)]
Tolerance = Annotated[Number, between("tolerance", "0", "10")]
Absolute = Annotated[Number, between("tolerance", "0", "1000000000")]
Alarms = Annotated[Number, between("number of false alarms a week", "0.001", "1000")]
Hour = Annotated[Text, AfterValidator(_hour)]


class FrozenPart(Part):
    """The window that everything is compared with: `to` is the hour after its last one."""

    from_: Annotated[Hour, Field(alias="from")]
    to: Hour

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        begins_ms, over_ms = self.window
        if not 0 < over_ms - begins_ms <= FROZEN_HOURS_MAX * HOUR_MS:
            raise wrong(f"A frozen window has 1 to {FROZEN_HOURS_MAX} hours: write `to` accordingly.")
        return self

    @property
    def window(self) -> tuple[int, int]:
        return _milliseconds(self.from_), _milliseconds(self.to)


class MeasurePart(Part):
    name: Measure
    tolerance: Tolerance
    tolerance_absolute: Absolute = Decimal(0)
    samples_min: Annotated[int, AfterValidator(_samples)]

    @model_validator(mode="after")
    def _is_of_a_shape_or_not(self) -> Self:
        if self.name in SHAPES and self.tolerance_absolute:
            raise wrong("The `tolerance` of a shape is its stability index already: remove `toleranceAbsolute`.")
        return self

    @property
    def measure(self) -> WatchedMeasure:
        return WatchedMeasure(self.name, float(self.tolerance), self.samples_min, float(self.tolerance_absolute))


class DriftMetadata(Part):
    name: Name
    owner: Name


class DriftSpec(Part):
    description: Text | None = None
    reference: Literal["previousBundle", "sameHourOfWeek", "frozen"] = "previousBundle"
    frozen: FrozenPart | None = None
    false_alarms_per_week: Alarms = Decimal(1)
    measures: Annotated[list[MeasurePart], Field(min_length=1, max_length=len(MEASURE_NAMES))]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.reference == "frozen") != (self.frozen is not None):
            raise wrong("A `frozen` window and `reference: frozen` belong together: write both, or none.")
        names = [each.name for each in self.measures]
        if twice := said_twice(names):
            raise wrong(f"Measure {twice} is watched twice: keep one of them.")
        return self


class DriftDocument(Part):
    api_version: Literal["turnwatch/v1"]
    kind: Literal["DriftPolicy"]
    metadata: DriftMetadata
    spec: DriftSpec


def load_drift_policy(file: Path = STANDARD_DRIFT) -> DriftPolicy:
    """The one policy of a file; everything that is wrong in it at once as `WrongFiles`."""
    written = read_one(file, DriftDocument, "a drift policy", "policies")
    spec = written.spec
    return DriftPolicy(
        name=written.metadata.name,
        owner=written.metadata.owner,
        measures=tuple(each.measure for each in spec.measures),
        reference=_REFERENCES[spec.reference],
        false_alarms_per_week=float(spec.false_alarms_per_week),
        frozen=None if spec.frozen is None else spec.frozen.window,
    )
