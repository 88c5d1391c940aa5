"""A seeded week of a fleet with one incident, as rows of the contract's tables: what the boards' SQL is tried on.

The bundle `v2-canary` is declared twenty hours before the end, and has a slow tail in its LLM stage from `incident_ms` on,
six hours before the end. So that a week is cheap, turns end in one minute of every twenty, and in every 10 s of the last
half hour. Turns are drawn per cell (region, pool, route, bundle, language, device) and bucket, latencies as counts of a few
levels, and both are grouped into every cut and resolution by the same few lines (`world_rollups`), so that what a panel
shows can be recomputed from `turns` and `latencies` by other means.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from scipy.stats import norm

from schemas import objectives
from schemas.families import INDICATORS, SCALE_OF_STAGE, STAGES
from schemas.histograms import bucket_indexes
from schemas.slos import WatchedSlo
from tests.board import world_burns, world_releases, world_rollups

LENGTH_S = 7 * 86_400
FINE_S = 1_800
"""The last seconds, which have rollups of 10 s; before them a minute in `PACE_S` is heard."""
PACE_S = 1_200
RELEASED_S, INCIDENT_S = 20 * 3_600, 6 * 3_600
"""How long before the end the canary was declared, and got slow."""

REGIONS = ("eu-west-1", "us-east-2")
ROUTES = ("assistant", "booking")
BUNDLES = ("v1", "v2-canary")
LANGUAGES = ("de", "*")
DEVICES = ("phone", "car")

USUALLY_BAD = {"privacy_error": 0.0, "turn_error": 0.0005}
"""Shares of bad turns where they are not 0.4 %."""
MEDIAN_MS = {
    "queue_wait": 40,
    "vad": 60,
    "asr_first_partial": 120,
    "final_transcript": 80,
    "retrieval": 90,
    "llm_first_token": 260,
    "tts_first_audio": 110,
    "playback": 30,
    "orchestration": 20,
    "network": 40,
    "first_audio": 780,
    "heard": 850,
    "turn": 1_500,
    "interrupted": 900,
}
"""A usual latency of each stage; parts add up to what is heard."""
LEVELS = 6
"""Latencies of a stage take so many values, the quantiles of a lognormal distribution, so that histograms have few rows."""
TAIL_SHARE, TAIL_TIMES = 0.15, 12
SLOW_STAGES = ("llm_first_token", "first_audio", "heard", "turn")


@dataclass(frozen=True, slots=True)
class World:
    """What happened, and what landed of it, table by table in `rows`.

    `turns` has a row for each cell and bucket (`bucket_ms`, of `width_ms`), `latencies` one for each operational cell,
    bucket, stage and level (`latency_ms`), with the number of `turns` that took so long.
    """

    start_ms: int
    turns: pl.DataFrame
    latencies: pl.DataFrame
    rows: dict[str, pa.Table]

    @property
    def end_ms(self) -> int:
        return self.start_ms + LENGTH_S * 1_000

    @property
    def fine_ms(self) -> int:
        """From when on there are rollups of 10 s."""
        return self.end_ms - FINE_S * 1_000

    @property
    def released_ms(self) -> int:
        return self.end_ms - RELEASED_S * 1_000

    @property
    def incident_ms(self) -> int:
        return self.end_ms - INCIDENT_S * 1_000


def incident(seed: int, start_ms: int, watched: tuple[WatchedSlo, ...]) -> World:
    """The week from `start_ms`, a whole hour, on, with the windows of the objectives `watched`."""
    random = np.random.default_rng(seed)
    named = World(start_ms, pl.DataFrame(), pl.DataFrame(), {})
    turns = _turns(random, _cells(named), named.incident_ms)
    latencies = _latencies(random, turns, named)
    rows = world_rollups.rows(turns, latencies, named.fine_ms)
    rows["burn_windows"] = world_burns.windows(turns, watched, named.fine_ms)
    rows["pages"] = world_burns.pages(watched[0], named.incident_ms)
    rows["objectives"] = objectives.rows([each.slo for each in watched], start_ms)
    rows["exclusions"] = world_burns.exclusions_of(REGIONS[0], named.fine_ms)
    rows["releases"] = world_releases.releases(BUNDLES, (start_ms, named.released_ms))
    rows["verdicts"] = world_releases.verdicts(BUNDLES, named.released_ms, named.incident_ms, named.end_ms)
    return World(start_ms, turns, latencies, rows)


def _cells(world: World) -> pl.DataFrame:
    """Every cell in every bucket that is heard of; the canary's from its declaration on."""
    cells = pl.DataFrame(
        list(product(REGIONS, ("realtime", "batch"), ROUTES, BUNDLES, LANGUAGES, DEVICES)),
        schema=["region", "pool", "route", "bundle", "language", "device_class"],
        orient="row",
    )
    minutes = np.arange(world.start_ms, world.fine_ms, PACE_S * 1_000)
    fine = np.arange(world.fine_ms, world.end_ms, 10_000)
    buckets = pl.DataFrame({"bucket_ms": np.concatenate([minutes, fine])})
    widths = pl.when(pl.col("bucket_ms") < world.fine_ms).then(60_000).otherwise(10_000)
    is_served = (pl.col("bundle") == BUNDLES[0]) | (pl.col("bucket_ms") >= world.released_ms)
    return cells.join(buckets.with_columns(widths.alias("width_ms")), how="cross").filter(is_served)


