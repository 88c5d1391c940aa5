"""The shape of one SLO document (OpenSLO v1, `kind: SLO`), and what is said when a document has another.

The models hold the part of OpenSLO that turnwatch evaluates: a ratio of contract measures, one objective, one rolling
period, budgeting by occurrences. Names that the contract knows (measures, pools) are checked where they stand, so that
all mistakes of a document are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from alerts.located_yaml import Document, Mistake, Place, field_text
from schemas.dimensions import DIMENSIONS
from schemas.families import INDICATORS, Indicator

PERIODS_D = (7, 28, 30, 90)
"""Periods that state and tables are kept for."""

OBJECTIVE_MIN = Decimal("0.5")
"""Half of all turns bad is an outage: a lower objective would be paged for while it is met."""

CUTS, OWNER, RUNBOOK = "turnwatch/cuts", "turnwatch/owner", "turnwatch/runbook"


def nearest(written: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that does not exist: the one that was probably meant, or what there is.

    >>> nearest("realtme", ["realtime", "batch"])
    '; did you mean `realtime`?'
    >>> nearest("xyz", ["realtime", "batch"])
    '; known are `realtime`, `batch`'
    """
    names = list(known)
    close = get_close_matches(written, names, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known are {', '.join(f'`{name}`' for name in names)}"


def _one_of(what: str, known: tuple[str, ...]) -> AfterValidator:
    """Accepts only names of the contract, and suggests the nearest to any other."""

    def check(written: str) -> str:
        if written not in known:
            sentence = ended(f"{what} is named {written!r}{nearest(written, known)}")
            raise PydanticCustomError("unknown_name", "{sentence}", {"sentence": sentence})
        return written

    return AfterValidator(check)


def ended(sentence: str) -> str:
    """A sentence with its full stop, unless it asks."""
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1_050)]
Pool = Annotated[str, _one_of("No pool", DIMENSIONS["pool"].vocabulary)]
BadMeasure = Annotated[str, _one_of("No measure of bad turns", tuple(each.bad for each in INDICATORS))]
TotalMeasure = Annotated[str, _one_of("No measure of judged turns", tuple(each.total for each in INDICATORS))]


class Labels(_Part):
    pool: Pool


class Annotations(_Part):
    model_config = ConfigDict(alias_generator=None)

    cuts: Annotated[Text, Field(alias=CUTS)]
    owner: Annotated[Text, Field(alias=OWNER)]
    runbook: Annotated[Text, Field(alias=RUNBOOK)]


class Metadata(_Part):
    name: Name
    display_name: Text | None = None
    labels: Labels
    annotations: Annotations


class BadSpec(_Part):
    measure: BadMeasure


class BadSource(_Part):
    type: Literal["turnwatch"]
    spec: BadSpec


class BadMetric(_Part):
    metric_source: BadSource


class TotalSpec(_Part):
    measure: TotalMeasure


class TotalSource(_Part):
    type: Literal["turnwatch"]
    spec: TotalSpec


class TotalMetric(_Part):
    metric_source: TotalSource


class RatioMetric(_Part):
    counter: Literal[True]
    bad: BadMetric
    total: TotalMetric

    @property
    def indicator(self) -> Indicator:
        return next(each for each in INDICATORS if each.bad == self.bad.metric_source.spec.measure)

    @model_validator(mode="after")
    def _is_one_ratio(self) -> RatioMetric:
        total = self.total.metric_source.spec.measure
        if total != self.indicator.total:
            sentence = f"`{self.indicator.bad}` is a part of `{self.indicator.total}`, not of `{total}`."
            raise PydanticCustomError("two_ratios", "{sentence}", {"sentence": sentence})
        return self


class IndicatorSpec(_Part):
    description: Text | None = None
    ratio_metric: RatioMetric


class IndicatorMetadata(_Part):
    name: Name
    display_name: Text | None = None


class InlineIndicator(_Part):
    metadata: IndicatorMetadata
    spec: IndicatorSpec


def _known_period(written: str) -> str:
    """Durations in OpenSLO's shorthand whose length is a period that we keep.

    >>> _known_period("4w")
    '4w'
    """
    match = re.fullmatch(r"([1-9][0-9]{0,3})([dw])", written)
    if match is None or _days(written) not in PERIODS_D:
        sentence = f"{written!r} is not a period that is kept: write {', '.join(f'{days}d' for days in PERIODS_D[:-1])}"
        raise PydanticCustomError("period", "{sentence}", {"sentence": f"{sentence} or {PERIODS_D[-1]}d."})
    return written


