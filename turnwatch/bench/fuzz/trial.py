"""A trial: intake decides on mutants, the judge says what they are, and the two are compared.

Intake is the real operator, so what lies behind the decoder (joining, cutting into slices, adding) meets every mutant
that passes, too. Four things must not happen: a crash, an invalid frame that is accepted, a sound one that is refused,
and a row that is applied and not in the frame, or in it and not applied.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from schemas.families import FAMILIES
from schemas.frames import NDJSON
from schemas.rejections import Reason
from stream_jobs.operators.totals.intake import Intake, Intaken
from stream_jobs.operators.totals.opening import Record
from turnwatch.bench.fuzz.judge import Fault, rows_of
from turnwatch.bench.fuzz.mutations import WELL_FORMED, Mutant, mutant
from turnwatch.bench.fuzz.specimens import WINDOW_START_MS, Specimen

APPEND_MS = WINDOW_START_MS + 3_600_000 + 500
OF_TIME = frozenset({Reason.FENCE_EXPIRED, Reason.WINDOW_FROM_FUTURE, Reason.WINDOW_TOO_OLD})
"""Refusals that depend on when a frame came, which is nothing that the frame itself could be judged by."""

Refusals = dict[int, Reason]
"""Why mutants were refused, by their place; the others were accepted."""
Decide = Callable[[str, Sequence[Mutant]], tuple[Refusals, Intaken]]


@dataclass(slots=True)
class Tally:
    """What became of mutants, in counts; what must not happen is told one by one, with the mutant's number."""

    frames: int = 0
    accepted_valid: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    fates: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By mutation: accepted, or refused."""
    records: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Mutants of what is our own, by where they were put: accepted, or refused."""
    crashes: list[str] = field(default_factory=list)
    wrongly_accepted: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.frames += other.frames
        self.accepted_valid += other.accepted_valid
        self.refused += other.refused
        self.fates += other.fates
        self.records += other.records
        self.crashes += other.crashes
        self.wrongly_accepted += other.wrongly_accepted
        self.wrongly_refused += other.wrongly_refused
        self.miscounted += other.miscounted

    @property
    def failures(self) -> list[str]:
        return [*self.crashes, *self.wrongly_accepted, *self.wrongly_refused, *self.miscounted]


def decide(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
    """What intake makes of them, in one batch."""
    records = [Record(place, APPEND_MS, each.headers, each.payload) for place, each in enumerate(mutants)]
    outcome = Intake(FAMILIES[family], 0, 1).apply(records)
    return {refusal.offset: refusal.rejected.reason for refusal in outcome.refusals}, outcome


def trial(pool: Sequence[Specimen], seed: int, numbers: range, decide: Decide = decide) -> Tally:
    """Mutants of these numbers, each the same for the same seed, whatever the others are."""
    tally = Tally()
    by_family: defaultdict[str, list[tuple[int, Mutant]]] = defaultdict(list)
    for number in numbers:
        made = mutant(Random(seed << 40 | number), pool, number)
        by_family[made.topic_family].append((number, made))
    for family, of_family in by_family.items():
        _try(family, of_family, decide, tally)
    return tally


def _try(family: str, numbered: list[tuple[int, Mutant]], decide: Decide, tally: Tally) -> None:
    """One batch; where it crashes, each mutant by itself, to find the one."""
    mutants = [each for _, each in numbered]
    try:
        refusals, outcome = decide(family, mutants)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # What polars panics with is no Exception.
        if len(numbered) == 1:
            tally.frames += 1
            tally.crashes.append(_told(*numbered[0], crash_of(error)))
            return
        for one in numbered:
            _try(family, [one], decide, tally)
        return
    rows = [_compare(number, each, refusals.get(place), tally) for place, (number, each) in enumerate(numbered)]
    if outcome.frames_repeated == 0 and outcome.rows_applied != sum(rows):
        tally.miscounted.append(f"{_range(numbered)}: {outcome.rows_applied} rows applied of {sum(rows)}")
    taken = outcome.frames_applied + outcome.frames_late + outcome.frames_repeated
    if taken + len(outcome.refusals) != len(numbered):
        tally.miscounted.append(f"{_range(numbered)}: frames neither applied, late, repeated nor refused")


def _compare(number: int, each: Mutant, reason: Reason | None, tally: Tally) -> int:
    """Rows of the mutant if it was accepted and is sound."""
    tally.frames += 1
    tally.fates[each.mutation, "accepted" if reason is None else "refused"] += 1
    if reason is not None:
        tally.refused[reason.value] += 1
        if not _may_judge(each, reason):
            return 0
    try:
        rows = len(rows_of(each.topic_family, each.headers, each.payload))
    except Fault as fault:
        if reason is None:
            tally.wrongly_accepted.append(_told(number, each, str(fault)))
        return 0
    if reason is not None:
        tally.wrongly_refused.append(_told(number, each, reason.value))
        return 0
    tally.accepted_valid += 1
    return rows


def crash_of(error: BaseException) -> str:
    """What an exception is, in one line."""
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first[:200]}"


def _may_judge(refused: Mutant, reason: Reason) -> bool:
    """Whether the judge's word on a refused frame counts: it depends on no clock, and on no leniency of Arrow's."""
    is_text = refused.headers.get("tw-content-type") == NDJSON.encode()
    return reason not in OF_TIME and (is_text or refused.mutation in WELL_FORMED)


def _told(number: int, each: Mutant, what: str) -> str:
    return f"frame {number} ({each.topic_family}, {each.mutation}): {what}"


def _range(numbered: list[tuple[int, Mutant]]) -> str:
    return f"frames {numbered[0][0]} to {numbered[-1][0]}"