def _is_slow(frame: pl.DataFrame, incident_ms: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return frame.select((pl.col("bundle") == BUNDLES[1]) & (pl.col("bucket_ms") >= incident_ms)).to_series().to_numpy()


def _turns(random: np.random.Generator, cells: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    count = random.poisson(np.where(cells["bundle"] == BUNDLES[0], 4, 2) * (cells["width_ms"].to_numpy() // 10_000))
    slow = _is_slow(cells, incident_ms)
    columns = {"turns": count}
    for indicator in INDICATORS:
        usual = USUALLY_BAD.get(indicator.name, 0.004)
        share = np.where(slow & (indicator.name in ("turn_4000ms", "first_audio_1800ms")), 0.35, usual)
        columns |= {indicator.total: count, indicator.bad: random.binomial(count, share)}
    columns |= {
        "tokens_in": count * 700,
        "tokens_out": count * 90,
        "audio_in_ms": count * 4_000,
        "audio_out_ms": count * 6_000,
    }
    columns |= {"turn_latency_ms_sum": count * 1_500, "turn_latency_ms_sumsq": count * 1_500**2}
    return cells.with_columns(*(pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()))


def _latencies(random: np.random.Generator, turns: pl.DataFrame, world: World) -> pl.DataFrame:
    """Counts of each level, and of its tail, of the operational partition; of the hour's first minute before the last ones."""
    keys = ["region", "pool", "route", "bundle", "bucket_ms"]
    heard = (pl.col("bucket_ms") >= world.fine_ms) | (pl.col("bucket_ms") % 3_600_000 == 0)
    cells = turns.filter(heard).group_by(keys, maintain_order=True).agg(pl.col("turns").sum())
    slow = _is_slow(cells, world.incident_ms)
    levels = np.exp(0.3 * norm.ppf((np.arange(LEVELS) + 0.5) / LEVELS))
    return pl.concat(_stage(random, cells, slow, stage, levels) for stage in STAGES)


def _stage(random: np.random.Generator, cells: pl.DataFrame, slow: Any, stage: str, levels: Any) -> pl.DataFrame:
    tail = np.where(slow & (stage in SLOW_STAGES), TAIL_SHARE, 0.0)
    shares = np.column_stack([np.repeat(((1 - tail) / LEVELS)[:, None], LEVELS, axis=1), tail])
    counts = random.multinomial(cells["turns"].to_numpy(), shares)
    at_ms = np.append(MEDIAN_MS[stage] * levels, MEDIAN_MS[stage] * TAIL_TIMES).round()
    known = pl.DataFrame(
        {"latency_ms": at_ms.astype(np.int64), "bucket_index": bucket_indexes(at_ms, SCALE_OF_STAGE[stage])}
    )
    parts = (
        cells.with_columns(
            pl.Series("turns", counts[:, place]), *(pl.lit(value).alias(name) for name, value in row.items())
        )
        for place, row in enumerate(known.iter_rows(named=True))
    )
    told = reduce(pl.DataFrame.vstack, parts).filter(pl.col("turns") > 0)
    return told.with_columns(
        pl.col("bucket_index").cast(pl.Int32), stage=pl.lit(stage), scale=pl.lit(SCALE_OF_STAGE[stage], pl.Int8)
    )
