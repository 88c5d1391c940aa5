"""Burns and decisions as the shards state them, for the tests of this folder."""

from __future__ import annotations

from decimal import Decimal

from alerts.policies import policy_for
from schemas.burns import Burn, Decision, Suspect
from schemas.families import INDICATORS
from schemas.slos import Life, PolicyRow, Slo

DAY_S = 86_400
CANARY = "pool=realtime,bundle=v2-canary"

TURN_SLO = Slo(
    name="turn-4000ms-realtime",
    indicator=next(each for each in INDICATORS if each.name == "turn_4000ms"),
    pool="realtime",
    objective=Decimal("0.99"),
    period_s=30 * DAY_S,
    cuts=("pool", "pool,bundle"),
    owner="voice-serving",
    description="A whole turn takes less than 4 s.",
    runbook="docs/runbooks/slo-burn-rate.md",
)

ENDS_AT_ONCE = Life(keep_firing_s={"page": 0, "ticket": 0})
"""An alert's life without a wait for its end."""


def row_named(name: str, slo: Slo = TURN_SLO) -> PolicyRow:
    return next(row for row in policy_for(slo).rows if row.name == name)


def burning(
    row_name: str = "page_1h_5m", bad_share: float = 0.25, slice_text: str = CANARY, slo: Slo = TURN_SLO
) -> Burn:
    """A burn of `slo` by one row, with this bad share in both windows."""
    row = row_named(row_name, slo)
    speed = bad_share / float(slo.budget_rate)
    return Burn(
        slo=slo.name,
        slice=slice_text,
        row=row.name,
        severity=row.severity,
        factor=float(row.factor),
        threshold=float(row.threshold),
        long_s=row.long_s,
        short_s=row.short_s,
        long_bad=round(4_000 * bad_share),
        long_total=4_000,
        short_bad=round(400 * bad_share),
        short_total=400,
        long_burn=speed,
        short_burn=speed,
        budget_left=0.6,
        exhausted_in_s=0.6 * slo.period_s / speed,
        one_failure_costs=0.0001,
    )


def suspect(
    slice_text: str, bad: int, total: int, first_seen_s: int | None = None, slo: Slo = TURN_SLO, long_s: int = 3_600
) -> Suspect:
    """A suspect in the window of `page_1h_5m`, first seen that many seconds into the tests' event time."""
    first_ms = None if first_seen_s is None else 1_700_000_000_000 + first_seen_s * 1_000
    return Suspect(slo=slo.name, slice=slice_text, long_s=long_s, bad=bad, total=total, first_seen_ms=first_ms)


def decided(
    at_s: int, *burns: Burn, shard: int = 0, completeness: float = 1.0, **listed: tuple[object, ...]
) -> Decision:
    """One shard's decision, `at_s` seconds into the tests' event time; `listed` is what else it lists, by field."""
    decided_ms = 1_700_000_000_000 + at_s * 1_000
    whole = Decision(shard=shard, decided_ms=decided_ms, completeness=completeness, burns=burns)
    return whole.model_copy(update=dict(listed))
