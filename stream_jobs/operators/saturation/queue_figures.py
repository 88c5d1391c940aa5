"""Figures of queues that are saturated: how they go on, and what is different from before they began to grow.

What comes, what each takes and how many are missing is of the last minute: who is told to shed or to add does so for what
comes then, and a mean would go on to tell of work that has ended. How a queue grows, how fast it is served and how busy
replicas are is of the minutes without a gap since it began to grow, ten at most and one at least. *Before* are the ten
minutes before that, which are looked at once, as an episode begins: of one that lasts nobody has them any more. What
replicas do in a minute is arrivals × time of each ÷ replicas, so one of these three has moved. Replicas of one region do
not serve another, so a pool misses what its regions miss together, however idle others are.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from schemas.arrays import Floats
from schemas.instants import MINUTE_MS
from stream_jobs.operators.saturation.queue_minutes import PAIR
from stream_jobs.operators.saturation.queue_outlook import Outlook, QueueMinutes, outlook
from stream_jobs.operators.saturation.queue_pressure import CLIMB_MS, SaturationRule

NOW_MINUTES = 10
BEFORE_MS = 10 * MINUTE_MS
LOOKED_AT_MS = CLIMB_MS + BEFORE_MS
"""How far back the figures of before look."""
BEFORE = ("arrivals_min", "service_ms", "servers")
"""What replicas do, of which one has moved."""
OUTLOOKS = ("utilisation", "breaks_in_s", "soonest_s", "latest_s", "replicas_missing")
_COUNTED = (
    "arrivals",
    "served",
    "batch_arrivals",
    "busy_ms",
    "available_ms",
    "preemptions",
    "batch_slots",
    "batch_slots_filled",
)
_GAUGES = ("depth", "servers", "kv_blocks", "kv_blocks_used")


def figures(episodes: pl.DataFrame, minutes: pl.DataFrame, at_ms: int, rule: SaturationRule) -> pl.DataFrame:
    """By slice and queue of the episodes that were heard of in the minute at `at_ms`: all that is told of them.

    `episodes` have slice, queue and grew_ms, `minutes` are at least the last `NOW_MINUTES` with `minute_ms`. What is not
    known is null; shares are 0 to 1, rates a minute.
    """
    of = minutes.join(episodes.select(*PAIR, "grew_ms").unique(PAIR), on=PAIR).sort(*PAIR, "minute_ms")
    now = without_gaps(of, at_ms)
    newest = _told(now.filter(pl.col("minute_ms") == at_ms))
    return newest.join(_lasting(now), on=PAIR).join(outlooks(now, rule), on=PAIR, how="left").sort(PAIR)


def as_it_shrinks(rows: pl.DataFrame) -> pl.DataFrame:
    """With `gone_in_s`, when a queue that shrinks is gone at the pace of the minute; it does not break what still holds."""
    shrinks = pl.col("change") < 0
    breaks = [
        pl.when(~shrinks | (pl.col("breaks_in_s") == 0)).then(pl.col(name)).alias(name)
        for name in ("breaks_in_s", "soonest_s", "latest_s")
    ]
    return rows.with_columns(*breaks, gone_in_s=pl.when(shrinks).then(pl.col("depth") / -pl.col("growth_min") * 60))


def with_regions(rows: pl.DataFrame, minutes: pl.DataFrame, at_ms: int, rule: SaturationRule) -> pl.DataFrame:
    """With what the regions miss of the pool that a slice without a region is of, as far as this shard knows them.

    A pool misses at least as many; of a bundle's queue nobody knows in which region it is.
    """
    of_pool = pl.when(~pl.col("slice").str.contains(",region=", literal=True)).then(
        pl.col("slice").str.extract(r"^(pool=[^,]+)")
    )
    of = rows.with_columns(of_pool=of_pool)
    mine = pl.col("slice").str.extract(r"^(pool=[^,]+),region=").is_in(of["of_pool"].drop_nulls().unique().to_list())
    known = of.join(
        _missing_in_regions(minutes.filter(mine), at_ms, rule),
        on=["of_pool", "queue"],
        how="left",
        maintain_order="left",
    )
    is_pool = pl.col("slice") == pl.col("of_pool")
    return known.with_columns(
        pl.when(is_pool).then(pl.max_horizontal(name, each)).otherwise(pl.col(name)).alias(name)
        for name, each in (
            ("replicas_missing", "regions_missing"),
            ("replicas_missing_without_batch", "regions_missing_without_batch"),
        )
    )


def _missing_in_regions(minutes: pl.DataFrame, at_ms: int, rule: SaturationRule) -> pl.DataFrame:
    """By pool (`of_pool`, a slice) and queue what those of its regions miss that are among `minutes`, summed.

    `missing_where` names the regions that miss any, the most first; a region's slice may be another shard's, so the sum
    is a lower bound.
    """
    of = pl.col("slice").str.extract_groups(r"^(?<of_pool>pool=[^,]+),region=(?<region>[^,]+)$").struct.unnest()
    regional = minutes.with_columns(of).drop_nulls("of_pool").with_columns(grew_ms=pl.lit(0, pl.Int64))
    now = without_gaps(regional, at_ms)
    named = now.select(*PAIR, "of_pool", "region").unique(PAIR)

    def summed(name: str) -> pl.Expr:
        return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum())

    return (
        outlooks(now, rule)
        .join(named, on=PAIR)
        .sort("replicas_missing", "region", descending=[True, False], nulls_last=True)
        .group_by("of_pool", "queue", maintain_order=True)
        .agg(
            regions_missing=summed("replicas_missing"),
            regions_missing_without_batch=summed("replicas_missing_without_batch"),
            missing_where=pl.col("region").filter(pl.col("replicas_missing") > 0),
        )
    )


def before(grown: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """By slice and queue of `grown`, which has `grew_ms`: `BEFORE`, of those heard of in the ten minutes before that.

    `minutes` are at least the last `LOOKED_AT_MS` before now, with `minute_ms`.
    """
    of = minutes.join(grown.select(*PAIR, "grew_ms"), on=PAIR).sort(*PAIR, "minute_ms")
    then = pl.col("minute_ms").is_between(pl.col("grew_ms") - BEFORE_MS, pl.col("grew_ms"), closed="left")
    return _told(of.filter(then)).select(*PAIR, *(pl.col(name).alias(f"{name}_before") for name in BEFORE))


def without_gaps(minutes: pl.DataFrame, at_ms: int) -> pl.DataFrame:
    """The minutes of each queue that end with the one at `at_ms` and have no gap, since it began to grow."""
    age = (at_ms - pl.col("minute_ms")) // MINUTE_MS
    is_now = (age >= 0) & (age < NOW_MINUTES) & ((pl.col("minute_ms") >= pl.col("grew_ms")) | (age == 0))
    recent = minutes.filter(is_now).sort(*PAIR, "minute_ms", descending=[False, False, True])
    place = pl.int_range(pl.len()).over(PAIR)
    return recent.filter((at_ms - pl.col("minute_ms")) // MINUTE_MS == place).sort(*PAIR, "minute_ms")


def outlooks(minutes: pl.DataFrame, rule: SaturationRule) -> pl.DataFrame:
    """How each queue goes on: `OUTLOOKS`, and `replicas_missing_without_batch`; minutes without gaps, in order."""
    parts = [
        _outlooks(part, int(count), rule)
        for (count,), part in minutes.with_columns(count=pl.len().over(PAIR))
        .partition_by("count", as_dict=True)
        .items()
    ]
    nothing = pl.DataFrame(schema=dict.fromkeys(PAIR, pl.String) | dict.fromkeys(_TOLD, pl.Float64))
    return pl.concat([nothing, *parts])


_TOLD = (*OUTLOOKS, "replicas_missing_without_batch")


def _outlooks(minutes: pl.DataFrame, count: int, rule: SaturationRule) -> pl.DataFrame:
    def by_minute(column: pl.Expr) -> Floats:
        values: Floats = minutes.select(column.cast(pl.Float64)).to_series().to_numpy().reshape(-1, count)
        return values

    def of(arrivals: pl.Expr) -> Outlook:
        depth = by_minute(pl.col("depth"))[:, -1]
        growth = by_minute(pl.col("depth_to") - pl.col("depth_from"))
        counted = (by_minute(pl.col(name)) for name in ("served", "busy_ms", "available_ms"))
        return outlook(QueueMinutes(depth, growth, by_minute(arrivals), *counted), rule.wait_s, rule.utilisation)

    found, live = of(pl.col("arrivals")), of(pl.col("arrivals") - pl.col("batch_arrivals"))
    told = {name: _known(getattr(found, name)) for name in OUTLOOKS}
    told["replicas_missing_without_batch"] = _known(live.replicas_missing)
    return minutes.select(PAIR)[::count].hstack(pl.DataFrame(told, schema=dict.fromkeys(_TOLD, pl.Float64)))


def _known(values: Floats) -> Floats | list[float | None]:
    """The values, those that are no number as unknown; infinity stays."""
    return [None if np.isnan(value) else value for value in values.tolist()]


def _lasting(minutes: pl.DataFrame) -> pl.DataFrame:
    """What is told of all of some minutes of each queue: at which rate they are served, and whether batch work came."""
    return minutes.group_by(PAIR).agg(
        served_min=pl.col("served").mean(), batch_share_lately=pl.col("batch_arrivals").sum() / pl.col("arrivals").sum()
    )


def _told(minutes: pl.DataFrame) -> pl.DataFrame:
    """Rates, shares and gauges of some minutes of each queue; gauges are those of the last one."""
    told = (
        minutes.group_by(PAIR)
        .agg(pl.col(*_COUNTED).sum(), pl.col(*_GAUGES).last(), minutes=pl.len())
        .with_columns(
            arrivals_min=pl.col("arrivals") / pl.col("minutes"),
            service_ms=_share("busy_ms", "served"),
            batch_share=_share("batch_arrivals", "arrivals"),
            batch_occupancy=_share("batch_slots_filled", "batch_slots"),
            kv_share=_share("kv_blocks_used", "kv_blocks"),
            preemptions_min=pl.col("preemptions") / pl.col("minutes"),
        )
    )
    return told.drop(*_COUNTED, "kv_blocks", "kv_blocks_used", "minutes")


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
