"""A fence lets each number pass once, in any order, for as long as frames that old are taken in; within bounds."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rejections import PRODUCERS_MAX
from stream_jobs.operators.totals import fences as module
from stream_jobs.operators.totals.blocks import BLOCK_BYTES_MAX
from stream_jobs.operators.totals.fence import AHEAD_MAX, GAP_NUMBERS, NUMBERS_KEPT, NUMBERS_KEPT_AT_FIRST, Fence
from stream_jobs.operators.totals.fences import FENCE_KEPT_MS, INCARNATIONS_MAX, PAGES, Fences, page_of

DAY_MS = 86_400_000
NOW_MS = 20_000 * DAY_MS


@given(numbers=st.lists(st.integers(0, 300), max_size=200))
def test_each_number_is_fresh_exactly_once(numbers: list[int]) -> None:
    fence, came = Fence(), set[int]()
    for number in numbers:
        assert fence.admit(number) == ("repeated" if number in came else "fresh")
        came.add(number)
        assert all(fence.came(each) == (each in came) for each in (*numbers, number + 1))
    assert fence.mark == next(number for number in range(302) if number not in came)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_far_apart_numbers_are_fresh_exactly_once_too(seed: int) -> None:
    """Over gaps, in order, reversed and at random: whatever is missing can still come, and does not come twice."""
    dice = random.Random(seed)
    numbers = [dice.randrange(3 * GAP_NUMBERS) for _ in range(300)]
    numbers += sorted(numbers[:100]) + [number + 1 for number in numbers[100:200]]
    fence, came = Fence(), set[int]()
    fence.admit(0)
    for number in (each + 1 for each in numbers):
        assert fence.admit(number) == ("repeated" if number in came else "fresh")
        came.add(number)
    missing = {
        place + gap * GAP_NUMBERS
        for gap, bits in fence.gaps.items()
        for place in range(GAP_NUMBERS)
        if bits >> place & 1
    }
    assert missing == set(range(1, fence.mark)) - came
    assert fence.given_up == 0


def test_what_never_came_is_counted_and_comes_once_for_as_long_as_it_is_remembered() -> None:
    fence = Fence()
    for number in range(NUMBERS_KEPT):
        if number % 7:  # As turns do whose audience frames are refused.
            assert fence.admit(number) == "fresh"
    assert fence.given_up == 0
    assert abs(fence.missing - NUMBERS_KEPT // 7) <= AHEAD_MAX
    assert [fence.admit(7) for _ in range(2)] == ["fresh", "repeated"]
    assert [fence.admit(number) for number in (70_000, 70_000, 70_001)] == ["fresh", "repeated", "repeated"]
    fence.admit(2 * NUMBERS_KEPT + 2 * GAP_NUMBERS)
    remembered = sum(missing.bit_count() for missing in fence.gaps.values())
    assert fence.missing == 2 + fence.given_up + remembered
    assert fence.given_up >= NUMBERS_KEPT // 7 - 1 and remembered >= NUMBERS_KEPT - AHEAD_MAX
    assert [fence.admit(number) for number in (14, 70_007)] == ["expired", "expired"]


def test_a_number_however_large_is_one_number() -> None:
    fence = Fence()
    assert fence.admit(1) == "fresh"
    assert fence.admit(10**18 - 1) == "fresh"
    assert fence.missing == fence.mark - 1
    assert fence.given_up == fence.given_up_below - 1
    assert fence.mark - NUMBERS_KEPT - GAP_NUMBERS < fence.given_up_below <= fence.mark - NUMBERS_KEPT
    assert [fence.admit(number) for number in (0, 1, 10**18 - 1)] == ["expired", "expired", "repeated"]
    assert [fence.admit(fence.mark - NUMBERS_KEPT) for _ in range(2)] == ["fresh", "repeated"]
    assert len(fence.gaps) <= NUMBERS_KEPT // GAP_NUMBERS + 2


def test_a_fence_begun_in_the_middle_of_a_life_misses_little_of_it() -> None:
    fence = Fence()
    assert fence.admit(1_000_000) == "fresh"
    assert len(fence.gaps) <= NUMBERS_KEPT_AT_FIRST // GAP_NUMBERS + 2


# -- many producers ----------------------------------------------------------------------------------------------------


def admit(
    fences: Fences, producer: str, sequence: int, end_ms: int = NOW_MS, offset: int = 0, incarnation: int = 1
) -> str:
    return fences.admit(producer, incarnation, sequence, end_ms, offset).passage


def test_a_repeat_is_known_for_as_long_as_its_window_is_taken_in() -> None:
    fences = Fences()
    assert admit(fences, "host-1", 0) == "fresh"
    for hours in (30, 7 * 24):
        assert admit(fences, "host-2", hours, NOW_MS + hours * 3_600_000) == "fresh"
        fences.forget_idle()
        assert admit(fences, "host-1", 0) == "repeated"
    assert admit(fences, "host-2", 999, NOW_MS + FENCE_KEPT_MS + 1) == "fresh"
    fences.forget_idle()
    assert len(fences) == 1


def test_what_is_missing_is_given_up_and_counted_when_its_fence_is_forgotten() -> None:
    fences = Fences()
    admit(fences, "host-1", AHEAD_MAX + 10)
    missing = fences._pages[page_of("host-1")]["host-1"].fences[1].missing
    admit(fences, "host-2", 0, NOW_MS + FENCE_KEPT_MS + 1)
    assert fences.forget_idle() == missing > 0
    assert fences._gaps == {}


def test_an_incarnation_that_made_room_is_refused_and_never_news() -> None:
    fences = Fences()
    for incarnation in range(1, INCARNATIONS_MAX + 2):
        assert admit(fences, "host-1", 0, NOW_MS - incarnation, incarnation=incarnation) == "fresh"
    assert admit(fences, "host-1", 0, incarnation=1) == "expired"
    assert admit(fences, "host-1", 0, incarnation=2) == "repeated"
    # Those that followed were idle for longer than the one that made room, and go; what it knew is not lost with them.
    for incarnation in range(2, INCARNATIONS_MAX + 1):
        fences._pages[page_of("host-1")]["host-1"].fences[incarnation].last_window_end_ms = 0
    admit(fences, "host-2", 0, NOW_MS + FENCE_KEPT_MS - 1)
    fences.forget_idle()
    assert len(fences) == 2
    assert admit(fences, "host-1", 0, incarnation=1) == "expired"


def crowded_page() -> tuple[Fences, list[str]]:
    """Fences with room for few, and more names of one page than it takes."""
    fences = Fences(producers_max=PAGES * 4)
    names = [name for name in map("host-{}".format, range(2_000)) if page_of(name) == page_of("host-0")]
    return fences, names


def test_a_page_takes_so_many_producers_and_refuses_further_ones_until_some_are_gone() -> None:
    fences, names = crowded_page()
    found = [admit(fences, name, 0) for name in names[:8]]
    assert found == ["fresh"] * 5 + ["crowded"] * 3
    assert [admit(fences, name, 0) for name in names[:8]] == ["repeated"] * 5 + ["crowded"] * 3
    assert admit(fences, names[0], 1, NOW_MS + FENCE_KEPT_MS + 1) == "fresh"
    assert [admit(fences, name, 0, NOW_MS + DAY_MS) for name in names[5:8]] == ["fresh"] * 3


def test_a_producer_that_is_known_goes_on_however_crowded_it_is() -> None:
    fences, names = crowded_page()
    for name in names[:5]:
        admit(fences, name, 0)
    assert admit(fences, names[0], 0, incarnation=2) == "fresh"
    assert admit(fences, names[0], 0, incarnation=1) == "expired"
    assert admit(fences, names[0], 0, incarnation=2) == "repeated"


def test_of_too_many_gaps_the_oldest_are_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GAPS_MAX", 3)
    fences, given_up = Fences(), 0
    for place in range(5):
        fences.admit(f"host-{place}", 1, 0, NOW_MS, 0)
        given_up += fences.admit(f"host-{place}", 1, AHEAD_MAX + 2, NOW_MS, 0).given_up
    assert len(fences._gaps) == 3
    assert given_up == 2 * (AHEAD_MAX // 2 + 1)
    assert [admit(fences, f"host-{place}", 7) for place in range(5)] == ["expired"] * 2 + ["fresh"] * 3


# -- saving ------------------------------------------------------------------------------------------------------------


class Saved:
    """What a changelog has of fences, and fences as they are restored from it."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[Any, int]] = {}
        self.gaps: dict[str, Any] = {}

    def save(self, fences: Fences, judged_until: int, only_gaps: bool = False) -> None:
        for key in fences.filled_gaps():
            self.gaps.pop(key, None)
        self.gaps |= dict(fences.unsaved_gaps())
        if not only_gaps:
            self.pages |= {
                page: (json.loads(content), judged_until) for page, content in fences.unsaved_pages(judged_until)
            }

    def restored(self) -> Fences:
        fences = Fences()
        for page, (content, judged_until) in self.pages.items():
            fences.restore(page, content, judged_until)
        for key, content in self.gaps.items():
            fences.restore_gap(key, content)
        return fences


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_crash_between_gaps_and_pages_changes_no_verdict(seed: int) -> None:
    """Fences that died at any point of a save judge what comes as those that never did."""
    dice = random.Random(seed)
    log = [(f"host-{dice.randrange(2)}", dice.randrange(2 * GAP_NUMBERS)) for _ in range(120)]
    log += dice.sample(log, 30)
    alone, came = Fences(), set[tuple[str, int]]()
    wanted = [admit(alone, *frame, offset=offset) for offset, frame in enumerate(log)]
    assert wanted == ["repeated" if frame in came or came.add(frame) else "fresh" for frame in log]  # type: ignore[func-returns-value] # add() says nothing

    saved, fences, marked, found = Saved(), Fences(), -1, dict[int, str]()
    while marked < len(log) - 1:
        end = min(len(log), marked + 1 + dice.randint(1, 20))
        for offset in range(marked + 1, end):
            passage = admit(fences, *log[offset], offset=offset)
            # What was fresh before a crash may be a repeat after it: its rows were saved before.
            assert passage == wanted[offset] or (found.get(offset), passage) == ("fresh", "repeated")
            found.setdefault(offset, passage)
        crash = dice.random()
        saved.save(fences, end - 1, only_gaps=crash < 0.2)
        if crash >= 0.4:
            marked = end - 1
        if crash < 0.6:
            fences = saved.restored()
    assert [found[offset] for offset in range(len(log))] == wanted


def test_a_gap_that_was_filled_is_forgotten_in_the_changelog_as_well() -> None:
    saved, fences = Saved(), Fences()
    for number in (0, *range(2, AHEAD_MAX + 3)):
        admit(fences, "host-1", number)
    saved.save(fences, 0)
    assert set(saved.gaps) == {"host-1|1|0"}
    assert admit(fences, "host-1", 1) == "fresh"
    saved.save(fences, 1)
    assert admit(saved.restored(), "host-1", 1, offset=9) == "repeated"
    saved.save(fences, 2)
    assert saved.gaps == {}


def test_a_page_stays_below_the_size_of_a_block_whatever_is_in_it() -> None:
    fences = Fences(PRODUCERS_MAX)
    largest = Fence(10**18, 2**AHEAD_MAX - 1, 10**18, 10**18, 10**18, NOW_MS)
    fences._pages[0] = {
        f"{place:063}": module._Producer(10**18, {10**18: largest}) for place in range(fences._page_max)
    }
    fences._unsaved.add(0)
    ((_, content),) = fences.unsaved_pages(0)
    assert 400_000 < len(content) < BLOCK_BYTES_MAX - 100
