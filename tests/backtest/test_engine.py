"""The engine against a recount by loops, at thresholds to the turn, and after pauses."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.slos import Life, LowTraffic, PolicyRow, WatchedSlo
from tests.backtest.rows import FLEET, MINUTE_MS, SLO, START_MS
from turnwatch.backtest.engine import alerts
from turnwatch.backtest.instants import decided
from turnwatch.backtest.series import Batch, Gathering, Series, Span

SHORT_S, LONG_S = 120, 600
AT_ONCE = Life(Decimal(1), {"page": 0, "ticket": 0}, {"page": 0, "ticket": 0})
LIVES = (AT_ONCE, Life(), Life(Decimal("0.5"), {"page": 300, "ticket": 0}, {"page": 120, "ticket": 0}))


def series(bad: list[int], total: list[int], reported: list[int] | None = None) -> Series:
    span = Span(START_MS, START_MS + len(bad) * MINUTE_MS, MINUTE_MS)
    was_reported = np.isin(np.arange(len(bad)), range(len(bad)) if reported is None else reported)
    counts_bad, counts_total = (np.array([each], dtype=np.int64) for each in (bad, total))
    return Series(span, (FLEET,), counts_bad, counts_total, np.array([START_MS]), was_reported)


def watched(threshold: Decimal, life: Life = AT_ONCE) -> WatchedSlo:
    row = PolicyRow("row", LONG_S, SHORT_S, threshold, threshold * 100, "page")
    return WatchedSlo(SLO, (row,), LowTraffic.none(), life)


def recounted(bad: list[int], total: list[int], threshold: Decimal, life: Life) -> list[tuple[int, int | None]]:
    """Minutes from and to of every alert, by the definition."""
    found: list[tuple[int, int | None]] = []
    since = spoken = exceeding = None
    for end in range(1, len(bad) + 1):
        sums = [(sum(each[max(0, end - length // 60) : end])) for length in (LONG_S, SHORT_S) for each in (bad, total)]
        shares = [Fraction(part, of) if of else Fraction(-1) for part, of in (sums[:2], sums[2:])]
        exceeds = min(shares) > Fraction(threshold)
        lowered = Fraction(threshold) * Fraction(life.resolve_below)
        exceeding = None if not exceeds else exceeding or end
        if since is None and exceeding is not None and (end - exceeding) * 60 >= life.pending_s["page"]:
            since = end
        if exceeds or min(shares) > lowered or (shares[0] > lowered and not sums[3]):
            spoken = end
        elif since is not None and spoken is not None and (end - spoken) * 60 >= life.keep_firing_s["page"]:
            found, since = [*found, (since, end)], None
    return found if since is None else [*found, (since, None)]


def in_minutes(of: Series, by: WatchedSlo) -> list[tuple[int, int | None]]:
    return [
        ((each.from_ms - START_MS) // MINUTE_MS, None if each.to_ms is None else (each.to_ms - START_MS) // MINUTE_MS)
        for each in alerts(of, by)
    ]


@settings(max_examples=60)
@given(
    minutes=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 0, 1, 5, 20])), min_size=1, max_size=60),
    threshold=st.sampled_from(["0.05", "0.2", "0.25", "0.3333333333333333333333333333"]),
    life=st.sampled_from(LIVES),
)
def test_alerts_are_those_of_a_recount(minutes: list[tuple[int, int]], threshold: str, life: Life) -> None:
    """The last threshold does not fit into 64 bits when it is multiplied out."""
    bad, total = [bad for bad, _ in minutes], [bad + good for bad, good in minutes]
    found = in_minutes(series(bad, total), watched(Decimal(threshold), life))
    assert found == recounted(bad, total, Decimal(threshold), life)


@pytest.mark.parametrize("times", [1, 10**9])
@pytest.mark.parametrize("threshold", ["0.144", "0.1440000000000000000000000000"])
def test_exactly_on_the_threshold_is_not_above_it_however_many_turns(times: int, threshold: str) -> None:
    on, above = [144 * times] * 10, [144 * times] * 9 + [144 * times + 1]
    total = [1_000 * times] * 10
    assert in_minutes(series(on, total), watched(Decimal(threshold))) == []
    assert in_minutes(series(above, total), watched(Decimal(threshold))) == [(10, None)]


def test_a_row_whose_short_window_is_below_a_bucket_is_left_out() -> None:
    (row,) = watched(Decimal("0.1")).rows
    fine = replace(watched(Decimal("0.1")), rows=(replace(row, short_s=50),))
    assert alerts(series([9] * 20, [10] * 20), fine) == []


def test_after_a_pause_decisions_begin_an_hour_before_its_end() -> None:
    """As the stream's do, which then knows that it is late; nothing is decided behind the newest report."""
    places = decided(series([0] * 300, [0] * 300, reported=[0, 1, 2, 200, 201]))
    assert places.tolist() == [0, 1, 2, *range(140, 202)]


def test_an_alert_stays_through_a_pause_that_nobody_decided_in() -> None:
    bad = [9] * 30 + [0] * 170 + [0] * 30
    total = [10] * 30 + [0] * 170 + [10] * 30
    reported = [*range(30), *range(200, 230)]
    assert in_minutes(series(bad, total, reported), watched(Decimal("0.1"))) == [(1, 141)]


def test_more_than_memory_holds_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwatch.backtest.series.CELLS_MAX", 100)
    span = Span(0, 50 * MINUTE_MS, MINUTE_MS)
    gathering = Gathering(span, SLO, "a.parquet")
    names = [f"{FLEET},bundle=v{number}" for number in range(3)]
    one = np.array([1, 1, 1])
    with pytest.raises(ValueError, match="more than 2 slices of 50 buckets each is more than fits in memory"):
        gathering.add(Batch(names, np.arange(3), np.zeros(3, dtype=np.int64), one, one, lambda row: str(row)))
