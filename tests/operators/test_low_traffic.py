"""Little traffic: a handful of failures wakes nobody, and an outage pages as soon as it is evident.

What is expected is computed here anew: windows rounded outward to the buckets of state, shares as fractions, and the
Clopper-Pearson bound by its dual, the binomial tail: the bound is above the threshold where so many failures, or more,
would come by less than 5 % chance if the threshold were the true share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from scipy.stats import binom

from alerts.policies import policy_for
from schemas.families import INDICATORS
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BUCKET_MS, BurnRate
from tests.operators.calls import PERIOD_MS, Calls, decisions, state

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
NOW_MS = 1_700_000_000_000 // DAY_MS * DAY_MS
POOL, BUNDLE = "pool=realtime", "pool=realtime,bundle=v9"
GRACE_MS = 2_000
NIGHT, DAY = Fraction(1, 100), Fraction(1, 2)
OBJECTIVES = ("0.95", "0.99", "0.999")

Fired = set[tuple[int, str, str]]
"""Seconds after `NOW_MS`, slice and severity of everything that burned."""


def watched(objective: str, low_traffic: LowTraffic | None = None) -> WatchedSlo:
    """An objective with the windows that the shipped policy has for it."""
    cuts = ("pool", "pool,bundle")
    slo = Slo(
        f"turns-{objective}", INDICATORS[4], "realtime", Decimal(objective), PERIOD_MS // 1_000, cuts, "o", "", ""
    )
    by_policy = policy_for(slo, low_traffic=low_traffic)
    windows = tuple(row for row in by_policy.rows if row.kind in ("burn", "outage"))
    return WatchedSlo(slo, windows, by_policy.low_traffic)


def burned(fleet: Mapping[str, Calls], from_ms: int, to_ms: int, *watching: WatchedSlo) -> Fired:
    """What our operator says from `from_ms` on, with the state of everything before."""
    operator = BurnRate(0, 1, watching)
    known = {text: calls for text, calls in fleet.items() if calls.begins_ms < from_ms}
    if known:
        operator.restore(state(known, from_ms))
    found = decisions(operator, fleet, from_ms, to_ms)
    assert [each.decided_ms for each in found] == [*range(found[0].decided_ms, to_ms + 1, BUCKET_MS)]
    return {((each.decided_ms - NOW_MS) // 1_000, burn.slice, burn.severity) for each in found for burn in each.burns}


# -- the arithmetic, anew ------------------------------------------------------------------------------------------------


def expected(watching: WatchedSlo, fleet: Mapping[str, Calls], from_ms: int, to_ms: int) -> Fired:
    return {
        ((end_ms - NOW_MS) // 1_000, text, row.severity)
        for end_ms in range(from_ms + BUCKET_MS, to_ms + 1, BUCKET_MS)
        for text, calls in fleet.items()
        for row in watching.rows
        if burns(watching, row, calls, end_ms)
    }


def burns(watching: WatchedSlo, row: PolicyRow, calls: Calls, end_ms: int) -> bool:
    """Both windows strictly above the threshold, and the long one evidently so."""
    (bad, total), short = (in_window(calls, length_s * 1_000, end_ms) for length_s in (row.long_s, row.short_s))
    threshold = Fraction(row.threshold)
    if not (bad > threshold * total and short[0] > threshold * short[1]):
        return False
    period = in_window(calls, PERIOD_MS, end_ms)[1]
    known_ms = min(end_ms - calls.begins_ms, PERIOD_MS)
    budget = period * Fraction(PERIOD_MS, known_ms) * Fraction(watching.slo.budget_rate)
    many = bad >= 100 or (known_ms >= HOUR_MS and bad >= budget / 100)
    return bad >= 10 and many and binom.sf(bad - 1, total, float(threshold)) < 0.05


def in_window(calls: Calls, length_ms: int, end_ms: int) -> tuple[int, int]:
    """Bad and total; the start is rounded outward to a bucket of 10 s, 1 min, 10 min or 1 h, by the window's length."""
    widths = ((10 * MINUTE_MS, BUCKET_MS), (6 * HOUR_MS, MINUTE_MS), (3 * DAY_MS, 10 * MINUTE_MS))
    width_ms = next((width_ms for longest_ms, width_ms in widths if length_ms <= longest_ms), HOUR_MS)
    return calls.within((end_ms - length_ms) // width_ms * width_ms, end_ms)


def first_evident_ms(watching: WatchedSlo, calls: Calls, ends_ms: Iterable[int]) -> int:
    """The first of these instants at which any row burns."""
    return next(end_ms for end_ms in ends_ms if any(burns(watching, row, calls, end_ms) for row in watching.rows))


def first(fired: Fired, severity: str = "page", text: str = POOL) -> int | None:
    return min((second for second, which, how in fired if (which, how) == (text, severity)), default=None)


# -- a handful -----------------------------------------------------------------------------------------------------------

QUIET = {
    "three at night after a month": (Calls(NOW_MS - PERIOD_MS, NIGHT), 300_000),
    "three at night after a day": (Calls(NOW_MS - DAY_MS, NIGHT), 300_000),
    "three at night, the first calls ever": (Calls(NOW_MS, NIGHT), 300_000),
    "one failed call in one": (Calls(NOW_MS, NIGHT), 100_000),
    "one failed call of a busier day": (Calls(NOW_MS - DAY_MS, NIGHT), 100_000),
}


@pytest.mark.parametrize("why", QUIET)
def test_a_handful_of_failures_raises_neither_page_nor_ticket(why: str) -> None:
    calls, failing_ms = QUIET[why]
    fleet = {POOL: calls.fail(NOW_MS, NOW_MS + failing_ms)}
    until_ms = NOW_MS + failing_ms + 5 * MINUTE_MS
    assert fleet[POOL].within(NOW_MS, until_ms)[0] == failing_ms // 100_000
    assert burned(fleet, NOW_MS, until_ms, *map(watched, OBJECTIVES)) == set()


@pytest.mark.parametrize("why", [each for each in QUIET if "busier" not in each])
def test_without_the_rule_the_same_failures_would_page(why: str) -> None:
    calls, failing_ms = QUIET[why]
    fleet = {POOL: calls.fail(NOW_MS, NOW_MS + failing_ms)}
    assert first(burned(fleet, NOW_MS, NOW_MS + failing_ms + MINUTE_MS, watched("0.999", LowTraffic.none())))


# -- a failure that lasts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "history_ms", "pages_after_s"),
    [
        ("0.95", 0, 230),
        ("0.99", 0, 230),
        ("0.999", 0, 230),
        ("0.95", PERIOD_MS, 370),
        ("0.99", PERIOD_MS, 370),
        ("0.999", PERIOD_MS, 80),
    ],
)
def test_ninety_percent_failures_of_a_call_every_two_seconds_page(
    objective: str, history_ms: int, pages_after_s: int
) -> None:
    """From a cold start as soon as a hundred have failed; after a healthy month as soon as it is evident."""
    watching, until_ms = watched(objective), NOW_MS + 390_000
    fleet = {POOL: Calls(NOW_MS - history_ms, DAY).fail(NOW_MS, until_ms, Fraction(9, 10))}
    found = burned(fleet, NOW_MS, until_ms, watching)
    assert found == expected(watching, fleet, NOW_MS, until_ms)
    assert first(found) == pages_after_s


