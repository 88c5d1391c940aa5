"""Traffic: exact replicas, and the peak of concurrent streams between two bounds that hold the truth."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.operators.totals.traffic import Capacity, replicas_needed, with_peaks

_WINDOW_S = 10


@pytest.mark.parametrize(
    ("streams", "gpu", "utilization", "savings", "replicas"),
    [
        (7, "0.1", "0.7", "0", 1),  # 7 x 0.1 / 0.7 is exactly 1, whatever binary fractions say.
        (8, "0.1", "0.7", "0", 2),
        (0, "0.5", "0.7", "0", 0),
        (10**9, "0.35", "0.7", "0", 500_000_000),
        (10**9 + 1, "0.35", "0.7", "0", 500_000_001),
        (1_000, "0.02", "0.7", "0.35", 19),
        (10, "0", "0.7", "0", 0),
    ],
)
def test_replicas_are_rounded_up_exactly(streams: int, gpu: str, utilization: str, savings: str, replicas: int) -> None:
    assert replicas_needed(streams, Capacity(Decimal(gpu), Decimal(utilization), Decimal(savings))) == replicas


@pytest.mark.parametrize(
    ("gpu", "utilization", "savings", "named"),
    [
        ("-0.1", "0.7", "0", "gpu_seconds_per_audio_second"),
        ("0.1", "0", "0", "target_utilization"),
        ("0.1", "1.1", "0", "target_utilization"),
        ("0.1", "0.7", "1", "vad_savings"),
        ("0.1", "0.7", "-0.1", "vad_savings"),
    ],
)
def test_figures_that_cannot_be_meant_are_refused_by_name(gpu: str, utilization: str, savings: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Capacity(Decimal(gpu), Decimal(utilization), Decimal(savings))


def test_negative_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="streams"):
        replicas_needed(-1, Capacity(Decimal("0.1")))


def _peak(intervals: Sequence[tuple[int, int]]) -> int:
    """The definition of spec.md: ends before starts at equal times, zero-length intervals count nothing."""
    changes = [(start, 1) for start, end in intervals if end > start] + [
        (end, -1) for start, end in intervals if end > start
    ]
    running = peak = 0
    for _, change in sorted(changes, key=lambda change: (change[0], change[1])):
        running += change
        peak = max(peak, running)
    return peak


def _seconds(intervals: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """What a producer's window of 10 s says of intervals in ms."""
    rows = [
        {
            "bucket_start_ms": 0,
            "slice": "pool=realtime",
            "second": second,
            "active_at_start": sum(start < 0 < end for start, end in intervals) if second == 0 else 0,
            "starts": sum(start // 1_000 == second for start, end in intervals if end > start),
            "ends": sum(end // 1_000 == second for start, end in intervals if end > start),
            "version": 1,
        }
        for second in range(_WINDOW_S)
    ]
    return pl.DataFrame(rows)


_INSTANTS = st.integers(-3_000, 9_999)


@given(st.lists(st.tuples(_INSTANTS, st.integers(1, 8_000)), max_size=30))
def test_the_true_peak_lies_between_the_two_bounds(drawn: list[tuple[int, int]]) -> None:
    intervals = [(start, start + length) for start, length in drawn if start != 0 and start + length != 0]
    within = [(max(start, -1), end) for start, end in intervals if end > 0]
    bounds = with_peaks(_seconds(within)).row(0, named=True)
    inside = [(start, min(end, 10_000)) for start, end in within]
    assert bounds["peak_lower"] <= _peak(inside) <= bounds["peak_upper"]


def test_the_bounds_agree_where_no_second_has_both_starts_and_ends() -> None:
    bounds = with_peaks(_seconds([(-1, 2_500), (3_100, 7_900), (5_000, 8_500)])).row(0, named=True)
    assert (bounds["peak_lower"], bounds["peak_upper"]) == (2, 2)


def test_touching_intervals_do_not_overlap_at_the_lower_bound() -> None:
    bounds = with_peaks(_seconds([(1_000, 2_000), (2_000, 3_000)])).row(0, named=True)
    assert (bounds["peak_lower"], bounds["peak_upper"]) == (1, 2)
