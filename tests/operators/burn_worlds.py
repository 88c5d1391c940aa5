"""One objective, two rows of a policy, and slices whose buckets are told to the operator of burn rates one by one."""

from __future__ import annotations

from decimal import Decimal

from schemas.families import INDICATORS, OPERATIONAL, TURNS
from schemas.partials import Partial, partial_schema
from schemas.slos import LowTraffic, PolicyRow, Slo, WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BurnRate, Decided

START_MS = 1_700_000_000_000 // 3_600_000 * 3_600_000
PAGE = PolicyRow("page_1h_5m", 3_600, 300, Decimal("0.144"), Decimal("14.4"), "page")
OUTAGE = PolicyRow("outage_10m_1m", 600, 60, Decimal("0.5"), Decimal("50"), "page")
SLO = Slo("turns", INDICATORS[4], "realtime", Decimal("0.99"), 30 * 86_400, ("pool",), "owner", "", "")
FLEET = "pool=realtime"


def partial(
    start_ms: int, bad: int, total: int, version: int, slice_text: str = FLEET, reach_ms: int | None = None
) -> Partial:
    """One bucket of one slice, with the same counts for every indicator."""
    counts = {name: (bad if name.endswith("_bad") else total) for name in TURNS.measure_names}
    row = {"slice": slice_text, "bucket_start_ms": start_ms, **counts}
    rows = partial_schema(TURNS).empty_table().from_pylist([row], schema=partial_schema(TURNS))
    return Partial(TURNS, OPERATIONAL, 0, version, ((reach_ms or start_ms + 10_000, 100),), rows)


def told(
    operator: BurnRate, buckets: list[tuple[int, int]], start_ms: int = START_MS, first_version: int = 1
) -> list[Decided]:
    """Feeds consecutive 10 s buckets (bad, total), deciding after each."""
    decided: list[Decided] = []
    for place, (bad, total) in enumerate(buckets):
        operator.apply(partial(start_ms + place * 10_000, bad, total, first_version + place))
        list(operator.rollups())
        decided += operator.decide(now_ms=0)
    return decided


def operator(*rows: PolicyRow, low_traffic: LowTraffic | None = None) -> BurnRate:
    return BurnRate(0, 1, [WatchedSlo(SLO, rows, low_traffic or LowTraffic())])