def _days(duration: str) -> int:
    return int(duration[:-1]) * {"d": 1, "w": 7}[duration[-1]]


class TimeWindow(_Part):
    duration: Annotated[str, AfterValidator(_known_period)]
    is_rolling: Literal[True]

    @property
    def period_s(self) -> int:
        return _days(self.duration) * 86_400


def _number(written: object) -> object:
    """Whole numbers are decimals too, so that `99` is told it is no share rather than no number."""
    return Decimal(written) if isinstance(written, int) and not isinstance(written, bool) else written


class Objective(_Part):
    display_name: Text | None = None
    target: Annotated[Decimal, BeforeValidator(_number), Field(ge=OBJECTIVE_MIN, lt=1)]


class Spec(_Part):
    description: Text
    service: Name
    indicator: InlineIndicator
    time_window: Annotated[list[TimeWindow], Field(min_length=1, max_length=1)]
    budgeting_method: Literal["Occurrences"]
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=1)]


class SloDocument(_Part):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: Spec


def sentence_for(document: Document, details: ErrorDetails) -> Mistake:
    """One validation error as the line, the field, and what to do about it."""
    place: Place = details["loc"]
    kind = details["type"]
    line = document.line_of(place)
    if kind == "extra_forbidden":
        known = _fields_at(place[:-1])
        return Mistake(line, field_text(place), ended(f"There is no such field{nearest(str(place[-1]), known)}"))
    if kind == "missing":
        owner = f"`{field_text(place[:-1])}`" if place[:-1] else "the document"
        return Mistake(line, field_text(place), f"The field is missing: add `{place[-1]}` to {owner}.")
    say = _SENTENCES.get(kind)
    return Mistake(line, field_text(place) or "document", say(details) if say else ended(details["msg"]))


def _shown(details: ErrorDetails) -> str:
    """The value as written, unless it is a whole section or list."""
    match details["input"]:
        case dict():
            return "a section"
        case list():
            return "a list"
        case None:
            return "nothing"
        case bool() as claim:
            return str(claim).lower()
        case str() as text:
            return f'"{text}"'
        case number:
            return str(number)


def _literal(details: ErrorDetails) -> str:
    expected = str(details["ctx"]["expected"]).strip("'").replace("True", "true")
    return f"This has to be {expected}, and {_shown(details)} is written."


_SENTENCES: dict[str, Callable[[ErrorDetails], str]] = {
    "literal_error": _literal,
    "string_type": lambda told: f"This has to be text, and {_shown(told)} is written: put it in quotes.",
    "string_too_short": lambda told: "This is empty: write it, or remove the field if it is optional.",
    "string_too_long": lambda told: "This is longer than the 1050 characters that OpenSLO allows.",
    "string_pattern_mismatch": lambda told: (
        f"{_shown(told)} is not a name: use up to 63 lower-case letters, digits and inner hyphens."
    ),
    "model_type": lambda told: f"This has to be a section with fields, and {_shown(told)} is written.",
    "list_type": lambda told: f"This has to be a list, and {_shown(told)} is written: begin its items with `-`.",
    "too_short": lambda told: "The list is empty: it has to hold exactly one item.",
    "too_long": lambda told: f"The list holds {told['ctx']['actual_length']} items: only one is supported.",
    "is_instance_of": lambda told: f"This has to be a decimal such as 0.99 (no quotes), and {_shown(told)} is written.",
    "greater_than_equal": lambda told: (
        f"{told['input']} allows more than half of all turns to be bad, which pages as an outage: write 0.5 or more."
    ),
    "less_than": lambda told: (
        f"{told['input']} leaves no error budget or is a percentage: write a share below 1, such as 0.99."
    ),
}


def _fields_at(place: Place) -> list[str]:
    """The fields that the section at a place may hold."""
    model: type[BaseModel] = SloDocument
    for part in place:
        if isinstance(part, int):
            continue
        field = next(field for name, field in model.model_fields.items() if (field.alias or name) == part)
        model = _section(field.annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _section(annotation: object) -> type[BaseModel]:
    inner = next((part for part in get_args(annotation) if isinstance(part, type)), annotation)
    assert isinstance(inner, type) and issubclass(inner, BaseModel)
    return inner
