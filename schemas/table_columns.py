"""What a ClickHouse table consists of, and the columns that many of them have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from schemas.dimensions import DIMENSIONS
from schemas.families import Family, Measure


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `arrow` is the type that the sink sends."""

    name: str
    type: str
    comment: str
    arrow: pa.DataType
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    question: str
    columns: tuple[Column, ...]
    order_by: tuple[str, ...]
    time_column: str
    retention_d: int

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def arrow_schema(self) -> pa.Schema:
        return pa.schema([pa.field(column.name, column.arrow) for column in self.columns])


def time(name: str, comment: str) -> Column:
    return Column(name, "DateTime64(3, 'UTC')", comment, pa.timestamp("ms", tz="UTC"), "Delta, ZSTD(1)")


def text(name: str, comment: str) -> Column:
    return Column(name, "LowCardinality(String)", comment, pa.string())


def count(name: str, comment: str) -> Column:
    return Column(name, "UInt64", comment, pa.uint64(), "T64, ZSTD(1)")


def share(name: str, comment: str) -> Column:
    return Column(name, "Float64", comment, pa.float64(), "ZSTD(1)")


VERSION = count("version", "grows with every source record applied to this row; the largest wins")
BUCKET = time("bucket_start", "start of the bucket, event time")


@cache
def slice_columns(*families: Family) -> tuple[Column, ...]:
    """`cut`, `slice`, and a column for each dimension that some cut of the families names."""
    named = dict.fromkeys(name for family in families for cut in family.cuts for name in cut.dimensions)
    return (
        text("cut", "the dimensions that this row is grouped by"),
        text("slice", "the row's slice, `dimension=value` pairs"),
        *(text(name, f"{DIMENSIONS[name].meaning}; empty where the cut does not name it") for name in named),
    )


def counters(family: Family, names: tuple[str, ...], of_gauges: str = "") -> tuple[Column, ...]:
    """Columns of these measures, in this order; the comments of gauges end with `of_gauges`."""
    known = {measure.name: measure for measure in family.measures}
    return tuple(count(name, _meaning(known[name], of_gauges)) for name in names)


def key_columns(family: Family) -> tuple[Column, ...]:
    """The columns of a family's keys."""
    return tuple(text(key.name, key.meaning) if key.vocabulary else _NUMBERS[key.name] for key in family.keys)


_NUMBERS = {
    "scale": Column("scale", "Int8", "scale of the base-2 exponential histogram", pa.int8()),
    "bucket_index": Column(
        "bucket_index",
        "Int32",
        "bucket (base^index, base^(index+1)] ms, base = 2^(2^-scale); -32768 holds zeros",
        pa.int32(),
        "ZSTD(1)",
    ),
    "second": Column("second", "UInt8", "second of the bucket, from 0", pa.uint8()),
}


def _meaning(measure: Measure, of_gauges: str) -> str:
    noise = f"; {measure.noise.said}" if measure.noise else ""
    return f"{measure.meaning} ({measure.unit}){of_gauges if measure.merge == 'gauge' else ''}{noise}"
