"""Cumulative points become differences; resets, repeats, overlaps and second writers count what they should, or nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.otlp.points import Histogram, Point, Temporality
from producers.otlp.series import FORGOTTEN_AFTER_MS, Series
from schemas.histograms import bucket_indexes
from schemas.refusals import Refusal

OPENED = 1_000


def number(value: float, start: int, time: int, temporality: Temporality = "cumulative") -> Point:
    return Point(temporality, start, time, value)


def told(*points: Point, series: Series | None = None) -> list[object]:
    series = series or Series(OPENED)
    return [series.news(b"one", point, now_ms=point.time_ns // 1_000_000) for point in points]


def test_the_first_cumulative_point_is_a_baseline_and_the_next_ones_count_what_grew() -> None:
    points = [number(value, 10, time) for value, time in ((7, 1_100), (9, 1_200), (9, 1_300), (12, 1_400))]
    assert told(*points) == ["baseline", 2, 0, 3]


def test_a_series_that_began_after_we_did_counts_from_its_first_point() -> None:
    assert told(number(7, 1_050, 1_100), number(9, 1_050, 1_200)) == [7, 2]


def test_a_moved_start_is_a_reset_and_all_of_it_is_new() -> None:
    assert told(number(7, 10, 1_100), number(3, 1_150, 1_200), number(4, 1_150, 1_300)) == ["baseline", 3, 1]


def test_an_unknown_start_resets_where_the_value_falls() -> None:
    assert told(number(7, 0, 1_100), number(3, 0, 1_200)) == ["baseline", 3]


def test_a_second_writer_of_one_series_is_refused() -> None:
    """Two processes without a service.instance.id: their starts differ, and both would look like resets for ever."""
    first, second = number(7, 10, 1_100), number(70, 900, 1_150)
    assert told(first, second, number(9, 10, 1_200), number(90, 900, 1_250)) == [
        "baseline",
        Refusal.INCONSISTENT,
        2,
        Refusal.INCONSISTENT,
    ]


def test_a_value_that_falls_without_a_reset_is_refused_and_compared_with_from_then_on() -> None:
    points = [number(value, 10, time) for value, time in ((7, 1_100), (5, 1_200), (6, 1_300))]
    assert told(*points) == ["baseline", Refusal.INCONSISTENT, 1]


def test_repeats_add_nothing_and_older_points_are_refused() -> None:
    newest = number(9, 10, 1_200)
    points = (number(7, 10, 1_100), newest, newest, number(8, 10, 1_150), number(11, 10, 1_200))
    assert told(*points) == ["baseline", 2, "repeated", Refusal.CLOCK_BACKWARDS, Refusal.CLOCK_BACKWARDS]


def test_deltas_count_as_they_are_unless_they_overlap() -> None:
    points = (
        number(7, 1_000, 1_100, "delta"),
        number(2, 1_100, 1_200, "delta"),
        number(5, 1_150, 1_300, "delta"),  # Its first part was told already.
        number(3, 1_200, 1_300, "delta"),
        number(3, 1_200, 1_300, "delta"),
        number(-1, 1_300, 1_400, "delta"),
    )
    assert told(*points) == [7, 2, Refusal.CLOCK_BACKWARDS, 3, "repeated", Refusal.NEGATIVE]


def test_gauges_are_as_they_are() -> None:
    points = (number(7, 0, 1_100, "instant"), number(2, 0, 1_200, "instant"), number(9, 0, 1_150, "instant"))
    assert told(*points) == [7, 2, Refusal.CLOCK_BACKWARDS]


def test_a_sum_that_may_sink_is_told_as_it_stands() -> None:
    points = [Point("cumulative", 10, time, value, is_monotonic=False) for value, time in ((7, 1_100), (5, 1_200))]
    assert told(*points) == [7, 5]


def test_buckets_that_lie_far_apart_take_no_room_between_them() -> None:
    """Offsets are 32 bits: two points of a few bytes asked for 34 GB."""
    low = Histogram(1, np.array([1]), None, scale=20, offset=-(2**31))
    both = Histogram(3, np.array([2]), None, scale=20, offset=2**31 - 1)
    assert told(Point("cumulative", 10, 1_100, low), Point("cumulative", 10, 1_200, both)) == [
        "baseline",
        Refusal.INCONSISTENT,
    ]


def test_memory_is_bounded_and_a_forgotten_series_begins_with_a_baseline() -> None:
    series = Series(OPENED, series_max=1)
    assert series.news(b"one", number(7, 2_000, 3_000), now_ms=0) == 7
    assert series.news(b"two", number(7, 2_000, 3_000), now_ms=1) is Refusal.TOO_LARGE
    assert series.news(b"two", number(7, 2_000, 9_000), now_ms=FORGOTTEN_AFTER_MS) == "baseline"
    assert len(series) == 1


def counted(values: list[float], scale: int) -> Histogram:
    index = bucket_indexes(np.array(values), scale).astype(np.int64)
    counts = np.bincount(index - index.min()) if len(index) else np.zeros(0, dtype=np.int64)
    return Histogram(len(values), counts, sum(values), 0, scale, int(index.min()) if len(index) else 0)


@given(
    batches=st.lists(st.lists(st.floats(0.1, 5_000.0), min_size=0, max_size=8), min_size=1, max_size=6),
    scales=st.lists(st.integers(0, 8), min_size=6, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_cumulative_histograms_whose_scale_falls_count_each_value_once(
    batches: list[list[float]], scales: list[int]
) -> None:
    """An SDK that runs out of buckets downscales what it has; what is new has to be found all the same."""
    falling = sorted(scales, reverse=True)
    series, seen = Series(OPENED), []
    for place, batch in enumerate(batches):
        seen += batch
        point = Point("cumulative", 2_000, 3_000 + place, counted(seen, falling[place]))
        news = series.news(b"one", point, 0)
        assert isinstance(news, Histogram)
        assert news.count == len(batch)
        new = counted(batch, news.scale)
        told = {news.offset + at: int(count) for at, count in enumerate(news.counts) if count}
        assert told == {new.offset + at: int(count) for at, count in enumerate(new.counts) if count}
