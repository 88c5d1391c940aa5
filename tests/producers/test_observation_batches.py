"""Batches: what a recorder encodes a collector reads, what is none is refused in one sentence, answers come back whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from producers.observation_batches import (
    BATCH_BYTES_MAX,
    BATCH_ROWS_MAX,
    CONTENT_TYPE,
    KINDS,
    Answer,
    BatchHeader,
    MalformedBatch,
    decode_batch,
    decode_header,
    encode_batch,
    headers_of,
    read_answer,
)
from producers.undeclared import UNDECLARED_FIELDS_MAX, Undeclared
from tests.producers.worlds import duplex_world, stream_changes, turns_world

HEADER = BatchHeader("turns", "host-1", 1_790_000_000_000, 0, 12, 2)


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


WORLDS = {
    "turns": turns_world(7),
    "streams": stream_changes([(0, 1, True), (500, 1, False)]),
    "duplex": duplex_world(7),
}


@pytest.mark.parametrize("kind", WORLDS)
def test_a_collector_reads_what_a_recorder_wrote(kind: str) -> None:
    rows = WORLDS[kind].select(pl.col(name).cast(dtype) for name, dtype in KINDS[kind].items())
    headers, payload = encode_batch(replace(HEADER, kind=kind), rows)
    batch = decode_batch(decode_header(headers), payload)
    assert batch.header == replace(HEADER, kind=kind)
    assert batch.unknown_columns == 0
    assert batch.rows.equals(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_rows_has_none(kind: str) -> None:
    """It tells its totals alone."""
    headers, payload = encode_batch(replace(HEADER, kind=kind), pl.DataFrame(schema=KINDS[kind]))
    rows = decode_batch(decode_header(headers), payload).rows
    assert (len(rows), dict(rows.schema)) == (0, KINDS[kind])


def test_a_column_that_nobody_declared_is_dropped_and_counted_and_a_missing_one_is_null() -> None:
    rows = turns_world(7).head(3)
    table = rows.drop("tokens_in").with_columns(prompt=pl.lit("hello")).to_arrow(compat_level=pl.CompatLevel.oldest())
    batch = decode_batch(HEADER, stream(table))
    assert batch.unknown_columns == 1
    assert batch.rows.columns == list(KINDS["turns"])
    assert batch.rows["tokens_in"].null_count() == 3
    assert batch.rows["session"].equals(rows["session"])


def with_undeclared(columns: int, dtype: pa.DataType) -> bytes:
    table = turns_world(7).head(2).to_arrow(compat_level=pl.CompatLevel.oldest())
    more = {f"c{place}": pa.nulls(2, dtype) for place in range(columns)}
    return stream(pa.table({**dict(zip(table.column_names, table.columns, strict=True)), **more}))


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        (UNDECLARED_FIELDS_MAX + 1, pa.bool_()),
        (1, pa.struct([(f"c{place}", pa.bool_()) for place in range(UNDECLARED_FIELDS_MAX)])),
        (UNDECLARED_FIELDS_MAX // 2 + 1, pa.list_(pa.string())),
    ],
    ids=["columns", "within one", "within each"],
)
def test_more_undeclared_columns_than_are_looked_at_refuse_the_batch_before_any_is(
    columns: int, dtype: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.observation_batches.undeclared", None)
    with pytest.raises(
        MalformedBatch, match="more than 64 columns, or parts of such, that turns do not declare"
    ) as told:
        decode_batch(HEADER, with_undeclared(columns, dtype))
    assert told.value.status == 400


@pytest.mark.parametrize("dtype", [pa.bool_(), pa.string(), pa.list_(pa.string())], ids=str)
def test_as_many_as_are_looked_at_are_taken(dtype: pa.DataType) -> None:
    columns = UNDECLARED_FIELDS_MAX // (2 if pa.types.is_list(dtype) else 1)
    batch = decode_batch(HEADER, with_undeclared(columns, dtype))
    assert (len(batch.rows), batch.unknown_columns, batch.undeclared) == (2, columns, Undeclared())


def test_values_of_undeclared_columns_are_counted_by_pool_and_reason() -> None:
    rows = turns_world(7).head(4).with_columns(pool=pl.Series(["batch", "realtime", "batch", "nowhere"]))
    more: dict[str, list[Any]] = {
        "contact": ["ana@example.org", None, "+49 151 12345678", "support"],
        "prompt": ["hello", "hello", None, None],
        "shard": [1, 2, None, 4],
        "notes": [["ana@example.org"], ["calm"], None, None],
    }
    table = rows.with_columns(**{name: pl.Series(values) for name, values in more.items()})
    told = decode_batch(HEADER, stream(table.to_arrow(compat_level=pl.CompatLevel.oldest()))).undeclared
    by_pool = {pool: refused.as_dict() for pool, refused in told.withheld.items()}
    assert by_pool == {
        "batch": {"content_field": 1, "email": 2, "phone": 1},
        "realtime": {"content_field": 1, "email": 1},
    }
    assert told.dropped.as_dict() == {"content_field": 2, "email": 3, "phone": 1, "unknown_field": 4}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("content-type", "text/html", 415),
        ("tw-kind", "prompts", 400),
        ("tw-recorder", "Host 1!", 400),
        ("tw-incarnation", "-1", 400),
        ("tw-sequence", "nan", 400),
        ("tw-sequence", "9" * 16, 400),
        ("tw-seen", "", 400),
        ("tw-dropped", "13", 400),
        ("tw-refused", "realtime:email=3", 400),
        ("tw-refused", "realtime:email=1,realtime:email=1", 400),
        ("tw-refused", "ana@example.org", 400),
        ("tw-refused", "realtime:email=1," * 400, 400),
        ("tw-refused", "unknown:realtime:email=1", 400),
        ("tw-withheld", "unknown:realtime:email", 400),
        ("tw-withheld", "costs:realtime:email=1", 400),
    ],
)
def test_headers_that_say_nothing_are_refused_without_repeating_them(name: str, value: str, status: int) -> None:
    with pytest.raises(MalformedBatch) as refusal:
        decode_header(headers_of(HEADER) | {name: value})
    assert refusal.value.status == status
    assert value not in str(refusal.value) or len(value) < 4


def test_what_a_recorder_refused_is_told_by_pool_and_reason() -> None:
    """Of reasons that only a newer recorder has nothing is known but how many they are."""
    told = {"batch:phone": 1, "realtime:email": 3, "realtime:free_text": 2}
    header = replace(HEADER, seen=20, dropped=7, refused={**told, "realtime:voiceprint": 1})
    read = decode_header(headers_of(header))
    assert read == replace(header, refused=told)
    assert {pool: refused.as_dict() for pool, refused in read.refused_by_pool.items()} == {
        "batch": {"phone": 1},
        "realtime": {"email": 3, "free_text": 2},
    }
    assert decode_header(headers_of(HEADER)).refused_by_pool == {}


def test_what_is_no_observation_of_the_kind_is_told_beside_it_however_much_it_is() -> None:
    told = {"batch:phone": 4_000, "realtime:email": 1, "unknown:realtime:outside_vocabulary": 2}
    read = decode_header(headers_of(replace(HEADER, withheld={**told, "realtime:voiceprint": 1})))
    assert read == replace(HEADER, withheld=told)
    fields, unknown = (
        {pool: refused.as_dict() for pool, refused in by_pool.items()}
        for by_pool in (read.withheld_by_pool, read.unknown_by_pool)
    )
    assert fields == {"batch": {"phone": 4_000}, "realtime": {"email": 1}}
    assert unknown == {"realtime": {"outside_vocabulary": 2}}
    assert read.refused_by_pool == {}


def test_a_content_type_may_have_parameters() -> None:
    assert decode_header(headers_of(HEADER) | {"content-type": f"{CONTENT_TYPE}; charset=x"}) == HEADER


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"", 400),
        (b"<html>", 400),
        (stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["session", "session"])), 400),
        (stream(pa.table({"session": pa.array(["a"]).dictionary_encode()})), 400),
        (stream(pa.table({"session": pa.array([[]], pa.list_(pa.float64(), 0))})), 400),
        (stream(pa.table({"session": pa.array([0] * (BATCH_ROWS_MAX + 1), pa.uint64())})), 413),
        (b"0" * (BATCH_BYTES_MAX + 1), 413),
    ],
    ids=["nothing", "html", "twice", "dictionary", "no width", "too many rows", "too many bytes"],
)
def test_a_body_that_is_no_batch_is_refused_in_one_sentence(payload: bytes, status: int) -> None:
    with pytest.raises(MalformedBatch) as refusal:
        decode_batch(HEADER, payload)
    assert refusal.value.status == status
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, 3, {"negative": 1}),
        Answer(200, 3, {}, is_repeated=True),
        Answer(400, error="The body is not a readable Arrow IPC stream."),
        Answer(429, error="The outbox is full.", retry_after_s=5),
    ],
)
def test_an_answer_comes_back_as_it_was_given(answer: Answer) -> None:
    assert read_answer(answer.status, answer.headers, answer.body()) == answer
    assert answer.is_final == (answer.status != 429)


def test_an_answer_of_somebody_else_is_no_refusal_for_good() -> None:
    """A proxy that answers HTML with any status has neither taken nor refused the batch."""
    for status in (200, 400, 404, 503):
        assert not read_answer(status, {}, b"<html>moved</html>").is_final
    assert not read_answer(200, {}, json.dumps({"taken": 1}).encode()).is_final
