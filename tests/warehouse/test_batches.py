"""Batches: what of the rollups topic has to land."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.rejections import Reason
from schemas.rollups import encode
from schemas.tables import TABLES
from stream_jobs.sinks.batches import Message, batch_of, newest
from tests.warehouse.rows import arrow_of, rows_of

TRAFFIC = TABLES["traffic_1m"]


def message(offset: int, headers: list[tuple[str, bytes]], payload: bytes) -> Message:
    return Message("rollups", 3, offset, dict(headers), payload)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(TABLES)))
def test_only_the_newest_version_of_each_row_is_kept(seed: int, name: str) -> None:
    table = TABLES[name]
    rows = arrow_of(table, rows_of(table, seed, count=30))
    held: dict[object, dict[str, object]] = {}
    for row in rows.to_pylist():
        key = tuple(row[column] for column in table.order_by)
        if key not in held or row["version"] >= held[key]["version"]:
            held[key] = row
    kept = newest(table, rows)
    assert kept.schema == table.arrow_schema
    assert sorted(map(repr, kept.to_pylist())) == sorted(map(repr, held.values()))


def test_of_equal_versions_the_last_one_counts() -> None:
    row = rows_of(TRAFFIC, seed=1, count=1)[0]
    twice = arrow_of(TRAFFIC, [row | {"turns": 1}, row | {"turns": 2}])
    assert newest(TRAFFIC, twice)["turns"].to_pylist() == [2]


def test_messages_for_one_table_become_one_write_that_accounts_for_all_rows() -> None:
    rows = rows_of(TRAFFIC, seed=2)
    encoded = encode(TRAFFIC.name, arrow_of(TRAFFIC, rows))
    batch = batch_of([message(0, *encoded), message(1, *encoded)])
    assert [written.table for written in batch.tables] == [TRAFFIC.name]
    assert batch.tables[0].covered == 2 * len(rows)
    assert batch.tables[0].rows.num_rows == len({tuple(row[name] for name in TRAFFIC.order_by) for row in rows})


def test_a_message_that_does_not_fit_is_refused_with_its_position_and_the_others_land() -> None:
    headers, payload = encode(TRAFFIC.name, arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=3)))
    other = encode("pages", arrow_of(TABLES["pages"], rows_of(TABLES["pages"], seed=3)))[1]
    batch = batch_of(
        [
            message(10, [], payload),
            message(11, [("tw-table", b"no_such_table")], payload),
            message(12, headers, payload[: len(payload) // 2]),
            message(13, headers, other),
            message(14, headers, b""),
            message(15, headers, payload),
        ]
    )
    assert [(letter.partition, letter.offset) for letter in batch.refused] == [(3, offset) for offset in range(10, 15)]
    assert [letter.rejected.reason for letter in batch.refused] == [
        Reason.UNKNOWN_FAMILY,
        Reason.UNKNOWN_FAMILY,
        Reason.MALFORMED_PAYLOAD,
        Reason.WRONG_TYPE,
        Reason.MALFORMED_PAYLOAD,
    ]
    assert sum(written.covered for written in batch.tables) == len(rows_of(TRAFFIC, seed=3))


def test_nulls_are_refused_where_the_table_takes_none() -> None:
    row = rows_of(TRAFFIC, seed=4, count=1)[0]
    encoded = encode(TRAFFIC.name, arrow_of(TRAFFIC, [row | {"turns": None}]))
    batch = batch_of([message(0, *encoded)])
    assert not batch.tables
    assert batch.refused[0].rejected.detail == "Column turns of table traffic_1m holds nulls, which it does not take."


def test_a_message_without_rows_is_no_write() -> None:
    empty = pa.Table.from_pylist([], schema=TRAFFIC.arrow_schema)
    batch = batch_of([message(0, *encode(TRAFFIC.name, empty))])
    assert batch.tables == () and batch.refused == ()
