"""Growths as the shards state them, for the tests of pages."""

from __future__ import annotations

from typing import Any

from schemas.burns import StageGrowth
from schemas.growths import Growths

EVENT_MS = 1_700_000_000_000


def grown(slice_text: str, stage: str = "llm_first_token", added_ms: float = 2_134.0, **others: Any) -> StageGrowth:
    """A stage that took 320 ms on average, and takes so much longer in every turn."""
    figures: dict[str, Any] = {
        "since_ms": EVENT_MS - 60_000, "now_s": 60, "before_s": 3_600, "of_added": 0.96, "mean_ms_now": 320 + added_ms,
        "mean_ms_before": 320.0, "tail_ms": 608.9, "tail_now": 0.31, "tail_before": 0.042, "observed_now": 800,
        "observed_before": 46_000,
    }  # fmt: skip
    return StageGrowth(slice=slice_text, stage=stage, added_ms=added_ms, **(figures | others))


def stated_growths(at_s: int, *growths: StageGrowth, shard: int = 0) -> Growths:
    """A shard's statement, `at_s` seconds into the tests' event time."""
    return Growths(shard=shard, decided_ms=EVENT_MS + at_s * 1_000, grown=growths)
