"""Budgets of minutes in a backtest: the same minutes as the stream's, corrected by what is excluded, and named as such."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.slos import PolicyRow, WatchedSlo
from tests.backtest.rows import FLEET, MINUTE_MS, SLO, START_MS
from turnwatch.backtest.command import judged
from turnwatch.backtest.engine import slice_at
from turnwatch.backtest.exclusions import Excluded
from turnwatch.backtest.judgement import budget_curve
from turnwatch.backtest.judging import in_minutes
from turnwatch.backtest.report import print_report
from turnwatch.backtest.series import Series, Span
from turnwatch.backtest.sources import Told

MINUTES = replace(SLO, objective=Decimal("0.9"), budgeting="time_slices", time_slice_target=Decimal("0.95"))
ROWS = (
    PolicyRow("page_10m_1m", 600, 60, Decimal("0.5"), Decimal(5), "page"),
    PolicyRow("page_5m_30s", 300, 30, Decimal("0.9"), Decimal(9), "page"),
)
WATCHED = WatchedSlo(MINUTES, ROWS)


def fleet(bad: list[int], total: list[int]) -> Series:
    span = Span(START_MS, START_MS + len(bad) * MINUTE_MS, MINUTE_MS)
    of_bad, of_total = (np.array([each], dtype=np.int64) for each in (bad, total))
    return Series(span, (FLEET,), of_bad, of_total, np.array([START_MS]), np.ones(len(bad), dtype=bool))


@given(
    buckets=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=40),
    first=st.integers(0, 5),
    target=st.sampled_from(["0.5", "0.9", "0.95", "1"]),
)
def test_minutes_are_told_as_a_loop_tells_them(buckets: list[tuple[int, int]], first: int, target: str) -> None:
    """Data may begin and end within a minute: the first is judged by what there is, the last has not ended."""
    bad, total = ([bad for bad, _ in buckets], [bad + good for bad, good in buckets])
    ends_ms = START_MS + 10_000 * (first + 1 + np.arange(len(buckets)))
    found = in_minutes((np.array(bad), np.array(total)), ends_ms, Decimal(target))
    wanted = np.zeros((2, len(buckets)), dtype=np.int64)
    for last, end_ms in enumerate(ends_ms.tolist()):
        if end_ms % MINUTE_MS == 0:
            of_bad, of_total = (sum(each[max(0, last - 5) : last + 1]) for each in (bad, total))
            is_bad = of_total > 0 and Fraction(of_bad, of_total) > 1 - Fraction(target)
            wanted[:, last] = is_bad, of_total > 0
    assert np.array_equal(np.stack(found), wanted)


def test_the_budget_is_of_minutes_and_excluded_ones_leave_it() -> None:
    """Eighteen of 180 minutes are bad, which is all of the budget; without half of them, half of 171."""
    series = fleet([10] * 18 + [0] * 162, [100] * 180)
    excluded = [Excluded(START_MS, START_MS + 9 * MINUTE_MS)]
    last = budget_curve(series, WATCHED, 0, excluded).row(-1, named=True)
    assert last["left"] == pytest.approx(0) and last["corrected"] == pytest.approx(1 - 9 / 171 / 0.1)


def test_a_minute_that_loses_its_bad_turns_is_good() -> None:
    series = fleet([10, 10, 10], [100, 100, 100])
    of_slice, _ = slice_at(series, 0, WATCHED)
    left = of_slice.without(np.array([10, 6, 10]), np.array([20, 10, 100]))
    assert of_slice.counts(600, np.array([2])).tolist() == [[3, 3]]
    assert left.counts(600, np.array([2])).tolist() == [[0, 2]], "4 of 90 are few enough, and no turns are no minute"


def test_the_report_says_minutes_and_which_row_they_cannot_judge() -> None:
    series = fleet([0] * 30 + [10] * 20 + [0] * 30, [1_000] * 30 + [100] * 20 + [1_000] * 30)
    told = Told((series,), series.span.start_ms, series.span.end_ms)
    report = judged(WATCHED, "a.csv", told, None, None)
    said, document = io.StringIO(), io.StringIO()
    print_report(report, "table", said)
    print_report(report, "json", document)
    assert "90 % of minutes, 95 % of the turns of each, over 30 d" in said.getvalue()
    assert "Row page_5m_30s is left out: its short window is shorter than" in said.getvalue()
    (alert,) = json.loads(document.getvalue())["verdicts"][0]["alerts"]
    assert (alert["row"], alert["bad"], alert["total"]) == ("page_10m_1m", 10, 10)
