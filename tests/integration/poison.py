"""Bytes that no topic of ours should hold, from noise to what differs from a sound record in one value only."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from schemas.families import FAMILIES, Family
from schemas.partials import Partial, encode, partial_schema
from schemas.rejections import Reason
from schemas.spend import SPEND_HEADER, spend_schema
from schemas.topics import BURNS, FINDINGS, ROLLUPS, SILENCES, SPEND, aggregates, partials
from tests.integration.bad_frames import SECRET

AGGREGATES = tuple(aggregates(name) for name in FAMILIES)
PARTIALS = tuple(partials(name) for name in FAMILIES)
TOPICS_READ = (*AGGREGATES, *PARTIALS, BURNS, SILENCES, FINDINGS, SPEND, ROLLUPS)

REASONS_OF_NOISE = {
    **dict.fromkeys(AGGREGATES, (Reason.MISSING_HEADER, Reason.MALFORMED_HEADER)),
    **dict.fromkeys((*PARTIALS, BURNS, SILENCES, FINDINGS, SPEND), (Reason.UNDECODABLE,)),
    ROLLUPS: (Reason.UNKNOWN_FAMILY, Reason.MALFORMED_PAYLOAD, Reason.WRONG_TYPE),
}
"""What each topic's garbage may be refused for."""

DEEP = 100_000
FAR_AWAY = 10**6
"""No shard and no source partition has this number."""

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Garbage:
    value: bytes | None
    headers: Headers
    key: bytes | None = None


def garbage(topic: str, chance: random.Random) -> Iterator[Garbage]:
    """One of every kind for a topic."""
    yield from _noise(chance)
    yield from _nearly_right(topic)


def _noise(chance: random.Random) -> Iterator[Garbage]:
    everywhere = ("tw-partial", "tw-table", "tw-schema", "tw-producer", "tw-family", "tw-checksum", SPEND_HEADER)
    yield Garbage(chance.randbytes(40), [])
    yield Garbage(chance.randbytes(60_000), [(name, chance.randbytes(30)) for name in everywhere], chance.randbytes(9))
    yield Garbage(b"", [], b"")
    yield Garbage(None, [], b"a tombstone")
    yield Garbage(SECRET.encode(), [(name, SECRET.encode()) for name in everywhere], SECRET.encode())
    yield Garbage(b"[" * DEEP, [("tw-partial", b"[" * DEEP), ("tw-table", b"traffic_10s")])
    yield Garbage(b"null", [(name, None) for name in everywhere])
    yield Garbage(b'{"shard": 1e999}', [("tw-partial", b'{"format": 1e999}'), ("tw-table", b"\xff")])
    yield Garbage(b"{}", [("tw-partial", b"[]"), ("tw-partial", b"{}"), ("tw-table", b"burn_rate_10s")])
    yield Garbage(_arrow(pa.table({"slice": [SECRET]})), [("tw-partial", b'{"format": 1}'), ("tw-table", b"pages")])


def _nearly_right(topic: str) -> Iterator[Garbage]:
    if topic in PARTIALS:
        yield from _partials(FAMILIES[topic.removeprefix("partials.")])
    elif topic == BURNS:
        sound = {"shard": 0, "decided_ms": 0, "completeness": 1.0, "burns": []}
        for changed in (
            {"shard": FAR_AWAY},
            {"shard": -1},
            {"parts": 0},
            {"part": 7, "parts": 2},
            {"completeness": "NaN"},
        ):
            yield Garbage(json.dumps(sound | changed).encode(), [])
    elif topic == SILENCES:
        sound = {"family": "turns", "source_partition": 0, "version": 0, "newest_ms": 0, "volume": 1.0}
        for changed in ({"source_partition": -1}, {"version": 2**70}, {"volume": "much"}):
            yield Garbage(json.dumps(sound | changed).encode(), [])
    elif topic == FINDINGS:
        sound = {"question": "cost", "shard": 0, "decided_ms": 0, "completeness": 1.0, "holds_s": 60}
        for changed in ({"shard": FAR_AWAY}, {"holds_s": 0}, {"completeness": 2}, {"findings": "[]"}, {"unlisted": -1}):
            yield Garbage(json.dumps(sound | changed).encode(), [])
    elif topic == SPEND:
        yield from _spend()


def _spend() -> Iterator[Garbage]:
    about = {"shard": 0, "bucket_start_ms": 0, "version": 1, "completeness": 1.0, "decidable_until_ms": 0}
    row: dict[str, Any] = {field.name: "x" if field.type == pa.string() else 0 for field in spend_schema()}
    for said, cell in (
        ({"shard": FAR_AWAY}, {}),
        ({"bucket_start_ms": 7}, {}),
        ({"part": 1}, {}),
        ({"completeness": 1.5}, {}),
        ({}, {"region": f"{SECRET},pool=x"}),
        ({}, {"route": None}),
        ({}, {"reserved_nusd": -1}),
        ({}, {"turns": 1, "successes": 2}),
    ):
        headers: Headers = [(SPEND_HEADER, json.dumps(about | said).encode())]
        yield Garbage(_arrow(pa.Table.from_pylist([row | cell], schema=spend_schema())), headers)
    yield Garbage(_arrow(pa.table({"slice": [SECRET]})), [(SPEND_HEADER, json.dumps(about).encode())])


def _partials(family: Family) -> Iterator[Garbage]:
    partition = family.partitions[0]
    schema = partial_schema(family)
    row: dict[str, Any] = dict.fromkeys(schema.names, 0) | {"slice": "all"}
    row |= {key.name: key.vocabulary[0] for key in family.keys if key.vocabulary}
    sound = Partial(family, partition, 0, 0, (), pa.Table.from_pylist([row], schema=schema))
    yield _encoded(replace(sound, source_partition=FAR_AWAY))
    yield _encoded(replace(sound, reach=((-1, 5),)))
    for changed in ({"slice": SECRET}, {"slice": None}, {"bucket_start_ms": -1}, {family.measure_names[0]: -1}):
        yield _encoded(replace(sound, rows=pa.Table.from_pylist([row | changed], schema=schema)))
    headers, payload = encode(sound)
    yield Garbage(payload[: len(payload) // 2], [*headers])
    yield Garbage(_arrow(sound.rows.drop_columns(["slice"])), [*headers])


def _encoded(partial: Partial) -> Garbage:
    headers, payload = encode(partial)
    return Garbage(payload, [*headers])


def _arrow(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    written: bytes = sink.getvalue().to_pybytes()
    return written
