"""What bills and outcomes of the same turns give away together: a gap of the contract that is known and not closed."""

from __future__ import annotations

import polars as pl
import pytest

from producers.collector import WINDOW_MS, Collector, Frame
from schemas.families import K_SESSIONS_MIN
from schemas.frames import decode_rows
from tests.privacy.observed import observed

START_MS = 1_700_000_040_000 // 600_000 * 600_000
TENANT = "t-00000000000000aa"
OTHER = "t-00000000000000bb"


@pytest.mark.xfail(strict=True, reason="costs and outcomes both count a tenant's turns, each behind a gate of its own")
def test_bills_subtracted_from_outcomes_are_about_no_fewer_than_k_sessions() -> None:
    """Three of a tenant's 25 callers are on another route, which bills are told by and outcomes are not."""
    routes = ["support"] * 22 + ["sales"] * 33
    tenants = [TENANT] * 25 + [OTHER] * 30
    same = {"pool": "realtime", "model_version": "m1", "gpu_type": "l4", "purchase": "spot"}
    collector = Collector("eu-west-1-collector-0", "eu-west-1", 1, START_MS)
    for kind in ("turns", "costs"):
        drawn = observed(kind, 1, len(routes), 1, START_MS, WINDOW_MS)
        facts = {**same, "route": routes, "tenant": tenants, "session": list(range(len(routes)))}
        columns = [
            pl.lit(value).alias(name) if isinstance(value, str) else pl.Series(name, value, drawn.schema[name])
            for name, value in facts.items()
            if name in drawn.columns
        ]
        collector.observe(kind, drawn.with_columns(columns))
    frames = list(collector.close(START_MS + 600_000))
    told = _of_tenant(frames, "outcomes", "outcomes") - _of_tenant(frames, "costs", "turns")
    assert told == 0 or told >= K_SESSIONS_MIN


def _of_tenant(frames: list[Frame], family: str, measure: str) -> int:
    total = 0
    for frame in frames:
        if (frame.header.family.name, frame.header.partition.name) == (family, "tenancy"):
            decoded = decode_rows(frame.header, dict(frame.headers), frame.payload)
            assert isinstance(decoded, tuple)
            total += int(pl.DataFrame(pl.from_arrow(decoded[0])).filter(tenant=TENANT)[measure].sum())
    return total
