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
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from schemas.arrow_streams import LZ4, MESSAGE_DECODED_BYTES_MAX, columns_of, declared_columns, read_table
from schemas.failures import Foreseen, Undecodable
from schemas.families import Family, PrivacyPartition
from schemas.slices import SLICE_PATTERN

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
    is_idle: bool = False
    """The source partition was read to its end and nothing has come since for a while: nobody has to wait for it."""


@cache
def partial_schema(family: Family) -> pa.Schema:
    fields = [pa.field("slice", pa.string()), pa.field("bucket_start_ms", pa.int64())]
    fields += [pa.field(key.name, pa.string() if key.vocabulary else pa.int32()) for key in family.keys]
    fields += [pa.field(name, pa.int64()) for name in family.measure_names]
    return pa.schema(fields)


def encode(partial: Partial) -> tuple[list[tuple[str, bytes]], bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, partial_schema(partial.family), options=LZ4) as writer:
        writer.write_table(partial.rows)
    about = {
        "format": PARTIALS_VERSION,
        "partition": partial.partition.name,
        "source_partition": partial.source_partition,
        "version": partial.version,
        "reach": partial.reach,
        "idle": partial.is_idle,
    }
    return [("tw-partial", json.dumps(about).encode())], sink.getvalue().to_pybytes()


def decode(family: Family, headers: Mapping[str, bytes], payload: bytes) -> Partial:
    """Reads what `encode` wrote. Raises `Undecodable` for what intake cannot have sent, and stops at a newer format."""
    about = _about(headers.get("tw-partial") or b"")
    partition = next((known for known in family.partitions if known.name == about.partition), None)
    if partition is None:
        raise Undecodable(f"The partial is of a privacy partition that family {family.name} does not declare.")
    rows = declared_columns(
        read_table(payload, MESSAGE_DECODED_BYTES_MAX), partial_schema(family), family.measure_names, "partial"
    )
    if rows.num_rows and not _is_sound(family, partition, rows):
        raise Undecodable(f"The partial holds rows that no total of family {family.name} can be.")
    return Partial(family, partition, about.source_partition, about.version, about.reach, rows, about.idle)


Count = Annotated[int, Field(ge=0, lt=2**63)]


class _About(BaseModel):
    """The header `tw-partial`."""

    model_config = ConfigDict(strict=True)

    format: int
    partition: str
    source_partition: Annotated[int, Field(ge=0, lt=2**31)]
    version: Count
    reach: Annotated[tuple[tuple[Count, Count], ...], FailFast()]
    idle: bool = False


class _Format(BaseModel):
    """What headers of every format have."""

    format: Annotated[int, Field(strict=True, ge=1)]


def _about(header: bytes) -> _About:
    try:
        written = _Format.model_validate_json(header).format
        if written != PARTIALS_VERSION:
            raise Foreseen(
                f"A partial of format {written} was read by a worker that knows {PARTIALS_VERSION}: deploy the newer worker."
            )
        return _About.model_validate_json(header)
    except ValidationError:
        raise Undecodable("The record has no header tw-partial as intake writes it.") from None


def _is_sound(family: Family, partition: PrivacyPartition, rows: pa.Table) -> bool:
    """Whether all rows can be totals: slices that read back, buckets that begin, counts that count.

    Cuts and vocabularies are not asked after: a newer intake may declare more of them.
    """
    if any(column.null_count for column in rows.itercolumns()):
        return False
    slices = pc.match_substring_regex(pc.unique(rows["slice"]), SLICE_PATTERN)
    starts_ms = columns_of(rows, ["bucket_start_ms"])["bucket_start_ms"]
    counts = columns_of(rows, family.measure_names)
    return bool(
        pc.all(slices).as_py()
        and starts_ms.min() >= 0
        and not (starts_ms % (partition.k_window_s * 1_000)).any()
        and min(int(values.min()) for values in counts.values()) >= 0
        and all(
            (counts[measure.name] <= counts[measure.part_of]).all() for measure in family.measures if measure.part_of
        )
    )
