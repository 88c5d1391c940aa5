"""The loads of `drift` and `late_labels`: hours of labelled quality and of outcomes, each figure of each slice compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import polars as pl
from numpy.random import Generator

from schemas.drift_measures import RATIOS
from schemas.drift_policies import DriftPolicy, WatchedMeasure
from schemas.families import OUTCOMES, QUALITY, Family
from schemas.instants import DAY_MS, HOUR_MS, MINUTE_MS
from stream_jobs.operators.drift.watch import SLICES_MAX, DriftWatch
from stream_jobs.operators.totals.blocks import Block
from turnwatch.bench.question import DRIFT_S_MAX, TURN_S_MAX, Question, Round
from turnwatch.bench.question_clock import START_MS, Now

FIGURES = (
    "word_error_rate", "entity_error_rate", "correction_rate", "ungrounded_rate", "stale_citation_rate", "failure_rate",
    "abandonment_rate", "handoff_rate", "refusal_rate", "stale_lookup_rate", "jitter_ms", "late_chunk_rate",
)  # fmt: skip
LATE_HOURS = 73
"""Of a call the label may come three days late, and its window an hour after that."""
OF_LABELS = DriftPolicy(
    "bench", "bench",
    tuple(WatchedMeasure(name, 0.05, 50) for name, each in RATIOS.items() if each.family is QUALITY),
)  # fmt: skip
POLICY = DriftPolicy("bench", "bench", tuple(WatchedMeasure(name, 0.05, 50) for name in FIGURES))


def drift(slices: int, rounds: int, dice: Generator) -> Question:
    """The last minute of an hour, which decides the hour of twelve figures in every slice: the dearest of its minutes.

    A day before is told first, that there is something to compare with; the other minutes of an hour are told untimed.
    """
    watch, now = DriftWatch(0, 1, POLICY, slices_max=slices), Now()
    hours = DAY_MS // HOUR_MS + 1 + rounds

    def answered(told: dict[Family, pl.DataFrame]) -> Callable[[], object]:
        def stated() -> object:
            now.now_ms += HOUR_MS
            for family, totals in told.items():
                watch.tell(family, totals, 0)
            return list(watch.rows()), list(watch.statements(now))

        return stated

    def steps() -> Iterator[Round]:
        minute = _totals(OUTCOMES, START_MS, slices, dice)
        for place in range(hours):
            start_ms = START_MS + place * HOUR_MS
            for each in range(start_ms, start_ms + HOUR_MS - MINUTE_MS, MINUTE_MS) if place >= hours - rounds else ():
                watch.tell(OUTCOMES, minute.with_columns(bucket_start_ms=pl.lit(each, pl.Int64)), 0)
            told = {
                OUTCOMES: _totals(OUTCOMES, start_ms + HOUR_MS - MINUTE_MS, slices, dice),
                QUALITY: _totals(QUALITY, start_ms, slices, dice),
            }
            yield Round(told[OUTCOMES], answered(told))

    def saved() -> Iterator[Block]:
        return chain(watch.unsaved_blocks(0), watch.forgotten_blocks())

    return Question("drift", steps(), saved, f"{hours}_hours", seconds_max=DRIFT_S_MAX, counted=rounds)


def late_labels(slices: int, rounds: int, dice: Generator) -> Question:
    """Labels that change every hour of the last three days in every slice, as many of these as a shard watches, twice.

    Days before are told first, as there is something to compare with then, and figures are past learning.
    """
    slices, days = min(slices, SLICES_MAX), LATE_HOURS + 2 * DAY_MS // HOUR_MS
    watch, now = DriftWatch(0, 1, OF_LABELS, slices_max=slices), Now()

    def told(hour: int) -> pl.DataFrame:
        totals = _totals(QUALITY, START_MS + hour * HOUR_MS, slices, dice)
        watch.tell(QUALITY, totals, 0)
        return totals

    def stated(until: int) -> Iterator[object]:
        now.now_ms = START_MS + until * HOUR_MS
        list(watch.statements(now))
        return watch.rows()

    def steps() -> Iterator[Round]:
        for hour in range(days):
            told(hour)
        list(stated(days))
        for newest in (days, days + 1):
            for hour in range(newest - LATE_HOURS, newest):
                told(hour)
            yield Round(told(newest), lambda newest=newest: stated(newest + 1), _longest_turn)  # type: ignore[misc]

    def saved() -> Iterator[Block]:
        return chain(watch.unsaved_blocks(0), watch.forgotten_blocks())

    return Question("late_labels", steps(), saved, f"{slices}_slices_{days}_hours", seconds_max=TURN_S_MAX, counted=2)


def _longest_turn(answer: Callable[[], object]) -> float:
    """Of the turns in which an answer is made, from one item of it to the next."""
    items, longest, is_more = answer(), 0.0, True
    assert isinstance(items, Iterator)
    while is_more:
        began_s = time.process_time()
        is_more = next(items, None) is not None
        longest = max(longest, time.process_time() - began_s)
    return longest


def _totals(family: Family, start_ms: int, slices: int, dice: Generator) -> pl.DataFrame:
    """One bucket: about as much of everything in every slice."""
    parts = {measure.name for measure in family.measures if measure.part_of}
    measures = {name: dice.poisson(20 if name in parts else 200, slices) for name in family.measure_names}
    texts = [f"pool=realtime,route=r{number}" for number in range(slices)]
    rows = {"bucket_start_ms": np.full(slices, start_ms), "slice": texts, **measures}
    return pl.DataFrame(rows).with_columns(version=pl.lit(1, pl.Int64))
