"""What else happened to the fleet of `tests.board.world`: queues, full-duplex events, costs, labelled calls, drift, late rows.

Every table is drawn for cells of the finest cut and grouped into the family's cuts by the same few lines, so that what a
panel shows can be recomputed from `happened` by other means. From the world's incident on, `v2-canary` waits for its LLM, misses
barge-ins and costs more; one accent is understood worse since a day and a half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import polars as pl
import pyarrow as pa

from schemas.drift_measures import MEASURE_NAMES
from schemas.families import COSTS, DUPLEX, DUPLEX_INDICATORS, QUALITY, QUEUES, TURNS, Family
from schemas.slices import slice_text
from schemas.tables import TABLES
from tests.board.world import BUNDLES, REGIONS, ROUTES

MINUTE_MS, TEN_MINUTES_MS, HOUR_MS = 60_000, 600_000, 3_600_000
DAY_MS = 24 * HOUR_MS
FINE_MS = 30 * MINUTE_MS
"""For how long before the end there are buckets of 10 s."""
LLM = "llm_first_token"
WAITED_FOR = ("asr_first_partial", LLM, "tts_first_audio")
ACCENTS = ("scottish", "general")
SHARED = "shared"
BUDGET_USD = 180_000.0


class Timed(Protocol):
    """When the world began and ended, and when its incident began."""

    @property
    def end_ms(self) -> int: ...

    @property
    def incident_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class More:
    """`happened` has the finest cells of a family; `rows` is what landed, table by table."""

    happened: dict[str, pl.DataFrame]
    rows: dict[str, pa.Table]


def more(seed: int, world: Timed) -> More:
    random = np.random.default_rng(seed)
    buckets = _buckets(world)
    happened = {
        "queues": _queues(random, buckets, world.incident_ms),
        "duplex": _duplex(random, buckets, world.incident_ms),
        "costs": _costs(random, world),
        "quality": _quality(random, world),
        "drift": _drift(random, world),
        "late": _late_turns(random, world),
    }
    rows: dict[str, pa.Table] = {}
    gauges = frozenset(measure.name for measure in QUEUES.measures if measure.merge == "gauge")
    for suffix, frames in (("10s", _fine), ("1m", _minutes)):
        rows[f"queues_{suffix}"] = landed(
            f"queues_{suffix}", by_cut(frames(happened["queues"], gauges), QUEUES, ("queue",), QUEUES.measure_names)
        )
        events = frames(happened["duplex"])
        rows[f"duplex_events_{suffix}"] = landed(f"duplex_events_{suffix}", by_cut(events, DUPLEX, (), ("events",)))
        rows[f"burn_rate_{suffix}"] = landed(f"burn_rate_{suffix}", _judged(events))
    rows["costs_10m"] = landed("costs_10m", by_cut(happened["costs"], COSTS, (), COSTS.measure_names))
    rows["spend_10m"] = landed("spend_10m", _spend(happened["costs"]))
    rows["quality_1h"] = landed("quality_1h", by_cut(happened["quality"], QUALITY, (), QUALITY.measure_names))
    rows["drift_1h"] = landed("drift_1h", happened["drift"])
    rows["turns_late"] = landed("turns_late", happened["late"])
    rows["findings"] = landed("findings", _findings(world))
    return More(happened, rows)


def total(frame: pl.DataFrame, column: str) -> int:
    """What all rows of a column add up to."""
    return int(frame.select(pl.col(column).sum()).item())


def by_cut(frame: pl.DataFrame, family: Family, keys: tuple[str, ...], measures: tuple[str, ...]) -> pl.DataFrame:
    """The rows of every cut of the family whose dimensions `frame` has."""
    parts = []
    for cut in family.cuts:
        if set(cut.dimensions) <= set(frame.columns):
            told = frame.drop_nulls(cut.dimensions)
            sums = told.group_by(*cut.dimensions, *keys, "bucket_ms").agg(pl.col(measures).sum())
            parts.append(sums.with_columns(slice_text(cut.dimensions), cut=pl.lit(cut.name)))
    return pl.concat(parts, how="diagonal")


def landed(table: str, frame: pl.DataFrame) -> pa.Table:
    """As the table has it; texts that the frame has not are empty, versions 1."""
    known = TABLES[table]
    if "bucket_ms" in frame.columns:
        frame = frame.with_columns(bucket_start=pl.from_epoch("bucket_ms", "ms").dt.replace_time_zone("UTC"))
    absent = [pl.lit(1 if name == "version" else "").alias(name) for name in known.column_names if name not in frame]
    texts = pl.selectors.string().fill_null("")
    return frame.with_columns(absent).with_columns(texts).select(known.column_names).to_arrow().cast(known.arrow_schema)


def _buckets(world: Timed) -> pl.DataFrame:
    """Minutes of at most 26 hours, and of the last half hour 10 s: `bucket_ms` and `width_s`."""
    begin = max(world.end_ms - 26 * HOUR_MS, min(world.incident_ms - FINE_MS, world.end_ms - 2 * HOUR_MS))
    fine_from = world.end_ms - FINE_MS
    minutes = np.arange(begin // MINUTE_MS * MINUTE_MS, fine_from, MINUTE_MS)
    fine = np.arange(fine_from, world.end_ms, 10_000)
    widths = np.repeat([60, 10], [len(minutes), len(fine)])
    return pl.DataFrame({"bucket_ms": np.concatenate([minutes, fine]), "width_s": widths})


def _cells(buckets: pl.DataFrame, **values: tuple[str, ...]) -> pl.DataFrame:
    cells = pl.DataFrame(list(product(*values.values())), schema=list(values), orient="row")
    return cells.join(buckets, how="cross")


def _fine(frame: pl.DataFrame, gauges: frozenset[str] = frozenset()) -> pl.DataFrame:
    return frame.filter(pl.col("width_s") == 10)


def _minutes(frame: pl.DataFrame, gauges: frozenset[str] = frozenset()) -> pl.DataFrame:
    """Counters of a minute are added up; of a gauge the last one counts."""
    minute = pl.col("bucket_ms") // MINUTE_MS * MINUTE_MS
    keys = [name for name, kind in frame.schema.items() if kind == pl.String]
    counted = [name for name in frame.columns if name not in (*keys, *gauges, "bucket_ms", "width_s")]
    grouped = frame.sort("bucket_ms").group_by(*keys, minute=minute)
    return grouped.agg(pl.col(counted).sum(), pl.col(*gauges).last() if gauges else []).rename({"minute": "bucket_ms"})


def _queues(random: np.random.Generator, buckets: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    """From the incident on the LLM's queue of `v2-canary` grows by 36 requests a minute, for ten minutes."""
    cells = _cells(buckets, region=REGIONS, pool=("realtime", "batch"), bundle=BUNDLES, queue=WAITED_FOR)
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


