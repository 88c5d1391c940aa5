"""Aggregates against a scalar twin that reads one turn at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from math import floor
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.aggregate import stage_rows, stream_rows, turn_rows
from producers.observations import LATENCIES
from schemas.families import AUDIENCE, OPERATIONAL, SCALE_OF_STAGE, TURNS, PrivacyPartition
from schemas.histograms import ZERO_INDEX, upper_bounds_ms
from tests.producers.worlds import START_MS, stream_changes, turns_world

_THRESHOLDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "first_partial_500ms": ("asr_first_partial_ms", lambda ms: ms >= 500),
    "first_audio_1800ms": ("first_audio_ms", lambda ms: ms >= 1_800),
    "turn_4000ms": ("turn_ms", lambda ms: ms >= 4_000),
    "queue_wait_250ms": ("queue_wait_ms", lambda ms: ms > 250),
    "turn_error": ("is_error", bool),
    "abandonment": ("is_abandoned", bool),
    "retrieval_stale": ("is_retrieval_stale", bool),
    "privacy_error": ("is_privacy_error", bool),
}


def counted_one_by_one(turns: pl.DataFrame, partition: PrivacyPartition) -> dict[tuple[str, ...], dict[str, int]]:
    cells: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for turn in turns.to_dicts():
        cell = cells[tuple(turn[name] for name in partition.dimensions)]
        cell["turns"] += 1
        for name in ("audio_in_ms", "audio_out_ms", "tokens_in", "tokens_out"):
            cell[name] += turn[name]
        whole = floor(turn["turn_ms"] + 0.5) if turn["turn_ms"] is not None else 0
        cell["turn_latency_ms_sum"] += whole
        cell["turn_latency_ms_sumsq"] += whole**2
        for indicator, (column, is_bad) in _THRESHOLDS.items():
            if turn[column] is not None:
                cell[f"{indicator}_total"] += 1
                cell[f"{indicator}_bad"] += int(is_bad(turn[column]))
    return {key: {name: cell[name] for name in TURNS.measure_names} for key, cell in cells.items()}


def _as_cells(rows: pl.DataFrame, partition: PrivacyPartition) -> dict[tuple[str, ...], dict[str, Any]]:
    return {
        tuple(row[name] for name in partition.dimensions): {name: row[name] for name in TURNS.measure_names}
        for row in rows.to_dicts()
    }


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_every_measure_is_what_counting_one_by_one_gives(seed: int) -> None:
    turns = turns_world(seed, count=150)
    for partition in (OPERATIONAL, AUDIENCE):
        assert _as_cells(turn_rows(turns, partition), partition) == counted_one_by_one(turns, partition)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_each_latency_lies_in_its_bucket_and_is_counted_once(seed: int) -> None:
    turns = turns_world(seed, count=150)
    rows = stage_rows(turns)
    expected: Counter[tuple[str, ...]] = Counter()
    for turn in turns.to_dicts():
        for stage, column in LATENCIES.items():
            if turn[column] is not None:
                key = tuple(turn[name] for name in OPERATIONAL.dimensions)
                expected[(*key, stage, str(_bucket(turn[column], SCALE_OF_STAGE[stage])))] += 1
    names = [*OPERATIONAL.dimensions, "stage", "bucket_index"]
    found = {
        tuple(str(value) for value in row[:-1]): row[-1] for row in rows.select(*names, "observations").iter_rows()
    }
    assert found == dict(expected)


def _bucket(latency_ms: float, scale: int) -> int:
    """Looks for the bucket instead of computing it: the first whose inclusive upper bound reaches the latency."""
    if latency_ms <= 0:
        return ZERO_INDEX
    indexes = np.arange(-2_000, 2_000, dtype=np.int64)
    return int(indexes[np.argmax(upper_bounds_ms(indexes, scale) >= latency_ms)])


def test_order_of_observations_does_not_matter() -> None:
    turns = turns_world(7)
    shuffled = turns.sample(fraction=1.0, shuffle=True, seed=3)
    assert stage_rows(turns).equals(stage_rows(shuffled))
    assert turn_rows(turns, OPERATIONAL).equals(turn_rows(shuffled, OPERATIONAL))


def test_turns_looked_at_in_parts_give_the_rows_of_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = turns_world(7)
    whole = stage_rows(turns)
    monkeypatch.setattr("producers.aggregate._TURNS_AT_ONCE", len(turns) // 3)
    assert stage_rows(turns).equals(whole)


def test_streams_count_active_at_start_on_second_zero_only() -> None:
    live = stream_changes([(-5_000, 1, True), (-4_000, 2, True)])
    starts = stream_changes([(3_100, 3, True), (3_900, 4, True)]).with_columns(second=pl.lit(3, pl.Int32))
    ends = stream_changes([(0, 1, False)]).with_columns(second=pl.lit(0, pl.Int32))
    rows = stream_rows(live, starts, ends).select("second", "active_at_start", "starts", "ends")
    assert rows.rows() == [(0, 2, 0, 1), (3, 0, 2, 0)]


def test_a_cell_without_live_streams_says_zero_at_its_start() -> None:
    none = stream_changes([])
    starts = stream_changes([(7_000, 3, True)]).with_columns(second=pl.lit(7, pl.Int32))
    ends = none.with_columns(second=pl.lit(0, pl.Int32))
    rows = stream_rows(none, starts, ends).select("second", "active_at_start", "starts", "ends")
    assert rows.rows() == [(0, 0, 0, 0), (7, 0, 1, 0)]
    assert START_MS % 60_000 == 0
