"""A worker diverts what is data, and stops at what looks like a deploy."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from schemas.failures import Foreseen, Undecodable
from schemas.families import OPERATIONAL, TURNS
from schemas.metrics import WorkerMetrics
from schemas.partials import PARTIALS_VERSION, Partial, encode, partial_schema
from schemas.rejections import DeadLetter, Halt, Reason, Rejected
from schemas.topics import partials
from stream_jobs.agents.diversion import Diversion, DiversionBound, Halted, dead_letter
from stream_jobs.agents.questions import read_partials

MINUTE_MS = 60_000
TOPIC = "aggregates.turns"


def letter(offset: int, partition: int = 0) -> DeadLetter:
    return dead_letter(
        Rejected(Reason.CHECKSUM_MISMATCH, "It was changed on its way."), "producer", TOPIC, partition, offset
    )


def halted_at(bound: DiversionBound, refusals: list[tuple[DeadLetter, int]]) -> int | None:
    """Which of the refusals was one too many."""
    for place, (refused, at_ms) in enumerate(refusals):
        try:
            bound.note(refused, at_ms)
        except Halted:
            return place
    return None


def test_one_more_than_the_bound_in_a_minute_halts_at_its_own_position() -> None:
    bound = DiversionBound(per_minute_max=3, now_ms=lambda: 77)
    for place in range(3):
        bound.note(letter(place * 10, place), at_ms=MINUTE_MS + place)
    with pytest.raises(Halted) as raised:
        bound.note(letter(99, 1), at_ms=2 * MINUTE_MS - 1)
    assert raised.value.halt.position == (TOPIC, 1, 99)
    assert raised.value.halt.at_ms == 77
    assert "More than 3 records of one minute" in str(raised.value)
    assert "turnwatch dead-letters" in str(raised.value)


def test_a_backlog_counts_by_the_minutes_of_its_log_not_of_its_reading() -> None:
    """An hour of one broken producer, read in a second, is what it was when it came: data."""
    refusals = [(letter(offset * 5), offset * MINUTE_MS // 3) for offset in range(180)]
    assert halted_at(DiversionBound(per_minute_max=3), refusals) is None
    assert halted_at(DiversionBound(per_minute_max=2), refusals) == 2


def test_more_than_the_bound_in_a_row_of_one_partition_halts_however_slowly_they_come() -> None:
    slowly = [(letter(offset), offset * MINUTE_MS) for offset in range(10)]
    assert halted_at(DiversionBound(per_minute_max=4), slowly) == 4
    with_good_ones_between = [(letter(offset * 2), offset * MINUTE_MS) for offset in range(10)]
    assert halted_at(DiversionBound(per_minute_max=4), with_good_ones_between) is None


def test_what_is_read_again_after_a_rebalance_counts_once() -> None:
    once = [(letter(offset * 2), 0) for offset in range(3)]
    assert halted_at(DiversionBound(per_minute_max=3), once * 5) is None


def test_records_without_a_broker_s_stamp_count_by_the_clock() -> None:
    now_ms = [0]
    bound = DiversionBound(per_minute_max=1, now_ms=lambda: now_ms[0])
    bound.note(letter(0), at_ms=None)
    now_ms[0] = MINUTE_MS
    bound.note(letter(2), at_ms=None)
    with pytest.raises(Halted):
        bound.note(letter(4), at_ms=None)


def test_under_a_standing_halt_nothing_of_its_topic_is_diverted() -> None:
    standing = Halt(topic=TOPIC, partition=2, offset=7, reason="empty_frame", why="Too much.", at_ms=0)
    bound = DiversionBound(per_minute_max=100, halted={TOPIC: standing})
    bound.note(letter(0).model_copy(update={"topic": "burns"}), at_ms=0)
    with pytest.raises(Halted, match=f"{TOPIC}:2:7"):
        bound.note(letter(1, partition=0), at_ms=0)
    bound.halted = {}
    bound.note(letter(3, partition=0), at_ms=0)


def test_without_a_bound_everything_is_diverted() -> None:
    standing = Halt(topic=TOPIC, partition=0, offset=0, reason="empty_frame", why="Too much.", at_ms=0)
    bound = DiversionBound(None, {TOPIC: standing})
    assert halted_at(bound, [(letter(offset), 0) for offset in range(1_000)]) is None


def test_letters_wait_for_the_next_save_and_are_given_once() -> None:
    registry = CollectorRegistry()
    diversion = Diversion(DiversionBound(per_minute_max=2), WorkerMetrics(registry))
    diversion.divert(letter(0))
    diversion.divert(letter(1))
    with pytest.raises(Halted):
        diversion.divert(letter(2))
    sent = diversion.letters()
    assert [DeadLetter.decode(each.value).offset for each in sent] == [0, 1]
    assert [each.key for each in sent] == [b"aggregates.turns:0:0", b"aggregates.turns:0:1"]
    assert diversion.letters() == []
    labels = {"topic": TOPIC, "reason": "checksum_mismatch"}
    assert registry.get_sample_value("turnwatch_records_diverted_total", labels) == 2


@given(payload=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_is_in_the_dead_letters_is_a_letter_or_is_not(payload: bytes) -> None:
    for model in (DeadLetter, Halt):
        try:
            model.decode(payload)
        except Undecodable as error:
            assert "this version" in str(error)


def test_a_letter_reads_back_as_it_was_written() -> None:
    for refused in (letter(5), letter(5).model_copy(update={"producer": None, "reason": "a_reason_of_tomorrow"})):
        assert DeadLetter.decode(refused.encode()) == refused


# -- what a stage reads of a topic of ours ----------------------------------------------------------------------------


def partial_event(offset: int, source_partition: int = 0, **about: object) -> Any:
    sound = Partial(TURNS, OPERATIONAL, source_partition, offset + 1, (), partial_schema(TURNS).empty_table())
    headers, value = encode(sound)
    changed = [(name, json.dumps(json.loads(text) | about).encode()) for name, text in headers]
    message = SimpleNamespace(topic=partials("turns"), partition=2, offset=offset, headers=changed, value=value)
    return SimpleNamespace(message=message)


def test_a_partial_that_is_none_is_diverted_and_those_around_it_are_read() -> None:
    diversion = Diversion(DiversionBound(), WorkerMetrics(CollectorRegistry()))
    events = [partial_event(0), partial_event(1, reach="far"), partial_event(2, source_partition=4), partial_event(3)]
    assert [partial.version for partial in read_partials(events, 4, diversion)] == [1, 4]
    letters = [DeadLetter.decode(each.value) for each in diversion.letters()]
    assert [(letter.reason, letter.offset) for letter in letters] == [("undecodable", 1), ("undecodable", 2)]


def test_a_partial_of_a_newer_format_stops_the_stage_and_is_never_diverted() -> None:
    """A worker that was left behind would otherwise divert what it only has to be deployed for."""
    diversion = Diversion(DiversionBound(None), WorkerMetrics(CollectorRegistry()))
    with pytest.raises(Foreseen, match="deploy the newer worker") as raised:
        list(read_partials([partial_event(0, format=PARTIALS_VERSION + 1)], 4, diversion))
    assert not isinstance(raised.value, Undecodable)
    assert diversion.letters() == []
