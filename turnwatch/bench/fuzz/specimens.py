"""Specimens: sound frames of every family, privacy partition and encoding, from which mutants are made.

They are drawn from what the contract declares, so a new family is fuzzed as soon as it is declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import pyarrow as pa

from producers import ndjson
from schemas.dimensions import DIMENSIONS, GENERALISED
from schemas.families import FAMILIES, Family, Key, Measure, PrivacyPartition
from schemas.frames import NDJSON, SCHEMA_MINOR, FrameHeader, headers_of
from schemas.rows import arrow_schema

WINDOW_START_MS = 1_700_000_040_000 // 3_600_000 * 3_600_000
ROWS_MAX = 12
PER_KIND = 8
"""Specimens of each family, privacy partition and encoding."""

EXAMPLES = {
    "region": ("eu-west-1", "us-east-1", "ap-south-12"),
    "language": ("de", "en-US"),
    "client_version": ("1.2", "10.4.33.1"),
    "tenant": ("t-0123456789abcdef",),
}
"""Values of dimensions whose pattern is not a slug's."""
SLUGS = ("v1", "support", "a.b_c-d", "seven-" * 10 + "777")

Headers = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A sound frame, as it is sent to the topic of `header.family`, and the rows it was made of."""

    header: FrameHeader
    rows: pa.Table
    payload: bytes

    @property
    def headers(self) -> Headers:
        return dict(headers_of(self.header, self.payload))


@cache
def specimens(seed: int) -> tuple[Specimen, ...]:
    """The same for the same seed."""
    chance = Random(seed)
    return tuple(
        specimen
        for family in FAMILIES.values()
        for partition in family.partitions
        for _ in range(PER_KIND)
        for specimen in _of_rows(chance, family, partition)
    )


def written(rows: pa.Table, codec: str | None = "lz4", rows_per_batch: int | None = None) -> bytes:
    """`rows` as an Arrow stream, whatever their schema."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(rows, max_chunksize=rows_per_batch)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def _of_rows(chance: Random, family: Family, partition: PrivacyPartition) -> Iterator[Specimen]:
    """One table in every way that it can be sent."""
    rows = _rows(chance, family, partition)
    header = FrameHeader(family, partition, "fuzz-0", 1_700_000_000_000, 0, WINDOW_START_MS)
    yield Specimen(header, rows, written(rows))
    yield Specimen(header, rows, written(rows, codec=None))
    yield Specimen(header, rows, written(rows, rows_per_batch=max(1, rows.num_rows // 3)))
    later = rows.append_column("declared_later", pa.array(range(rows.num_rows), pa.int64()))
    yield Specimen(replace(header, minor=SCHEMA_MINOR + 1), later, written(later))
    text = replace(header, content_type=NDJSON)
    yield Specimen(text, rows, ndjson.encode(text, rows)[1])


def _rows(chance: Random, family: Family, partition: PrivacyPartition) -> pa.Table:
    rows = [_row(chance, family, partition) for _ in range(chance.randint(1, ROWS_MAX))]
    return pa.Table.from_pylist(rows, schema=arrow_schema(family))


def _row(chance: Random, family: Family, partition: PrivacyPartition) -> dict[str, Any]:
    row: dict[str, Any] = {name: _value(chance, name) for name in partition.dimensions}
    row |= {key.name: _key(chance, key) for key in family.keys}
    for measure in family.measures:
        row[measure.name] = _count(chance, measure, row)
    return row


def dimension_values(dimension: str) -> tuple[str, ...]:
    """Values that the dimension allows, `*` last where it may be generalised."""
    declared = DIMENSIONS[dimension]
    values = declared.vocabulary or EXAMPLES.get(dimension, SLUGS)
    return (*values, GENERALISED) if declared.is_identifying else values


def _value(chance: Random, dimension: str) -> str:
    return chance.choice(dimension_values(dimension))


def _key(chance: Random, key: Key) -> str | int:
    if key.vocabulary:
        return chance.choice(key.vocabulary)
    drawn = chance.randint(*key.integer_range)
    return drawn if key.marker is None else chance.choice((drawn, *key.integer_range, key.marker))


def _count(chance: Random, measure: Measure, row: dict[str, Any]) -> int:
    most = row[measure.part_of] if measure.part_of else measure.largest
    return chance.choice((0, most, min(most, chance.randint(0, 1_000)), chance.randint(0, most)))
