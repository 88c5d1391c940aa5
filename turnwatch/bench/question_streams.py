"""The loads of `saturation`, `abuse` and `spending`, which judge what they have heard minute by minute and hour by hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import polars as pl
from numpy.random import Generator

from schemas.families import QUEUES, TENANTS
from schemas.instants import HOUR_MS, MINUTE_MS, WEEK_MS
from schemas.prices import PRICED
from schemas.spend import BUCKET_MS, CELL, CELL_MEASURES, Spend, spend_schema
from schemas.spend_policies import STANDARD
from stream_jobs.operators.abuse.watch import AbuseWatch
from stream_jobs.operators.cost.spending import Spending
from stream_jobs.operators.kept_minutes import KEPT_MINUTES
from stream_jobs.operators.saturation.watch import SaturationWatch
from stream_jobs.operators.totals.blocks import Block
from turnwatch.bench.question import ROWS_PER_S_MIN, Question, Round
from turnwatch.bench.question_clock import START_MS, Now

CHAIN = ("asr_final", "llm_first_token", "retrieval", "tts_first_audio")
_MINUTES = BUCKET_MS // MINUTE_MS


def saturation(slices: int, rounds: int, dice: Generator) -> Question:
    """A minute of four queues in every slice, with the hour before it; one slice in a hundred has a queue that grows.

    All of them are judged: a worker leaves out what is beyond the 300 slices with the most arrivals.
    """
    counted, rounds = 2 * rounds, KEPT_MINUTES + 2 * rounds
    watch, now = SaturationWatch(0, slices_max=slices), Now()

    def answered(totals: pl.DataFrame) -> Callable[[], object]:
        def stated() -> object:
            now.now_ms += MINUTE_MS
            watch.tell(QUEUES, totals, 0)
            return list(watch.statements(now))

        return stated

    steps = (Round(totals, answered(totals)) for totals in _queues(slices, rounds, dice))

    def saved() -> Iterator[Block]:
        return chain(watch.unsaved_blocks(0), watch.forgotten_blocks())

    return Question("saturation", steps, saved, f"{KEPT_MINUTES}_minutes", ROWS_PER_S_MIN, counted=counted)


def _queues(slices: int, rounds: int, dice: Generator) -> Iterator[pl.DataFrame]:
    names = [f"pool=realtime,bundle=v{number}" for number in range(slices)]
    identity = pl.DataFrame({"slice": names}).join(pl.DataFrame({"queue": CHAIN}), how="cross")
    count = len(identity)
    grows = np.repeat(np.arange(slices) % 100 == 0, len(CHAIN)) & (np.arange(count) % len(CHAIN) == 1)
    depth = np.zeros(count, dtype=np.int64)
    for place in range(rounds):
        before, depth = depth, np.where(grows, depth + 40, dice.integers(0, 5, count))
        measures = dict.fromkeys(QUEUES.measure_names, np.zeros(count, dtype=np.int64))
        served = dice.integers(500, 700, count)
        measures |= {"depth": depth, "depth_from": before, "depth_to": depth, "servers": np.full(count, 4)}
        measures |= {"served": served, "arrivals": np.maximum(served + depth - before, 0)}
        measures |= {"busy_ms": served * 200, "available_ms": np.full(count, 240_000)}
        start_ms = START_MS + place * MINUTE_MS
        yield identity.with_columns(
            pl.lit(start_ms, pl.Int64).alias("bucket_start_ms"),
            *(pl.Series(name, values, pl.Int64) for name, values in measures.items()),
            version=pl.lit(1, pl.Int64),
        )


def abuse(slices: int, rounds: int, dice: Generator) -> Question:
    """A minute of every tenant's synthetic voices, with the hour before it; one tenant in a hundred has ever more."""
    counted, rounds = 2 * rounds, KEPT_MINUTES + 2 * rounds
    watch, now = AbuseWatch(0, slices_max=slices), Now()
    names = [f"pool=realtime,tenant=t-{number:016x}" for number in range(slices)]

    def answered(totals: pl.DataFrame) -> Callable[[], object]:
        def stated() -> object:
            now.now_ms += MINUTE_MS
            watch.tell(TENANTS, totals, 0)
            return list(watch.statements(now))

        return stated

    def steps() -> Iterator[Round]:
        for place in range(rounds):
            voices = dice.integers(0, 30, slices) + np.where(np.arange(slices) % 100 == 0, 100 * place, 0)
            measures = dict.fromkeys(TENANTS.measure_names, np.zeros(slices, dtype=np.int64))
            measures |= {"tenant_synthetic_voices": voices, "tenant_lookups": voices, "tenant_tool_calls": voices}
            totals = pl.DataFrame({"slice": names, **measures}).with_columns(
                bucket_start_ms=pl.lit(START_MS + place * MINUTE_MS, pl.Int64), version=pl.lit(1, pl.Int64)
            )
            yield Round(totals, answered(totals))

    def saved() -> Iterator[Block]:
        return chain(watch.unsaved_blocks(0), watch.forgotten_blocks())

    return Question("abuse", steps(), saved, f"{KEPT_MINUTES}_minutes", counted=counted)


