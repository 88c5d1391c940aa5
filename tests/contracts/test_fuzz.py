"""Broken frames are refused, sound ones are not, and a judge that shares no code with the decoder says which are which.

`turnwatch bench fuzz` does the same a million times. What follows the fuzzing are decoders with a known fault: a judge
that did not catch those would prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from schemas.families import FAMILIES, HEARTBEATS
from schemas.frame_rows import decode_rows
from schemas.frames import decode_header
from schemas.rejections import Reason, Rejected
from stream_jobs.operators.totals.intake import Intaken
from turnwatch.bench.fuzz.judge import rows_of
from turnwatch.bench.fuzz.mutations import MUTATIONS, Mutant, sealed
from turnwatch.bench.fuzz.records import records, try_records
from turnwatch.bench.fuzz.specimens import Specimen, specimens
from turnwatch.bench.fuzz.trial import Decide, Refusals, Tally, decide, trial

SEED = 20_240_607
BATCH = 2_000
"""How many mutants are taken in together: most of a small batch's time is not about its frames."""
POOL = specimens(SEED)


OF_WHAT_IS_SENT = {
    Reason.MISSING_HEADER, Reason.MALFORMED_HEADER, Reason.UNKNOWN_FAMILY, Reason.UNKNOWN_CONTENT_TYPE,
    Reason.UNSUPPORTED_VERSION, Reason.UNKNOWN_PRIVACY_PARTITION, Reason.WINDOW_MISALIGNED, Reason.FRAME_TOO_LARGE,
    Reason.CHECKSUM_MISMATCH, Reason.MALFORMED_PAYLOAD, Reason.UNKNOWN_COLUMN, Reason.MISSING_COLUMN, Reason.WRONG_TYPE,
    Reason.OUTSIDE_VOCABULARY, Reason.DIMENSION_NOT_IN_PARTITION, Reason.NEGATIVE_COUNT, Reason.COUNT_TOO_LARGE,
    Reason.BAD_EXCEEDS_TOTAL,
}  # fmt: skip
"""Reasons that lie in a frame, and not in when it came."""


def tried(frames: int, by: Decide = decide) -> Tally:
    tally = Tally()
    for start in range(0, frames, BATCH):
        tally.add(trial(POOL, SEED, range(start, min(start + BATCH, frames)), by))
    return tally


@cache
def many_mutants() -> Tally:
    return tried(12_000)


def test_every_specimen_is_sound() -> None:
    for specimen in POOL:
        assert rows_of(specimen.header.family.name, specimen.headers, specimen.payload)
    assert {specimen.header.family.name for specimen in POOL} == set(FAMILIES)


def test_no_mutant_crashes_and_none_that_is_invalid_is_accepted() -> None:
    tally = many_mutants()
    assert tally.failures == [], f"seed {SEED}"
    assert tally.frames == 12_000


def test_every_mutation_was_tried_and_most_reasons_were_met() -> None:
    """So that the test above is about something."""
    tally = many_mutants()
    assert {mutation for mutation, _ in tally.fates} == set(MUTATIONS)
    assert tally.accepted_valid > 1_000
    assert {Reason(reason) for reason in tally.refused} >= OF_WHAT_IS_SENT


def accepting(outcome: Intaken, mutants: Sequence[Mutant]) -> Intaken:
    return replace(outcome, refusals=[], frames_applied=len(mutants), frames_late=0, frames_repeated=0)


