"""Rates out of ClickHouse: the views, in which each bucket of a slice stands once with what came late, summed where they lie.

ClickHouse adds up windows, slices and squares itself: what it answers is a row for each rate and slice, however long the
period is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.families import TURNS
from schemas.rates import Rate
from schemas.slices import EVERYTHING
from schemas.tables import FAMILY_TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.drift.cuttings import Cutting
from turnwatch.drift.told import OF_CALLS, TOLD, WHOLE, WINDOW, heard

READ_TIMEOUT_S = 300.0
_SETTINGS = {
    "readonly": 2,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}

_WITHIN = "bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64}) AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"
_SUMS = """countIf(below > 0 OR above > 0) AS windows, sum(samples_) AS samples, sum(above) AS numerator, sum(below) AS denominator,
    sum(toFloat64(above) * above) AS numerator_sq, sum(toFloat64(below) * below) AS denominator_sq,
    sum(toFloat64(above) * below) AS product, sum(above_sq) AS calls_numerator_sq, sum(below_sq) AS calls_denominator_sq,
    sum(both) AS calls_product"""


@dataclass(frozen=True, slots=True)
class StoredPeriod:
    """Buckets that begin in [from, to), narrowed to some values of dimensions."""

    address: ClickHouseAddress
    from_ms: int
    to_ms: int
    narrowed: Mapping[str, frozenset[str]]

    def told(self, cuttings: Sequence[Cutting], rates: Sequence[Rate]) -> pl.DataFrame:
        """A row of `TOLD` for each rate, cut and slice, and for all slices of a cut together.

        Raises `WarehouseError` where ClickHouse is away, or refuses.
        """
        parts = [self._told_by(each, [rate for rate in rates if rate.family == each.family.name]) for each in cuttings]
        return heard(pl.concat(parts).select(list(TOLD)).cast(TOLD))  # type: ignore[arg-type]

    def _told_by(self, cutting: Cutting, rates: Sequence[Rate]) -> pl.DataFrame:
        """Where a slice counted something and had nothing to divide it by, which is seldom, all together is asked for again without it."""
        told = self._asked(_of_cutting(cutting, rates, self))
        is_whole = pl.col("slice") == WHOLE
        undivided = told.filter(~is_whole, pl.col("denominator") == 0, pl.col("numerator") > 0)["rate"].unique()
        if undivided.is_empty():
            return told
        of_these = pl.col("rate").is_in(undivided.to_list())
        without = [
            self._asked(_of_cutting(cutting, [rate], self, is_divided=True)) for rate in rates if rate.name in undivided
        ]
        return pl.concat([told.filter(~(is_whole & of_these)), *(each.filter(is_whole) for each in without)])

    def series(self, cutting: Cutting, slice_text: str, rate: Rate) -> pl.DataFrame:
        """`window_ms`, `numerator` and `denominator` of one slice, in order of time; of all slices where it is empty."""
        windows = _windows(cutting, [rate], self, is_divided=slice_text == WHOLE)
        sql = f"""SELECT toUnixTimestamp64Milli(bucket_start) AS {WINDOW},
    toFloat64(above) AS numerator, toFloat64(below) AS denominator
FROM ({windows})
WHERE piece = {{piece:String}}
ORDER BY bucket_start"""
        found = self._asked(sql, piece=slice_text)
        return found.with_columns(pl.col(WINDOW).cast(pl.Int64))

    def _asked(self, sql: str, **parameters: Any) -> pl.DataFrame:
        within = {"from_ms": self.from_ms, "to_ms": self.to_ms}
        values = {f"only_{name}": sorted(values) for name, values in self.narrowed.items()}
        client = connect(self.address, read_timeout_s=READ_TIMEOUT_S)
        try:
            answer = client.query_arrow(sql, {**within, **values, **parameters}, _SETTINGS)
        except ClickHouseError as error:
            raise explained(error, self.address) from error
        finally:
            client.close()
        return pl.DataFrame(pl.from_arrow(answer))


def _of_cutting(cutting: Cutting, rates: Sequence[Rate], period: StoredPeriod, is_divided: bool = False) -> str:
    return f"""SELECT rate, '{cutting.name}' AS cut, piece AS slice, {_SUMS}