def spending(slices: int, rounds: int, dice: Generator) -> Question:
    """An hour of every cell, each bucket stated every minute while it grows, and the hour's judgement against the week before.

    A success costs what it did: nothing has to be explained. The week before is told first.
    """
    operator, cells = Spending(1, STANDARD), _cells(slices, dice)

    def answered(told: list[Spend]) -> Callable[[], object]:
        return lambda: [(operator.hear(each), list(operator.findings())) for each in told]

    def steps() -> Iterator[Round]:
        first_ms = START_MS - WEEK_MS
        buckets = range(first_ms, first_ms + rounds * HOUR_MS, BUCKET_MS)
        before = [_stated(cells, start_ms, _MINUTES) for start_ms in buckets]
        yield Round(_rows(before[:1]), answered(before))
        for place in range(rounds):
            told = _hour(cells, START_MS + place * HOUR_MS)
            yield Round(_rows(told), answered(told))

    def saved() -> Iterator[Block]:
        return chain(operator.unsaved_blocks(0), operator.marker(0))

    return Question("spending", steps(), saved, f"{2 * rounds}_hours", rows_per_s_min=ROWS_PER_S_MIN)


def _hour(cells: pl.DataFrame, begins_ms: int) -> list[Spend]:
    starts = range(begins_ms, begins_ms + HOUR_MS, BUCKET_MS)
    return [_stated(cells, start_ms, minute) for start_ms in starts for minute in range(1, _MINUTES + 1)]


def _stated(cells: pl.DataFrame, start_ms: int, minute: int) -> Spend:
    """A bucket as it is known a while after its start: what it has in the end, in part."""
    grown = cells.with_columns(pl.col(CELL_MEASURES) * minute // _MINUTES, version=pl.lit(minute, pl.Int64))
    table = grown.select(spend_schema().names).to_arrow().cast(spend_schema())
    return Spend(0, start_ms, minute, 1.0, start_ms + minute * MINUTE_MS, table)


def _rows(told: list[Spend]) -> pl.DataFrame:
    rows = pl.concat([pl.DataFrame(pl.from_arrow(each.cells)) for each in told])
    return rows.with_columns(slice=pl.concat_str(CELL, separator=","))


def _cells(slices: int, dice: Generator) -> pl.DataFrame:
    """Cells of twenty routes in as many bundles as it takes."""
    numbers = np.arange(slices)
    texts = dict.fromkeys(CELL, pl.lit("x")) | {
        "pool": pl.lit("realtime"),
        "purchase": pl.lit("reserved"),
        "route": pl.format("route-{}", pl.col("number") % 20),
        "bundle": pl.format("v{}", pl.col("number") // 20),
    }
    counts = {name: dice.integers(1_000, 2_000, slices) for name in CELL_MEASURES}
    counts |= {f"attempts_{why}": counts["attempts"] // 50 for why in ("retried", "fallback", "shadow")}
    counts |= {"successes": counts["turns"]} | {name: counts[name] * 10**6 for name in PRICED}
    return pl.DataFrame({"number": numbers, **counts}).with_columns(**texts)
