"""A list of numbers in a declared field is an embedding, and bytes are audio, whichever way they come: docs/privacy.md says so.

What a recorder refuses on its host is in `tests/recorder/`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from producers.collecting.admission import received
from producers.kinds import KINDS
from producers.observation_batches import BatchHeader
from producers.observation_lines import ObservationLines
from producers.otlp.attributes import LabelBook, Source
from producers.refusing_attributes import admit_attributes
from schemas.families import OPERATIONAL, TURNS
from schemas.frames import NDJSON, SCHEMA_MINOR, FrameHeader, headers_of
from schemas.misplaced import DEPTH_MAX, misplaced, numbers_in
from schemas.refusals import Refusal
from schemas.rejections import Reason
from schemas.rows import arrow_schema
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from tests.producers.test_observation_lines import TURN
from tests.producers.worlds import START_MS, turns_world

VECTOR = [0.12, -0.5, 0.25]
HEADER = BatchHeader("turns", "host-2", 1, 0, 1_000, 0)
FRAME = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS)

# -- single values ---------------------------------------------------------------------------------------------------


class Broken:
    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (VECTOR, "embedding"),
        ([VECTOR, VECTOR], "embedding"),
        ((1, 2), "embedding"),
        ([None, 0.5], "embedding"),
        ({0.5, 0.25}, "embedding"),
        (pl.Series(VECTOR), "embedding"),
        (np.array(VECTOR, np.float16), "embedding"),
        (np.array([VECTOR, VECTOR], object), "embedding"),
        (np.zeros(192, "V2"), "embedding"),  # As numpy sees an array of bfloat16, which is a type of models' packages.
        (np.array(["a", None], object), "malformed"),
        (bytearray(b"RIFF"), "audio"),
        (memoryview(b"RIFF"), "audio"),
        ([], "malformed"),
        ([True, False], "malformed"),
        ([0.5, "a"], "malformed"),
        ([0.5, []], "malformed"),
        ({"vector": VECTOR}, "malformed"),
        (7, "malformed"),
        (None, "malformed"),
        (Broken(), "malformed"),
    ],
)
def test_what_a_value_is_that_no_field_takes(value: object, reason: str) -> None:
    assert misplaced(["ana@example.com", value]) == [Refusal.EMAIL, Refusal(reason)]


def test_lists_are_not_followed_for_ever() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert numbers_in(endless) == 0
    deep: list[Any] = [0.5]
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    assert (numbers_in(deep), numbers_in(deep[0])) == (0, 1)


# -- the edge --------------------------------------------------------------------------------------------------------


def sent(column: str, values: pa.Array) -> bytes:
    """Ten turns, whose column is this one."""
    table = turns_world(5, count=10).drop(column).to_arrow(compat_level=pl.CompatLevel.oldest())
    return stream_of(table.append_column(column, values))


def stream_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


FIXED = pa.list_(pa.float32(), len(VECTOR))


@pytest.mark.parametrize("dtype", [pa.list_(pa.float64()), pa.large_list(pa.float32()), FIXED, pa.list_(pa.int16())])
@pytest.mark.parametrize("column", ["turn_ms", "tokens_in", "route", "language", "session", "is_error"])
def test_a_batch_goes_on_without_the_rows_that_have_an_embedding(column: str, dtype: pa.DataType) -> None:
    values = pa.array([[1, 2, 3]] * 4 + [None] * 6).cast(dtype)
    answer = received(HEADER, sent(column, values), START_MS)
    assert answer.refused_in_all.as_dict() == {"embedding": 4}
    assert len(answer.batch.rows) == 6 and answer.rows == 10


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([[VECTOR]] * 4 + [None] * 6), "embedding"),
        (pa.array([b"RIFF"] * 4 + [None] * 6), "audio"),
    ],
)
def test_nested_lists_and_bytes_of_a_batch_are_refused_for_what_they_are(values: pa.Array, reason: str) -> None:
    assert received(HEADER, sent("turn_ms", values), START_MS).refused_in_all.as_dict() == {reason: 4}


@pytest.mark.parametrize(
    ("gaps", "refused", "taken"),
    [
        (pa.array([[[0.5, 0.25]], None]), {"embedding": 1}, [None]),
        (pa.array([[[0.5, 0.25]], None], pa.list_(pa.list_(pa.float64(), 2))), {"embedding": 1}, [None]),
        (pa.array([[20.0, 40.0], None], pa.list_(pa.float32(), 2)), {}, [[20.0, 40.0], None]),
        (pa.array([[20, 40], None], pa.list_(pa.int16())), {}, [[20.0, 40.0], None]),
        (pa.array([[0.5] * 192, None], pa.list_(pa.float32(), 192)), {"embedding": 1}, [None]),
    ],
)
def test_where_a_list_of_numbers_is_declared_lists_of_lists_and_long_ones_are_refused(
    gaps: pa.Array, refused: dict[str, int], taken: list[object]
) -> None:
    answer = received(replace(HEADER, kind="duplex"), stream_of(pa.table({"gaps_ms": gaps})), START_MS)
    assert answer.refused_in_all.as_dict() == refused and answer.batch.rows["gaps_ms"].to_list() == taken


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([VECTOR] * 10), "embedding"),
        (pa.array([VECTOR] * 10, FIXED), "embedding"),
        (pa.array([[VECTOR]] * 10), "embedding"),
        (pa.array([b"RIFF"] * 10), "audio"),
    ],
)
def test_a_pool_that_is_none_is_refused_in_the_first(values: pa.Array, reason: str) -> None:
    answer = received(HEADER, sent("pool", values), START_MS)
    assert {pool: refused.as_dict() for pool, refused in answer.refused.items()} == {"realtime": {reason: 10}}
    assert len(answer.batch.rows) == 0


@pytest.mark.parametrize("dtype", [pa.list_(pa.float64()), pa.binary(), pa.null()])
def test_a_column_of_another_type_that_says_nothing_refuses_nothing(dtype: pa.DataType) -> None:
    answer = received(HEADER, sent("tenant", pa.array([None] * 10, dtype)), START_MS)
    assert answer.refused_in_all.total == 0
    assert dict(answer.batch.rows.schema) == dict(KINDS["turns"].columns)


def test_nothing_of_an_embedding_is_written_down() -> None:
    told = struct.pack("<d", VECTOR[0])
    body = sent("turn_ms", pa.array([VECTOR] * 4 + [None] * 6))
    answer = received(HEADER, body, START_MS)
    assert told in body and told not in answer.body and str(VECTOR[0]) not in repr(answer)


@pytest.mark.parametrize("kind", ["turns", None])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"turn_ms": VECTOR}, "embedding"),
        ({"route": VECTOR}, "embedding"),
        ({"session": [VECTOR]}, "embedding"),
        ({"turn_ms": [0.5, "a"]}, "malformed"),
        ({"turn_ms": "ana@example.com"}, "email"),
        ({"route": VECTOR, "turn_ms": "soon"}, "malformed"),  # The first in the order of the table.
    ],
)
def test_a_line_is_refused_for_what_its_field_holds(kind: str | None, told: dict[str, Any], reason: str) -> None:
    lines = ObservationLines(b"key", kind)
    taken = [len(rows) for _, rows in lines.read([json.dumps(each).encode() for each in (TURN, TURN | told)])]
    assert (taken, lines.tidings.refused) == ([1], {Refusal(reason): 1})
    assert lines.tidings.first == [(2, Refusal(reason))]
    assert str(VECTOR[0]) not in repr(lines.tidings) + str(lines.tidings.sentences())


def test_an_attribute_that_feeds_a_dimension_and_is_a_list_of_numbers_refuses_its_set() -> None:
    sets: list[dict[str, object]] = [{"region": VECTOR}, {"region": b"RIFF"}, {"region": 7}, {"region": "eu-west-1"}]
    answer = admit_attributes(sets, {"region": "region"})
    assert answer.refused.as_dict() == {"malformed": 1, "audio": 1, "embedding": 1}


def test_an_attribute_of_otlp_that_feeds_a_dimension_and_is_a_list_of_numbers_is_an_embedding() -> None:
    vector = AnyValue(array_value=ArrayValue(values=[AnyValue(double_value=value) for value in VECTOR]))

    class Point:
        attributes = (
            KeyValue(key="turnwatch.route", value=vector),
            KeyValue(key="turnwatch.bundle", value=AnyValue(bytes_value=b"RIFF")),
        )

    labels, _ = LabelBook().of(Source((), (), b""), Point())
    assert labels.wrong == {"route": Refusal.EMBEDDING, "bundle": Refusal.AUDIO}


# -- intake ----------------------------------------------------------------------------------------------------------


def row(**changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = dict.fromkeys(TURNS.dimensions)
    known |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    return known | dict.fromkeys(TURNS.measure_names, 3) | changed


def outcome(header: FrameHeader, payload: bytes) -> list[Reason]:
    record = Record(0, START_MS + 10_500, dict(headers_of(header, payload)), payload)
    refusals = Intake(TURNS, 0, 1).apply([record]).refusals
    assert str(VECTOR[0]) not in repr(refusals) and "RIFF" not in repr(refusals)
    return [refusal.rejected.reason for refusal in refusals]


@pytest.mark.parametrize("minor", [SCHEMA_MINOR, SCHEMA_MINOR + 1])
@pytest.mark.parametrize("name", ["turns", "route", "invented_later"])
@pytest.mark.parametrize(
    "values", [pa.array([VECTOR]), pa.array([VECTOR]).cast(FIXED), pa.array([[VECTOR]]), pa.array([b"RIFF"])]
)
def test_intake_refuses_a_frame_with_an_embedding_or_bytes(values: pa.Array, name: str, minor: int) -> None:
    table = pa.Table.from_pylist([row()], schema=arrow_schema(TURNS))
    table = table.drop_columns([name] if name in table.column_names else []).append_column(name, values)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert outcome(replace(FRAME, minor=minor), sink.getvalue().to_pybytes()) == [Reason.PRIVATE_VALUE]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [3]), pa.array([VECTOR], FIXED)),
            "private_value",
        ),
        (pa.array([{"vector": VECTOR}]), "private_value"),
        (pa.array([[{"deep": {"wave": b"RIFF"}}]]), "private_value"),
        (pa.array([{"deep": {"prompt": "hello"}}]), "content_field"),
    ],
)
def test_intake_looks_into_tensors_and_objects_that_a_newer_version_may_have(values: pa.Array, reason: str) -> None:
    table = pa.Table.from_pylist([row()], schema=arrow_schema(TURNS)).append_column("invented_later", values)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert outcome(replace(FRAME, minor=SCHEMA_MINOR + 1), sink.getvalue().to_pybytes()) == [Reason(reason)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"vector": VECTOR}, ["private_value"]),
        ([{"deep": {"vector": VECTOR}}], ["private_value"]),
        ({"deep": [{"prompt": "hello"}]}, ["content_field"]),
        ({"deep": [{"mood": 7}]}, []),
    ],
)
def test_intake_looks_into_objects_of_ndjson(value: object, reason: list[str]) -> None:
    absent = set(TURNS.dimensions) - set(OPERATIONAL.dimensions)
    line = {key: told for key, told in row(invented_later=value).items() if key not in absent}
    header = replace(FRAME, content_type=NDJSON, minor=SCHEMA_MINOR + 1)
    assert outcome(header, json.dumps(line).encode()) == [Reason(each) for each in reason]


@pytest.mark.parametrize("minor", [SCHEMA_MINOR, SCHEMA_MINOR + 1])
@pytest.mark.parametrize("name", ["turns", "route", "invented_later"])
def test_intake_refuses_a_frame_of_ndjson_with_an_embedding(name: str, minor: int) -> None:
    absent = set(TURNS.dimensions) - set(OPERATIONAL.dimensions)
    lines = [row(), row(**{name: VECTOR})]
    payload = "\n".join(json.dumps({key: each[key] for key in each if key not in absent}) for each in lines).encode()
    assert outcome(replace(FRAME, content_type=NDJSON, minor=minor), payload) == [Reason.PRIVATE_VALUE]
