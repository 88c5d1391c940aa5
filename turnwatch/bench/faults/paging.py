"""Which pages must come, by arithmetic over what was told; and which came, by what the webhook was notified of.

Nothing here knows how the product decides. Bad shares are summed bucket by bucket; windows start where state buckets
start, rounded outward (10 s up to 10 min, 1 min up to 6 h). An episode is an unbroken run of bucket ends at which some row
of the shipped policy is exceeded in both windows. The incidents of `world` are so plain that thresholds a tenth lower or
higher give the same episodes: that is checked, so that nobody argues about a page on the edge.

A page that lies within another one of its objective may be muted by it: it has to be published, and whether it is notified
is Alertmanager's affair. Its end is then that of the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alerts.webhook_receiver import Notification, NotifiedAlert
from schemas.arrays import Floats
from schemas.burns import AlertState
from schemas.slos import WatchedSlo
from turnwatch.bench.faults.world import WINDOW_MS

EVIDENCE_BAD_MIN = 100
"""Ten times the fewest bad turns that count: no rule about low traffic holds a page above it."""
BLUR = (0.9, 1.0, 1.1)

Page = tuple[str, str]
"""Objective and slice."""
Episodes = Counter[Page]


class Edge(AssertionError):
    """An incident of the world is not plain enough: whether it pages would be a matter of rounding."""


@dataclass(frozen=True, slots=True)
class PagesTally:
    """`unexpected`: pages for slices that nothing happened to. `unresolved`: fired, and never told to be over."""

    expected: int
    delivered: int
    missed: int
    repeated: int
    unexpected: int
    unresolved: int
    notes: tuple[str, ...] = ()


def expected_pages(burns: pl.DataFrame, watched: Sequence[WatchedSlo], from_ms: int) -> Episodes:
    """Episodes that begin at `from_ms` or later, from all rows of `burn_rate_10s` since the world began."""
    first, *others = [_episodes(burns, watched, from_ms, blur) for blur in BLUR]
    for other in others:
        if other != first:
            raise Edge(
                f"These pages depend on a tenth of their threshold: {sorted(set((first - other) | (other - first)))}"
            )
    return first


def _episodes(burns: pl.DataFrame, watched: Sequence[WatchedSlo], from_ms: int, blur: float) -> Episodes:
    found: Episodes = Counter()
    for each in watched:
        slo = each.slo
        of_slo = burns.filter((pl.col("indicator") == slo.indicator.name) & pl.col("cut").is_in(slo.cuts)).filter(
            pl.col("slice").str.starts_with(f"pool={slo.pool},") | (pl.col("slice") == f"pool={slo.pool}")
        )
        for (text,), rows in of_slo.partition_by("slice", as_dict=True).items():
            ends_ms, exceeds = _exceeds(rows.sort("bucket_start_ms"), each, blur)
            begins = exceeds & ~np.concatenate([[False], exceeds[:-1]])
            count = int((begins & (ends_ms > from_ms)).sum())
            found.update({(slo.name, str(text)): count} if count else {})
    return found


def _exceeds(rows: pl.DataFrame, watched: WatchedSlo, blur: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bucket ends, and whether any paging row is exceeded at each."""
    starts_ms = rows["bucket_start_ms"].to_numpy()
    ends_ms = starts_ms + WINDOW_MS
    sums = {name: np.concatenate([[0], np.cumsum(rows[name].to_numpy())]) for name in ("bad", "total")}
    is_exceeded = np.zeros(len(rows), dtype=bool)

    def window(length_s: int) -> tuple[Floats, Floats]:
        width_ms = WINDOW_MS if length_s <= 600 else 60_000
        begin = np.searchsorted(starts_ms, (ends_ms - length_s * 1_000) // width_ms * width_ms)
        end = np.arange(1, len(rows) + 1)
        bad, total = (sums[name][end] - sums[name][begin] for name in ("bad", "total"))
        return bad.astype(np.float64), total.astype(np.float64)

    for row in watched.rows:
        if row.severity != "page":
            continue
        threshold = float(row.threshold) * blur
        (long_bad, long_total), (short_bad, short_total) = window(row.long_s), window(row.short_s)
        enough = long_bad >= EVIDENCE_BAD_MIN
        is_exceeded |= enough & (long_bad > threshold * long_total) & (short_bad > threshold * short_total)
    return ends_ms, is_exceeded


def tally_pages(
    expected: Episodes, notifications: Sequence[Notification], published: Iterable[AlertState]
) -> PagesTally:
    """What of the expected pages came, and what came besides."""
    notified, unresolved = _notified(notifications)
    told = Counter[Page]()
    for name in {(state.burn.slo, state.burn.slice, state.starts_event_ms) for state in _pages_of(published)}:
        told[name[:2]] += 1
    again = {page: max(notified[page], told[page]) - count for page, count in expected.items()}
    came = {page: max(notified[page], told[page] if is_muted(page, expected) else 0) for page in expected}
    missing = {page: count - came[page] for page, count in expected.items() if came[page] < count}
    strange = {page: count for page, count in (notified | told).items() if page not in expected}
    same = _said_twice(notifications)
    notes = [
        *(f"missed: {slo} of {text}" for slo, text in sorted(missing)),
        *(f"fired again: {slo} of {text}" for (slo, text), count in sorted(again.items()) if count > 0),
        *(f"unexpected: {slo} of {text}" for slo, text in sorted(strange)),
        *(f"not resolved: {slo} of {text}" for slo, text in sorted(unresolved)),
        *(f"said twice: {group}" for group in same),
    ]
    missed = sum(missing.values())
    return PagesTally(
        expected=expected.total(),
        delivered=expected.total() - missed,
        missed=missed,
        repeated=sum(max(0, count) for count in again.values()) + len(same),
        unexpected=sum(strange.values()),
        unresolved=len(unresolved),
        notes=tuple(notes),
    )


def all_came(expected: Episodes, notifications: Sequence[Notification]) -> bool:
    """Whether every page that nothing mutes has been notified as firing, and every one as resolved."""
    notified, unresolved = _notified(notifications)
    wanted = {page: count for page, count in expected.items() if not is_muted(page, expected)}
    return not unresolved and all(notified[page] >= count for page, count in wanted.items())


def is_muted(page: Page, expected: Episodes) -> bool:
    """Whether a page may be muted, for it lies within another of its objective: it is published, and may be notified."""
    return any(other != page and _is_within(page, other) for other in expected)


def _is_within(page: Page, other: Page) -> bool:
    parts, of_other = (set(text.split(",")) for _, text in (page, other))
    return page[0] == other[0] and of_other <= parts


def _notified(notifications: Sequence[Notification]) -> tuple[Episodes, set[Page]]:
    """How often each page was notified as beginning, and those whose end was not notified.

    The end of a page that was muted meanwhile is that of the page it lies within.
    """
    begun: Episodes = Counter()
    firing: set[Page] = set()
    covered: set[Page] = set()
    for notification in notifications:
        pages = [(_page_of(alert), alert.status) for alert in notification.alerts if is_of_objective(alert)]
        begins = {page for page, status in pages if status == "firing"}
        ends = {page for page, status in pages if status == "resolved"}
        begun.update(begins - firing - covered)
        over = {page for page in firing if page in ends or any(_is_within(page, end) for end in ends)}
        covered = (covered | (over - ends)) - begins - ends
        firing = (firing - over) | begins
    return begun, firing


def _page_of(alert: NotifiedAlert) -> Page:
    return alert.labels["slo"], alert.labels["slice"]


def is_of_objective(alert: NotifiedAlert) -> bool:
    """Whether an alert is the page of an objective.

    Others tell of turnwatch itself, and are shown but not reckoned: event time runs faster than the clock here, so a
    worker that is away for seconds looks like minutes of silence.
    """
    return alert.labels.get("severity") == "page" and {"slo", "slice"} <= alert.labels.keys()


def pages_besides(notifications: Iterable[Notification]) -> Counter[str]:
    """Pages that are of no objective, by name, as often as they were notified as firing."""
    return Counter(
        alert.labels.get("alertname", "")
        for notification in notifications
        for alert in notification.alerts
        if alert.status == "firing" and alert.labels.get("severity") == "page" and not is_of_objective(alert)
    )


def _pages_of(published: Iterable[AlertState]) -> Iterable[AlertState]:
    return (state for state in published if state.burn.severity == "page" and state.has_fired)


def _said_twice(notifications: Sequence[Notification]) -> list[str]:
    """Groups that were notified with nothing new. A round is far shorter than Alertmanager's repeat interval."""
    before: defaultdict[str, frozenset[tuple[frozenset[tuple[str, str]], str]]] = defaultdict(frozenset)
    twice = []
    for notification in notifications:
        said = frozenset((frozenset(alert.labels.items()), alert.status) for alert in notification.alerts)
        group = f"{notification.receiver} {notification.group_key}"
        if any(map(is_of_objective, notification.alerts)) and said == before[group]:
            twice.append(group)
        before[group] = said
    return twice
