"""Secrets are planted in every way in; nothing that turnwatch says, sends or writes repeats one of them.

What is said: sentences of refusals and exceptions with what caused them, dead letters, names of producers, logs, standard
output, what is kept of a batch in memory, and the frames themselves.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from producers.collector import Collector, Frame
from producers.observations import TURN_COLUMNS
from producers.refusing import admit_rows
from producers.refusing_attributes import admit_attributes
from producers.traces import read_trace
from schemas.families import AUDIENCE, OPERATIONAL, TURNS
from schemas.frames import NDJSON, SCHEMA_MINOR, FrameHeader, encode, headers_of
from schemas.private_values import FREE_DIMENSIONS
from schemas.rejections import DeadLetter, Reason
from schemas.rows import arrow_schema
from stream_jobs.agents.diversion import dead_letter
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.opening import Record
from tests.producers.worlds import START_MS, turns_world
from tests.security.planted import PRIVATE

PLANTED = [value for values in PRIVATE.values() for value in values]
SLUGS = [
    value for value in PLANTED if len(value) < 64 and pl.Series([value]).str.contains("^[a-z0-9][a-z0-9._-]*$").item()
]
"""Those that a pattern alone would let through."""
HEADER = FrameHeader(TURNS, OPERATIONAL, "host-1", 1, 0, START_MS)
Sent = tuple[dict[str, bytes], bytes]


def unsaid(secret: str, said: str) -> bool:
    """Whether nothing of the secret is repeated: neither all of it nor its beginning."""
    return secret not in said and secret[:12] not in said


# -- frames: headers, names of columns, values, metadata ----------------------------------------------------------------


def row(**changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = dict.fromkeys(TURNS.dimensions)
    known |= {"region": "eu-west-1", "pool": "realtime", "route": "support", "bundle": "v1"}
    return known | dict.fromkeys(TURNS.measure_names, 3) | changed


def arrow(table: pa.Table, header: FrameHeader = HEADER) -> Sent:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue().to_pybytes()
    return dict(headers_of(header, payload)), payload


def lines(text: str, minor: int = SCHEMA_MINOR) -> Sent:
    payload = text.encode()
    return dict(headers_of(replace(HEADER, content_type=NDJSON, minor=minor), payload)), payload


def sound() -> pa.Table:
    return pa.Table.from_pylist([row()], schema=arrow_schema(TURNS))


def frames_with(secret: str) -> Iterator[tuple[str, Sent]]:
    """The secret in every place of a frame that can hold text."""
    headers, payload = encode(HEADER, sound())
    numbers = {name for name, value in headers if value.isdigit()}
    for name, _ in headers:
        if name in numbers and secret.isdigit():
            continue  # A number is what may stand there, and nobody can tell what it is of.
        yield f"header {name}", (dict(headers) | {name: secret.encode()}, payload)
    yield "an unknown header", (dict(headers) | {"tw-schema": b"2.0", "note": secret.encode()}, payload)
    yield "the payload", (dict(headers_of(HEADER, secret.encode())), secret.encode())
    for name in TURNS.partition("operational").dimensions:
        yield f"dimension {name}", arrow(pa.Table.from_pylist([row(**{name: secret})], schema=arrow_schema(TURNS)))
        yield f"field {name}", lines(json.dumps(_of_operational(row(**{name: secret}))))
    yield "a count", arrow(sound().set_column(sound().schema.get_field_index("turns"), "turns", pa.array([secret])))
    yield "a field that counts", lines(json.dumps(_of_operational(row(turns=secret))))
    for minor in (SCHEMA_MINOR, SCHEMA_MINOR + 1):
        header = replace(HEADER, minor=minor)
        yield f"a column's name, {minor}", arrow(sound().append_column(secret, pa.array([1])), header)
        yield f"a column, {minor}", arrow(sound().append_column("transcript", pa.array([secret])), header)
        yield f"a field's name, {minor}", lines(json.dumps(_of_operational(row()) | {secret: 1}), minor)
        yield f"a field, {minor}", lines(json.dumps(_of_operational(row()) | {"gen_ai.prompt": secret}), minor)
    yield "metadata", arrow(sound().replace_schema_metadata({"note": secret}))
    yield "half a line", lines(f'{{"region": "{secret}')
    yield "an unknown audience", arrow(sound(), replace(HEADER, partition=AUDIENCE, producer="host-2"))


def _of_operational(values: dict[str, Any]) -> dict[str, Any]:
    absent = set(TURNS.dimensions) - set(OPERATIONAL.dimensions)
    return {name: value for name, value in values.items() if name not in absent}


@pytest.mark.parametrize("secret", PLANTED, ids=range(len(PLANTED)))
def test_intake_repeats_nothing_of_a_frame(secret: str, capfd: pytest.CaptureFixture[str]) -> None:
    places, sent = zip(*frames_with(secret), strict=True)
    records = [Record(place, START_MS + 10_500, headers, payload) for place, (headers, payload) in enumerate(sent)]
    outcome = Intake(TURNS, 0, 1).apply(records)
    refused = [(each.rejected, each.producer, "aggregates.turns", 0, each.offset) for each in outcome.refusals]
    letters = [dead_letter(*each).encode() for each in refused]
    for letter in letters:
        assert unsaid(secret, letter.decode()), places[DeadLetter.decode(letter).offset]
    assert unsaid(secret, repr(outcome) + "".join(capfd.readouterr()))


@pytest.mark.parametrize("secret", SLUGS)
def test_what_only_looks_like_a_name_is_refused_at_intake_in_every_place(secret: str) -> None:
    refused = {}
    for place, (headers, payload) in frames_with(secret):
        (refusal,) = Intake(TURNS, 0, 1).apply([Record(0, START_MS + 10_500, headers, payload)]).refusals or (None,)
        refused[place] = refusal.rejected.reason if refusal else None
    for name in FREE_DIMENSIONS & set(OPERATIONAL.dimensions):
        assert refused[f"dimension {name}"] == refused[f"field {name}"] == Reason.PRIVATE_VALUE
    assert refused["header tw-producer"] == Reason.MALFORMED_HEADER
    for minor in (SCHEMA_MINOR, SCHEMA_MINOR + 1):
        assert refused[f"a column, {minor}"] == refused[f"a field, {minor}"] == Reason.CONTENT_FIELD


def test_a_frame_that_is_refused_for_a_value_leaves_the_others_of_its_batch_alone() -> None:
    bad = arrow(pa.Table.from_pylist([row(), row(bundle=SLUGS[0])], schema=arrow_schema(TURNS)))
    good = arrow(sound(), replace(HEADER, producer="host-2"))
    records = [Record(place, START_MS + 10_500, *each) for place, each in enumerate((bad, good))]
    outcome = Intake(TURNS, 0, 1).apply(records)
    assert [(each.offset, each.rejected.reason) for each in outcome.refusals] == [(0, Reason.PRIVATE_VALUE)]
    assert outcome.frames_applied == 1


# -- observations, attributes, files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", PLANTED, ids=range(len(PLANTED)))
def test_no_frame_of_a_collector_holds_what_was_planted_in_observations(secret: str) -> None:
    turns = turns_world(5, count=200)
    is_tenant = secret.startswith("t-")  # As tenant it is what it looks like.
    dimensions = [
        name for name, dtype in TURN_COLUMNS.items() if dtype == pl.String and not (is_tenant and name == "tenant")
    ]
    every_tenth = pl.int_range(pl.len()) % len(dimensions)
    planted = turns.with_columns(
        pl.when(every_tenth == place).then(pl.lit(secret)).otherwise(pl.col(name)).alias(name)
        for place, name in enumerate(dimensions)
    ).with_columns(pl.lit(secret).alias("transcript"), pl.lit(1).alias(secret))
    collector = Collector("collector-0", "eu-west-1", 1, START_MS, content_type=NDJSON)
    collector.observe_turns(planted)
    sent: list[Frame] = [*collector.close(START_MS + 60_000), *collector.flush(START_MS + 120_000)]
    said = b"".join(frame.payload + repr(frame.headers).encode() for frame in sent).decode()
    assert unsaid(secret, said) and sent


def _admit_a_table(secret: str, _: Path) -> object:
    answer = admit_rows(
        pl.DataFrame({"route": [secret], "turns": [secret], secret: [1], "note": [secret], "blob": [secret.encode()]}),
        {"route": pl.String(), "turns": pl.Int64()},
    )
    return answer, answer.rows.rows()


def _admit_attributes(secret: str, _: Path) -> object:
    sets: list[dict[str, object]] = [
        {"region": secret, "note": secret, secret: secret, "nested": {secret: secret}},
        {"region": [secret]},
    ]
    return admit_attributes(sets, {"region": "region"})


def _read_a_trace(secret: str, folder: Path) -> object:
    for text in (
        f"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9,{secret},9\n",
        f"{secret}\n",
        f'{{"timestamp": "{secret}", "input_length": 1, "output_length": 1, "hash_ids": []}}\n',
        f'{{"0": {{"prompt": "{secret}"}}}}',
    ):
        (folder / "trace.csv").write_text(text, encoding="utf-8")
        read_trace(folder / "trace.csv")
    return None


@pytest.mark.parametrize("way", [_admit_a_table, _admit_attributes, _read_a_trace])
@pytest.mark.parametrize("secret", PLANTED, ids=range(len(PLANTED)))
def test_nothing_is_repeated_of_tables_attributes_and_traces(
    way: Callable[[str, Path], object],
    secret: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    try:
        said = repr(way(secret, tmp_path))
    except Exception as error:
        said = "".join(traceback.format_exception_only(error)) + repr(error.__cause__) + repr(error.args)
    assert unsaid(secret, said + caplog.text + "".join(capfd.readouterr()))
