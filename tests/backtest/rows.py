"""Files of seeded minutes for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from alerts.policies import policy_for
from schemas.families import INDICATORS
from schemas.slos import Slo, WatchedSlo

START_MS = 1_790_000_000_000 // 86_400_000 * 86_400_000
MINUTE_MS = 60_000
FLEET = "pool=realtime"

SLO = Slo(
    name="turn-4000ms-realtime",
    indicator=next(each for each in INDICATORS if each.name == "turn_4000ms"),
    pool="realtime",
    objective=Decimal("0.99"),
    period_s=30 * 86_400,
    cuts=("pool", "pool,region", "pool,bundle", "pool,language"),
    owner="voice-serving",
    description="",
    runbook="docs/runbooks/slo-burn-rate.md",
)
WATCHED: WatchedSlo = policy_for(SLO)


def minutes(counts: Sequence[tuple[int, int]], first: int = 0) -> list[str]:
    """Lines of minute, good, total for consecutive minutes of (bad, total)."""
    start = START_MS // MINUTE_MS + first
    return [f"{start + place},{total - bad},{total}" for place, (bad, total) in enumerate(counts)]


def written(path: Path, lines: Sequence[str], header: str = "minute,good,total") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path
