"""Diversion: what a stage does with a record that it cannot take in, and when it must stop doing so.

A bad record is data. Its reason and position go to the dead letters with the stage's next save, before the record is
acknowledged; the flow goes on, and the record can be put through again from where it lies.

A bad *deploy*, of producers or of this worker, is not data: it would empty a topic into the dead letters while everybody
believes that all is well. So there is a bound. More than `per_minute_max` refusals among the records of one minute, or
more than that in a row from one partition, end the worker. The record that went too far is neither diverted nor
acknowledged, nor is anything after it, so after a fix it is read again and nothing was lost.

Which minute is the record's own where the broker stamped it (aggregates), otherwise the clock's. A worker that catches up
with hours therefore does not take one broken producer's hours for a deploy, and the second rule does not let a deploy
pass whose topic brings little in a minute.

A supervisor starts an ended worker anew, with empty counts. What it stopped at is therefore kept in Kafka (`halts.py`):
from a topic with a halt that nobody has read past, a worker that starts diverts nothing at all, and the first record
that it would have to divert ends it again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.metrics import WorkerMetrics
from schemas.rejections import DIVERTED_PER_MINUTE_MAX, DeadLetter, Halt, Rejected, shown
from schemas.topics import DEAD_LETTERS
from stream_jobs.agents.exact import Outgoing
from stream_jobs.agents.pulse import StageFailure

MINUTES_KEPT = 20_000
"""Of which refusals are remembered: more than the 7 days that a source topic keeps."""

WHAT_TO_DO = (
    "look at `turnwatch dead-letters`, deploy what mends it, and this worker goes on where it stopped; "
    "`turnwatch worker --accept-refused` diverts them all, this once"
)


class Halted(StageFailure):
    """Too much was refused; `halt` says where the worker stopped."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(halt.why)
        self.halt = halt


def _now_ms() -> int:
    return int(time.time() * 1_000)


@dataclass(slots=True)
class _Streak:
    """Refusals of one partition with nothing taken in between. `last` is the offset of the newest."""

    last: int
    length: int


@dataclass(slots=True)
class DiversionBound:
    """How much one worker may divert, over all of its stages. `per_minute_max` of `None` is without bound.

    `halted`: topics from which nothing may be diverted, and the halt that says so; whoever hears that it is over says so
    here.
    """

    per_minute_max: int | None = DIVERTED_PER_MINUTE_MAX
    halted: Mapping[str, Halt] = field(default_factory=dict)
    now_ms: Callable[[], int] = _now_ms
    _of_minute: Counter[int] = field(default_factory=Counter)
    _streaks: dict[tuple[str, int], _Streak] = field(default_factory=dict)

    def note(self, letter: DeadLetter, at_ms: int | None) -> None:
        """Counts a refusal, or raises `Halted`. `at_ms` is when the broker took the record in, where it says so."""
        if self.per_minute_max is None:
            return
        standing = self.halted.get(letter.topic)
        if standing is not None:
            raise Halted(self._halt(letter, _still_refused(letter, standing)))
        streak = self._streak_of(letter)
        if streak is None:
            return
        of_minute = self._count(at_ms if at_ms is not None else self.now_ms())
        too_many = f"More than {self.per_minute_max} records"
        if of_minute > self.per_minute_max:
            raise Halted(self._halt(letter, _too_many(letter, f"{too_many} of one minute")))
        if streak.length > self.per_minute_max:
            where = f"in a row of {letter.topic}[{letter.partition}]"
            raise Halted(self._halt(letter, _too_many(letter, f"{too_many} {where}")))

    def _streak_of(self, letter: DeadLetter) -> _Streak | None:
        """The streak that the refusal belongs to; none if it was counted before, as after a rebalance."""
        place = (letter.topic, letter.partition)
        streak = self._streaks.get(place)
        if streak is not None and letter.offset <= streak.last:
            return None
        length = streak.length if streak is not None and letter.offset == streak.last + 1 else 0
        self._streaks[place] = grown = _Streak(letter.offset, length + 1)
        return grown

    def _count(self, at_ms: int) -> int:
        """Refusals in the minute of `at_ms`, this one included."""
        minute = at_ms // 60_000
        self._of_minute[minute] += 1
        if len(self._of_minute) > MINUTES_KEPT:
            del self._of_minute[min(self._of_minute)]
        return self._of_minute[minute]

    def _halt(self, letter: DeadLetter, why: str) -> Halt:
        topic, partition, offset = letter.position
        return Halt(topic=topic, partition=partition, offset=offset, reason=letter.reason, why=why, at_ms=self.now_ms())


@dataclass(slots=True)
class Diversion:
    """The dead letters of one stage, on their way to its next save."""

    bound: DiversionBound
    metrics: WorkerMetrics
    _letters: list[DeadLetter] = field(default_factory=list)

    def divert(self, letter: DeadLetter, at_ms: int | None = None) -> None:
        """Takes the refusal down, or raises `Halted`."""
        self.bound.note(letter, at_ms)
        self.metrics.records_diverted.labels(letter.topic, letter.reason).inc()
        self._letters.append(letter)

    def letters(self) -> list[Outgoing]:
        """What to send: each letter once. To be confirmed before the records are acknowledged."""
        letters, self._letters = self._letters, []
        return [outgoing(letter) for letter in letters]

    def forget(self) -> None:
        self._letters.clear()


def dead_letter(rejected: Rejected, producer: str | None, topic: str, partition: int, offset: int) -> DeadLetter:
    return DeadLetter(
        reason=rejected.reason.value,
        detail=rejected.detail,
        producer=producer,
        topic=topic,
        partition=partition,
        offset=offset,
    )


def outgoing(letter: DeadLetter) -> Outgoing:
    return Outgoing(DEAD_LETTERS, letter.encode(), [], key=letter.key)


def _too_many(letter: DeadLetter, which: str) -> str:
    last = f"{shown(letter.position)}, {letter.reason}"
    return f"{which} were refused (the last one: {last}), and the worker stopped before it diverted more: {WHAT_TO_DO}."


def _still_refused(letter: DeadLetter, standing: Halt) -> str:
    return (
        f"{shown(letter.position)} is refused ({letter.reason}), and topic {letter.topic} was halted at "
        f"{shown(standing.position)} because too much was diverted from it: {WHAT_TO_DO}."
    )