def test_a_decoder_that_accepts_everything_is_caught_at_every_mutation_that_breaks() -> None:
    def credulous(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        return {}, accepting(decide(family, mutants)[1], mutants)

    tally = tried(2_000, credulous)
    caught = {told.split(", ", 1)[1].split("):")[0] for told in tally.wrongly_accepted}
    assert caught >= set(MUTATIONS) - {"intact"}
    assert not any("intact" in told for told in tally.wrongly_accepted)


def test_a_decoder_that_believes_any_checksum_is_caught() -> None:
    def careless(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        return decide(family, [replace(each, headers=sealed(each.headers, each.payload)[0]) for each in mutants])

    assert any("count changed):" in told for told in tried(2_000, careless).wrongly_accepted)


@pytest.mark.parametrize("missed", [Reason.NEGATIVE_COUNT, Reason.OUTSIDE_VOCABULARY, Reason.BAD_EXCEEDS_TOTAL])
def test_a_decoder_that_misses_one_rule_is_caught(missed: Reason) -> None:
    def lenient(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        refusals, outcome = decide(family, mutants)
        return {place: reason for place, reason in refusals.items() if reason is not missed}, outcome

    assert tried(2_000, lenient).wrongly_accepted


def test_a_decoder_that_refuses_everything_is_caught() -> None:
    def stern(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        return dict.fromkeys(range(len(mutants)), Reason.MALFORMED_PAYLOAD), decide(family, mutants)[1]

    assert any("intact" in told for told in tried(1_000, stern).wrongly_refused)


def test_an_intake_that_loses_one_row_is_caught() -> None:
    def leaking(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        refusals, outcome = decide(family, mutants)
        return refusals, replace(outcome, rows_applied=outcome.rows_applied - 1)

    assert tried(1_000, leaking).miscounted


def test_a_crash_is_told_with_the_one_frame_that_caused_it_and_the_others_are_judged() -> None:
    class Panic(BaseException):
        """As polars raises them."""

    def fragile(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        if any(each.headers.get("tw-producer") == b"fuzz-77" for each in mutants):
            raise Panic("index out of bounds\nand more")
        return decide(family, mutants)

    tally = tried(500, fragile)
    assert [told.split(" (")[0] for told in tally.crashes] == ["frame 77"]
    assert tally.crashes[0].endswith("Panic: index out of bounds")
    assert (tally.frames, len(tally.failures)) == (500, 1)


def test_a_mutant_is_the_same_however_many_others_there_are() -> None:
    seen: list[Mutant] = []

    def watching(family: str, mutants: Sequence[Mutant]) -> tuple[Refusals, Intaken]:
        seen.extend(mutants)
        return decide(family, mutants)

    trial(POOL, SEED, range(300, 301), watching)
    trial(POOL, SEED, range(250, 350), watching)
    assert seen[0] in seen[1:]


def smallest() -> Specimen:
    ours = [specimen for specimen in POOL if specimen.header.family is HEARTBEATS]
    return min(ours, key=lambda specimen: len(specimen.payload))


@pytest.mark.parametrize("specimen", [smallest(), POOL[0]], ids=["ndjson", "arrow"])
def test_a_byte_that_changed_on_its_way_is_refused_at_every_position(specimen: Specimen) -> None:
    headers, payload = specimen.headers, specimen.payload
    header = decode_header(specimen.header.family.name, headers)
    assert not isinstance(header, Rejected)
    assert not isinstance(decode_rows(header, headers, payload), Rejected)
    for place, byte in enumerate(payload):
        for flips in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            changed = payload[:place] + bytes([byte ^ flips]) + payload[place + 1 :]
            refused = decode_rows(header, headers, changed)
            assert isinstance(refused, Rejected) and refused.reason is Reason.CHECKSUM_MISMATCH, (place, flips)


def test_records_of_our_own_with_other_bytes_end_no_worker() -> None:
    tally = Tally()
    try_records(SEED, range(5_000), tally)
    assert tally.crashes == [], f"seed {SEED}"
    assert {surface for surface, fate in tally.records if fate == "refused"} == {each.surface for each in records()}
    assert {surface for surface, fate in tally.records if fate == "accepted"} == {each.surface for each in records()}


def test_every_record_of_our_own_is_taken_in_as_it_was_written() -> None:
    for record in records():
        assert record.read(record.headers, record.payload), record.surface


def test_a_reader_of_our_own_records_that_crashes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> bool:
        raise KeyError("slice")

    fragile = tuple(replace(record, read=crash) for record in records())
    monkeypatch.setattr("turnwatch.bench.fuzz.records.records", lambda: fragile)
    tally = Tally()
    try_records(SEED, range(10), tally)
    assert len(tally.crashes) == 10
    assert all("KeyError: 'slice'" in told for told in tally.crashes)
