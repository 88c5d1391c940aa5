"""What is compared: a period of ClickHouse or a file, narrowed to some slices, as priced rows of costs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl

from schemas.failures import BadInput
from stream_jobs.operators.cost.pricing import BUCKET, Pricing
from turnwatch.answers.cost_files import FINEST, read_cost_files
from turnwatch.answers.cost_warehouse import days_of, read_cost_warehouse
from turnwatch.answers.narrowing import narrowed
from turnwatch.backtest.sources import written_range
from turnwatch.places import clickhouse
from turnwatch.settings import load

ROUTE = "route"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class CostPeriod:
    """One side of a comparison: how the user named it, and what each finest operational slice used and cost in all of it.

    Columns: its dimensions, the measures of family `costs`, what `Pricing.priced` adds, and `_UNCOSTED`. If only some
    `routes` are meant, `rows` are of all: what replicas were paid for is told without a route, and shared among them.
    """

    name: str
    rows: pl.DataFrame
    routes: frozenset[str] | None = None

    def total(self, column: str) -> int:
        """What the routes that are meant told of it themselves."""
        return int(self._meant[column].sum())

    @property
    def _meant(self) -> pl.DataFrame:
        return self.rows if self.routes is None else self.rows.filter(pl.col(ROUTE).is_in(list(self.routes)))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time of ClickHouse, from an instant to before another."""

    from_ms: int
    to_ms: int

    def overlaps(self, other: Stretch) -> bool:
        return self.from_ms < other.to_ms and other.from_ms < self.to_ms


def named(text: str, now_ms: int) -> Path | Stretch:
    """The file, or the period of ClickHouse, that `text` names: a day, `7d`, or `FROM..TO` in UTC."""
    path = Path(text)
    if path.suffix == ".csv" or path.exists():
        if not path.is_file():
            raise BadInput(f"{text}: there is no such file.")
        return path
    return Stretch(*written_range(f"{text}..{text}" if _DAY.fullmatch(text) else text, now_ms))


def read_period(text: str, source: Path | Stretch, wheres: Sequence[Sequence[str]], pricing: Pricing) -> CostPeriod:
    """Reads what `text` names.

    What is meant is in each of `wheres`. Raises `BadInput` where nothing is left to be compared.
    """
    meant = narrowed(wheres, FINEST.dimensions, "costs")
    routes = meant.pop(ROUTE, None)
    is_meant = [pl.col(dimension).is_in(list(values)) for dimension, values in meant.items()]
    read, folded = 0, []
    for rows in _read(source):
        read += len(rows)
        folded.append(_folded(rows.filter(is_meant) if is_meant else rows, pricing))
    if not read:
        raise BadInput(f"{text}: there are no rows of costs: name a period in which turns were told of.")
    summed = pl.concat(folded).group_by(FINEST.dimensions).sum()
    written = list(chain.from_iterable(wheres))
    if summed.is_empty() or (routes is not None and routes.isdisjoint(summed[ROUTE])):
        raise BadInput(f"{text}: no rows of costs are of {' '.join(written)}.")
    return CostPeriod(" ".join([text, *written]), summed, routes)


_UNCOSTED = {f"uncosted_gpu_{basis}_ms": f"gpu_{basis}_ms" for basis in ("reserved", "used")}
"""GPU time without a price, paid for and used apart: rows of turns and of replicas tell of the same GPUs."""


def _folded(rows: pl.DataFrame, pricing: Pricing) -> pl.DataFrame:
    """A stretch at the prices of its time, slice by slice."""
    uncosted = pl.col("uncosted_gpu_ms") > 0
    without = {name: pl.when(uncosted).then(told).otherwise(0) for name, told in _UNCOSTED.items()}
    priced = pricing.priced(rows).with_columns(**without)
    return priced.drop(BUCKET).group_by(FINEST.dimensions).sum()


def _read(source: Path | Stretch) -> Iterator[pl.DataFrame]:
    """Rows of a file as a whole, of ClickHouse day by day: a month of a large fleet would not fit into memory."""
    if isinstance(source, Path):
        yield read_cost_files([source])
        return
    address = clickhouse(load())
    for first_ms, end_ms in days_of(source.from_ms, source.to_ms):
        yield read_cost_warehouse(address, first_ms, end_ms)
