"""Exclusions: windows that a budget is not charged for, as events that say who, why, when and of which slice.

An event is never changed: who takes an exclusion back says so in another one, with the same id. What is in force of an
id is what its newest event says. Alerts are judged on everything that was counted; only budgets are corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import polars as pl
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.burns import Instant, Name, SliceText, no_statement
from schemas.instants import MINUTE_MS
from schemas.slices import cut_of
from schemas.tables import TABLES

EXCLUSION_FORMAT = 1
WHO_MAX, WHY_MAX = 100, 500

Action = Literal["declared", "withdrawn"]


class Exclusion(BaseModel):
    """One event: somebody declared, or withdrew, that a slice's minutes of [from, to) are not charged to a budget.

    `slo` is an objective's name, or `all`. `who` and `why` are of this event, so a withdrawal has its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    action: Action
    slo: Name
    slice: SliceText
    from_ms: Instant
    to_ms: Instant
    who: Annotated[str, Field(min_length=1, max_length=WHO_MAX)]
    why: Annotated[str, Field(min_length=1, max_length=WHY_MAX)]
    at_ms: Instant
    format: Annotated[int, Field(ge=1, le=EXCLUSION_FORMAT)] = EXCLUSION_FORMAT

    @field_validator("who", "why")
    @classmethod
    def _is_a_line(cls, text: str) -> str:
        if not text.strip() or not text.isprintable():
            raise ValueError("has to be a line of text")
        return text

    @model_validator(mode="after")
    def _is_of_whole_minutes(self) -> Exclusion:
        if self.from_ms % MINUTE_MS or self.to_ms % MINUTE_MS or self.from_ms >= self.to_ms:
            raise ValueError("a window is of whole minutes, and begins before it ends")
        return self

    def encode(self) -> bytes:
        return self.model_dump_json().encode()


def decode(payload: bytes) -> Exclusion:
    """Reads an event that `turnwatch exclude` wrote; raises `Undecodable` where it is none."""
    try:
        return Exclusion.model_validate_json(payload)
    except ValidationError as error:
        raise no_statement("exclusion", EXCLUSION_FORMAT, payload, error) from None


def exclusion_id(slo: str, slice_text: str, from_ms: int, to_ms: int) -> str:
    """The identity of a window: declaring the same one again names the same exclusion.

    >>> exclusion_id("all", "pool=realtime", 0, 60_000) == exclusion_id("all", "pool=realtime", 0, 60_000)
    True
    """
    return xxhash.xxh3_64_hexdigest(f"{slo}|{slice_text}|{from_ms}|{to_ms}".encode())[:12]


def newest(events: Iterable[Exclusion]) -> dict[str, Exclusion]:
    """By id the event that counts: the latest, and of several of one instant the last told."""
    found: dict[str, Exclusion] = {}
    for event in events:
        known = found.get(event.id)
        if known is None or event.at_ms >= known.at_ms:
            found[event.id] = event
    return found


def rows(events: Iterable[Exclusion]) -> pa.Table:
    """Rows of the table `exclusions`, one for each event."""
    table = TABLES["exclusions"]
    times = {"from_at": "from_ms", "to_at": "to_ms", "at": "at_ms"}
    types: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("id", "action", "slo", "slice", "cut", "who", "why"), pl.String),
        **dict.fromkeys((*times.values(), "version"), pl.Int64),
    }
    told = [
        event.model_dump(exclude={"format"}) | {"cut": cut_of(event.slice), "version": event.at_ms} for event in events
    ]
    frame = pl.DataFrame(told, schema=types).with_columns(
        pl.col(ms).cast(pl.Datetime("ms", "UTC")).alias(name) for name, ms in times.items()
    )
    return frame.select(table.column_names).to_arrow().cast(table.arrow_schema)
