"""From codes to observation rows: the names of dimensions, and the columns that each kind declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from producers.fleet.calls import Calls_
from producers.fleet.crowd import Crowd

Values = Mapping[str, "NDArray[Any] | pl.Series"]


def producer_of(region: str, number: int) -> str:
    """The collector of that number in the region."""
    return f"{region}-collector-{number}"


def producer_table(crowd: Crowd, collectors_max: int) -> pl.Series:
    """Names of collectors at place region × `collectors_max` + number."""
    regions = crowd.vocabularies["region"].names
    return pl.Series([producer_of(region, number) for region in regions for number in range(collectors_max)])


def named(
    crowd: Crowd,
    calls: Calls_,
    of: NDArray[np.intp],
    values: Values,
    columns: Mapping[str, pl.DataType],
    producers: pl.Series,
) -> pl.DataFrame:
    """Rows of `columns`, with `producer`: the values as given, everything else from each row's call."""
    mine = calls[of]
    collectors_max = len(producers) // len(crowd.vocabularies["region"].names)
    found: dict[str, pl.Series] = {"producer": producers.gather(mine["region"] * collectors_max + mine["producer"])}
    for name, dtype in columns.items():
        if name in values:
            found[name] = _typed(name, values[name], dtype)
        elif name in crowd.vocabularies:
            found[name] = crowd.vocabularies[name].named(mine[name])
        elif name in CALL_FIELDS:
            found[name] = pl.Series(name, np.ascontiguousarray(mine[name])).cast(dtype)
        else:
            found[name] = pl.repeat(None, len(mine), dtype=dtype, eager=True)
    return pl.DataFrame(found)


def _typed(name: str, values: NDArray[Any] | pl.Series, dtype: pl.DataType) -> pl.Series:
    """The values as their column is declared; what did not happen (NaN) is null."""
    series = pl.Series(name, values, nan_to_null=True) if isinstance(values, np.ndarray) else values
    return series if series.dtype == dtype else series.cast(dtype)


CALL_FIELDS = ("session",)


def by_producer(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of each collector."""
    parts = rows.partition_by("producer", as_dict=True, include_key=False)
    return {str(producer): part for (producer,), part in sorted(parts.items())}
