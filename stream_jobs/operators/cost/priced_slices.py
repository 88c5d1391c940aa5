"""Priced slices: what the finest cuts of `costs` used, with the dimensions of their slices and the prices of their time.

A slice's text is cut up once, and its prices are looked up once for as long as no price of the list changes. Both are
remembered in the order of cells, each slice at its *place*. Totals find theirs by one join of texts; all else is taken
from there by number, column by column, and is as Arrow has it from then on. Memory is 500 bytes a slice, and 40 for each
time of prices: 35 MB with `REMEMBERED_MAX` slices and `PRICE_TIMES_MAX` times, 3 MB with those of a full shard.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from schemas.declarations import Cut
from schemas.families import COSTS
from schemas.prices import RESOURCES, Resource
from schemas.spend import CELL
from stream_jobs.operators.cost.price_arithmetic import money
from stream_jobs.operators.cost.pricing import BUCKET, Pricing, is_hosted, usd_of

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
_COUNTS = (BUCKET, *COSTS.measure_names, "version")
_TEXTS = pa.schema([pa.field(name, pa.string()) for name in ("slice", "cut", *DIMENSIONS)])

Places = NDArray[np.int64]


class PricedSlices:
    """Slices that were heard of, cut up, with their prices."""

    def __init__(self, pricing: Pricing, remembered_max: int = REMEMBERED_MAX) -> None:
        self._pricing, self._remembered_max = pricing, remembered_max
        self._slices = _known(pl.DataFrame(schema={"slice": pl.String}))
        self._lay_out()

    @property
    def remembered(self) -> int:
        """How many slices."""
        return len(self._slices)

    def priced(self, totals: pl.DataFrame) -> pa.Table:
        """The totals of the finest cuts with `cut`, dimensions (empty where a cut has none) and money.

        A row a bucket and slice, by bucket, then cut, then cell; rows of wider cuts are left out.
        """
        places = self._places(totals)
        order = np.lexsort((places, totals[BUCKET].to_numpy()))
        rows = order[places[order] < len(self._texts)]
        places = places[rows]
        counts = {name: totals[name].to_numpy()[rows] for name in _COUNTS}
        costs = money(counts, self._is_hosted[places], self._usd(places, counts[BUCKET]))
        texts = self._texts.take(pa.array(places))
        return pa.table(dict(zip(_TEXTS.names, texts.columns, strict=True)) | counts | costs)

    def _places(self, totals: pl.DataFrame) -> Places:
        """The place of each row's slice; of what is heard of for the first time too."""
        found = self._found(totals)
        if found.null_count():
            self._learn(totals["slice"])
            found = self._found(totals)
        return found.to_numpy().astype(np.int64)

    def _found(self, totals: pl.DataFrame) -> pl.Series:
        known = self._slices.select("slice").with_row_index("place")
        return totals.select("slice").join(known, on="slice", how="left", maintain_order="left")["place"]

    def _usd(self, places: Places, starts_ms: NDArray[np.int64]) -> dict[Resource, NDArray[np.float64]]:
        """The prices of rows, whose buckets are in order: nearly always those of one time."""
        by_time = enumerate(np.split(places, np.searchsorted(starts_ms, self._pricing.changes_ms)))
        parts = [self._prices(time)[:, part] for time, part in by_time if len(part)]
        usd = np.concatenate(parts, axis=1) if parts else np.empty((len(RESOURCES), 0))
        return dict(zip(RESOURCES, usd, strict=True))

    def _prices(self, time: int) -> NDArray[np.float64]:
        """Of each place, after so many changes of prices; a row for each of `RESOURCES`."""
        if time not in self._at:
            if len(self._at) >= PRICE_TIMES_MAX:
                self._at.clear()
            at_ms = self._pricing.changes_ms[time - 1] if time else 0
            slices = self._slices.head(len(self._texts)).with_columns(pl.lit(at_ms).alias(BUCKET))
            usd = usd_of(self._pricing.with_prices(slices))
            self._at[time] = np.stack([usd[resource] for resource in RESOURCES])
        return self._at[time]

    def _learn(self, told: pl.Series) -> None:
        """Remembers these slices with those that are known, or instead of them where they would be too many."""
        texts = told.unique().to_frame()
        new = texts.join(self._slices, on="slice", how="anti")
        if len(self._slices) + len(new) > self._remembered_max:
            self._slices, new = self._slices.clear(), texts
        self._slices = pl.concat([self._slices, _known(new)]).sort("cut", *DIMENSIONS, nulls_last=True)
        self._lay_out()

    def _lay_out(self) -> None:
        """By place: the texts of slices, how they are paid for, and their prices. Those of wider cuts have the last places."""
        cut_up = self._slices.head(len(self._slices) - self._slices["cut"].null_count()).select(_TEXTS.names)
        self._is_hosted = is_hosted(cut_up)
        self._texts = cut_up.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_TEXTS)
        self._at: dict[int, NDArray[np.float64]] = {}


def finest(totals: pl.DataFrame) -> pl.DataFrame:
    """The totals of the finest cuts, with `cut` and a column for each of their dimensions, empty where it has none.

    Slices are cut up by columns, not by a loop: the text of one cut has the same dimensions at the same places.
    """
    return pl.concat([_cut_up(totals.filter(pl.col("slice").str.contains(_texts_of(cut))), cut) for cut in FINEST])


def _known(slices: pl.DataFrame) -> pl.DataFrame:
    """Slices cut up; those of wider cuts have no cut and no dimensions."""
    parts = finest(slices)
    return pl.concat([parts, slices.join(parts, on="slice", how="anti")], how="diagonal")


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
