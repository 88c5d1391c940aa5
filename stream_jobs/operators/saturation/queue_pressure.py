"""Pressure on queues in one minute: which grow, which are slow, and since when each has been growing.

Growth is that of the depth pairs, which engines that came or went do not enter. After missing minutes there is no pair for
the time between: the change of depth over all of it counts, minute by minute, so a gap is never a jump; the first minute of
a queue has no growth. A turn waits in the queue of a stage before the stage itself, and some hosts tell the wait as
`queue_wait`, others within the stage. So the latency that counts is the larger of both 95th percentiles: together they take
as long at least. Where neither is told, it is the mean wait of those that began to be served. Where requests come and none
is served nor began to be, whoever waited as the minute began has waited for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from schemas.instants import MINUTE_MS
from schemas.saturation import GROWTH_PER_MINUTE, P95_MS, TARGET_UTILISATION
from stream_jobs.operators.saturation.queue_minutes import PAIR
from stream_jobs.operators.saturation.saturation import Growth

CHAIN = (
    "queue_wait",
    "vad",
    "asr_first_partial",
    "final_transcript",
    "orchestration",
    "llm_first_token",
    "retrieval",
    "tts_first_audio",
    "network",
    "playback",
)
"""Queues in the order in which a turn comes to them; of two that began to grow in the same minute the earlier one is first."""
CLIMB_MS = 30 * MINUTE_MS
"""How far back the beginning of a growth is looked for."""
CLIMBED = 0.1
"""Of its rise, what a queue may have risen before it counts as having begun to grow."""
WAIT_STAGE = "queue_wait"


@dataclass(frozen=True, slots=True)
class SaturationRule:
    """What saturation is: growth in requests a minute and latency in ms, both reached at once.

    `wait_s` is the wait that the realtime objective allows (`alerts/slos/queue_wait_250ms.yaml`); `utilisation` what
    replicas are to be busy for.
    """

    growth_min: Decimal = GROWTH_PER_MINUTE
    p95_ms: Decimal = P95_MS
    wait_s: float = 0.25
    utilisation: float = TARGET_UTILISATION


def grown(minute: pl.DataFrame, before: pl.DataFrame, at_ms: int, rule: SaturationRule) -> pl.DataFrame:
    """The queues of a minute with `change`, `elapsed_min` (0 in the first one) and `is_growing`.

    `before` has the minute before in which each was heard of, with `minute_ms`; no row of a queue that is new.
    """
    known = minute.join(before.select(*PAIR, "minute_ms", before="depth"), on=PAIR, how="left")
    elapsed = ((at_ms - pl.col("minute_ms")) // MINUTE_MS).fill_null(0)
    paired = pl.col("depth_to") - pl.col("depth_from")
    jumped = pl.col("depth") - pl.col("before")
    change = pl.when(elapsed == 1).then(paired).when(elapsed > 1).then(jumped).otherwise(0)
    changed = known.with_columns(elapsed_min=elapsed, change=change)
    growth = Growth(changed["change"].to_numpy(), changed["elapsed_min"].to_numpy())
    return changed.with_columns(is_growing=pl.Series(growth.is_at_least(rule.growth_min), dtype=pl.Boolean))


def timed(queues: pl.DataFrame, tails: pl.DataFrame, rule: SaturationRule) -> pl.DataFrame:
    """These queues, as `grown` has them, with `latency_ms`, `latency_from` (`p95` or `waits`) and `is_slow`.

    `tails`: those of the minute's stages (`stage_tails.tails`).
    """
    of_stage = tails.select("slice", queue="stage", stage_p95_ms="p95_ms")
    of_wait = tails.filter(pl.col("stage") == WAIT_STAGE).select("slice", wait_p95_ms="p95_ms")
    p95_ms = pl.max_horizontal("stage_p95_ms", "wait_p95_ms")
    begun = pl.col("arrivals") - pl.col("change") / pl.col("elapsed_min").clip(lower_bound=1)
    waited_ms = pl.when(begun > 0).then(pl.col("waited_ms_sum") / begun)
    is_stuck = (pl.col("arrivals") > 0) & (pl.col("served") == 0) & (begun <= 0) & (pl.col("depth") > pl.col("change"))
    stuck_ms = pl.when(is_stuck).then(pl.col("elapsed_min") * float(MINUTE_MS))
    return (
        queues.join(of_stage, on=PAIR, how="left", maintain_order="left")
        .join(of_wait, on="slice", how="left", maintain_order="left")
        .with_columns(
            latency_ms=pl.max_horizontal(pl.coalesce(p95_ms, waited_ms), stuck_ms),
            latency_from=pl.when(p95_ms.is_null() | (stuck_ms > p95_ms)).then(pl.lit("waits")).otherwise(pl.lit("p95")),
        )
        .with_columns(is_slow=(pl.col("latency_ms") >= float(rule.p95_ms)).fill_null(False))
    )


def climbs(minutes: pl.DataFrame) -> pl.DataFrame:
    """By queue from which instant on it has been growing (`grew_ms`), from which depth (`base_depth`), and its `rise`.

    `minutes` are those of a span, with `minute_ms`; the last one in which a queue was heard of is its `heard_ms`. A queue has
    been growing since it was last within a tenth of its rise above its lowest depth of the span; depths are those at the
    ends of minutes.
    """
    ordered = minutes.sort("minute_ms")
    base = pl.col("depth").min().over(PAIR)
    rise = pl.col("depth").last().over(PAIR) - base
    is_low = pl.col("depth") <= base + CLIMBED * rise
    return (
        ordered.with_columns(base_depth=base, rise=rise, is_low=is_low)
        .group_by(PAIR)
        .agg(
            pl.col("base_depth", "rise").first(),
            heard_ms=pl.col("minute_ms").max(),
            grew_ms=pl.col("minute_ms").filter(pl.col("is_low")).max() + MINUTE_MS,
        )
    )


def grew_first(climbed: pl.DataFrame, at_ms: int, rule: SaturationRule) -> pl.DataFrame:
    """By slice the queue that began to grow first, of those that have grown by a minute's worth: first_queue, first_ms.

    Only queues that are heard of in the minute at `at_ms` are: nobody knows whether another one is still as deep.
    """
    place = pl.col("queue").replace_strict(
        list(CHAIN), list(range(len(CHAIN))), default=len(CHAIN), return_dtype=pl.Int64
    )
    return (
        climbed.filter((pl.col("heard_ms") == at_ms) & (pl.col("rise") >= float(rule.growth_min)))
        .with_columns(place=place)
        .sort("slice", "grew_ms", "place")
        .unique("slice", keep="first", maintain_order=True)
        .select("slice", first_queue="queue", first_ms="grew_ms")
    )
