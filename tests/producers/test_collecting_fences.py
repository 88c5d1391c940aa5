"""Fences count a batch once, however often and in whatever order it comes, in bounded memory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.collecting import fences
from producers.collecting.fences import FORGOTTEN_AFTER_MS, HOLES_MAX, Fence, Fences, fences_of
from producers.observation_batches import BatchHeader

NOW_MS = 1_700_000_000_000


def header(
    sequence: int, recorder: str = "r", incarnation: int = 1, kind: str = "turns", dropped: int = 0
) -> BatchHeader:
    return BatchHeader(kind, recorder, incarnation, sequence, seen=1_000, dropped=dropped)


def came(known: Fences, sent: BatchHeader) -> str:
    verdict = known.judge(sent, NOW_MS)
    if verdict == "new":
        known.note(sent, NOW_MS)
    return verdict


@given(st.lists(st.integers(0, 40), max_size=80))
@settings(deadline=None)
def test_a_number_is_new_once_in_any_order(sequences: list[int]) -> None:
    fence, seen = Fence(), set[int]()
    for sequence in sequences:
        verdict = fence.judge(sequence)
        assert verdict == ("repeated" if sequence in seen else "new")
        if verdict == "new":
            fence.note(sequence)
            seen.add(sequence)
        assert fence.mark == next(number for number in range(82) if number not in seen)
        assert fence.holes == set(range(max(seen))) - seen


def test_holes_are_bounded_and_what_was_given_up_is_never_taken_for_new() -> None:
    fence = Fence()
    for sequence in (3, 10, 10 + 2 * HOLES_MAX, 11 + 2 * HOLES_MAX, 20 + 2 * HOLES_MAX):
        fence.note(sequence)
        assert len(fence.holes) <= HOLES_MAX
    assert {fence.judge(each) for each in (0, 3, 9, 10, 11, fence.given_up_below - 1)} == {"expired"}
    assert fence.judge(fence.mark) == "new"
    assert fence.judge(20 + 2 * HOLES_MAX) == "repeated"


def test_each_incarnation_and_kind_has_numbers_of_its_own() -> None:
    known = Fences()
    sources = [header(0), header(0, incarnation=2), header(0, kind="duplex"), header(0, recorder="s")]
    assert [came(known, each) for each in (*sources, *sources)] == ["new"] * 4 + ["repeated"] * 4


def test_what_a_recorder_dropped_is_counted_once() -> None:
    known = Fences()
    totals = [header(0, dropped=3), header(2, dropped=7), header(1, dropped=5), header(3, dropped=7)]
    assert [known.note(each, NOW_MS).dropped for each in totals] == [3, 4, 0, 0]


def test_what_a_recorder_refused_is_counted_once_for_each_reason() -> None:
    known = Fences()
    email, phone = "realtime:email", "batch:phone"
    totals = [{email: 2}, {email: 3, phone: 1}, {email: 2, phone: 1}, {email: 3, phone: 2}]
    sent = [
        replace(header(number, dropped=9), refused=told, withheld=told)
        for number, told in zip((0, 2, 1, 3), totals, strict=True)
    ]
    news = [known.note(each, NOW_MS) for each in sent]
    assert [each.refused for each in news] == [{email: 2}, {email: 1, phone: 1}, {}, {phone: 1}]
    assert [each.withheld for each in news] == [each.refused for each in news]
    assert fences_of(json.loads(json.dumps(known.as_json()))) == known


@pytest.mark.parametrize("told", [[], [{}], [{}, {}]], ids=["nothing", "refusals", "both"])
def test_fences_that_were_saved_before_refusals_or_dropped_fields_were_told_are_read(
    told: list[dict[str, int]],
) -> None:
    known = Fences()
    known.note(header(0, dropped=3), NOW_MS)
    saved = known.as_json()
    saved["sources"] = [[*entry, *told] for entry in saved["sources"]]
    assert fences_of(saved) == known


def test_fences_come_back_from_json_as_they_were() -> None:
    known = Fences()
    for each in (header(0), header(7), header(3 * HOLES_MAX), header(5, incarnation=2, dropped=4)):
        known.note(each, NOW_MS)
    known.expired["gone"] = 9
    assert fences_of(json.loads(json.dumps(known.as_json()))) == known


def test_a_recorder_that_was_forgotten_is_not_counted_again() -> None:
    known = Fences()
    known.note(header(0, incarnation=5), NOW_MS)
    known.forget_idle(NOW_MS + FORGOTTEN_AFTER_MS)
    assert known.judge(header(0, incarnation=5), NOW_MS) == "repeated"
    known.forget_idle(NOW_MS + FORGOTTEN_AFTER_MS + 1)
    assert [known.judge(header(0, incarnation=each), NOW_MS) for each in (4, 5, 6)] == ["expired", "expired", "new"]


def test_sources_are_bounded_and_those_that_are_heard_of_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "SOURCES_MAX", 2)
    known = Fences()
    assert [came(known, header(0, recorder=name)) for name in "abc"] == ["new", "new", "too_many"]
    known.sources["a", 1, "turns"].heard_ms -= 2 * 3_600_000
    assert [came(known, header(0, recorder=name)) for name in "cba"] == ["new", "repeated", "expired"]
