"""What the questions of `turnwatch bench questions` are told: seeded totals of so many slices, round after round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.random import Generator

from alerts.openslo import load_slos
from alerts.policies import policy_for
from alerts.price_document import load_prices
from schemas.families import COSTS, OPERATIONAL, STREAMS, TURNS
from schemas.partials import Partial, partial_schema
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.burn_rate import BUCKET_MS, BurnRate
from stream_jobs.operators.cost.cells import cost_cells
from stream_jobs.operators.cost.decomposition import decompose
from stream_jobs.operators.cost.drivers import drivers
from stream_jobs.operators.cost.priced_slices import finest
from stream_jobs.operators.cost.pricing import Pricing
from stream_jobs.operators.cost.pricing_watch import PricingWatch
from stream_jobs.operators.totals.traffic import Traffic
from turnwatch.bench.question import DECOMPOSED_S_MAX, ROWS_PER_S_MIN, Question, Round
from turnwatch.bench.question_alerts import findings, incidents, stage_growth
from turnwatch.bench.question_clock import START_MS, Now
from turnwatch.bench.question_drift import drift, late_labels
from turnwatch.bench.question_streams import abuse, saturation, spending

TEN_MINUTES_MS = 600_000
SLOS = 10


def questions(slices: int, rounds: int, seed: int) -> Iterator[Question]:
    """Each question with its load, made when it is its turn."""
    dice = np.random.default_rng(seed)
    streams = (_traffic, _concurrency, _burn, stage_growth, saturation)
    money = (_pricing, _pricing_watch, spending, _decomposition)
    for make in (*streams, *money, drift, late_labels, incidents, findings, abuse):
        yield make(slices, rounds, dice)


def _traffic(slices: int, rounds: int, dice: Generator) -> Question:
    """Turns of 10 s in every slice, and the rows of ClickHouse that come of them."""
    operator = Traffic(1)

    def answered(partial: Partial) -> Callable[[], object]:
        return lambda: (operator.apply(partial), list(operator.rollups()))

    told = (_turns(slices, place, dice) for place in range(rounds))
    steps = (Round(_frame(partial), answered(partial)) for partial in told)
    return Question(
        "traffic", steps, lambda: chain(operator.unsaved_blocks(TURNS, 0), operator.marker(TURNS, 0)), "open_buckets"
    )


def _concurrency(slices: int, rounds: int, dice: Generator) -> Question:
    """Calls that start and end in each of the ten seconds of every slice, and their peaks, by ten seconds and by minute."""
    operator = Traffic(1)

    def answered(partial: Partial) -> Callable[[], object]:
        return lambda: (operator.apply(partial), list(operator.rollups()))

    told = (_streams(slices, place, dice) for place in range(rounds))
    steps = (Round(_frame(partial), answered(partial)) for partial in told)
    return Question(
        "concurrency",
        steps,
        lambda: chain(operator.unsaved_blocks(STREAMS, 0), operator.marker(STREAMS, 0)),
        "open_buckets",
    )


def _burn(slices: int, rounds: int, dice: Generator) -> Question:
    """Turns of 10 s in every slice, all windows of ten objectives, and a decision. `bench memory` has its state of a month."""
    operator = BurnRate(0, 1, _watched())

    def answered(partial: Partial) -> Callable[[], object]:
        return lambda: (operator.apply(partial), list(operator.rollups()), list(operator.decide(now_ms=0)))

    told = (_turns(slices, place, dice) for place in range(rounds))
    steps = (Round(_frame(partial), answered(partial)) for partial in told)
    return Question(
        "burn_rate", steps, lambda: chain(operator.unsaved_blocks(0), operator.marker(0)), f"{rounds}_buckets_of_10_s"
    )


def _pricing(slices: int, rounds: int, dice: Generator) -> Question:
    """Ten minutes of costs of every slice, priced. A round takes milliseconds: there are more of them."""
    rounds *= 4
    pricing = Pricing(load_prices())
    told = ((totals, finest(totals)) for totals in _costs(slices, rounds, dice))
    steps = (Round(totals, lambda rows=rows: pricing.priced(rows)) for totals, rows in told)  # type: ignore[misc]  # Bound now.
    return Question("pricing", steps, rows_per_s_min=ROWS_PER_S_MIN, counted=rounds // 2)


def _pricing_watch(slices: int, rounds: int, dice: Generator) -> Question:
    """The same as a worker does it: told totals with the texts of slices, and asked for rows and statements.

    Its slices are known from the rounds before: a worker cuts each up once.
    """
    rounds *= 4
    watch, now = PricingWatch(0, Pricing(load_prices())), Now()

    def answered(totals: pl.DataFrame) -> Callable[[], object]:
        def stated() -> object:
            now.now_ms += TEN_MINUTES_MS
            watch.tell(COSTS, totals, 0)
            return list(watch.rows()), list(watch.statements(now))

        return stated

    steps = (Round(totals, answered(totals)) for totals in _costs(slices, rounds, dice))
    return Question("pricing_watch", steps, rows_per_s_min=ROWS_PER_S_MIN, counted=rounds // 2)


def _decomposition(slices: int, rounds: int, dice: Generator) -> Question:
    """Two periods of so many cells, from priced rows to drivers."""
    pricing = Pricing(load_prices())
    priced = [pricing.priced(finest(totals)) for totals in _costs(slices, rounds + 1, dice)]

    def answered(old: pl.DataFrame, new: pl.DataFrame) -> Callable[[], object]:
        def explained() -> object:
            found = cost_cells(old, new)
            return drivers(decompose(found.old, found.new))

        return explained

    steps = (Round(new, answered(old, new)) for old, new in pairwise(priced))
    return Question("decomposition", steps, seconds_max=DECOMPOSED_S_MAX)


def _watched() -> list[WatchedSlo]:
    return [policy_for(slo) for slo in load_slos() if slo.family is TURNS][:SLOS]


def _turns(slices: int, place: int, dice: Generator) -> Partial:
    """One bucket of 10 s in which every slice counted something, none of it bad."""
    start_ms = START_MS + place * BUCKET_MS
    schema = partial_schema(TURNS)
    columns: dict[str, object] = {
        name: dice.integers(1, 100, slices) * (not name.endswith("_bad")) for name in TURNS.measure_names
    }
    columns |= {"slice": [f"pool=realtime,bundle=v{number}" for number in range(slices)]}
    columns |= {"bucket_start_ms": np.full(slices, start_ms)}
    rows = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return Partial(TURNS, OPERATIONAL, 0, place + 1, ((start_ms + BUCKET_MS, 100),), rows)


def _streams(slices: int, place: int, dice: Generator) -> Partial:
    """One bucket of 10 s: a row a second and slice, since some call starts or ends in each."""
    start_ms = START_MS + place * BUCKET_MS
    seconds = BUCKET_MS // 1_000
    changes = dice.integers(1, 5, slices * seconds)  # As many start as end: the first second's stay active all along.
    second = np.tile(np.arange(seconds, dtype=np.int32), slices)
    columns: dict[str, object] = {
        "slice": [f"pool=realtime,bundle=v{number}" for number in range(slices) for _ in range(seconds)],
        "bucket_start_ms": np.full(slices * seconds, start_ms),
        "second": second,
        "active_at_start": np.where(second == 0, 100, 0),
        "starts": changes,
        "ends": changes,
    }
    schema = partial_schema(STREAMS)
    rows = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return Partial(STREAMS, OPERATIONAL, 0, place + 1, ((start_ms + BUCKET_MS, 100),), rows)


def _frame(partial: Partial) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(partial.rows))


def _costs(slices: int, rounds: int, dice: Generator) -> Iterator[pl.DataFrame]:
    """Totals of ten minutes: each slice is a cell of its own, of routes with turns and GPU time."""
    texts = [_cost_slice(number) for number in range(slices)]
    for place in range(rounds):
        measures = {name: dice.integers(1, 1_000, slices) for name in COSTS.measure_names}
        measures["successes"] = measures["turns"]
        yield pl.DataFrame(
            {"bucket_start_ms": np.full(slices, START_MS + place * TEN_MINUTES_MS), "slice": texts, **measures}
        ).with_columns(version=pl.lit(1, pl.Int64))


def _cost_slice(number: int) -> str:
    gpu_type = ("h100", "a100", "l4")[number % 3]
    return (
        f"region=eu-west-1,pool=realtime,route=route-{number},bundle=v{number % 10},model_version=talk-{number % 7},"
        f"gpu_type={gpu_type},purchase={'on_demand' if gpu_type == 'l4' else 'reserved'}"
    )