def _duplex(random: np.random.Generator, buckets: pl.DataFrame, incident_ms: int) -> pl.DataFrame:
    """Events by kind; from the incident on `v2-canary` detects a third of its barge-ins too late."""
    kinds = tuple(dict.fromkeys(str(each.duplex_event) for each in DUPLEX_INDICATORS))
    cells = _cells(buckets, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES, duplex_event=kinds)
    events = random.poisson(0.3 * cells["width_s"].to_numpy())
    slow = ((cells["bundle"] == BUNDLES[1]) & (cells["bucket_ms"] >= incident_ms)).to_numpy()
    columns = {"events": events}
    for place, each in enumerate(DUPLEX_INDICATORS):
        is_judged = (cells["duplex_event"] == each.duplex_event).to_numpy()
        share = np.where(slow & (each.name == "barge_in_latency_200ms"), 0.33, 0.01 + 0.002 * place)
        total = np.where(is_judged, events * (50 if each.unit == "frames" else 1), 0)
        columns |= {each.total: total, each.bad: random.binomial(total, share)}
    return cells.with_columns(*(pl.Series(name, values, dtype=pl.Int64) for name, values in columns.items()))


def _judged(events: pl.DataFrame) -> pl.DataFrame:
    """Rows of `burn_rate` of every indicator, which are of all its events whatever their kind."""
    counted = pl.concat(
        events.filter(pl.col("duplex_event") == each.duplex_event)
        .with_columns(pl.lit(each.name).alias("indicator"), bad=pl.col(each.bad), total=pl.col(each.total))
        .select("region", "pool", "route", "bundle", "duplex_event", "bucket_ms", "indicator", "bad", "total")
        for each in DUPLEX_INDICATORS
    )
    return by_cut(counted, DUPLEX, ("indicator",), ("bad", "total"))


