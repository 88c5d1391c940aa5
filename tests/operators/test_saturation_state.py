"""What the saturation watch keeps: enough to go on after a restart as if there had been none, and no more than an hour."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.families import QUEUES, RELEASES, STAGE_LATENCIES
from schemas.findings import Findings
from stream_jobs.operators.kept_minutes import KEPT_MINUTES
from stream_jobs.operators.saturation.watch import SaturationWatch
from tests.operators.queue_worlds import (
    BATCH,
    CANARY,
    FAST,
    LLM,
    POOL,
    SATURATED,
    SLOW,
    queue,
    queue_minute,
    release_minute,
    stage_minute,
    stated,
)
from tests.operators.worlds import START_MS, Changelog

DEPTHS = [5, 5, 40, 80, 140, 200, 180, 5, 5, 40, 5, 5, 5, 5, 5, 5, 5]


def minute_of(number: int) -> list[tuple[object, object]]:
    before = DEPTHS[number - 1] if number else None
    lines = {(text, LLM): queue(DEPTHS[number], before, batch_arrivals=20 * (number > 6)) for text in (POOL, CANARY)}
    slow = SLOW if DEPTHS[number] > 30 else FAST
    return [
        (QUEUES, queue_minute(number, lines)),
        (STAGE_LATENCIES, stage_minute(number, dict.fromkeys(lines, slow))),
        (RELEASES, release_minute(number, {CANARY: (4, 4 * (number == 6))})),
    ]


def told_in(order: Sequence[int], restart_at: int | None = None, repeats: int = 1) -> list[Findings]:
    """All that is stated of the world, families told in this order, with a restart from what was saved after a minute."""
    watch, changelog, said = SaturationWatch(0), Changelog(), []
    for number in range(len(DEPTHS)):
        minute = minute_of(number)
        for family, totals in [minute[place] for place in order] * repeats:
            watch.tell(family, totals, START_MS)  # type: ignore[arg-type]
        said += stated(watch, number)
        for block in (*watch.unsaved_blocks(number), *watch.forgotten_blocks()):
            changelog.write(block)
        if number == restart_at:
            watch = SaturationWatch(0)
            watch.restore(changelog.stored)
    return said


@pytest.fixture(scope="module")
def uninterrupted() -> list[Findings]:
    said = told_in((0, 1, 2))
    assert {finding.alert for each in said for finding in each.findings} == {SATURATED, BATCH}
    return said


@pytest.mark.parametrize("restart_at", [3, 8])
def test_after_a_restart_the_same_is_stated_as_without_one(uninterrupted: list[Findings], restart_at: int) -> None:
    assert told_in((0, 1, 2), restart_at) == uninterrupted


def test_order_and_repeats_of_what_is_told_change_nothing(uninterrupted: list[Findings]) -> None:
    assert told_in((2, 1, 0), repeats=2) == uninterrupted


def test_late_data_replaces_what_was_told_of_its_minute() -> None:
    on_time, late = SaturationWatch(0), SaturationWatch(0)
    for number in range(4):
        for family, totals in minute_of(number):
            on_time.tell(family, totals, START_MS)  # type: ignore[arg-type]
            late.tell(family, totals, START_MS)  # type: ignore[arg-type]
        if number == 1:
            late.tell(QUEUES, queue_minute(0, {(POOL, LLM): queue(900)}), START_MS)
            late.tell(QUEUES, minute_of(0)[0][1], START_MS)  # type: ignore[arg-type]
        assert stated(late, number) == stated(on_time, number)


def test_state_does_not_grow_once_an_hour_is_kept() -> None:
    watch, changelog = SaturationWatch(0), Changelog()
    for number in range(72):
        watch.tell(QUEUES, queue_minute(number, {(POOL, LLM): queue(5, 5)}), START_MS)
        if number % 5 == 0:
            stated(watch, number)
        for block in (*watch.unsaved_blocks(number), *watch.forgotten_blocks()):
            changelog.write(block)
    assert len(changelog.stored) <= KEPT_MINUTES + 6 + 2, (
        "minutes, those that wait for a decision, episodes' and the decided one"
    )
