"""Numbers of slices are given again, and counts stored under a number never mean another slice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.slos import LowTraffic, WatchedSlo
from stream_jobs.operators.burn_rate import history
from stream_jobs.operators.burn_rate.burn_rate import NUMBER_IDLE_MS, BurnRate
from stream_jobs.operators.totals import slice_numbers
from tests.operators.burn_worlds import PAGE, SLO, START_MS, partial
from tests.operators.worlds import Changelog, Crash

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
PERIOD_S = 86_400
LONGEST_MS = PERIOD_S * 1_000


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slice_numbers, "_PAGE_SLICES", 2)
        patch.setattr(history, "_CHUNK_SLICES", 2)
        yield


def shard() -> BurnRate:
    """An SLO over one day, so that numbers are free after three."""
    row = replace(PAGE, threshold=Decimal("0.144"))
    return BurnRate(0, 1, [WatchedSlo(replace(SLO, period_s=PERIOD_S), (row,), LowTraffic())])


Told = tuple[int, str, int]
"""Bucket start, slice, turns."""


def weeks(seed: int, steps: int = 40) -> list[Told]:
    dice, now_ms = random.Random(seed), START_MS
    told: list[Told] = []
    for _ in range(steps):
        now_ms += dice.choice((0, 60_000, HOUR_MS, 20 * HOUR_MS, 4 * DAY_MS))
        for name in sorted({dice.choice("abcdefg") for _ in range(2)}):
            told.append((now_ms, f"pool=realtime,bundle={name}", dice.randint(1, 9)))
    return [each for place, each in enumerate(told) if each[:2] not in {other[:2] for other in told[:place]}]


def longest(burn_rate: BurnRate, end_ms: int) -> dict[str, int]:
    """Turns of every slice in the longest window that ends here."""
    counts = burn_rate._history.window(LONGEST_MS, end_ms)
    texts = burn_rate._slices.texts
    return {text: int(counts[number, 0, 1]) for number, text in enumerate(texts) if text and counts[number, 0, 1]}


def test_a_number_is_given_again_once_the_period_holds_nothing_of_its_slice() -> None:
    burn_rate = shard()
    days = 3 * (LONGEST_MS + NUMBER_IDLE_MS) // DAY_MS
    for day in range(days):
        for version, name in enumerate((f"v{day}", "steady")):
            burn_rate.apply(
                partial(START_MS + day * DAY_MS, 1, 5, 10 * day + version + 1, f"pool=realtime,bundle={name}")
            )
        list(burn_rate.rollups())
    assert burn_rate.slices < len(burn_rate._slices) + 1 < days
    assert longest(burn_rate, START_MS + (days - 1) * DAY_MS + 60_000)["pool=realtime,bundle=steady"] == 10


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_crash_between_any_two_effects_never_gives_a_slice_another_ones_counts(seed: int) -> None:
    """Compared with a recount of what was told, over the window as the history rounds it."""
    dice, changelog, lives = random.Random(seed), Changelog(), [10]

    def survive() -> None:
        if lives[0] and dice.random() < 0.08:
            lives[0] -= 1
            raise Crash

    told, committed = weeks(seed), 0
    while committed < len(told):
        try:
            burn_rate = shard()
            burn_rate.restore(changelog.stored)
            list(burn_rate.rollups())
            while committed < len(told):
                batch = dice.randint(1, 6)
                for place in range(committed, min(committed + batch, len(told))):
                    start_ms, text, turns = told[place]
                    burn_rate.apply(partial(start_ms, 0, turns, place + 1, text))
                list(burn_rate.rollups())
                for block in (*burn_rate.unsaved_blocks(committed + batch), *burn_rate.marker(committed + batch)):
                    changelog.write(block)
                    survive()
                committed += batch
        except Crash:
            continue
    end_ms = told[-1][0] // HOUR_MS * HOUR_MS + HOUR_MS
    found = longest(burn_rate, end_ms)
    wanted: dict[str, int] = {}
    for start_ms, text, turns in told:
        if end_ms - LONGEST_MS <= start_ms < end_ms:
            wanted[text] = wanted.get(text, 0) + turns
    assert found == wanted
