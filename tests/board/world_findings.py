"""What the questions stated about the board's world, and what came too late for its tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from schemas.families import TURNS
from tests.board.world import BUNDLES, ROUTES
from tests.board.world_cells import FINE_MS, MINUTE_MS, Timed
from tests.board.world_quality import ACCENTS
from tests.board.world_queues import LLM

BUDGET_USD = 180_000.0


def late_turns(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """A producer that was late with five frames, and a source partition that lagged."""
    frames = pl.DataFrame(
        {
            "bucket_ms": world.end_ms - FINE_MS + np.arange(10) * MINUTE_MS,
            "producer": ["host-7"] * 5 + [""] * 5,
            "origin_offset": [*range(100, 105), *[0] * 5],
            "turns": random.integers(1, 9, 10),
        }
    )
    absent = {name: pl.lit(0) for name in TURNS.measure_names if name != "turns"}
    return frames.with_columns(
        cut=pl.lit("pool"), slice=pl.lit("pool=realtime"), pool=pl.lit("realtime"),
        origin_topic=pl.lit("turns"), origin_partition=pl.lit(3), **absent,
    )  # fmt: skip


def findings(world: Timed) -> pl.DataFrame:
    """What the questions stated: each twice while it lasts, and one that ended."""
    struck = f"pool=realtime,bundle={BUNDLES[1]}"
    queue: dict[str, Any] = {
        "depth": 360.0, "growth_min": 36.0, "latency_ms": 2_400.0, "latency_from": "p95", "last_waits_s": 19.5,
        "breaks_in_s": 0.0, "utilisation": 0.97, "replicas_missing": 3.0, "first_queue": LLM, "advice": "roll_back",
    }  # fmt: skip
    cost: dict[str, Any] = {
        "usd_per_1000_successes": 1.9, "usd_per_1000_successes_before": 1.0, "relative_change": 0.9, "driver_1": "tokens_carried",
        "driver_1_usd_per_1000": 0.7, "driver_1_route": ROUTES[0], "driver_1_model": "talk-1",
    }  # fmt: skip
    budget: dict[str, Any] = {
        "budget_usd": BUDGET_USD, "spent_usd": 150_000.0, "forecast_usd": 60_000.0, "total_usd": 210_000.0,
        "hours_known": 500.0, "hours_left": 200.0, "forecast_rule": "recent_days",
    }  # fmt: skip
    drift: dict[str, Any] = {
        "value": 0.16, "reference_value": 0.08, "samples": 4_000.0, "reference_samples": 5_000.0, "evidence_log10": 25.0,
        "hours_until_found": 4.0, "reference": "week_before", "relative_change": 1.0,
    }  # fmt: skip
    accent = f"{struck},accent={ACCENTS[0]}"
    rows = [
        *_stated("Saturated", "saturation", struck, "page", {"queue": LLM}, queue, world.incident_ms, 2),
        *_stated("BatchOnRealtimePool", "saturation", "pool=realtime", "ticket", {}, {"batch_share": 0.3},
                 world.incident_ms - 60_000, 2, "resolved"),
        *_stated("CostRegressed", "cost", struck, "ticket", {"owner": "platform-finance"}, cost, world.incident_ms, 2),
        *_stated("SpendAboveBudget", "cost", "pool=realtime", "ticket", {"owner": "platform-finance", "month": "2026-10"},
                 budget, world.incident_ms, 2),
        *_stated("Drifted", "drift", accent, "ticket", {"measure": "word_error_rate", "owner": "speech-quality"}, drift,
                 world.incident_ms, 2, "frozen"),
    ]  # fmt: skip
    times = ("since", "starts_event", "decided_event", "starts", "ends")
    return pl.DataFrame(rows).with_columns(
        pl.from_epoch(pl.col(times).cast(pl.Int64), "ms").dt.replace_time_zone("UTC")
    )


def _stated(
    alert: str, question: str, slice_: str, severity: str, labels: dict[str, str], facts: dict[str, Any], since_ms: int,
    statements: int, last: str = "firing",
) -> list[dict[str, Any]]:  # fmt: skip
    further = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return [
        {
            "alert": alert, "finding": f"{alert}|{slice_}|{further}|{severity}", "question": question,
            "cut": ",".join(part.partition("=")[0] for part in slice_.split(",")), "slice": slice_, "severity": severity,
            "state": last if number == statements - 1 else "firing",
            "incident": "realtime-loyw42s0" if severity == "page" else "",
            "since": since_ms, "starts_event": since_ms + 60_000, "decided_event": since_ms + 60_000 * (number + 1),
            "starts": since_ms + 75_000, "ends": since_ms + 60_000 * (number + 1) if last == "resolved" and number else None,
            "completeness": 0.97, "summary": f'{alert}: it\'s "worse" é', "action": "look at it", "runbook": f"docs/runbooks/{question}.md",
            "labels": json.dumps(labels), "facts": json.dumps(facts | ({} if number else {"depth": 1.0} if alert == "Saturated" else {})),
            "version": number + 1,
        }
        for number in range(statements)
    ]  # fmt: skip
