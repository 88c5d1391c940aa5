"""Why an observation, or a field of one, is refused at the edge: one vocabulary for every way in.

A refusal is counted under its reason and told in family `privacy`; it never repeats a name or a value that the producer
sent. Frames have reasons of their own (`schemas/rejections.py`): those are about the wire, these are about what may leave
a host.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """The word that is counted. The order is the order of precedence: what breaks two rules is counted once, under the first."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    CONTENT_FIELD = "content_field"
    AUDIO = "audio"
    EMBEDDING = "embedding"
    EMAIL = "email"
    PHONE = "phone"
    HIGH_ENTROPY = "high_entropy"
    FREE_TEXT = "free_text"
    UNKNOWN_FIELD = "unknown_field"
    OUTSIDE_VOCABULARY = "outside_vocabulary"
    NOT_FINITE = "not_finite"
    NEGATIVE = "negative"
    INCONSISTENT = "inconsistent"
    CLOCK_BACKWARDS = "clock_backwards"
    NO_SESSION = "no_session"


MEANINGS: dict[Refusal, str] = {
    Refusal.TOO_LARGE: "more bytes, rows or fields than one batch, line or answer may have",
    Refusal.MALFORMED: "not what it says it is: half a line, a page of HTML, a column of another type, or without the value that it needs",
    Refusal.CONTENT_FIELD: "a field that the GenAI conventions declare as content: messages, instructions, arguments, results",
    Refusal.AUDIO: "bytes, or text that encodes bytes: a recording, an image, a file",
    Refusal.EMBEDDING: "a list of numbers where one value is expected: an embedding, a voiceprint, samples",
    Refusal.EMAIL: "a value that holds an e-mail address",
    Refusal.PHONE: "a value that holds a telephone number",
    Refusal.HIGH_ENTROPY: "a value as random as a key, a token or an identifier",
    Refusal.FREE_TEXT: "a sentence, or anything longer than a name is",
    Refusal.UNKNOWN_FIELD: "a field that the contract does not declare",
    Refusal.OUTSIDE_VOCABULARY: "a value that its dimension does not allow, or none where it needs one",
    Refusal.NOT_FINITE: "not a number, or infinite",
    Refusal.NEGATIVE: "a duration, an amount or an instant below zero",
    Refusal.INCONSISTENT: "values that contradict each other: a part longer than its whole, one series told twice, an instant yet to come",
    Refusal.CLOCK_BACKWARDS: "an instant before the one that the same source has told already",
    Refusal.NO_SESSION: "no session, or a blank one, where one is needed (an aggregate never has one)",
}

_RANKS = {reason: rank for rank, reason in enumerate(Refusal)}


def first_of(reasons: Iterable[Refusal | None]) -> Refusal | None:
    """The first of these in the order of precedence; none where there is none.

    >>> first_of([Refusal.PHONE, None, Refusal.EMAIL])
    <Refusal.EMAIL: 'email'>
    """
    return min((reason for reason in reasons if reason is not None), key=_RANKS.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused of one batch: how many observations (or fields) for which reason. Holds no names and no values."""

    by_reason: tuple[tuple[Refusal, int], ...] = ()

    @classmethod
    def of(cls, counts: Mapping[Refusal, int]) -> Refused:
        """As many as there are of each reason, in the order of precedence."""
        return cls(tuple((reason, count) for reason in Refusal if (count := counts.get(reason, 0))))

    @property
    def total(self) -> int:
        return sum(count for _, count in self.by_reason)

    def __add__(self, other: Refused) -> Refused:
        """Both together, in the order of precedence.

        >>> (Refused(((Refusal.PHONE, 1),)) + Refused(((Refusal.EMAIL, 2), (Refusal.PHONE, 3)))).as_dict()
        {'email': 2, 'phone': 4}
        """
        mine, others = dict(self.by_reason), dict(other.by_reason)
        return Refused.of({reason: mine.get(reason, 0) + others.get(reason, 0) for reason in Refusal})

    def as_dict(self) -> dict[str, int]:
        """The form of the collector's answer and of counters: reason to count."""
        return {reason.value: count for reason, count in self.by_reason}
