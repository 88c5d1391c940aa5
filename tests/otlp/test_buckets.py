"""Buckets of others as ours: exact where that is possible, within a stated bound elsewhere, and thresholds never guessed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.otlp.buckets import UNITS, judged, placed, sums_ms
from producers.otlp.points import Histogram
from schemas.histograms import ZERO_INDEX, bucket_indexes

SEMCONV_FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
SDK_DEFAULT = (
    0.0,
    5.0,
    10.0,
    25.0,
    50.0,
    75.0,
    100.0,
    250.0,
    500.0,
    750.0,
    1_000.0,
    2_500.0,
    5_000.0,
    7_500.0,
    10_000.0,
)

latencies = st.lists(st.floats(0.01, 100_000.0), min_size=1, max_size=40)
values_ms = st.one_of(latencies, latencies.map(lambda values: [0.0, *values]))


def counted(values: list[float], scale: int) -> Histogram:
    """An exponential histogram of the values, as an SDK counts them."""
    index = bucket_indexes(np.array(values), scale)
    positive = index[index != ZERO_INDEX].astype(np.int64)
    counts = np.bincount(positive - positive.min())
    zeros = len(values) - len(positive)
    return Histogram(len(values), counts, sum(values), zeros, scale, int(positive.min()))


def fixed(values: list[float], bounds: tuple[float, ...]) -> Histogram:
    place = np.searchsorted(np.array(bounds), np.array(values), side="left")
    return Histogram(len(values), np.bincount(place, minlength=len(bounds) + 1), sum(values), bounds=bounds)


@given(values=values_ms, scale=st.integers(-4, 12), stage_scale=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_downscaling_is_counting_the_same_values_at_the_coarser_scale(
    values: list[float], scale: int, stage_scale: int
) -> None:
    buckets = placed(counted(values, scale), "ms", stage_scale)
    kept = min(scale, stage_scale)
    expected = dict(zip(*np.unique(bucket_indexes(np.array(values), kept), return_counts=True), strict=True))
    told: dict[int, int] = {}
    for index, count in zip(buckets.indexes.tolist(), buckets.counts.tolist(), strict=True):
        told[index] = told.get(index, 0) + count
    assert told == expected
    assert set(buckets.scales.tolist()) == {kept}


@given(value_s=st.floats(1e-4, 1e4), scale=st.integers(0, 12), unit=st.sampled_from(("s", "us", "ns")))
@settings(max_examples=100, deadline=None)
def test_another_unit_is_off_by_less_than_half_a_bucket_of_its_source(value_s: float, scale: int, unit: str) -> None:
    """The promise of docs/otlp.md: in its bucket, or beside it by at most half of the source's bucket."""
    value_ms = value_s * float(UNITS[unit])
    buckets = placed(counted([value_s], scale), unit, 5)
    (kept,), (index,) = buckets.scales.tolist(), buckets.indexes.tolist()
    place = np.log2(value_ms) * 2.0**kept - index  # 0 to 1 inside of the bucket.
    half = 0.5 * 2.0 ** (kept - scale)
    assert kept == min(scale, 5)
    assert -half - 1e-6 <= place <= 1 + half + 1e-6


@given(values=latencies)
@settings(max_examples=60, deadline=None)
def test_a_fixed_bucket_is_marked_by_a_scale_as_wide_as_itself(values: list[float]) -> None:
    histogram = fixed(values, SDK_DEFAULT)
    buckets = placed(histogram, "ms", 5)
    assert buckets.counts.sum() == len(values)
    edges = [0.0, *SDK_DEFAULT[1:]]
    for value in values:
        place = int(np.searchsorted(np.array(SDK_DEFAULT), value, side="left"))
        if 1 < place < len(SDK_DEFAULT):
            low, high = edges[place - 1], edges[place]
            assert any(
                _covers(low, high, scale, index)
                for scale, index in zip(buckets.scales.tolist(), buckets.indexes.tolist(), strict=True)
            )


