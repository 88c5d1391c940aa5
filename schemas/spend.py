"""Spend: what a shard tells of the cost of one bucket of ten minutes, for the stage that judges what turns cost.

Absolutes, never increments. A *cell* is one combination of the dimensions of the finest operational cut; its row has all
that was used, and that at the prices of its time, in whole nano-dollars. A cell that is told again replaces what was told
of it, unless its version is older; one that is not told stays as it was, since none is ever taken away. So statements may
come twice, in any order of buckets, and in parts: each part is whole by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.arrow_streams import LZ4, MESSAGE_DECODED_BYTES_MAX, columns_of, declared_columns, read_table
from schemas.burns import PARTS_MAX, Count, Instant, Share, no_statement
from schemas.failures import Undecodable
from schemas.families import COSTS
from schemas.prices import PRICED, UNCOSTED

SPEND_FORMAT = 1
"""Grows when an older worker could not read what a newer one states. A measure that is added does not need it."""
SPEND_BYTES_MAX = 512_000
"""Largest payload; more is told in parts."""
_NARROW = (pa.uint8(), pa.uint16(), pa.uint32())
_DECODED_BYTES_MAX = MESSAGE_DECODED_BYTES_MAX // 8
"""Most that a payload unpacks to: a count of one byte becomes eight."""
SPEND_HEADER = "tw-spend"
BUCKET_MS = COSTS.partitions[0].k_window_s * 1_000
CELL = COSTS.partitions[0].dimensions
"""Region, pool, route, bundle, model version, GPU type, purchase."""
MONEY = (*PRICED, *UNCOSTED)
CELL_MEASURES = (*COSTS.measure_names, *MONEY)
MONEY_MAX = 2**50
"""Most nano-dollars of a cell in ten minutes, which are $1,125,899, and most of what has no price. 8,000 such cells still
sum in 64 bits."""
LARGEST = {measure.name: measure.largest for measure in COSTS.measures} | dict.fromkeys(MONEY, MONEY_MAX)
"""Most of each measure in one cell. More is told as this: above it a producer is broken, and the other cells are not."""
_VALUE_PATTERN = r"^[^=,]+$"


@dataclass(frozen=True, slots=True)
class Spend:
    """Cells of one bucket in one shard, as of `version`, which grows with everything that changes in the bucket.

    `completeness`: share of the family's recent volume that had reported up to the bucket's end. `decidable_until_ms`:
    up to where the shard had come in event time. Both as of when it was told.
    """

    shard: int
    bucket_start_ms: int
    version: int
    completeness: float
    decidable_until_ms: int
    cells: pa.Table
    """Columns as `spend_schema` has them; each cell once."""
    part: int = 0
    parts: int = 1


@cache
def spend_schema() -> pa.Schema:
    """The dimensions of a cell, all measures of `costs`, cost, what has no price, and the version of each row."""
    texts = [pa.field(name, pa.string()) for name in CELL]
    return pa.schema([*texts, *(pa.field(name, pa.int64()) for name in (*CELL_MEASURES, "version"))])


def encode(spend: Spend) -> Iterator[tuple[tuple[tuple[str, bytes], ...], bytes]]:
    """Headers and payload of each record that it takes to tell this; at least one."""
    parts = list(_below_limit(_narrow(spend.cells.select(spend_schema().names).cast(spend_schema()))))
    for place, payload in enumerate(parts):
        about = _About.of(replace(spend, part=place, parts=len(parts)))
        yield ((SPEND_HEADER, about.model_dump_json().encode()),), payload


def decode(headers: Mapping[str, bytes], payload: bytes) -> Spend:
    """Reads what `encode` wrote. Raises `Undecodable` for what no shard can have told, and stops at a newer format."""
    about = _about(headers.get(SPEND_HEADER) or b"")
    told = _widened(read_table(payload, _DECODED_BYTES_MAX))
    cells = declared_columns(told, spend_schema(), COSTS.measure_names, "statement of spend")
    if not _is_sound(cells):
        raise Undecodable("The statement of spend holds rows that no cell of a bucket can be.")
    return Spend(**about.model_dump(exclude={"format"}), cells=cells)


class _About(BaseModel):
    """The header `tw-spend`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Annotated[int, Field(ge=1, le=SPEND_FORMAT)] = 1
    shard: Annotated[int, Field(ge=0, lt=2**31)]
    bucket_start_ms: Annotated[Instant, Field(multiple_of=BUCKET_MS)]
    version: Count
    completeness: Share
    decidable_until_ms: Instant
    part: Annotated[int, Field(ge=0)] = 0
    parts: Annotated[int, Field(ge=1, le=PARTS_MAX)] = 1

    @classmethod
    def of(cls, spend: Spend) -> _About:
        return cls(**{name: getattr(spend, name) for name in cls.model_fields if name != "format"})

    @model_validator(mode="after")
    def _part_of_parts(self) -> _About:
        if self.part >= self.parts:
            raise ValueError("a part is counted behind the last one")
        return self


