"""Columns of numbers out of a CSV file, each refused with file, line, field and value where it is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.failures import BadInput
from turnwatch.csv_text import FILE_LINE, numbered, text_rows

WHOLE_MAX = 10**15
"""Largest whole number in a column: thousands of them still sum in 64 bits, and no queue or clock in ms is above it."""
_WHOLE = r"^[+-]?[0-9]{1,16}$"
_DECIMAL = r"^[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?$"


@dataclass(frozen=True, slots=True)
class Decimals:
    """A column of decimals as they were written, and as floating-point numbers near them."""

    written: pl.Series
    values: NDArray[np.float64]

    def at_least(self, least: Decimal) -> NDArray[np.bool_]:
        """Which reach `least`, as the decimals written: what rounds to the same floating-point number is looked at again."""
        reaches = self.values > float(least)
        for place in map(int, np.flatnonzero(self.values == float(least))):
            reaches[place] = Decimal(self.written[place]) >= least
        return np.asarray(reaches, dtype=np.bool_)


class CsvColumns:
    """The named columns of a file and no others; blank lines are none of its rows."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        rows = text_rows(path, ",".join(names))
        _refuse_other_columns(path, rows.columns, names)
        self._rows = numbered(rows).with_columns(pl.col(names).str.strip_chars())
        self._lines = self._rows[FILE_LINE].to_numpy()
        self._path = path

    def whole(self, name: str, least: int | None = None) -> NDArray[np.int64]:
        """A column of whole numbers, none below `least`."""
        written = self._written(name)
        self.refuse(~written.str.contains(_WHOLE).to_numpy(), name, "is no whole number")
        values = written.cast(pl.Int64).to_numpy()
        self.refuse(np.abs(values) > WHOLE_MAX, name, f"is beyond {WHOLE_MAX}")
        if least is not None:
            self.refuse(values < least, name, f"is below {least}")
        return values

    def decimals(self, name: str) -> Decimals:
        """A column of decimals, none negative."""
        written = self._written(name)
        self.refuse(~written.str.contains(_DECIMAL).to_numpy(), name, "is no decimal number")
        values = written.cast(pl.Float64).to_numpy()
        self.refuse(written.str.starts_with("-").to_numpy() & (values != 0), name, "is negative")
        return Decimals(written, values)

    def ascending(self, name: str) -> NDArray[np.int64]:
        """A column of whole numbers, each above the one before."""
        values = self.whole(name)
        is_behind = np.concatenate([[False], np.diff(values) <= 0]) if len(values) else np.zeros(0, dtype=bool)
        self.refuse(is_behind, name, "does not come after the one before it: sort the rows and leave out repeats")
        return values

    def refuse(self, is_wrong: NDArray[np.bool_], name: str, why: str) -> None:
        """Raises `BadInput` for the first row that is wrong."""
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            written = self._rows[name][row]
            field = name if written is None else f"{name} {written[:100]!r}"
            raise BadInput(f"{self._path}:{int(self._lines[row])}: {field} {why}.")

    def _written(self, name: str) -> pl.Series:
        """The column's fields, none of them missing."""
        written = self._rows[name]
        self.refuse(written.is_null().to_numpy(), name, "is missing: write it, or leave the row out")
        return written


def _refuse_other_columns(path: Path, found: Sequence[str], names: Iterable[str]) -> None:
    wanted = list(names)
    for name in found:
        if name not in wanted:
            close = get_close_matches(name, wanted, n=1)
            meant = f"did you mean {close[0]}?" if close else f"the columns are {', '.join(wanted)}."
            raise BadInput(f"{path}:1: column {name[:100]!r} is unknown: {meant}")
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BadInput(f"{path}:1: column {missing[0]} is missing: the columns are {', '.join(wanted)}.")