@pytest.mark.parametrize("history_ms", [0, PERIOD_MS], ids=["from a cold start", "after a healthy month"])
def test_a_slow_burn_raises_a_ticket_once_it_is_evident_and_no_page(history_ms: int) -> None:
    """0.45 % of a call every two seconds, where 0.1 % is allowed: a burn of 4.5, which a page's windows are not for."""
    watching, begins_ms = watched("0.999"), NOW_MS - DAY_MS
    fleet = {POOL: Calls(begins_ms - history_ms, DAY).fail(begins_ms, NOW_MS, Fraction(45, 10_000))}
    about_ms = first_evident_ms(watching, fleet[POOL], range(begins_ms, NOW_MS, 10 * MINUTE_MS))
    evident_ms = first_evident_ms(watching, fleet[POOL], range(about_ms - 10 * MINUTE_MS, about_ms + 1, BUCKET_MS))
    from_ms, to_ms = evident_ms // MINUTE_MS * MINUTE_MS - MINUTE_MS, evident_ms + MINUTE_MS
    found = burned(fleet, from_ms, to_ms, watching)
    assert found == expected(watching, fleet, from_ms, to_ms)
    assert first(found, "ticket") == (evident_ms - NOW_MS) // 1_000 and first(found, "page") is None


def test_a_slice_that_appears_is_judged_on_its_own_few_calls_whatever_the_fleet_has() -> None:
    """A new bundle whose calls fail pages as from a cold start; the pool, a fortieth of whose calls it takes, does not."""
    watching, until_ms = watched("0.99"), NOW_MS + 250_000
    pool = Calls(NOW_MS - PERIOD_MS, 40 * DAY).fail(NOW_MS, until_ms, Fraction(9, 400))
    fleet = {POOL: pool, BUNDLE: Calls(NOW_MS, DAY).fail(NOW_MS, until_ms, Fraction(9, 10))}
    found = burned(fleet, NOW_MS, until_ms, watching)
    assert found == expected(watching, fleet, NOW_MS, until_ms)
    assert first(found, text=BUNDLE) == 230 and first(found) is None


