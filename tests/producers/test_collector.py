"""The collector: every observation in exactly one frame per partition, windows whole, sequences without gaps."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.collector import Collector, Frame
from schemas import frames
from schemas.families import REPORTED_FAMILIES
from schemas.frames import ARROW, NDJSON, ContentType
from tests.producers.worlds import START_MS, duplex_world, rows_of, stream_changes, turns_world

MINUTE_MS = 60_000


def collector(content_type: ContentType = ARROW, observations_max: int = 10_000) -> Collector:
    return Collector(
        "eu-west-1-collector-0", "eu-west-1", 1, START_MS, content_type=content_type, observations_max=observations_max
    )


@given(seed=st.integers(0, 2**32), cuts=st.integers(1, 6))
@settings(max_examples=8, deadline=None)
def test_every_turn_is_counted_once_per_partition_however_it_was_handed_in(seed: int, cuts: int) -> None:
    """In any order and pieces, late ones too; what is held back at the end is counted as held."""
    turns = turns_world(seed, span_ms=3 * MINUTE_MS).sample(fraction=1.0, shuffle=True, seed=seed % 1_000)
    under_test = collector()
    out: list[Frame] = []
    for number in range(cuts):
        under_test.observe_turns(turns[number::cuts])
        out += under_test.close(START_MS + number * MINUTE_MS // 2)
    out += under_test.flush(START_MS + 3 * MINUTE_MS)
    for measure in ("turns", "tokens_out", "turn_4000ms_bad", "queue_wait_250ms_total"):
        operational = rows_of(out, "turns")
        assert operational[measure].sum() == _whole(turns)[measure]
    audience = rows_of(out, "turns", "audience")
    assert (audience["turns"].sum() if len(audience) else 0) + under_test.held_turns == len(turns)
    assert rows_of(out, "stages").filter(stage="turn")["observations"].sum() == len(turns)
    assert rows_of(out, "heartbeats").filter(reported_family="turns")["observations_seen"].sum() == len(turns)


def _whole(turns: pl.DataFrame) -> dict[str, int]:
    return turns.select(
        turns=pl.len(),
        tokens_out=pl.col("tokens_out").sum(),
        turn_4000ms_bad=(pl.col("turn_ms") >= 4_000).sum(),
        queue_wait_250ms_total=pl.col("queue_wait_ms").count(),
    ).row(0, named=True)


def test_sequences_count_from_zero_without_gaps_in_each_family() -> None:
    under_test = collector()
    under_test.observe_turns(turns_world(1))
    out = [*under_test.close(START_MS + 30_000), *under_test.flush(START_MS + MINUTE_MS)]
    for family in ("turns", "stages", "heartbeats"):
        sequences = [frame.header.sequence for frame in out if frame.header.family.name == family]
        assert sequences == list(range(len(sequences)))
        assert sequences


def test_a_window_is_closed_when_event_time_has_passed_it_and_not_before() -> None:
    under_test = collector()
    under_test.observe_turns(turns_world(1, span_ms=10_000))
    assert list(under_test.close(START_MS + 9_999)) == []
    assert {frame.header.window_start_ms for frame in under_test.close(START_MS + 10_000)} == {START_MS}


def test_turns_that_come_late_make_another_frame_of_their_window() -> None:
    under_test = collector()
    first = list(under_test.close(START_MS + 20_000))
    under_test.observe_turns(turns_world(1, count=10, span_ms=10_000))
    late = [frame for frame in under_test.close(START_MS + 30_000) if frame.header.family.name == "turns"]
    assert not rows_of(first, "turns").height
    assert [frame.header.window_start_ms for frame in late] == [START_MS]


def test_a_quiet_window_still_has_its_heartbeat() -> None:
    out = list(collector().close(START_MS + 30_000))
    assert [(frame.header.family.name, frame.header.window_start_ms) for frame in out] == [
        ("heartbeats", START_MS + offset) for offset in (0, 10_000, 20_000)
    ]


def test_heartbeats_count_the_rows_that_were_sent() -> None:
    under_test = collector()
    under_test.observe_turns(turns_world(1))
    out = list(under_test.flush(START_MS + MINUTE_MS))
    said = rows_of(out, "heartbeats").group_by("reported_family").agg(pl.col("rows_sent").sum())
    sent = {name: sum(frame.rows for frame in out if frame.header.family.name == name) for name in REPORTED_FAMILIES}
    assert dict(said.rows()) == sent
    assert sent["turns"] and sent["stages"]


def test_streams_are_active_from_their_start_to_their_end() -> None:
    under_test = collector()
    changes = [(-9_000, 1, True), (2_500, 2, True), (12_000, 3, True), (13_000, 1, False), (25_000, 2, False)]
    under_test.observe_streams(stream_changes(changes))
    rows = rows_of(under_test.close(START_MS + 40_000), "streams").sort("window_start_ms", "second")
    seen = rows.select(pl.col("window_start_ms") - START_MS, "second", "active_at_start", "starts", "ends").rows()
    assert seen == [
        (0, 0, 1, 0, 0),  # session 1 was there before the collector opened
        (0, 2, 0, 1, 0),
        (10_000, 0, 2, 0, 0),
        (10_000, 2, 0, 1, 0),
        (10_000, 3, 0, 0, 1),
        (20_000, 0, 2, 0, 0),
        (20_000, 5, 0, 0, 1),
        (30_000, 0, 1, 0, 0),
    ]


def test_repeated_starts_and_unknown_ends_are_dropped_and_counted() -> None:
    under_test = collector()
    under_test.observe_streams(stream_changes([(0, 1, True), (5, 1, True), (9, 99, False), (12_000, 1, True)]))
    out = list(under_test.close(START_MS + 20_000))
    assert rows_of(out, "streams")["starts"].sum() == 1
    heartbeats = rows_of(out, "heartbeats").filter(reported_family="streams")
    assert heartbeats["observations_dropped"].sum() == 3
    assert heartbeats["observations_seen"].sum() == 4


def test_a_late_end_counts_in_the_first_open_second() -> None:
    under_test = collector()
    under_test.observe_streams(stream_changes([(0, 1, True)]))
    list(under_test.close(START_MS + 20_000))
    under_test.observe_streams(stream_changes([(5_000, 1, False)]))
    rows = rows_of(under_test.close(START_MS + 40_000), "streams").select(
        pl.col("window_start_ms") - START_MS, "second", "active_at_start", "ends"
    )
    assert rows.rows() == [(20_000, 0, 1, 1)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("region", "Moon Base"),
        ("language", "english please"),
        ("device_class", "toaster"),
        ("tokens_in", -1),
        ("turn_ms", -0.5),
        ("turn_ms", float("nan")),
        ("turn_ms", float("inf")),
        ("queue_wait_ms", 90_000.0),
        ("is_error", None),
        ("pool", None),
    ],
)
def test_what_cannot_be_right_is_dropped_and_counted(column: str, value: object) -> None:
    turns = turns_world(1, count=50, span_ms=10_000)
    broken = turns.with_columns(pl.lit(value, dtype=turns.schema[column]).alias(column))
    under_test = collector()
    under_test.observe_turns(pl.concat([turns, broken.head(7)]))
    out = list(under_test.flush(START_MS + MINUTE_MS))
    assert rows_of(out, "turns")["turns"].sum() == 50
    heartbeats = rows_of(out, "heartbeats").filter(reported_family="turns")
    assert heartbeats["observations_dropped"].sum() == 7


def test_a_full_buffer_drops_and_counts() -> None:
    under_test = collector(observations_max=30)
    under_test.observe_turns(turns_world(1, count=50))
    heartbeats = rows_of(under_test.flush(START_MS + MINUTE_MS), "heartbeats").filter(reported_family="turns")
    assert heartbeats["observations_dropped"].sum() == 20


def test_held_turns_are_counted_once_in_the_window_that_held_them() -> None:
    under_test = collector()
    few = turns_world(1, count=9, sessions=9, span_ms=5_000)
    under_test.observe_turns(few)
    out = list(under_test.close(START_MS + 4 * MINUTE_MS))
    assert rows_of(out, "turns", "audience").height == 0
    held = rows_of(out, "heartbeats").filter(reported_family="turns")
    assert held["observations_held"].sum() == under_test.held_turns == 9


def test_held_turns_join_the_next_window_that_releases_them_and_take_its_time() -> None:
    under_test = collector()
    calls = turns_world(1, count=60, sessions=10**9, span_ms=5_000).with_columns(pool=pl.lit("realtime"))
    under_test.observe_turns(calls.head(9))
    out = list(under_test.close(START_MS + MINUTE_MS))
    under_test.observe_turns(calls.tail(51).with_columns(pl.col("ended_at_ms") + MINUTE_MS))
    out += under_test.close(START_MS + 2 * MINUTE_MS)
    audience = rows_of(out, "turns", "audience")
    assert audience["turns"].sum() == 60
    assert audience["window_start_ms"].unique().to_list() == [START_MS + MINUTE_MS]


def test_frames_stay_below_the_largest_payload_and_row_count(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(_closed(turns_world(1, span_ms=10_000)))
    monkeypatch.setattr("producers.framing.FRAME_ROWS_MAX", 100)
    monkeypatch.setattr("producers.framing.FRAME_BYTES_MAX", 6_000)
    parts = list(_closed(turns_world(1, span_ms=10_000)))
    assert len(parts) > len(whole)
    assert all(len(frame.payload) <= 6_000 and frame.rows <= 100 for frame in parts)
    keys = ["region", "pool", "route", "bundle", "stage", "bucket_index"]
    assert rows_of(parts, "stages").sort(keys).equals(rows_of(whole, "stages").sort(keys))


def _closed(turns: pl.DataFrame, content_type: ContentType = ARROW) -> list[Frame]:
    under_test = collector(content_type)
    under_test.observe_turns(turns)
    under_test.observe_streams(stream_changes([(-1, 1, True), (2_500, 2, True), (9_000, 1, False)]))
    under_test.observe_duplex(duplex_world(1))
    return list(under_test.flush(START_MS + MINUTE_MS))


@pytest.mark.parametrize(("family", "partition"), [
    ("turns", "operational"), ("turns", "audience"), ("stages", "operational"), ("streams", "operational"), ("heartbeats", "operational"), ("duplex", "operational"),
])  # fmt: skip
def test_ndjson_gives_the_same_rows(family: str, partition: str) -> None:
    turns = turns_world(5)
    arrow, lines = _closed(turns), _closed(turns, NDJSON)
    assert {frame.header.content_type for frame in lines} == {frames.NDJSON}
    assert rows_of(lines, family, partition).height > 0
    assert rows_of(lines, family, partition).equals(rows_of(arrow, family, partition))
