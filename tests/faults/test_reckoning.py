"""The reckoning sees every frame that is missing and every one that counted twice; it would be worthless otherwise."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import polars as pl
import pytest

from turnwatch.bench.faults.expectation import MEASURES, TABLES, Tables, expected
from turnwatch.bench.faults.paging import PagesTally
from turnwatch.bench.faults.reckoning import (
    Reckoning,
    RefusalsTally,
    TableTally,
    tally_refusals,
    tally_tables,
    together,
)
from turnwatch.bench.faults.world import Told, World

MINUTES = 2
START_MS = 1_800_000_000_000
ALL_WELL = PagesTally(expected=16, delivered=16, missed=0, repeated=0, unexpected=0, unresolved=0)
NONE_REFUSED = RefusalsTally(corrupted=3, refused=3, missing=0, undue=0)

FED_BY = {
    ("turns", "operational"): {"traffic_10s", "traffic_1m", "burn_rate_10s", "burn_rate_1m"},
    ("turns", "audience"): {"traffic_1m", "burn_rate_1m"},
    ("stages", "operational"): {"stage_latency_10s", "stage_latency_1m"},
    ("streams", "operational"): {"concurrency_10s", "concurrency_1m"},
    ("heartbeats", "operational"): {"heartbeats_10s", "heartbeats_1m"},
}
"""The tables that a frame of each family and privacy partition feeds."""


@pytest.fixture(scope="module")
def told() -> list[Told]:
    world = World(seed=11, start_ms=START_MS)
    return [each for window in range(6 * MINUTES) for each in world.window(window)]


@pytest.fixture(scope="module")
def landed(told: list[Told]) -> Tables:
    return expected(told)


def wrong(tallies: tuple[TableTally, ...]) -> set[str]:
    return {each.table for each in tallies if each.lost or each.double_counted}


def reckoned(tables: tuple[TableTally, ...], pages: PagesTally = ALL_WELL) -> Reckoning:
    return Reckoning(100, 24, tables, NONE_REFUSED, pages, unread={"rollups": 0})


def test_what_landed_as_expected_is_right(landed: Tables) -> None:
    tallies = tally_tables(landed, landed)
    assert [each.table for each in tallies] == list(TABLES)
    assert all(each.rows_expected == each.rows_landed > 0 for each in tallies)
    assert wrong(tallies) == set()
    assert reckoned(tallies).is_right


@pytest.mark.parametrize("feeds", FED_BY, ids="-".join)
def test_one_frame_that_did_not_land_is_lost_in_exactly_the_tables_it_feeds(
    feeds: tuple[str, str], told: list[Told], landed: Tables
) -> None:
    of_kind = [each for each in told if (each.header.family.name, each.header.partition.name) == feeds]
    unlucky = Random(5).choice(of_kind)
    tallies = tally_tables(landed, expected([each for each in told if each is not unlucky]))
    assert wrong(tallies) == FED_BY[feeds]
    assert all(each.lost > 0 and each.examples for each in tallies if each.table in FED_BY[feeds])
    assert not any(each.double_counted for each in tallies)
    assert not reckoned(tallies).is_right


@pytest.mark.parametrize("feeds", FED_BY, ids="-".join)
def test_one_frame_that_counted_twice_is_seen_in_exactly_the_tables_it_feeds(
    feeds: tuple[str, str], told: list[Told], landed: Tables
) -> None:
    of_kind = [each for each in told if (each.header.family.name, each.header.partition.name) == feeds]
    tallies = tally_tables(landed, expected([*told, Random(6).choice(of_kind)]))
    assert wrong(tallies) == FED_BY[feeds]
    assert all(each.double_counted > 0 for each in tallies if each.table in FED_BY[feeds])
    assert not any(each.lost for each in tallies)


def test_a_row_of_zeros_that_is_missing_or_there_twice_counts(landed: Tables) -> None:
    zeros = landed["concurrency_10s"].head(1).with_columns(pl.col(MEASURES["concurrency"]) * 0)
    with_zeros = landed | {"concurrency_10s": pl.concat([landed["concurrency_10s"].slice(1), zeros])}
    without = landed | {"concurrency_10s": landed["concurrency_10s"].slice(1)}
    missing = reckoned(tally_tables(with_zeros, without))
    surplus = reckoned(tally_tables(without, with_zeros))
    assert (missing.lost, missing.double_counted) == (1, 0)
    assert (surplus.lost, surplus.double_counted) == (0, 1)


def test_a_corrupted_record_without_its_letter_and_a_letter_without_reason_are_told() -> None:
    found = tally_refusals({("t", 0, 1), ("t", 0, 2)}, {("t", 0, 2): "checksum_mismatch", ("t", 1, 9): "late"})
    assert found == RefusalsTally(corrupted=2, refused=2, missing=1, undue=1, reasons=("late",))


@pytest.mark.parametrize(
    "bad",
    [
        replace(ALL_WELL, missed=1),
        replace(ALL_WELL, repeated=1),
        replace(ALL_WELL, unexpected=1),
        replace(ALL_WELL, unresolved=1),
    ],
)
def test_no_bad_figure_of_pages_passes(bad: PagesTally, landed: Tables) -> None:
    assert not reckoned(tally_tables(landed, landed), bad).is_right


def test_what_nobody_has_read_is_not_right(landed: Tables) -> None:
    tallies = tally_tables(landed, landed)
    assert not Reckoning(100, 24, tallies, NONE_REFUSED, ALL_WELL, unread={"rollups": 4}).is_right


def test_the_last_line_adds_all_rounds_up(landed: Tables) -> None:
    one = reckoned(tally_tables(landed, landed))
    rows = sum(map(len, landed.values()))
    assert together([one, one]).line == (
        f"faults=200 on_processes=48 rows_expected={2 * rows} rows_landed={2 * rows} lost=0 double_counted=0 "
        "pages_expected=32 delivered=32 missed=0 repeated=0"
    )
