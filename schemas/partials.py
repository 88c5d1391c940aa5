"""Partials: what intake tells the questions. Absolutes, never increments.

A partial message carries, for one source partition and one shard, the total so far of every (slice, bucket) that changed,
as of a *version*: the number of source records applied (last applied offset + 1). Reading it twice, or an older one after
a newer, changes nothing. The last message of a version also carries the *reach* of the source partition's producers: how
much recent volume has reported up to which instant, from which every shard tells how complete a bucket is; those before
it carry none, for more rows of that version follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from schemas.failures import Foreseen
from schemas.families import Family, PrivacyPartition
from schemas.frames import READ_OPTIONS

PARTIALS_VERSION = 1

Reach = tuple[tuple[int, int], ...]
"""Pairs (window end in ms up to which they have reported, recent volume of those producers), by window end."""


@dataclass(frozen=True, slots=True)
class Partial:
    family: Family
    partition: PrivacyPartition
    source_partition: int
    version: int
    reach: Reach
    rows: pa.Table
    """Columns: slice, bucket_start_ms, the family's keys, its measures. May be empty: reach alone is news too."""


@cache
def partial_schema(family: Family) -> pa.Schema:
    fields = [pa.field("slice", pa.string()), pa.field("bucket_start_ms", pa.int64())]
    fields += [pa.field(key.name, pa.string() if key.vocabulary else pa.int32()) for key in family.keys]
    fields += [pa.field(name, pa.int64()) for name in family.measure_names]
    return pa.schema(fields)


def encode(partial: Partial) -> tuple[list[tuple[str, bytes]], bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(
        sink, partial_schema(partial.family), options=pa.ipc.IpcWriteOptions(compression="lz4")
    ) as writer:
        writer.write_table(partial.rows)
    about = {
        "format": PARTIALS_VERSION,
        "partition": partial.partition.name,
        "source_partition": partial.source_partition,
        "version": partial.version,
        "reach": partial.reach,
    }
    return [("tw-partial", json.dumps(about).encode())], sink.getvalue().to_pybytes()


def decode(family: Family, headers: Mapping[str, bytes], payload: bytes) -> Partial:
    """Reads what `encode` wrote. Intake is ours: anything else is a broken invariant, and raises."""
    about = json.loads(headers["tw-partial"])
    if about["format"] != PARTIALS_VERSION:
        raise Foreseen(
            f"A partial of format {about['format']} was read by a worker that knows {PARTIALS_VERSION}: deploy the newer worker."
        )
    with pa.ipc.open_stream(payload, options=READ_OPTIONS) as reader:
        rows = reader.read_all()
    return Partial(
        family,
        family.partition(about["partition"]),
        about["source_partition"],
        about["version"],
        tuple((end_ms, volume) for end_ms, volume in about["reach"]),
        rows,
    )
