"""Rows of our own become the table that Arrow itself would make of them, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from schemas.arrow_streams import table_of
from schemas.tables import TABLES

Samples = Sequence[object]
SAMPLES: tuple[tuple[Callable[[pa.DataType], bool], Samples], ...] = (
    (pa.types.is_string, ("", "ü|\n", "voice-2.4.0", "x")),
    (pa.types.is_floating, (1.5, float("inf"), None, 3)),
    (pa.types.is_uint64, (0, 2**64 - 1, 7, 1)),
    (pa.types.is_timestamp, (0, 1_800_000_000_123, 1, 2**42)),
)


def sample(kind: pa.DataType, number: int) -> object:
    (samples,) = [samples for is_of, samples in SAMPLES if is_of(kind)]
    return samples[number]


@pytest.mark.parametrize("name", ["pages", "findings"])
@pytest.mark.parametrize("chosen", [(), (0,), (2,), (3, 0), (0, 1, 2, 3)], ids=str)
def test_rows_become_the_table_that_arrow_makes_of_them(name: str, chosen: tuple[int, ...]) -> None:
    schema = TABLES[name].arrow_schema
    rows: list[dict[str, Any]] = [{field.name: sample(field.type, each) for field in schema} for each in chosen]
    assert table_of(rows, schema).equals(pa.Table.from_pylist(rows, schema=schema))
