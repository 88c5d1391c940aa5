"""Error budgets: what was spent since midnight and what one failure costs, as shares of the whole period's budget."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from schemas.instants import DAY_MS
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.error_budget import HISTORY_KNOWN_MS, midnight_ms
from stream_jobs.operators.burn_rate.history import History
from stream_jobs.operators.burn_rate.windows import Watch, Windows, window_rows
from stream_jobs.operators.totals.slice_numbers import SliceNumbers
from tests.operators.burn_worlds import FLEET, PAGE, SLO

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
GERMAN = f"{FLEET},language=de"
MIDNIGHT_MS = 1_700_006_400_000
START_MS = MIDNIGHT_MS - 20 * HOUR_MS
WATCHED = WatchedSlo(replace(SLO, cuts=("pool", "pool,language")), (PAGE,))

Counted = dict[int, tuple[int, int]]
"""Bad and total turns by the minute that they were in."""


class Told:
    """A fleet, and a slice of wider buckets with half of its turns, counted minute by minute from `START_MS` on."""

    def __init__(self, minutes: int, seed: int = 3) -> None:
        dice = np.random.default_rng(seed)
        self.history, self.slices = History(["turns"], SLO.period_s), SliceNumbers(SLO.period_s * 1_000)
        self.slices.hear(pl.DataFrame({"slice": [FLEET, GERMAN], "bucket_start_ms": [START_MS, START_MS]}))
        self.counted: Counted = {}
        for place in range(minutes):
            start_ms, total = START_MS + place * MINUTE_MS, int(dice.integers(0, 50))
            bad = int(dice.binomial(total, 0.02))
            self.counted[start_ms] = (bad, total)
            counts = np.array([[[bad, total]], [[bad // 2, total // 2]]])
            self.history.assign(0, start_ms, np.array([0]), counts[:1])
            self.history.assign(1, start_ms, np.array([0, 1]), counts)
            if place % 10 == 9 or place == minutes - 1:
                for level in (2, 3):
                    self.history.retell(level, self.history.resolutions[level].start(start_ms), 1, np.array([0, 1]))

    def rows(self, end_ms: int) -> dict[str, tuple[float | None, float | None]]:
        """What the rows of an instant say of each slice, the same for every window."""
        windows = Windows(self.history, end_ms, end_ms // MINUTE_MS * MINUTE_MS, self.slices.by_minute)
        watch = Watch(WATCHED, 0, np.array([0, 1]), np.array([True, True]), np.array([0, 1]))
        rows = window_rows(watch, windows, self.slices, completeness=1.0)
        assert rows is not None
        said = rows.select("slice", "spent_today", "one_failure_costs").unique().rows()
        assert len(said) == 2 and len(rows) == 6, "each of three windows says the same of a slice"
        return {text: (today, costs) for text, today, costs in said}


def twin(counted: Counted, end_ms: int, half: bool) -> tuple[float, float]:
    """Spent today and the cost of one failure, minute by minute."""
    per = 2 if half else 1
    past = {start_ms: (bad // per, total // per) for start_ms, (bad, total) in counted.items() if start_ms < end_ms}
    turns_per_ms = Fraction(sum(total for _, total in past.values()), end_ms - START_MS)
    budget = turns_per_ms * SLO.period_s * 1_000 * (1 - Fraction(SLO.objective))
    today = sum(bad for start_ms, (bad, _) in past.items() if start_ms >= midnight_ms(end_ms))
    return float(today / budget), float(1 / budget)


TOLD = Told(minutes=26 * 60)


@pytest.mark.parametrize(
    "after_midnight_ms",
    [-HOUR_MS, -MINUTE_MS, 0, 10_000, MINUTE_MS, 9 * MINUTE_MS, 11 * MINUTE_MS, 2 * HOUR_MS, 6 * HOUR_MS],
)
def test_what_was_spent_today_is_counted_from_midnight(after_midnight_ms: int) -> None:
    end_ms = MIDNIGHT_MS + after_midnight_ms
    said = TOLD.rows(end_ms)
    assert said[FLEET] == pytest.approx(twin(TOLD.counted, end_ms, half=False))
    if end_ms % MINUTE_MS == 0:
        assert said[GERMAN] == pytest.approx(twin(TOLD.counted, end_ms, half=True))


def test_the_day_begins_anew_at_midnight_and_one_failure_costs_what_it_did() -> None:
    before, after = TOLD.rows(MIDNIGHT_MS - MINUTE_MS)[FLEET], TOLD.rows(MIDNIGHT_MS)[FLEET]
    assert before[0] is not None and before[0] > 0.05
    assert after[0] == 0.0
    assert after[1] == pytest.approx(before[1], rel=0.01)


def test_a_slice_of_wider_buckets_has_spent_nothing_of_a_day_that_it_has_not_reached() -> None:
    """Its newest whole minute may lie before midnight, where the fleet is past it already."""
    windows = Windows(TOLD.history, MIDNIGHT_MS + 50_000, MIDNIGHT_MS - MINUTE_MS, TOLD.slices.by_minute)
    assert windows.today()[:, 0, 1].tolist() == [TOLD.counted[MIDNIGHT_MS][1], 0]


def test_nobody_knows_the_budget_of_a_slice_before_an_hour_or_without_traffic() -> None:
    early = Told(minutes=61)
    assert early.rows(START_MS + HISTORY_KNOWN_MS - MINUTE_MS)[FLEET] == (None, None)
    assert early.rows(START_MS + HISTORY_KNOWN_MS)[FLEET] == pytest.approx(
        twin(early.counted, START_MS + HISTORY_KNOWN_MS, half=False)
    )
    assert early.rows(START_MS + 40 * DAY_MS)[FLEET] == (None, None)