_MODELS = (
    ("hear-1", "l4", "on_demand", 0.7e9, 90),
    ("talk-1", "h100", "reserved", 2.4e9, 400),
    ("hosted-large-3", "none", "hosted", 0.0, 0),
    ("try-1", "b300", "spot", 0.0, 30),
)
"""Model, GPU, purchase, nano-dollars for an hour of it (0: has no price) and GPU time of a turn in ms."""


def _costs(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """Ten minutes of the last day and of the same day a week before, else some hours' worth at once, for ten weeks.

    Replicas are told on route `shared`.
    """
    newest = world.end_ms // HOUR_MS * HOUR_MS
    spans = [
        (70, 16, 12 * HOUR_MS),
        (16, 8, 3 * HOUR_MS),
        (8, 7, TEN_MINUTES_MS),
        (7, 1, 3 * HOUR_MS),
        (1, 0, TEN_MINUTES_MS),
    ]
    starts = [np.arange(newest - begin * DAY_MS, newest - end * DAY_MS, step) for begin, end, step in spans]
    widths = np.repeat([step // 1_000 for *_, step in spans], [len(each) for each in starts])
    buckets = pl.DataFrame({"bucket_ms": np.concatenate(starts), "width_s": widths})
    models = pl.DataFrame(
        _MODELS, schema=["model_version", "gpu_type", "purchase", "nusd_hour", "gpu_ms"], orient="row"
    )
    cells = _cells(buckets, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES)
    served = cells.join(models, how="cross").with_columns(turns=pl.lit(0))
    is_dear = (pl.col("bundle") == BUNDLES[1]) & (pl.col("bucket_ms") >= newest - DAY_MS)
    answers = pl.col("model_version") == "talk-1"
    served = served.with_columns(turns=pl.Series(random.poisson(0.1 * served["width_s"].to_numpy())) * answers)
    served = served.with_columns(
        successes=(pl.col("turns") * 0.9).cast(pl.Int64),
        success_audio_ms=pl.col("turns") * 9_000,
        attempts_retried=pl.col("turns") // 10,
        attempts_shadow=pl.when(is_dear).then(pl.col("turns") // 2).otherwise(0),
        tokens_prompt=pl.col("turns") * 300,
        tokens_carried=pl.col("turns") * pl.when(is_dear).then(900).otherwise(300),
        tokens_retrieved=pl.col("turns") * 100,
        tokens_cached=pl.col("turns") * 120,
        tokens_out=pl.col("turns") * 80,
        chunks_retrieved=pl.col("turns") * 3,
        gpu_used_ms=(pl.col("width_s") * pl.col("gpu_ms") / 10 * pl.when(is_dear).then(2.0).otherwise(1.0)).cast(
            pl.Int64
        ),
    ).with_columns(attempts=pl.col("turns") + pl.col("attempts_retried") + pl.col("attempts_shadow"))
    hosted = pl.when(pl.col("purchase") == "hosted").then(pl.col("width_s") * 20_000).otherwise(0)
    served = served.with_columns(used_nusd=_price("gpu_used_ms") + hosted, reserved_nusd=hosted)
    keys = ("region", "pool", "bundle", "model_version", "gpu_type", "purchase", "nusd_hour", "bucket_ms", "width_s")
    replicas = (
        served.filter(pl.col("purchase") != "hosted")
        .group_by(*keys, maintain_order=True)
        .agg(gpu_reserved_ms=(pl.col("gpu_used_ms").sum() * 1.6).cast(pl.Int64))
        .with_columns(route=pl.lit(SHARED), reserved_nusd=_price("gpu_reserved_ms"))
    )
    told = pl.concat([served, replicas], how="diagonal").with_columns(pl.selectors.numeric().fill_null(0))
    unpriced = (pl.col("nusd_hour") == 0) & (pl.col("purchase") != "hosted")
    absent = {name: pl.lit(0) for name in COSTS.measure_names if name not in told.columns}
    return told.with_columns(
        uncosted_gpu_ms=pl.max_horizontal("gpu_used_ms", "gpu_reserved_ms") * unpriced,
        uncosted_tokens=pl.lit(0),
        **absent,
    )


def _price(used_ms: str) -> pl.Expr:
    return (pl.col(used_ms) * pl.col("nusd_hour") / HOUR_MS).cast(pl.Int64)


def _spend(costs: pl.DataFrame) -> pl.DataFrame:
    """The finest cut, and the same turns by tenant, which nobody may add to it."""
    table = set(TABLES["spend_10m"].column_names)
    measures = tuple(name for name in costs.columns if name in table and costs[name].dtype.is_numeric())
    finest = max((cut for cut in COSTS.cuts if "region" in cut.dimensions), key=lambda cut: len(cut.dimensions))
    rows = costs.with_columns(slice_text(finest.dimensions), cut=pl.lit(finest.name))
    of_tenants = next(cut for cut in COSTS.cuts if {"tenant", "route"} <= set(cut.dimensions))
    tenants = costs.with_columns(tenant=pl.lit("*"))
    sums = tenants.group_by(*of_tenants.dimensions, "bucket_ms").agg(pl.col(measures).sum())
    sums = sums.with_columns(slice_text(of_tenants.dimensions), cut=pl.lit(of_tenants.name))
    return pl.concat([rows.select("cut", "slice", "bucket_ms", *finest.dimensions, *measures), sums], how="diagonal")


def _hours(world: Timed, hours: int) -> pl.DataFrame:
    newest = world.end_ms // HOUR_MS * HOUR_MS
    return pl.DataFrame({"bucket_ms": newest - np.arange(hours, 0, -1) * HOUR_MS})


def _quality(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """Labelled calls, of the operational partition and of speech: a dimension that a partition has not is null."""
    hours = _hours(world, 168)
    calls = pl.concat(
        [
            _cells(hours, region=REGIONS, pool=("realtime",), route=ROUTES, bundle=BUNDLES),
            _cells(hours, pool=("realtime",), bundle=BUNDLES, accent=ACCENTS, noise_class=("quiet", "noisy")),
            _cells(hours, pool=("realtime",), bundle=BUNDLES, language=("de", "*")),
        ],
        how="diagonal",
    )
    count = random.poisson(12, calls.height)
    worse = ((calls["accent"] == ACCENTS[0]) & (calls["bundle"] == BUNDLES[1])).fill_null(False).to_numpy()
    place = np.repeat(np.arange(calls.height), count)
    said = random.integers(40, 120, len(place))
    missed = random.binomial(said, np.where(worse, 0.16, 0.08)[place] * random.uniform(0.5, 1.5, len(place)))

    def summed(of_calls: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.bincount(place, of_calls, calls.height).astype(np.int64)

    columns = {
        "calls": count, "words": summed(said), "word_errors": summed(missed),
        "words_sumsq": summed(said**2), "word_errors_sumsq": summed(missed**2), "word_errors_by_words": summed(said * missed),
        "characters": summed(said * 5), "character_errors": summed(missed * 2), "entities": count * 4, "entity_errors": count // 3,
        "endpoints": count * 6, "endpoint_errors": count // 4, "partials": count * 30,
        "partials_rewritten": count * 2, "answers": count * 5, "answers_corrected": count // 5,
        "answers_ungrounded": count // 6, "citations": count * 3, "citations_stale": count // 7,
        "lookups_aged": count * 2, "index_age_s_sum": count * 7_200,
    }  # fmt: skip
    return calls.with_columns(*(pl.Series(name, values) for name, values in columns.items()))


_DRIFT_SLICES = (
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1], "accent": ACCENTS[0]}, "drifted", 0.16, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1], "accent": ACCENTS[1]}, "steady", 0.08, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[1]}, "steady", 0.09, 0.08),
    ("failure_rate", {"pool": "realtime", "route": ROUTES[0]}, "steady", 0.031, 0.03),
    ("failure_rate", {"pool": "realtime", "region": REGIONS[1]}, "learning", 0.029, 0.03),
    ("jitter_ms", {"pool": "realtime", "connection": "cellular", "codec": "opus"}, "not_enough", 31.0, None),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[0], "language": "de"}, "steady", 0.08, 0.08),
    ("word_error_rate", {"pool": "realtime", "bundle": BUNDLES[0], "noise_class": "noisy"}, "steady", 0.12, 0.12),
    ("failure_rate", {"pool": "realtime", "bundle": BUNDLES[0], "device_class": "car"}, "steady", 0.03, 0.03),
    ("failure_rate", {"pool": "realtime", "bundle": BUNDLES[0], "client_version": "4.2.0"}, "learning", 0.03, 0.03),
    ("tenant_stale_lookup_rate", {"pool": "realtime", "tenant": "t-0123456789abcdef"}, "steady", 0.01, 0.01),
    ("heard_shape", {"pool": "realtime", "bundle": BUNDLES[1]}, "drifted", 0.21, 0.0),
    ("heard_shape", {"pool": "batch", "route": ROUTES[1]}, "no_reference", None, None),
)
DRIFT_HOURS = 36
assert {measure for measure, *_ in _DRIFT_SLICES} <= set(MEASURE_NAMES)


