"""Statements of spend: what is told is read, in as many parts as it takes; what no shard can have told is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.arrow_streams import MESSAGE_DECODED_BYTES_MAX
from schemas.declarations import SQUARES_MAX
from schemas.failures import Foreseen, Undecodable
from schemas.spend import (
    BUCKET_MS,
    CELL,
    LARGEST,
    MONEY_MAX,
    SPEND_BYTES_MAX,
    SPEND_HEADER,
    Spend,
    decode,
    encode,
    spend_schema,
)

SOME = ("eu-west-1", "realtime", "assist", "voice-2.4.0", "m-1", "h100", "reserved")


def cells(*rows: dict[str, Any]) -> pa.Table:
    """One row for each, of `SOME` with nothing used, but for what is given."""
    schema = spend_schema()
    plain: dict[str, Any] = dict(zip(CELL, SOME, strict=True))
    columns = {name: [row.get(name, plain.get(name, 0)) for row in rows] for name in schema.names}
    return pa.table(columns, schema=schema)


def spend(*rows: dict[str, Any]) -> Spend:
    return Spend(3, 7 * BUCKET_MS, 41, 0.97, 8 * BUCKET_MS, cells(*rows))


def read(told: Spend) -> list[Spend]:
    return [decode(dict(headers), payload) for headers, payload in encode(told)]


def test_what_is_told_is_read() -> None:
    told = spend({"turns": 9, "successes": 4, "used_nusd": 10**15, "version": 41}, {"route": "__other__"})
    assert read(told) == [told]
    assert read(spend()) == [spend()], "nothing, in a bucket whose cells are not known yet"


def test_more_than_fits_is_told_in_parts_that_hold_each_cell_once() -> None:
    digits = [
        {"route": f"r{place}", "gpu_used_ms": place * 7_919**3 % 2**39, "turns": place} for place in range(30_000)
    ]
    told = spend(*digits)
    records = list(encode(told))
    parts = [decode(dict(headers), payload) for headers, payload in records]
    assert len(parts) > 1
    assert max(len(payload) for _, payload in records) < SPEND_BYTES_MAX
    assert [(each.part, each.parts) for each in parts] == [(place, len(parts)) for place in range(len(parts))]
    assert pa.concat_tables([each.cells for each in parts]) == told.cells


def test_a_count_takes_no_more_bytes_than_the_largest_of_the_statement() -> None:
    told = spend({"turns": 255, "attempts": 256, "gpu_used_ms": 2**32 - 1, "used_nusd": 2**32}, {"route": "b"})
    ((_, payload),) = encode(told)
    with pa.ipc.open_stream(payload) as reader:
        types = {field.name: str(field.type) for field in reader.schema}
    wanted = {
        "turns": "uint8",
        "attempts": "uint16",
        "gpu_used_ms": "uint32",
        "used_nusd": "int64",
        "successes": "uint8",
    }
    assert {name: types[name] for name in wanted} == wanted
    assert read(told) == [told]


def test_what_would_unpack_to_more_than_any_statement_is_refused_before_it_does() -> None:
    ((headers, _),) = encode(spend({}))
    large = pa.table({"turns": pa.array(np.zeros(MESSAGE_DECODED_BYTES_MAX // 8 + 64, np.uint8))})
    with pytest.raises(Undecodable, match="unpacks to"):
        decode(dict(headers), _stream(large))


def test_a_measure_of_another_version_is_dropped_or_counts_as_zero() -> None:
    ((headers, _),) = encode(spend({"turns": 5}))
    other = cells({"turns": 5, "chunks_retrieved": 3}).drop_columns(["chunks_retrieved"])
    newer = other.append_column("watt_hours", pa.array([1], pa.int64()))
    assert decode(dict(headers), _stream(newer)).cells == cells({"turns": 5})


def test_a_newer_format_ends_the_worker_instead_of_being_guessed_at() -> None:
    ((headers, payload),) = encode(spend({}))
    for change in ({"format": 2}, {"of_tomorrow": 1}):
        about = json.dumps(json.loads(headers[0][1]) | change).encode()
        with pytest.raises(Foreseen, match="deploy the newer worker") as raised:
            decode({SPEND_HEADER: about}, payload)
        assert not isinstance(raised.value, Undecodable)


@pytest.mark.parametrize(
    "change",
    [
        {"bucket_start_ms": 7}, {"shard": -1}, {"part": 1}, {"completeness": 1.1}, {"version": -1},
        {"decidable_until_ms": 10**18}, {"format": 0},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_that_no_shard_writes_is_refused(change: dict[str, Any]) -> None:
    ((headers, payload),) = encode(spend({}))
    about = json.dumps(json.loads(headers[0][1]) | change).encode()
    with pytest.raises(Undecodable):
        decode({SPEND_HEADER: about}, payload)


def test_no_header_no_stream_and_a_stream_of_something_else_are_refused() -> None:
    ((headers, payload),) = encode(spend({}))
    for header, stream in ((b"", payload), (headers[0][1], b"x"), (headers[0][1], _stream(pa.table({"a": [1]})))):
        with pytest.raises(Undecodable):
            decode({SPEND_HEADER: header}, stream)


@pytest.mark.parametrize(
    "rows",
    [
        [{"used_nusd": -1}],
        [{"turns": 1, "successes": 2}],
        [{"route": "a,pool=b"}],
        [{"route": ""}],
        [{}, {}],
        [{"turns": None}],
        [{"route": route, "turns": 2**62} for route in "abcd"],
        [{"gpu_used_ms_sumsq": SQUARES_MAX + 1}],
        [{"reserved_nusd": MONEY_MAX + 1}],
    ],
    ids=[
        "negative",
        "more successes than turns",
        "slices in a value",
        "no value",
        "a cell twice",
        "null",
        "turns whose sum wraps to 0",
        "squares",
        "money",
    ],
)
def test_rows_that_no_cell_can_be_are_refused(rows: list[dict[str, Any]]) -> None:
    ((headers, _),) = encode(spend({}))
    with pytest.raises(Undecodable, match="no cell of a bucket"):
        decode(dict(headers), _stream(cells(*rows)))


def test_the_most_that_a_cell_can_be_is_read() -> None:
    told = spend(dict(LARGEST))
    (heard,) = read(told)
    assert heard.cells.equals(told.cells)


def test_a_column_that_is_named_twice_or_of_another_type_is_refused() -> None:
    ((headers, _),) = encode(spend({}))
    twice = cells({}).append_column("turns", pa.array([1], pa.int64()))
    other = replace(spend({}), cells=cells({})).cells.drop_columns(["turns"]).append_column("turns", pa.array(["1"]))
    without = cells({}).drop_columns(["used_nusd"])
    for table in (twice, other, without):
        with pytest.raises(Undecodable):
            decode(dict(headers), _stream(table))


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written
