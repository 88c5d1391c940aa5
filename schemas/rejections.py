"""Why a message is not taken in. A bad message is data: it is answered with a `Rejected`, never with an exception.

The sentence of a rejection says what was wrong and where, and never repeats a value, so that dead letters and logs
cannot carry what the contract refused. A `DeadLetter` adds where the message lies: whoever needs its content reads it
there, and puts it through again from there (`turnwatch redrive`). A `Halt` is the letter that a worker did not write,
because it had written too many.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.failures import Undecodable

_Model = TypeVar("_Model", bound=BaseModel)


class Reason(StrEnum):
    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    UNKNOWN_FAMILY = "unknown_family"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    FRAME_TOO_LARGE = "frame_too_large"
    EMPTY_FRAME = "empty_frame"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    MALFORMED_PAYLOAD = "malformed_payload"
    UNKNOWN_COLUMN = "unknown_column"
    MISSING_COLUMN = "missing_column"
    WRONG_TYPE = "wrong_type"
    CONTENT_FIELD = "content_field"
    OUTSIDE_VOCABULARY = "outside_vocabulary"
    PRIVATE_VALUE = "private_value"
    NEGATIVE_COUNT = "negative_count"
    COUNT_TOO_LARGE = "count_too_large"
    BAD_EXCEEDS_TOTAL = "bad_exceeds_total"
    UNKNOWN_PRIVACY_PARTITION = "unknown_privacy_partition"
    DIMENSION_NOT_IN_PARTITION = "dimension_not_in_partition"
    WINDOW_MISALIGNED = "window_misaligned"
    WINDOW_FROM_FUTURE = "window_from_future"
    WINDOW_TOO_OLD = "window_too_old"
    FENCE_EXPIRED = "fence_expired"
    TOO_MANY_PRODUCERS = "too_many_producers"
    UNDECODABLE = "undecodable"
    REFUSED_BY_WAREHOUSE = "refused_by_warehouse"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that was refused: the reason that is counted, and a sentence for the reader."""

    reason: Reason
    detail: str


DIVERTED_PER_MINUTE_MAX = 300
"""Dead letters of a minute that are data. A producer sends 25 frames a minute: these are twelve broken at once."""

PRODUCERS_MAX = 50_000
"""Lives of producers that intake knows at most, in one family and Kafka partition: so many fit into its blocks of state."""

Position = tuple[str, int, int]
"""Topic, partition and offset of a record."""


class DeadLetter(BaseModel):
    """Reason and position of one refused record. `reason` is text: a newer worker may know more of them."""

    model_config = ConfigDict(frozen=True)

    reason: str
    detail: str
    producer: str | None
    """Who sent it; none where its headers could not be read."""
    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)

    @property
    def position(self) -> Position:
        return self.topic, self.partition, self.offset

    @property
    def key(self) -> bytes:
        """Of one position always the same, so that a letter that is written twice can be told."""
        return shown(self.position).encode()

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, payload: bytes | None) -> DeadLetter:
        return _decoded(cls, payload)


class Halt(BaseModel):
    """Where a worker stopped because it had diverted too much: the record there was neither taken in nor diverted."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    reason: str
    why: str
    """The sentence that the worker ended with."""
    at_ms: int

    @property
    def position(self) -> Position:
        return self.topic, self.partition, self.offset

    @classmethod
    def decode(cls, payload: bytes | None) -> Halt:
        return _decoded(cls, payload)


def shown(position: Position) -> str:
    """A position as keys and headers write it.

    >>> shown(("aggregates.turns", 2, 1034))
    'aggregates.turns:2:1034'
    """
    return ":".join(map(str, position))


def _decoded(model: type[_Model], payload: bytes | None) -> _Model:
    try:
        return model.model_validate_json(payload or b"")
    except ValidationError:
        raise Undecodable(f"The record is no {model.__name__} of this version.") from None
