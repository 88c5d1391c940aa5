"""What is compared: a period of ClickHouse or a file, narrowed to some slices, as priced rows of costs."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from stream_jobs.operators.pricing import Pricing
from turnwatch.answers.cost_rows import FINEST, read_cost_files
from turnwatch.answers.cost_warehouse import read_cost_warehouse
from turnwatch.backtest.sources import written_range
from turnwatch.places import clickhouse
from turnwatch.settings import load

TEN_MINUTES_MS = 600_000
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class CostPeriod:
    """One side of a comparison: how the user named it, and its priced rows of the finest operational cut."""

    name: str
    rows: pl.DataFrame

    def total(self, column: str) -> int:
        return int(self.rows[column].sum())


def read_period(text: str, where: Sequence[str], pricing: Pricing) -> CostPeriod:
    """Reads the file, or the period of ClickHouse, that `text` names: a day, `7d`, or `FROM..TO` in UTC.

    Raises `BadInput` where nothing is left to be compared.
    """
    rows = _rows(text)
    name = " ".join([text, *where])
    if rows.is_empty():
        raise BadInput(f"{text}: there are no rows of costs: name a period in which turns were told of.")
    for dimension, values in _narrowed(where).items():
        rows = rows.filter(pl.col(dimension).is_in(values))
    if rows.is_empty():
        raise BadInput(f"{text}: no rows of costs are of {' '.join(where)}.")
    return CostPeriod(name, pricing.priced(rows))


def _rows(text: str) -> pl.DataFrame:
    path = Path(text)
    if path.suffix == ".csv" or path.exists():
        if not path.is_file():
            raise BadInput(f"{text}: there is no such file.")
        return read_cost_files([path])
    from_ms, to_ms = written_range(f"{text}..{text}" if _DAY.fullmatch(text) else text, int(time.time() * 1_000))
    whole_ms = (from_ms + TEN_MINUTES_MS - 1) // TEN_MINUTES_MS * TEN_MINUTES_MS
    return read_cost_warehouse(clickhouse(load()), whole_ms, to_ms)


def _narrowed(where: Sequence[str]) -> dict[str, list[str]]:
    """Dimension → values, from `NAME=VALUE`; of one dimension several may be meant."""
    values: dict[str, list[str]] = {}
    for written in where:
        name, equals, value = written.partition("=")
        if not equals:
            raise BadInput(f"{written[:100]!r} names no slice: write NAME=VALUE, such as pool=realtime.")
        if name not in FINEST.dimensions:
            close = get_close_matches(name, FINEST.dimensions, n=1)
            meant = f"did you mean {close[0]}?" if close else f"costs are told by {', '.join(FINEST.dimensions)}."
            raise BadInput(f"{written[:100]!r}: costs have no {name[:100]}: {meant}")
        values.setdefault(name, []).append(value)
    return values