FROM ({_windows(cutting, rates, period, is_divided)})
GROUP BY rate, piece"""


def _windows(cutting: Cutting, rates: Sequence[Rate], period: StoredPeriod, is_divided: bool) -> str:
    """A row for each rate, window and slice, and with an empty `piece` for all slices of a window.

    With `is_divided`, which is of one rate, only of slices that had something to divide by in any window.
    """
    only = "".join(f" AND {name} IN {{only_{name}:Array(String)}}" for name in period.narrowed)
    where = f"cut = '{cutting.cut.name}' AND {_WITHIN}{only}"
    if cutting.family is TURNS:
        return _of_indicators(cutting, rates, where)  # None is bad of no turns.
    table = FAMILY_TABLES[cutting.family.name][0]
    if is_divided and cutting.dimensions:
        (rate,), names = rates, ", ".join(cutting.dimensions)
        having = f"SELECT {names} FROM {table} WHERE {where} GROUP BY {names} HAVING sum({rate.denominator}) > 0"
        where = f"{where} AND ({names}) IN ({having})"
    columns = dict.fromkeys(
        name for rate in rates for name in (rate.numerator, rate.denominator, *(rate.squares or ()))
    )
    samples = dict.fromkeys(f"sumIf({rate.samples}, {rate.denominator} > 0) AS {_samples_of(rate)}" for rate in rates)
    sums = ", ".join((*(f"sum({name}) AS of_{name}" for name in columns), *samples))
    told = ", ".join(map(_tuple, rates))
    return f"""SELECT piece, bucket_start, told.1 AS rate, told.2 AS above, told.3 AS below, told.4 AS samples_,
    told.5 AS above_sq, told.6 AS below_sq, told.7 AS both
FROM (
    SELECT {_piece(cutting)}, bucket_start, {sums}
    FROM {table}
    WHERE {where}
    GROUP BY GROUPING SETS ((slice_, bucket_start), (bucket_start)))
ARRAY JOIN [{told}] AS told"""


def _of_indicators(cutting: Cutting, rates: Sequence[Rate], where: str) -> str:
    """Indicators of turns have rows of their own, in the view `burn_rate`."""
    names = ", ".join(f"'{rate.name}'" for rate in rates)
    return f"""SELECT {_piece(cutting)}, bucket_start, indicator AS rate, sum(bad) AS above, sum(total) AS below,
    below AS samples_, 0. AS above_sq, 0. AS below_sq, 0. AS both
FROM burn_rate
WHERE indicator IN ({names}) AND {where}
GROUP BY GROUPING SETS ((slice_, bucket_start, rate), (bucket_start, rate))"""


def _tuple(rate: Rate) -> str:
    squares = [f"toFloat64(of_{name})" for name in rate.squares or ()] or ["0."] * len(OF_CALLS)
    above = f"of_{rate.denominator} - of_{rate.numerator}" if rate.is_complement else f"of_{rate.numerator}"
    return f"('{rate.name}', toUInt64({above}), of_{rate.denominator}, {_samples_of(rate)}, {', '.join(squares)})"


def _samples_of(rate: Rate) -> str:
    """What is counted of rows that have something to divide by: calls without a reference word are no samples."""
    return f"{rate.samples}_with_{rate.denominator}"


def _piece(cutting: Cutting) -> str:
    """The slice's text where rows are grouped by it, else empty."""
    parts = [f"'{',' if place else ''}{name}=', {name}" for place, name in enumerate(cutting.dimensions)]
    text = f"concat({', '.join(parts)})" if parts else f"'{EVERYTHING}'"
    return f"materialize({text}) AS slice_, if(grouping(slice_) = 0, slice_, '') AS piece"