def _about(header: bytes) -> _About:
    try:
        return _About.model_validate_json(header)
    except ValidationError as error:
        raise no_statement("statement of spend", SPEND_FORMAT, header, error) from None


def _narrow(cells: pa.Table) -> pa.Table:
    """The cells, each count in as few bytes as its largest takes: compressing what eight bytes have more of takes longest."""
    columns = {name: cells[name] for name in cells.column_names}
    for name in (*CELL_MEASURES, "version") if cells.num_rows else ():
        counts = columns[name].to_numpy()
        least = np.min_scalar_type(int(counts.max()))
        if least.itemsize < counts.itemsize and int(counts.min()) >= 0:
            columns[name] = pa.array(counts.astype(least))
    return pa.table(columns)


def _widened(cells: pa.Table) -> pa.Table:
    """The cells with counts of eight bytes again."""
    fields = [field.with_type(pa.int64()) if field.type in _NARROW else field for field in cells.schema]
    return cells.cast(pa.schema(fields))


def _below_limit(cells: pa.Table) -> Iterator[bytes]:
    """The cells as Arrow streams, in as many equal parts as stay below the limit as they are: nothing is written twice."""
    parts = 1 + cells.nbytes // (SPEND_BYTES_MAX - _empty_bytes())
    rows = -(-cells.num_rows // parts)
    for place in range(parts):
        yield from _halves_below_limit(cells.slice(place * rows, rows))


def _halves_below_limit(cells: pa.Table) -> Iterator[bytes]:
    """The cells as one Arrow stream, or, where texts are longer than elsewhere, as those of as few halves as it takes."""
    payload = _stream(cells)
    if len(payload) < SPEND_BYTES_MAX or cells.num_rows <= 1:
        yield payload
        return
    half = cells.num_rows // 2
    yield from _halves_below_limit(cells.slice(0, half))
    yield from _halves_below_limit(cells.slice(half))


@cache
def _empty_bytes() -> int:
    """What a stream takes without rows."""
    return len(_stream(spend_schema().empty_table()))


def _stream(cells: pa.Table) -> bytes:
    """Written by one thread: handing buffers of some kilobytes to others takes longer than compressing them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, cells.schema, options=LZ4) as writer:
        writer.write_table(cells.combine_chunks() if cells.column(0).num_chunks > 1 else cells)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _is_sound(cells: pa.Table) -> bool:
    """Whether all rows can be cells: told once, dimensions that read back, counts that count and sum in 64 bits."""
    if any(column.null_count for column in cells.itercolumns()):
        return False
    if not cells.num_rows:
        return True
    counts = columns_of(cells, (*CELL_MEASURES, "version"))
    return bool(
        all(pc.all(pc.match_substring_regex(pc.unique(cells[name]), _VALUE_PATTERN)).as_py() for name in CELL)
        and cells.group_by(list(CELL)).aggregate([]).num_rows == cells.num_rows
        and min(int(values.min()) for values in counts.values()) >= 0
        and all(int(counts[name].max()) <= largest for name, largest in LARGEST.items())
        and all((counts[each.name] <= counts[each.part_of]).all() for each in COSTS.measures if each.part_of)
    )
