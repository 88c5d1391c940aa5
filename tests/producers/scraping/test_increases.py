"""Increases of counters: what was truly counted, whatever exporters do in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from producers.scraping.exposition import SAMPLES
from producers.scraping.increases import Increases, Known, increases
from schemas.refusals import Refusal

Shown = Mapping[Any, float]
SERIES = {"a": 1, "b": 2, "c": 3}


def samples(shown: Shown, stamped_ms: int | None = None) -> pl.DataFrame:
    """Counters by name; or buckets of histograms, by name and edge."""
    keys = [(key, None) if isinstance(key, str) else key for key in shown]
    rows = [
        ("m", "value" if le is None else "bucket", SERIES[name], None, None, le, value, stamped_ms)
        for (name, le), value in zip(keys, shown.values(), strict=True)
    ]
    return pl.DataFrame(rows, SAMPLES, orient="row")


class Seen:
    """One exporter, scraped again and again."""

    def __init__(self) -> None:
        self.known = Known()

    def scrape(self, shown: Shown, started_s: float | None = None, stamped_ms: int | None = None) -> Increases:
        self.known, news = increases(self.known, samples(shown, stamped_ms), started_s)
        return news


def grown(news: Increases) -> list[float]:
    return news.grown.sort("series", "le")["increase"].to_list()


def test_the_first_scrape_is_a_baseline() -> None:
    seen = Seen()
    assert grown(seen.scrape({"a": 100})) == []
    assert grown(seen.scrape({"a": 130})) == [30]


def test_a_value_that_falls_was_counted_since_a_reset() -> None:
    seen = Seen()
    seen.scrape({"a": 100})
    news = seen.scrape({"a": 7})
    assert (grown(news), news.resets) == ([7], 1)


def test_a_younger_process_began_at_zero_even_if_it_has_counted_more() -> None:
    seen = Seen()
    seen.scrape({"a": 5}, started_s=1_000.0)
    news = seen.scrape({"a": 100}, started_s=1_060.0)
    assert (grown(news), news.resets) == ([100], 1)
    assert grown(seen.scrape({"a": 101}, started_s=1_060.5)) == [1]  # The same process: clocks are slewed.


def test_a_missed_scrape_makes_an_increase_longer_and_no_larger() -> None:
    seen = Seen()
    seen.scrape({"a": 100, "b": 1})
    seen.scrape({"b": 2})  # Series a is not there.
    assert grown(seen.scrape({"a": 130, "b": 2})) == [30, 0]


def test_a_new_series_began_at_zero() -> None:
    seen = Seen()
    seen.scrape({"a": 100})
    news = seen.scrape({"a": 100, "b": 3})
    assert (grown(news), +news.refused) == ([0, 3], Counter())


def test_a_target_that_changes_its_labels_is_no_jump() -> None:
    seen = Seen()
    seen.scrape({"a": 1_000_000})
    news = seen.scrape({"b": 1_000_010})
    assert (grown(news), news.refused) == ([], {Refusal.INCONSISTENT: 1})
    assert grown(seen.scrape({"b": 1_000_020})) == [10]


def test_a_histogram_resets_as_a_whole() -> None:
    seen = Seen()
    seen.scrape({("a", 1.0): 5, ("a", 2.0): 10})
    news = seen.scrape({("a", 1.0): 6, ("a", 2.0): 9})
    assert (grown(news), news.resets) == ([6, 9], 1)


def test_a_histogram_with_other_edges_is_a_baseline() -> None:
    seen = Seen()
    seen.scrape({("a", 1.0): 5, ("a", 2.0): 10})
    news = seen.scrape({("a", 1.0): 6, ("a", 3.0): 12})
    assert (grown(news), news.refused) == ([], {Refusal.INCONSISTENT: 1})
    assert grown(seen.scrape({("a", 1.0): 6, ("a", 3.0): 13})) == [0, 1]


def test_a_sample_that_is_older_than_the_one_before_is_no_reset() -> None:
    seen = Seen()
    seen.scrape({"a": 100}, stamped_ms=2_000)
    news = seen.scrape({"a": 90}, stamped_ms=1_000)
    assert (grown(news), news.resets, news.refused) == ([], 0, {Refusal.CLOCK_BACKWARDS: 1})
    assert grown(seen.scrape({"a": 110}, stamped_ms=3_000)) == [10]


Step = st.tuples(st.integers(0, 1_000), st.sampled_from(["scraped", "missed", "restarted"]))


@given(st.lists(Step, max_size=40))
def test_increases_add_up_to_what_was_counted_and_could_be_seen(steps: list[tuple[int, str]]) -> None:
    """What a process counts after its last scrape dies with it; everything else is counted once, by whichever scrape."""
    seen, total, value, truth, started_s = Seen(), 0.0, 10_000, 0, 1_000.0
    seen.scrape({"a": value}, started_s)
    unseen = 0
    for counted, what in steps:
        if what == "restarted":
            value, unseen, started_s = 0, 0, started_s + 60
        value, unseen = value + counted, unseen + counted
        if what == "missed":
            continue
        total, truth, unseen = total + sum(grown(seen.scrape({"a": value}, started_s)), 0.0), truth + unseen, 0
    assert total == truth


@given(st.lists(st.tuples(st.integers(0, 1_000), st.booleans()), max_size=30))
def test_without_a_start_time_no_increase_is_more_than_what_was_counted(steps: list[tuple[int, bool]]) -> None:
    """A restart shows only where the value falls; where it does not, less is counted, and never more."""
    seen, total, value, truth = Seen(), 0.0, 50, 0
    seen.scrape({"a": value})
    for counted, restarts in steps:
        value, truth = (0 if restarts else value) + counted, truth + counted
        total += sum(grown(seen.scrape({"a": value})), 0.0)
    assert total <= truth
