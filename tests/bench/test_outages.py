"""The outages that are measured: when they tip the arithmetic, what is reported of them, and that nothing else pages."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from alerts.definitions import watched_slos
from alerts.policies import policy_for
from schemas.families import OPERATIONAL, TURNS
from schemas.frame_rows import decode_rows
from schemas.frames import FrameHeader, decode_header, encode
from schemas.rejections import Rejected
from schemas.slos import PolicyRow, WatchedSlo
from tests.operators.evidence_twin import bad_share_at_least
from turnwatch.backtest.engine import alerts
from turnwatch.backtest.series import Series, Span
from turnwatch.bench.detection import DELAYS_S, HISTORY_MS, SLO, STRAGGLING_S
from turnwatch.bench.outages import (
    LASTS_MS,
    OUTAGES_PER_ROUND,
    STAGGER_MS,
    STEADY_BUNDLE,
    TURNS_PER_S,
    WINDOW_MS,
    Outage,
    bundles,
    floor_s,
    floor_with_evidence_s,
    outages,
    percentile,
    reporters,
    tips,
)

WATCHED: WatchedSlo = next(each for each in watched_slos() if each.slo.name == SLO)
START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12_340_000
"""In the middle of an hour and of a minute, so that window starts are rounded."""
FIRST_MS = START_MS + HISTORY_MS + 3_700


def of_objective(objective: str) -> tuple[PolicyRow, ...]:
    slo = next(each.slo for each in watched_slos() if each.slo.objective == Decimal(objective))
    return policy_for(slo).rows


def series(text: str, bad: list[int], total: list[int]) -> Series:
    span = Span(START_MS, START_MS + len(bad) * WINDOW_MS, WINDOW_MS)
    counts_bad, counts_total = (np.array([each], dtype=np.int64) for each in (bad, total))
    return Series(
        span, (text,), counts_bad, counts_total, np.array([START_MS // 60_000 * 60_000]), np.ones(len(bad), dtype=bool)
    )


@pytest.mark.parametrize(("objective", "floor"), [("0.999", 51.84), ("0.99", 300.0), ("0.95", 300.0)])
def test_the_floor_is_that_of_the_row_that_sees_an_outage_soonest(objective: str, floor: float) -> None:
    assert floor_s(of_objective(objective)) == pytest.approx(floor)


@pytest.mark.parametrize("turns_per_s", [5, 50, 500])
def test_at_the_floor_with_evidence_the_share_is_surely_above_and_a_turn_before_it_is_not(turns_per_s: int) -> None:
    """By the stream's own bound, in the outage row: the hour's needs as many bad turns of six times as many, or more."""
    outage = min((row for row in WATCHED.rows if row.severity == "page"), key=lambda row: row.long_s)
    bad = round(floor_with_evidence_s(WATCHED.rows, turns_per_s, WATCHED.low_traffic) * turns_per_s)
    shares = [bad_share_at_least(each, turns_per_s * outage.long_s, 0.95) for each in (bad - 1, bad)]
    assert shares[0] <= float(outage.threshold) < shares[1]


def test_more_traffic_needs_less_time_for_its_evidence() -> None:
    delays = [floor_with_evidence_s(WATCHED.rows, rate, WATCHED.low_traffic) for rate in (1, 10, 100, 10_000)]
    assert delays == sorted(delays, reverse=True)
    assert delays[0] >= 100, "ten times the fewest bad turns that count, at one a second"
    assert delays[-1] == pytest.approx(floor_s(WATCHED.rows), abs=0.2)


def test_the_bucket_that_tips_is_the_one_that_the_backtest_pages_at() -> None:
    """Through the judging of `turnwatch/backtest`, which counts what was reported, bucket by bucket."""
    names = bundles(1)
    planned = outages(names, FIRST_MS)
    windows = (HISTORY_MS + 2 * LASTS_MS) // WINDOW_MS
    starts = [START_MS + place * WINDOW_MS for place in range(windows)]
    for outage in planned.values():
        bad = [TURNS_PER_S * outage.failing_ms(start) // 1_000 for start in starts]
        found = alerts(series(outage.slice, bad, [TURNS_PER_S * 10] * windows), WATCHED)
        paged_ms = next(each.from_ms for each in found if each.severity == "page")
        assert tips(outage, START_MS, WATCHED).page_ms == paged_ms, outage


def test_outages_begin_everywhere_in_a_bucket_and_each_is_over_only_after_its_page() -> None:
    planned = outages(bundles(1), FIRST_MS)
    begins = [each.begins_ms for each in planned.values()]
    assert len(planned) == OUTAGES_PER_ROUND >= 30
    assert len({each % WINDOW_MS for each in begins}) == OUTAGES_PER_ROUND
    assert all(each % 100 == 0 and each >= FIRST_MS for each in begins)
    floor = floor_with_evidence_s(WATCHED.rows, TURNS_PER_S, WATCHED.low_traffic)
    for each in planned.values():
        delay_s = (tips(each, START_MS, WATCHED).page_ms - each.begins_ms) / 1_000
        assert floor <= delay_s < floor + WINDOW_MS / 1_000 + 1
        assert delay_s < LASTS_MS / 1_000


def test_every_bad_turn_of_an_outage_is_reported_once() -> None:
    outage = Outage("v3", FIRST_MS // 100 * 100)
    (reporter,) = (each for each in reporters(bundles(1), DELAYS_S, STRAGGLING_S) if "v3" in each.bundles)
    starts = range(START_MS, START_MS + HISTORY_MS + 2 * LASTS_MS, WINDOW_MS)
    covering = [start for start in starts if outage.failing_ms(start)]
    rows = [reporter.rows(start, {"v3": outage}).to_pylist() for start in covering]
    failed = [row for of_window in rows for row in of_window if row["turn_error_bad"]]
    assert {row["bundle"] for row in failed} == {"v3"}
    assert sum(row["turn_error_bad"] for row in failed) == TURNS_PER_S * LASTS_MS // 1_000
    assert len(covering) == len(failed) == LASTS_MS // WINDOW_MS + 1


def test_each_bundle_has_one_reporter_and_the_straggler_too_much_to_go_on_without() -> None:
    everyone = reporters(bundles(2), DELAYS_S, STRAGGLING_S)
    told = [name for each in everyone for name in each.bundles]
    assert sorted(told) == sorted(bundles(2))
    turns = {each.name: sum(each.rows(START_MS, {}).column("turns").to_pylist()) for each in everyone}
    assert turns[everyone[-1].name] > 0.05 * sum(turns.values())
    assert everyone[-1].delay_s > 2.0, "its frame comes after the grace"
    assert sum(each.steady_share for each in everyone) == pytest.approx(1.0)


def test_frames_are_those_of_the_contract() -> None:
    for each in reporters(bundles(1), DELAYS_S, STRAGGLING_S):
        header = FrameHeader(TURNS, OPERATIONAL, each.name, START_MS, 0, START_MS // WINDOW_MS * WINDOW_MS)
        headers, payload = encode(header, each.rows(header.window_start_ms, {}))
        of_wire = dict(headers)
        read = decode_header(TURNS.name, of_wire)
        assert not isinstance(read, Rejected)
        assert not isinstance(decode_rows(read, of_wire, payload), Rejected)


def test_the_fleet_pages_for_none_of_the_most_outages() -> None:
    """Otherwise a page of the whole fleet could keep back those that are measured."""
    names = bundles(10)
    planned = outages(names, FIRST_MS)
    everyone = reporters(names, DELAYS_S, STRAGGLING_S)
    healthy = sum(sum(each.rows(START_MS, {}).column("turns").to_pylist()) for each in everyone)
    length_ms = HISTORY_MS + len(names) * STAGGER_MS + 2 * LASTS_MS
    starts = range(START_MS, START_MS + length_ms, WINDOW_MS)
    bad = [sum(TURNS_PER_S * each.failing_ms(start) // 1_000 for each in planned.values()) for start in starts]
    assert max(bad) > 0
    assert alerts(series("pool=realtime", bad, [healthy] * len(bad)), WATCHED) == []
    assert STEADY_BUNDLE not in names


def test_a_percentile_is_one_of_the_values_and_the_last_one_is_never_left_out() -> None:
    values = [float(each) for each in range(1, 33)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (16.0, 32.0, 32.0)
    assert percentile([float(each) for each in range(1, 101)], 0.99) == 99.0
    assert percentile([7.0], 0.5) == 7.0