def test_a_slice_that_appears_with_three_failed_calls_wakes_nobody() -> None:
    until_ms = NOW_MS + 600_000
    pool = Calls(NOW_MS - PERIOD_MS, 40 * DAY).fail(NOW_MS, NOW_MS + 300_000, NIGHT / (40 * DAY))
    fleet = {POOL: pool, BUNDLE: Calls(NOW_MS, NIGHT).fail(NOW_MS, NOW_MS + 300_000)}
    assert fleet[BUNDLE].within(NOW_MS, until_ms) == (3, 6)
    assert burned(fleet, NOW_MS, until_ms, watched("0.999")) == set()


# -- outages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("per_s", "into_bucket_ms"), [(Fraction(1, 2), 2_000), (2, 8_000), (10, 0), (100, 9_990)], ids=str
)
def test_an_outage_pages_within_the_floor_and_14_s(per_s: Fraction, into_bucket_ms: int, objective: str) -> None:
    """The end of the bucket that makes it evident, and the grace in which its last frames may come."""
    watching, begins_ms = watched(objective), NOW_MS + into_bucket_ms
    floor_ms = min(row_floor_ms(watching, row, Fraction(per_s)) for row in watching.rows if row.severity == "page")
    from_ms = (NOW_MS + floor_ms) // MINUTE_MS * MINUTE_MS - MINUTE_MS
    to_ms = NOW_MS + floor_ms // BUCKET_MS * BUCKET_MS + 40_000
    fleet = {POOL: Calls(NOW_MS - PERIOD_MS, Fraction(per_s)).fail(begins_ms, to_ms)}
    paged_s = first(burned(fleet, from_ms, to_ms, watching))
    assert paged_s is not None
    assert floor_ms <= NOW_MS + paged_s * 1_000 - begins_ms <= floor_ms + 14_000 - GRACE_MS


def row_floor_ms(watching: WatchedSlo, row: PolicyRow, per_s: Fraction) -> int:
    """The least that an outage takes, after a healthy month, until a row's windows are above its threshold, evidently."""
    calls = ceil(per_s * row.long_s)
    one_percent = per_s * PERIOD_MS / 1_000 * Fraction(watching.slo.budget_rate) / 100
    evident = int(binom.isf(0.05, calls, float(row.threshold))) + 1
    enough = max(10, min(100, ceil(one_percent)), evident)
    return ceil(max(enough / per_s, Fraction(row.threshold) * row.long_s) * 1_000)
