"""Priced slices: what the finest cuts of `costs` used, with the dimensions of their slices and the prices of their time.

A slice's text is cut up once, and its prices are looked up once for as long as no price of the list changes. Both are
remembered in the order of cells, so that totals of slices that were heard of before are joined to them once, and need
neither be cut up nor sorted. Memory is 200 bytes a slice, and as much for each time of prices: a few MB, `REMEMBERED_MAX`
slices and `PRICE_TIMES_MAX` times at most.
"""

from __future__ import annotations

from bisect import bisect_right

import polars as pl

from schemas.declarations import Cut
from schemas.families import COSTS
from schemas.spend import CELL
from stream_jobs.operators.pricing import BUCKET, Pricing

REMEMBERED_MAX = 50_000
"""Ten times as many as a shard takes in of a cut; beyond, what was remembered is begun anew."""
PRICE_TIMES_MAX = 4
"""Between two changes of prices is one such time. Open buckets, of some seven hours, lie in one or two."""
FINEST = tuple(
    max((cut for cut in COSTS.cuts if cut.partition == partition.name), key=lambda cut: len(cut.dimensions))
    for partition in COSTS.partitions
)
DIMENSIONS = tuple(dict.fromkeys(name for cut in FINEST for name in cut.dimensions))
assert FINEST[0].dimensions == CELL


class PricedSlices:
    """Slices that were heard of, cut up, with their prices."""

    def __init__(self, pricing: Pricing, remembered_max: int = REMEMBERED_MAX) -> None:
        self._pricing, self._remembered_max = pricing, remembered_max
        self._slices = _known(pl.DataFrame(schema={"slice": pl.String}))
        self._at: dict[int, pl.DataFrame] = {}

    @property
    def remembered(self) -> int:
        """How many slices."""
        return len(self._slices)

    def priced(self, totals: pl.DataFrame) -> pl.DataFrame:
        """The totals of the finest cuts with `cut`, dimensions (empty where a cut has none) and money; cells in order.

        A row a bucket and slice; rows of wider cuts are left out.
        """
        return pl.concat([self._priced(part, time) for time, part in self._by_time(totals)])

    def _by_time(self, totals: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
        """Totals by how many changes of prices came before their bucket: nearly always one."""
        if totals.is_empty():
            return [(0, totals)]
        starts_ms = totals[BUCKET].to_numpy()
        first, last = (bisect_right(self._pricing.changes_ms, int(each)) for each in (starts_ms.min(), starts_ms.max()))
        if first == last:
            return [(first, totals)]
        changes_ms = self._pricing.changes_ms[first:last]
        times = zip(range(first, last + 1), [None, *changes_ms], [*changes_ms, None], strict=True)
        return [(time, totals.filter(_begins(from_ms, until_ms))) for time, from_ms, until_ms in times]

    def _priced(self, totals: pl.DataFrame, time: int) -> pl.DataFrame:
        found = self._joined(totals, time)
        if len(found) < len(totals):
            self._learn(totals["slice"])
            found = self._joined(totals, time)
        return self._pricing.at_prices(found.filter(pl.col("cut").is_not_null()))

    def _joined(self, totals: pl.DataFrame, time: int) -> pl.DataFrame:
        if time not in self._at:
            if len(self._at) >= PRICE_TIMES_MAX:
                self._at.clear()
            at_ms = self._pricing.changes_ms[time - 1] if time else 0
            self._at[time] = self._pricing.with_prices(self._slices.with_columns(pl.lit(at_ms).alias(BUCKET))).drop(
                BUCKET
            )
        slices = self._at[time]
        if len(slices) > 2 * len(totals):
            return slices.join(totals, on="slice", how="inner", maintain_order="left")
        found = slices.join(totals, on="slice", how="left", maintain_order="left")  # Faster where most are told.
        return found.filter(pl.col(BUCKET).is_not_null())

    def _learn(self, told: pl.Series) -> None:
        """Remembers these slices with those that are known, or instead of them where they would be too many."""
        texts = told.unique().to_frame()
        new = texts.join(self._slices, on="slice", how="anti")
        if len(self._slices) + len(new) > self._remembered_max:
            self._slices, new = self._slices.clear(), texts
        self._slices = pl.concat([self._slices, _known(new)]).sort("cut", *DIMENSIONS, nulls_last=True)
        self._at.clear()


def finest(totals: pl.DataFrame) -> pl.DataFrame:
    """The totals of the finest cuts, with `cut` and a column for each of their dimensions, empty where it has none.

    Slices are cut up by columns, not by a loop: the text of one cut has the same dimensions at the same places.
    """
    return pl.concat([_cut_up(totals.filter(pl.col("slice").str.contains(_texts_of(cut))), cut) for cut in FINEST])


def _known(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices cut up; those of wider cuts have no cut and no dimensions."""
    parts = finest(slices)
    return pl.concat([parts, slices.join(parts, on="slice", how="anti")], how="diagonal")


def _begins(from_ms: int | None, until_ms: int | None) -> pl.Expr:
    """Whether a bucket begins in this span; `None` where it has no end."""
    is_after = pl.lit(True) if from_ms is None else pl.col(BUCKET) >= from_ms
    return is_after if until_ms is None else is_after & (pl.col(BUCKET) < until_ms)


def _texts_of(cut: Cut) -> str:
    """The pattern of the slices of a cut, and of no other's."""
    return f"^{','.join(f'{name}=[^=,]+' for name in cut.dimensions)}$"


def _cut_up(rows: pl.DataFrame, cut: Cut) -> pl.DataFrame:
    parts = pl.col("slice").str.split_exact(",", len(cut.dimensions) - 1)
    values = {
        name: parts.struct.field(f"field_{place}").str.slice(len(name) + 1) for place, name in enumerate(cut.dimensions)
    }
    named = {name: values.get(name, pl.lit("")) for name in DIMENSIONS}
    return rows.with_columns(cut=pl.lit(cut.name), **named)
