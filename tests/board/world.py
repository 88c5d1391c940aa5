"""A seeded hour of a fleet with one incident, as rows of the contract's tables: what the boards' SQL is tried on.

Turns are drawn per cell (region, pool, route, bundle) and 10 s bucket, and grouped into every cut and both resolutions
by the same few lines, so that what a panel shows can be recomputed from `turns` by other means. From `INCIDENT_AFTER_S`
on, the bundle `v2-canary` has a slow tail in its LLM stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
import pyarrow as pa

from schemas import exclusions, objectives
from schemas.dimensions import DIMENSIONS
from schemas.families import (
    HEARTBEATS,
    INDICATORS,
    PRIVACY,
    SCALE_OF_STAGE,
    STAGE_LATENCIES,
    STAGES,
    STREAMS,
    TURNS,
    Family,
)
from schemas.histograms import bucket_indexes
from schemas.slices import slice_text
from schemas.slos import WatchedSlo
from schemas.tables import TABLES

BUCKET_MS = 10_000
BUCKETS = 180
INCIDENT_AFTER_S = 1_200
LENGTH_S = BUCKETS * BUCKET_MS // 1000

REGIONS = ("eu-west-1", "us-east-2")
ROUTES = ("assistant", "booking")
BUNDLES = ("v1", "v2-canary")
LANGUAGES = ("de", "*")
DEVICES = ("phone", "car")


@dataclass(frozen=True, slots=True)
class World:
    """`turns` and `latencies` are what happened; `rows` is what landed, table by table."""

    start_ms: int
    turns: pl.DataFrame
    latencies: pl.DataFrame
    rows: dict[str, pa.Table]

    @property
    def end_ms(self) -> int:
        return self.start_ms + BUCKETS * BUCKET_MS

    @property
    def incident_ms(self) -> int:
        return self.start_ms + INCIDENT_AFTER_S * 1000


def incident(seed: int, start_ms: int, watched: tuple[WatchedSlo, ...]) -> World:
    random = np.random.default_rng(seed)
    cells = pl.DataFrame(
        list(product(REGIONS, ("realtime", "batch"), ROUTES, BUNDLES, LANGUAGES, DEVICES)),
        schema=["region", "pool", "route", "bundle", "language", "device_class"],
        orient="row",
    )
    buckets = pl.DataFrame({"bucket_ms": start_ms + np.arange(BUCKETS) * BUCKET_MS})
    turns = _turns(random, cells.join(buckets, how="cross"), start_ms + INCIDENT_AFTER_S * 1000)
    latencies = _latencies(random, turns, start_ms + INCIDENT_AFTER_S * 1000)
    rows: dict[str, pa.Table] = {}
    for suffix, width_ms in (("10s", 10_000), ("1m", 60_000)):
        rows |= {f"traffic_{suffix}": _traffic(turns, width_ms), f"burn_rate_{suffix}": _burn_rate(turns, width_ms)}
        rows |= {
            f"stage_latency_{suffix}": _stage_latency(latencies, width_ms),
            f"concurrency_{suffix}": _concurrency(turns, width_ms),
        }
        rows[f"heartbeats_{suffix}"] = _heartbeats(turns, width_ms)
        rows[f"privacy_{suffix}"] = _privacy(turns, width_ms)
    rows["burn_windows"] = _burn_windows(turns, watched)
    rows["pages"] = _pages(watched[0], start_ms)
    rows["objectives"] = objectives.rows([each.slo for each in watched], start_ms)
    rows["exclusions"] = exclusions.rows(_exclusions(start_ms))
    return World(start_ms, turns, latencies, rows)


EXCLUDED_S = (300, 600)
"""The first region is excluded from here to there."""


def _exclusions(start_ms: int) -> list[exclusions.Exclusion]:
    """A drill in one region, and another window that was withdrawn."""
    from_ms, to_ms = (start_ms + second * 1_000 for second in EXCLUDED_S)
    drill = exclusions.Exclusion(
        id="0123456789ab", action="declared", slo="all", slice=f"region={REGIONS[0]}", from_ms=from_ms, to_ms=to_ms,
        who="ana", why='a drill, "failover" é', at_ms=start_ms,
    )  # fmt: skip
    mistaken = drill.model_copy(update={"id": "ba9876543210", "slice": "all"})
    return [drill, mistaken, mistaken.model_copy(update={"action": "withdrawn", "at_ms": start_ms + 1})]


def _turns(random: np.random.Generator, cells: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    count = random.poisson(np.where(cells["bundle"] == "v1", 4, 2))
    slow = ((cells["bundle"] == "v2-canary") & (cells["bucket_ms"] >= incident_ms)).to_numpy()
    columns = {"turns": count}
    for indicator in INDICATORS:
        share = np.where(slow & (indicator.name in ("turn_4000ms", "first_audio_1800ms")), 0.35, 0.004)
        columns |= {indicator.total: count, indicator.bad: random.binomial(count, share)}
    columns |= {
        "tokens_in": count * 700,
        "tokens_out": count * 90,
        "audio_in_ms": count * 4_000,
        "audio_out_ms": count * 6_000,
    }
    columns |= {"turn_latency_ms_sum": count * 1_500, "turn_latency_ms_sumsq": count * 1_500**2}
    return cells.with_columns(*(pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()))


def _latencies(random: np.random.Generator, turns: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    """One row per turn and stage, of the operational partition."""
    keys = turns.group_by("region", "pool", "route", "bundle", "bucket_ms", maintain_order=True).agg(
        pl.col("turns").sum()
    )
    repeated = keys[np.repeat(np.arange(keys.height), keys["turns"].to_numpy())]
    slow = ((repeated["bundle"] == "v2-canary") & (repeated["bucket_ms"] >= incident_ms)).to_numpy()
    frames = []
    for place, stage in enumerate(STAGES):
        usual = random.lognormal(np.log(60.0 * (place + 1)), 0.4, repeated.height)
        tail = slow & (random.random(repeated.height) < 0.15) & (stage in ("llm_first_token", "turn"))
        latency = np.where(tail, usual * 12, usual).round()
        index = bucket_indexes(latency, SCALE_OF_STAGE[stage])
        frames.append(
            repeated.with_columns(
                pl.lit(stage).alias("stage"),
                pl.lit(SCALE_OF_STAGE[stage], pl.Int8).alias("scale"),
                pl.Series("bucket_index", index),
                pl.Series("latency_ms", latency.astype(np.int64)),
            )
        )
    return pl.concat(frames)


def _by_cut(
    frame: pl.DataFrame, family: Family, width_ms: int, keys: tuple[str, ...], sums: list[pl.Expr]
) -> pl.DataFrame:
    """`frame` grouped into every cut of the family, in buckets of `width_ms`, with the slice columns of its table."""
    named = dict.fromkeys(name for cut in family.cuts for name in cut.dimensions)
    parts = []
    for cut in family.cuts:
        width = max(width_ms, 1000 * family.partition(cut.partition).k_window_s)
        bucketed = frame.with_columns((pl.col("bucket_ms") // width * width).alias("bucket_ms"))
        grouped = bucketed.group_by(*cut.dimensions, *keys, "bucket_ms").agg(*sums)
        absent = (pl.lit("").alias(name) for name in named if name not in cut.dimensions)
        parts.append(grouped.with_columns(pl.lit(cut.name).alias("cut"), slice_text(cut.dimensions), *absent))
    return pl.concat(parts, how="diagonal").with_columns(
        pl.from_epoch("bucket_ms", "ms").dt.replace_time_zone("UTC").alias("bucket_start"), pl.lit(1).alias("version")
    )


def _landed(table: str, frame: pl.DataFrame) -> pa.Table:
    known = TABLES[table]
    of_other_families = (pl.lit("").alias(name) for name in DIMENSIONS if name not in frame.columns)
    frame = frame.with_columns(of_other_families)
    return frame.select(known.column_names).to_arrow().cast(known.arrow_schema)


def _suffix(width_ms: int) -> str:
    return "10s" if width_ms == 10_000 else "1m"


def _traffic(turns: pl.DataFrame, width_ms: int) -> pa.Table:
    return _landed(
        f"traffic_{_suffix(width_ms)}",
        _by_cut(turns, TURNS, width_ms, (), [pl.col(name).sum() for name in TURNS.measure_names]),
    )


def _burn_rate(turns: pl.DataFrame, width_ms: int) -> pa.Table:
    counted = pl.concat(
        turns.with_columns(
            pl.lit(each.name).alias("indicator"), pl.col(each.bad).alias("bad"), pl.col(each.total).alias("total")
        )
        for each in INDICATORS
    )
    return _landed(
        f"burn_rate_{_suffix(width_ms)}",
        _by_cut(counted, TURNS, width_ms, ("indicator",), [pl.col("bad", "total").sum()]),
    )


def _stage_latency(latencies: pl.DataFrame, width_ms: int) -> pa.Table:
    sums = [
        pl.len().cast(pl.Int64).alias("observations"),
        pl.col("latency_ms").sum().alias("latency_ms_sum"),
        (pl.col("latency_ms") ** 2).sum().alias("latency_ms_sumsq"),
    ]
    return _landed(
        f"stage_latency_{_suffix(width_ms)}",
        _by_cut(latencies, STAGE_LATENCIES, width_ms, ("stage", "scale", "bucket_index"), sums),
    )


def _concurrency(turns: pl.DataFrame, width_ms: int) -> pa.Table:
    sums = [
        (pl.col("turns").sum() * 3).alias("active_at_start"),
        pl.col("turns").sum().alias("starts"),
        pl.col("turns").sum().alias("ends"),
        (pl.col("turns").sum() * 3 + 1).alias("peak_lower"),
        (pl.col("turns").sum() * 4).alias("peak_upper"),
        (pl.col("turns").sum() // 10).alias("replicas_needed"),
    ]
    return _landed(f"concurrency_{_suffix(width_ms)}", _by_cut(turns, STREAMS, width_ms, (), sums))


def _heartbeats(turns: pl.DataFrame, width_ms: int) -> pa.Table:
    reported = turns.with_columns(pl.lit("turns").alias("reported_family"))
    sums = [
        pl.len().cast(pl.Int64).alias("rows_sent"),
        pl.col("turns").sum().alias("observations_seen"),
        (pl.col("turns").sum() // 50).alias("observations_dropped"),
        (pl.col("turns").sum() // 20).alias("observations_held"),
    ]
    return _landed(
        f"heartbeats_{_suffix(width_ms)}", _by_cut(reported, HEARTBEATS, width_ms, ("reported_family",), sums)
    )


def _privacy(turns: pl.DataFrame, width_ms: int) -> pa.Table:
    """Every tenth turn loses its language, every twentieth waits for others, and every fiftieth was refused."""
    fates = {"kept": 0.9, "generalised": 0.1, "held": 0.05, "refused": 0.02}
    parts = []
    for fate, share in fates.items():
        facts = {"reported_family": "turns", "fate": fate, "because": "email" if fate == "refused" else "language"}
        told = turns.with_columns(pl.lit(value).alias(name) for name, value in facts.items())
        sums = [(pl.col("turns").sum() * share).cast(pl.Int64).alias("observations")]
        parts.append(_by_cut(told, PRIVACY, width_ms, tuple(facts), sums))
    return _landed(f"privacy_{_suffix(width_ms)}", pl.concat(parts))


def _burn_windows(turns: pl.DataFrame, watched: tuple[WatchedSlo, ...]) -> pa.Table:
    parts = []
    for each in watched:
        slo = each.slo
        counted = turns.filter(pl.col("pool") == slo.pool).with_columns(
            pl.col(slo.indicator.bad).alias("bad"), pl.col(slo.indicator.total).alias("total")
        )
        buckets = (
            _by_cut(counted, TURNS, 10_000, (), [pl.col("bad", "total").sum()])
            .filter(pl.col("cut").is_in(slo.cuts))
            .sort("slice", "bucket_ms")
        )
        lengths = {seconds for row in each.rows for seconds in (row.long_s, row.short_s)} | {slo.period_s}
        parts += [
            _window(buckets, slo.name, float(slo.budget_rate), slo.period_s, seconds) for seconds in sorted(lengths)
        ]
    return _landed("burn_windows", pl.concat(parts))


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
    left = 1 - pl.col("period_bad") / pl.col("period_total") / budget_rate
    return placed.join(whole, on=["slice", "bucket_start"]).with_columns(
        pl.lit(slo).alias("slo"),
        (pl.col("bucket_start") + pl.duration(seconds=10)).alias("decided_at"),
        pl.lit(f"{seconds}s").alias("window"),
        pl.lit(seconds, pl.UInt32).alias("window_s"),
        burn.alias("burn"),
        left.alias("budget_left"),
        pl.when(pl.col("bad") > 0)
        .then(pl.max_horizontal(left, pl.lit(0.0)) * period_s / burn)
        .otherwise(None)
        .alias("exhausted_in_s"),
        pl.lit(0.02).alias("spent_today"),
        pl.lit(0.0005).alias("one_failure_costs"),
        pl.lit(0.97).alias("completeness"),
    )


def _pages(watched: WatchedSlo, start_ms: int) -> pa.Table:
    """One page that began, is still firing, and one ticket that was resolved; each with two statements.

    And a page that was pending and never fired.
    """
    begin = start_ms + INCIDENT_AFTER_S * 1000
    rows = [
        ("page", "pending", begin + 30_000, 0),
        ("page", "resolved", begin + 40_000, 1),
        ("page", "firing", begin + 60_000, 2),
        ("page", "firing", begin + 120_000, 3),
        ("ticket", "firing", begin + 90_000, 2),
        ("ticket", "resolved", begin + 300_000, 4),
    ]
    return _landed(
        "pages",
        pl.DataFrame(
            {
                "alert": [f"{watched.slo.name}/{severity}" for severity, *_ in rows],
                "slo": watched.slo.name,
                "slice": "pool=realtime,bundle=v2-canary",
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
