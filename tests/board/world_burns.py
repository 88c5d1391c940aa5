"""Burns of the boards' world: windows of every objective that is watched, what paged, and what budgets are not charged for."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from schemas import exclusions
from schemas.families import TURNS
from schemas.slos import WatchedSlo
from tests.board.world_rollups import by_cut, landed

EXCLUDED_S = (300, 600)
"""The first region is excluded from here to there, in seconds of the last half hour."""

BURNING_SLICE = "pool=realtime,bundle=v2-canary"


def exclusions_of(region: str, fine_ms: int) -> pa.Table:
    """A drill in one region, and another window that was withdrawn."""
    from_ms, to_ms = (fine_ms + second * 1_000 for second in EXCLUDED_S)
    drill = exclusions.Exclusion(
        id="0123456789ab", action="declared", slo="all", slice=f"region={region}", from_ms=from_ms, to_ms=to_ms,
        who="ana", why='a drill, "failover" é', at_ms=fine_ms,
    )  # fmt: skip
    mistaken = drill.model_copy(update={"id": "ba9876543210", "slice": "all"})
    return exclusions.rows([drill, mistaken, mistaken.model_copy(update={"action": "withdrawn", "at_ms": fine_ms + 1})])


def windows(turns: pl.DataFrame, watched: tuple[WatchedSlo, ...], fine_ms: int) -> pa.Table:
    """Decided at the end of every bucket from `fine_ms` on, and of the hour's first minute before."""
    parts = []
    for each in watched:
        slo = each.slo
        counted = turns.filter(pl.col("pool") == slo.pool).with_columns(
            pl.col(slo.indicator.bad).alias("bad"), pl.col(slo.indicator.total).alias("total")
        )
        buckets = (
            by_cut(counted, TURNS, 10_000, (), [pl.col("bad", "total").sum(), pl.col("width_ms").first()])
            .filter(pl.col("cut").is_in(slo.cuts))
            .sort("slice", "bucket_ms")
        )
        lengths = {seconds for row in each.rows for seconds in (row.long_s, row.short_s)} | {slo.period_s}
        parts += [
            _window(buckets, slo.name, float(slo.budget_rate), slo.period_s, seconds) for seconds in sorted(lengths)
        ]
    is_told = (pl.col("bucket_ms") >= fine_ms) | (pl.col("bucket_ms") % 3_600_000 == 0)
    return landed("burn_windows", pl.concat(parts).filter(is_told))


def _window(buckets: pl.DataFrame, slo: str, budget_rate: float, period_s: int, seconds: int) -> pl.DataFrame:
    """Burn over the last `seconds`, at the end of every bucket; the whole history where it is shorter."""
    sums = buckets.rolling("bucket_start", period=f"{seconds}s", closed="right", group_by="slice").agg(
        pl.col("bad", "total").sum()
    )
    placed = buckets.drop("bad", "total").join(sums, on=["slice", "bucket_start"])
    burn = pl.col("bad") / pl.col("total") / budget_rate
    whole = buckets.select(
        "slice", "bucket_start", pl.col("bad", "total").cum_sum().over("slice").name.prefix("period_")
    )
    allowed = pl.col("period_total") * budget_rate
    left = 1 - pl.col("period_bad") / allowed
    of_day = buckets.select(
        "slice",
        "bucket_start",
        pl.col("bad").cum_sum().over("slice", pl.col("bucket_start").dt.date()).alias("bad_today"),
    )
    told = placed.join(whole, on=["slice", "bucket_start"]).join(of_day, on=["slice", "bucket_start"])
    decided_at = pl.col("bucket_start") + pl.duration(milliseconds="width_ms")
    # What is decided at midnight is of the day that begins, of which nothing has happened.
    bad_today = pl.when(decided_at.dt.date() == pl.col("bucket_start").dt.date()).then("bad_today").otherwise(0)
    return told.with_columns(
        pl.lit(slo).alias("slo"),
        decided_at.alias("decided_at"),
        pl.lit(f"{seconds}s").alias("window"),
        pl.lit(seconds, pl.UInt32).alias("window_s"),
        burn.alias("burn"),
        left.alias("budget_left"),
        pl.when(pl.col("bad") > 0)
        .then(pl.max_horizontal(left, pl.lit(0.0)) * period_s / burn)
        .otherwise(None)
        .alias("exhausted_in_s"),
        (bad_today / allowed).alias("spent_today"),
        (1 / allowed).alias("one_failure_costs"),
        pl.lit(0.97).alias("completeness"),
    )


def pages(watched: WatchedSlo, begin: int) -> pa.Table:
    """One page that `begin`s with the incident, is still firing, and one ticket that was resolved; each with two statements.

    And a page that was pending and never fired.
    """
    rows = [
        ("page", "pending", begin + 30_000, 0),
        ("page", "resolved", begin + 40_000, 1),
        ("page", "firing", begin + 60_000, 2),
        ("page", "firing", begin + 120_000, 3),
        ("ticket", "firing", begin + 90_000, 2),
        ("ticket", "resolved", begin + 300_000, 4),
    ]
    return landed(
        "pages",
        pl.DataFrame(
            {
                "alert": [f"{watched.slo.name}|{BURNING_SLICE}|{severity}" for severity, *_ in rows],
                "slo": watched.slo.name,
                "slice": BURNING_SLICE,
                "severity": [severity for severity, *_ in rows],
                "state": [state for _, state, *_ in rows],
                "scope": "slice",
                "incident": ["" if version < 2 else "realtime-loyw42s0" for *_, version in rows],
                "policy_row": watched.rows[0].name,
                "starts_event": [begin + (30_000 if version < 2 else 60_000) for *_, version in rows],
                "decided_event": [decided for *_, decided, _ in rows],
                "starts": [begin + 61_000] * len(rows),
                "ends": [begin + 301_000 if state == "resolved" else None for _, state, *_ in rows],
                "long_burn": 20.0,
                "short_burn": 30.0,
                "budget_left": 0.8,
                "exhausted_in_s": [3600.0] * len(rows),
                "completeness": 0.97,
                "summary": 'it\'s burning: 35 % of turns are too slow, "v2-canary" é',
                "version": [version for *_, version in rows],
            }
        ).with_columns(
            pl.from_epoch(pl.col("starts_event", "decided_event", "starts", "ends"), "ms").dt.replace_time_zone("UTC")
        ),
    )