def _covers(low: float, high: float, scale: int, index: int) -> bool:
    """Whether the bucket holds the geometric middle, and is as wide as the fixed one, but less than twice as wide."""
    width = np.log2(high / low)
    ours = 2.0**-scale
    return bool(ours >= width > ours / 2 and index < np.log2(np.sqrt(low * high)) * 2.0**scale <= index + 1)


def test_seconds_move_every_bucket_of_a_scale_equally() -> None:
    """At scales 5 and 6 one second counts as 1,002 ms; at scale 3 as 1,024 ms."""
    for scale, expected in ((3, 2**10), (5, 2 ** (319 / 32)), (6, 2 ** (638 / 64))):
        one_second = Histogram(1, np.array([1]), 1.0, scale=scale, offset=-1)
        (index,) = placed(one_second, "s", scale).indexes.tolist()
        assert 2 ** ((index + 1) / 2**scale) == pytest.approx(expected)


def test_extremes_bound_the_buckets_that_have_only_one_edge() -> None:
    histogram = Histogram(3, np.array([1, 1, 1]), None, bounds=(100.0, 200.0), low=90.0, high=220.0)
    unknown = Histogram(3, np.array([1, 1, 1]), None, bounds=(100.0, 200.0))
    assert placed(histogram, "ms", 5).scales.tolist() == [2, 0, 2]
    assert placed(unknown, "ms", 5).scales.tolist() == [-2, 0, -2]


def test_values_up_to_a_bound_of_zero_are_zeros() -> None:
    buckets = placed(Histogram(2, np.array([2, 0, 0]), None, bounds=(0.0, 5.0)), "ms", 5)
    assert (buckets.indexes.tolist(), buckets.counts.tolist()) == ([ZERO_INDEX], [2])


@given(values=values_ms)
@settings(max_examples=60, deadline=None)
def test_sums_of_buckets_add_up_to_the_sum_that_was_told(values: list[float]) -> None:
    for histogram in (counted(values, 4), fixed(values, SDK_DEFAULT)):
        sums, squares = sums_ms(placed(histogram, "ms", 5), histogram.total)
        assert abs(sums.sum() - sum(values)) <= 0.5 + 1e-6
        assert (sums >= 0).all() and (squares >= 0).all()


@given(values=st.lists(st.sampled_from((0.1, 0.2, 0.25, 0.26, 0.5, 0.51, 1.0, 3.9, 4.0, 4.1)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_threshold_that_is_an_edge_is_counted_exactly(values: list[float]) -> None:
    bad = {ms: sum(value * 1_000 > ms for value in values) for ms in (250, 500, 4_000)}
    for scale in (0, 1, 3, 5, 8):
        for threshold_ms, expected in bad.items():
            verdict = judged(counted(values, scale), "s", threshold_ms)
            assert verdict is not None and (verdict.total, verdict.bad) == (len(values), expected)
    for threshold_ms in (250, 500):
        verdict = judged(fixed(values, SEMCONV_FIRST_TOKEN_S), "s", threshold_ms)
        assert verdict is not None and (verdict.total, verdict.bad) == (len(values), bad[threshold_ms])


def test_a_threshold_that_is_no_edge_has_no_total() -> None:
    """Nothing is interpolated: 1,800 ms is no power of two in any unit, and 500 ms is none in ms."""
    exponential = counted([0.1, 3.0], 8)
    assert judged(exponential, "s", 1_800) is None
    assert judged(exponential, "ms", 500) is None
    assert judged(counted([0.1, 3.0], -1), "s", 500) is None  # Base 4: 0.5 s lies within a bucket.
    assert judged(fixed([1.0, 2_000.0], SDK_DEFAULT), "ms", 1_800) is None
    assert judged(fixed([1.0, 2_000.0], SDK_DEFAULT), "ms", 500) is not None


def test_units_are_what_they_are_called() -> None:
    assert [UNITS[unit] for unit in ("s", "ms", "us", "ns")] == [1_000, 1, Fraction(1, 1_000), Fraction(1, 1_000_000)]
