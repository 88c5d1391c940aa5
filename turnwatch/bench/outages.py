"""Full outages in numbers: which slice fails when, what its producers report of that, and when it has to page.

Every bundle of a small fleet takes turns at one steady rate and fails none, until its outage: from then on every turn is
bad. Beside them one large bundle stays well, so large that the fleet, its region and its route stay under their budget
whatever the others do: each outage is a page of its own. Nothing here is drawn, so the bucket whose end tips the
arithmetic is known beforehand (`producers/prediction.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
import pyarrow as pa
from scipy.special import betaincinv

from producers.prediction import Prediction, predict_page
from producers.scenarios import Truth
from schemas.families import INDICATORS, OPERATIONAL, TURNS
from schemas.rows import arrow_schema
from schemas.slos import LowTraffic, PolicyRow, WatchedSlo

WINDOW_MS = OPERATIONAL.k_window_s * 1_000
OUTAGES_PER_ROUND = 32
STAGGER_MS = 1_100
"""No part of a bucket, so that outages begin everywhere in one."""
LASTS_MS = 90_000
"""Longer than the floor, a bucket and the way take; then the slice is well again, and the fleet stays well."""
TURNS_PER_S = 10
STEADY_BUNDLE = "steady"
STEADY_TURNS_PER_S = 100_000
STRAGGLER_SHARE = 0.1
"""The part of the large bundle that one producer reports: more than the 5 % that a decision goes on without."""
_AMONG = {"region": "eu-west-1", "pool": "realtime", "route": "assistant"}


@dataclass(frozen=True, slots=True)
class Outage:
    """From `begins_ms` on every turn of a bundle is bad."""

    bundle: str
    begins_ms: int

    @property
    def slice(self) -> str:
        return f"pool={_AMONG['pool']},bundle={self.bundle}"

    def failing_ms(self, window_start_ms: int) -> int:
        """How much of a window it covers."""
        first_ms = max(self.begins_ms, window_start_ms)
        return max(0, min(self.begins_ms + LASTS_MS, window_start_ms + WINDOW_MS) - first_ms)


@dataclass(frozen=True, slots=True)
class Reporter:
    """A producer: whom it reports, at which share of their rate, and how long after a window's end it sends its frame."""

    name: str
    delay_s: float
    bundles: tuple[str, ...]
    steady_share: float

    def rows(self, window_start_ms: int, outages: Mapping[str, Outage]) -> pa.Table:
        """The rows of one frame."""
        failing_ms = [outages[name].failing_ms(window_start_ms) if name in outages else 0 for name in self.bundles]
        turns = np.full(len(self.bundles) + 1, TURNS_PER_S * WINDOW_MS // 1_000)
        turns[-1] = round(self.steady_share * STEADY_TURNS_PER_S * WINDOW_MS / 1_000)
        bad = np.array([TURNS_PER_S * each // 1_000 for each in (*failing_ms, 0)])
        return _table([*self.bundles, STEADY_BUNDLE], turns, bad)


def bundles(rounds: int) -> tuple[str, ...]:
    """One for each outage."""
    return tuple(f"v{number}" for number in range(rounds * OUTAGES_PER_ROUND))


def reporters(names: Sequence[str], delays_s: Sequence[float], straggling_s: float) -> tuple[Reporter, ...]:
    """Producers that share the bundles and most of the large one, and one whose frames come after the grace."""
    steady_share = (1 - STRAGGLER_SHARE) / len(delays_s)
    prompt = (
        Reporter(f"bench-{place}", delay_s, tuple(names[place :: len(delays_s)]), steady_share)
        for place, delay_s in enumerate(delays_s)
    )
    return (*prompt, Reporter("bench-straggler", straggling_s, (), STRAGGLER_SHARE))


def outages(names: Sequence[str], first_ms: int) -> dict[str, Outage]:
    """One of each bundle, one after the other, from the first tenth of a second at or after `first_ms`."""
    begins_ms = ceil(first_ms / 100) * 100  # So that no turn is cut in two.
    return {name: Outage(name, begins_ms + place * STAGGER_MS) for place, name in enumerate(names)}


def tips(outage: Outage, history_from_ms: int, watched: WatchedSlo) -> Prediction:
    """The bucket at whose end the outage first exceeds a row that pages, on enough evidence."""
    truth = Truth(
        slice=outage.slice,
        begins_ms=history_from_ms,
        incident_ms=outage.begins_ms,
        turns_per_s=TURNS_PER_S,
        bad_share_before=0.0,
        bad_share_after=1.0,
        mean_ms_before=0.0,
        mean_ms_after=0.0,
        p99_ms_before=0.0,
        p99_ms_after=0.0,
        error_share=1.0,
    )
    page = predict_page(truth, watched.rows, outage.begins_ms + LASTS_MS, watched.low_traffic)
    assert page is not None, "an outage lasts until after it has paged"
    return page


def floor_s(rows: Iterable[PolicyRow]) -> float:
    """How long a full outage takes to exceed a row that pages: factor x (1 - objective) x long window."""
    return min(float(row.threshold) * row.long_s for row in rows if row.severity == "page")


def floor_with_evidence_s(rows: Iterable[PolicyRow], turns_per_s: float, rule: LowTraffic) -> float:
    """The same until the bad turns are also enough evidence: many, and their share surely above the threshold.

    Many: ten times the fewest that count. A bucket's end and the way to the pager come on top.
    """
    return min(_evident_s(row, turns_per_s, rule) for row in rows if row.severity == "page")


def _evident_s(row: PolicyRow, turns_per_s: float, rule: LowTraffic) -> float:
    """More bad turns of as many are never less evident, so the fewest are found by halving."""
    total = round(turns_per_s * row.long_s)

    def is_evident(bad: int) -> bool:
        return bool(betaincinv(bad, total - bad + 1, 1 - rule.confidence) > float(row.threshold))

    counts = range(max(1, 10 * rule.bad_events_min), total + 1)
    fewest = bisect_left(counts, True, key=is_evident)
    return counts[fewest] / turns_per_s if fewest < len(counts) else inf


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed (nearest rank).

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([4.0, 1.0, 3.0, 2.0], 0.99)
    (2.0, 4.0)
    """
    assert values and 0 < share <= 1
    return sorted(values)[ceil(share * len(values)) - 1]


def _table(names: Sequence[str], turns: np.ndarray, bad: np.ndarray) -> pa.Table:
    """A row for each bundle, in which only errors are bad."""
    columns: dict[str, object] = {name: [None] * len(names) for name in TURNS.dimensions}
    columns |= {name: [value] * len(names) for name, value in _AMONG.items()} | {"bundle": list(names)}
    columns |= dict.fromkeys(TURNS.measure_names, np.zeros(len(names), dtype=np.int64))
    columns |= {"turns": turns, **{each.total: turns for each in INDICATORS}, "turn_error_bad": bad}
    schema = arrow_schema(TURNS)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
