"""Queues and full-duplex events of the board's world: from the incident on the canary waits for its LLM and misses barge-ins."""

from __future__ import annotations

import numpy as np
import polars as pl

from schemas.families import DUPLEX, DUPLEX_INDICATORS
from tests.board.world import BUNDLES, REGIONS, ROUTES
from tests.board.world_cells import FINE_MS, HOUR_MS, MINUTE_MS, Timed, by_cut, cells_of

LLM = "llm_first_token"
WAITED_FOR = ("asr_first_partial", LLM, "tts_first_audio")


def buckets_of(world: Timed) -> pl.DataFrame:
    """Minutes of at most 26 hours, and of the last half hour 10 s: `bucket_ms` and `width_s`."""
    begin = max(world.end_ms - 26 * HOUR_MS, min(world.incident_ms - FINE_MS, world.end_ms - 2 * HOUR_MS))
    fine_from = world.end_ms - FINE_MS
    minutes = np.arange(begin // MINUTE_MS * MINUTE_MS, fine_from, MINUTE_MS)
    fine = np.arange(fine_from, world.end_ms, 10_000)
    widths = np.repeat([60, 10], [len(minutes), len(fine)])
    return pl.DataFrame({"bucket_ms": np.concatenate([minutes, fine]), "width_s": widths})


def fine(frame: pl.DataFrame, gauges: frozenset[str] = frozenset()) -> pl.DataFrame:
    return frame.filter(pl.col("width_s") == 10)


def minutes(frame: pl.DataFrame, gauges: frozenset[str] = frozenset()) -> pl.DataFrame:
    """Counters of a minute are added up; of a gauge the last one counts."""
    minute = pl.col("bucket_ms") // MINUTE_MS * MINUTE_MS
    keys = [name for name, kind in frame.schema.items() if kind == pl.String]
    counted = [name for name in frame.columns if name not in (*keys, *gauges, "bucket_ms", "width_s")]
    grouped = frame.sort("bucket_ms").group_by(*keys, minute=minute)
    return grouped.agg(pl.col(counted).sum(), pl.col(*gauges).last() if gauges else []).rename({"minute": "bucket_ms"})


def queues(random: np.random.Generator, buckets: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    """From the incident on the LLM's queue of `v2-canary` grows by 36 requests a minute, for ten minutes."""
    cells = cells_of(buckets, region=REGIONS, pool=("realtime", "batch"), bundle=BUNDLES, queue=WAITED_FOR)
    is_struck = (pl.col("pool") == "realtime") & (pl.col("bundle") == BUNDLES[1]) & (pl.col("queue") == LLM)
    since_s = (pl.col("bucket_ms") - incident_ms) / 1_000 + pl.col("width_s")
    grown = pl.when(is_struck).then((since_s.clip(0, 600) * 0.6).cast(pl.Int64)).otherwise(0)
    width_s = cells["width_s"].to_numpy()
    base, arrivals = random.poisson(3, cells.height), random.poisson(2 * width_s)
    key = ("region", "pool", "bundle", "queue")
    queues = cells.with_columns(
        depth=pl.Series(base) + grown, arrivals=pl.Series(arrivals), is_slow=is_struck & (grown > 0)
    )
    queues = queues.with_columns(
        depth_to=pl.col("depth"), depth_from=pl.col("depth").shift(1).over(key).fill_null(pl.col("depth"))
    )
    begun = (pl.col("arrivals") - pl.col("depth_to") + pl.col("depth_from")).clip(0)
    slow = pl.col("is_slow")
    available_ms = 4_000 * pl.col("width_s")
    return queues.with_columns(
        served=begun,
        running=pl.lit(5),
        servers=pl.lit(4),
        warm_streams=pl.when(slow).then(100).otherwise(900),
        batch_arrivals=pl.when(pl.col("pool") == "batch").then(pl.col("arrivals")).otherwise(pl.col("arrivals") // 20),
        waited_ms_sum=begun * pl.when(slow).then(2_400).otherwise(60),
        available_ms=available_ms,
        busy_ms=(available_ms * pl.when(slow).then(0.97).otherwise(0.5)).cast(pl.Int64),
        batch_slots=100 * pl.col("width_s"),
        batch_slots_filled=pl.col("width_s") * pl.when(slow).then(98).otherwise(60),
        kv_blocks=pl.lit(2_000),
        kv_blocks_used=pl.when(slow).then(1_900).otherwise(900),
        preemptions=pl.when(slow).then(pl.col("width_s") // 5).otherwise(0),
        drafts_proposed=50 * pl.col("width_s"),
        drafts_accepted=35 * pl.col("width_s"),
    ).drop("is_slow")


def duplex(random: np.random.Generator, buckets: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    """Events by kind; from the incident on `v2-canary` detects a third of its barge-ins too late."""
    kinds = tuple(dict.fromkeys(str(each.duplex_event) for each in DUPLEX_INDICATORS))
    cells = cells_of(buckets, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES, duplex_event=kinds)
    events = random.poisson(0.3 * cells["width_s"].to_numpy())
    slow = ((cells["bundle"] == BUNDLES[1]) & (cells["bucket_ms"] >= incident_ms)).to_numpy()
    columns = {"events": events}
    for place, each in enumerate(DUPLEX_INDICATORS):
        is_judged = (cells["duplex_event"] == each.duplex_event).to_numpy()
        share = np.where(slow & (each.name == "barge_in_latency_200ms"), 0.33, 0.01 + 0.002 * place)
        total = np.where(is_judged, events * (50 if each.unit == "frames" else 1), 0)
        columns |= {each.total: total, each.bad: random.binomial(total, share)}
    return cells.with_columns(*(pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()))


def judged(events: pl.DataFrame) -> pl.DataFrame:
    """Rows of `burn_rate` of every indicator, which are of all its events whatever their kind."""
    counted = pl.concat(
        events.filter(pl.col("duplex_event") == each.duplex_event)
        .with_columns(pl.lit(each.name).alias("indicator"), bad=pl.col(each.bad), total=pl.col(each.total))
        .select("region", "pool", "route", "bundle", "duplex_event", "bucket_ms", "indicator", "bad", "total")
        for each in DUPLEX_INDICATORS
    )
    return by_cut(counted, DUPLEX, ("indicator",), ("bad", "total"))