def _drift(random: np.random.Generator, world: Timed) -> pl.DataFrame:
    """A week of hours; what drifts began to `DRIFT_HOURS` before the newest one ended."""
    hours = _hours(world, 168)
    began_ms = int(hours["bucket_ms"][-DRIFT_HOURS])
    since_h = (pl.col("bucket_ms") - began_ms) / HOUR_MS
    parts = []
    for measure, dimensions, state, value, reference in _DRIFT_SLICES:
        is_drifting = (state == "drifted") & (since_h >= 0)
        usual = reference if reference is not None else value
        noise = pl.Series(1 + 0.02 * random.standard_normal(hours.height))
        before = None if usual is None else pl.lit(usual) * noise
        now = None if value is None else pl.lit(value) * noise
        parts.append(
            hours.with_columns(
                *(pl.lit(name).alias(key) for key, name in dimensions.items()),
                slice=pl.lit(",".join(f"{key}={name}" for key, name in dimensions.items())),
                cut=pl.lit(",".join(dimensions)),
                measure=pl.lit(measure),
                state=pl.when(is_drifting).then(pl.lit(state)).otherwise(pl.lit(state.replace("drifted", "steady"))),
                value=pl.lit(None, pl.Float64) if now is None else pl.when(is_drifting).then(now).otherwise(before),
                reference_value=pl.lit(reference, pl.Float64),
                samples=pl.lit(4_000),
                reference_samples=pl.lit(5_000 if reference is not None else 0),
                excess=pl.lit(None, pl.Float64)
                if state in ("not_enough", "no_reference")
                else pl.when(is_drifting).then(4.0).otherwise(-1.0),
                evidence=pl.when(is_drifting).then(since_h * 0.7).otherwise(0.0),
                spread=pl.lit(1.4),
                divergence_bits=pl.lit(0.05 if measure.endswith("shape") else None, pl.Float64),
                reference=pl.lit("none" if reference is None else "week_before"),
                reference_slice=pl.lit(",".join(f"{key}={name}" for key, name in dimensions.items())),
                since=pl.when(is_drifting).then(pl.from_epoch(pl.lit(began_ms), "ms").dt.replace_time_zone("UTC")),
            )
        )
    return pl.concat(parts, how="diagonal")


def _late_turns(random: np.random.Generator, world: Timed) -> pl.DataFrame:
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


def _findings(world: Timed) -> pl.DataFrame:
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
