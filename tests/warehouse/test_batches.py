"""Batches: what of the rollups topic has to land."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import rollups
from schemas.failures import Foreseen
from schemas.rejections import Reason
from schemas.rollups import ROLLUPS_MAJOR, ROLLUPS_MINOR, encode
from schemas.tables import TABLES, Column
from stream_jobs.sinks.batches import Batch, Message, batch_of, newest
from tests.warehouse.record_rollups import FILE, as_text, of_file
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


# -- messages of other formats ------------------------------------------------------------------------------------------

SINCE = (
    Column("codec_since", "LowCardinality(String)", "declared since", pa.string()),
    Column("drift_since", "Nullable(Float64)", "declared since", pa.float64()),
    Column("count_since", "UInt64", "declared since", pa.uint64()),
    Column("seen_since", "DateTime64(3, 'UTC')", "declared since", pa.timestamp("ms", tz="UTC")),
)
NEWER = f"{ROLLUPS_MAJOR}.{ROLLUPS_MINOR + 1}".encode()


def in_format(written: bytes, rows: pa.Table, table: str = TRAFFIC.name) -> Message:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return message(7, [("tw-table", table.encode()), ("tw-format", written)], sink.getvalue().to_pybytes())


def landing(batch: Batch) -> list[dict[str, Any]]:
    assert batch.refused == ()
    rows: list[dict[str, Any]] = batch.tables[0].rows.to_pylist()
    return rows


def a_version_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink's table has columns that none had before, and its format says so."""
    monkeypatch.setitem(TABLES, TRAFFIC.name, replace(TRAFFIC, columns=(*SINCE, *TRAFFIC.columns)))
    monkeypatch.setattr(rollups, "ROLLUPS_MINOR", ROLLUPS_MINOR + 1)


def test_messages_of_every_released_format_land_as_they_were_written() -> None:
    for file in sorted(FILE.parent.glob("rollups_*.jsonl")):
        for headers, payload, rows in of_file(file):
            batch = batch_of([message(0, headers, payload)])
            assert batch.refused == ()
            found = as_text(batch.tables[0].rows)
            assert [{name: row[name] for name in was} for row, was in zip(found, rows, strict=True)] == rows


def test_a_table_or_column_that_is_declared_anew_raises_the_format() -> None:
    """When this fails: raise the minor version in `schemas/rollups.py`, then `python -m tests.warehouse.record_rollups`."""
    written = {dict(headers)["tw-table"]: payload for headers, payload, _ in of_file(FILE)}
    assert {name.decode(): pa.ipc.open_stream(payload).schema for name, payload in written.items()} == {
        name: table.arrow_schema for name, table in TABLES.items()
    }
    contract = (Path(__file__).parents[2] / "docs" / "contract.md").read_text(encoding="utf-8")
    assert f"`tw-format` (`major.minor`, now `{ROLLUPS_MAJOR}.{ROLLUPS_MINOR}`;" in contract


def test_columns_declared_since_have_their_defaults_in_older_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=5, count=3))
    old = [in_format(f"{ROLLUPS_MAJOR}.{ROLLUPS_MINOR}".encode(), rows)]
    before = landing(batch_of(old))
    a_version_later(monkeypatch)
    epoch = pa.scalar(0, pa.timestamp("ms", tz="UTC")).as_py()
    since = {"codec_since": "", "drift_since": None, "count_since": 0, "seen_since": epoch}
    assert landing(batch_of(old)) == [since | row for row in before]


def test_columns_that_only_a_newer_minor_version_declares_are_dropped_and_counted() -> None:
    rows = arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=6, count=1))
    more = rows.append_column("since", pa.array([1])).append_column("and_since", pa.array(["x"]))
    batch = batch_of([in_format(NEWER, more), in_format(NEWER, rows)])
    assert landing(batch) == rows.to_pylist()
    assert batch.dropped == {TRAFFIC.name: 2}


@pytest.mark.parametrize("written", [f"{ROLLUPS_MAJOR + 1}.0".encode(), f"{ROLLUPS_MAJOR + 1}.7".encode()])
def test_a_newer_format_ends_the_sink_with_a_sentence_and_is_no_dead_letter(written: bytes) -> None:
    sound = message(0, *encode(TRAFFIC.name, arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=7))))
    with pytest.raises(Foreseen, match=rf"format {written.decode()} was read by a sink that knows .*deploy the newer"):
        batch_of([sound, message(1, [("tw-table", b"traffic_10s"), ("tw-format", written)], b"whatever")])


def test_a_table_that_only_a_newer_minor_version_declares_ends_the_sink_too() -> None:
    with pytest.raises(Foreseen, match=r"for a table that is not declared here, was read by a sink.*deploy the newer"):
        batch_of([in_format(NEWER, pa.table({"version": [1]}), "drift_1m")])


@pytest.mark.parametrize(
    ("written", "columns"),
    [
        (f"{ROLLUPS_MAJOR}.{ROLLUPS_MINOR}".encode(), {"since": [1]}),
        (NEWER, {"version": [1.5]}),
        (NEWER, {"slice": None}),
        (NEWER, {"version": None}),
        (NEWER, {"turns": None}),
    ],
    ids=["a column nobody declared", "another type", "no key", "no version", "a column that went away"],
)
def test_what_no_version_writes_is_refused(written: bytes, columns: dict[str, list[Any] | None]) -> None:
    rows = arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=8, count=1))
    for name, values in columns.items():
        rows = rows.drop_columns([name]) if name in rows.column_names else rows
        rows = rows.append_column(name, pa.array(values)) if values else rows
    (refused,) = batch_of([in_format(written, rows)]).refused
    assert refused.rejected.reason is Reason.WRONG_TYPE


@pytest.mark.parametrize("written", [b"", b"1", b"one.two", b"\xff", b"1.0.0", b"0.1", b"99999.0"])
def test_a_format_that_is_none_is_refused(written: bytes) -> None:
    (refused,) = batch_of([in_format(written, arrow_of(TRAFFIC, rows_of(TRAFFIC, seed=9, count=1)))]).refused
    assert refused.rejected.reason is Reason.MALFORMED_HEADER
