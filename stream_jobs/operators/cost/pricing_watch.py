"""Spend: what each bucket of ten minutes cost, cell by cell, told as it is known and again as late uses come.

Uses are priced where their totals are, so a row is the price of a total and never a sum of priced increments: a bucket that
is told again is priced again, whole. Of the cuts of `costs` the finest of each privacy partition is priced, since prices
hold for a region, a kind of GPU and a model; what is wider adds up from it. Tenants' rows know no region, so only prices
that hold everywhere apply to them.

Nothing of this is saved: the ledger tells every open bucket after a start, and all of them are said again. Memory is
300 bytes a cell of each bucket that changed and was not said yet: those of a minute, and after a start, for one telling, all
open ones (some 40: six hours of lateness, the one that runs, and an hour more while a source partition lags).

Why so: docs/decisions/0017-watches-and-two-hops.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from schemas.families import COSTS, Family
from schemas.spend import BUCKET_MS, LARGEST, Spend, encode, spend_schema
from schemas.tables import TABLES
from schemas.topics import SPEND
from stream_jobs.operators.cost.priced_slices import FINEST, PricedSlices
from stream_jobs.operators.cost.pricing import BUCKET, Pricing
from stream_jobs.operators.totals.blocks import Block
from stream_jobs.operators.watching import Known, Statement

TABLE = "spend_10m"
SAID_EVERY_MS = 60_000
"""A bucket that goes on changing is said so often; each time as a whole."""
STATED_MAX = 6
"""Decided buckets that are stated at once after a pause."""


class PricingWatch:
    """The costs of one shard: a `Watch`."""

    families = (COSTS,)
    left_out = 0

    def __init__(self, shard: int, pricing: Pricing) -> None:
        self._shard, self._slices = shard, PricedSlices(pricing)
        self._untold: list[pa.Table] = []
        self._unsaid: dict[int, pa.Table] = {}
        self._said_at_ms: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._stated_ms = 0

    def tell(self, family: Family, totals: pl.DataFrame, oldest_open_ms: int) -> None:
        """Prices the buckets that changed; each replaces what was told of it before."""
        priced = self._slices.priced(totals)
        self._untold.append(priced)
        for start_ms, cells in _by_bucket(priced):
            self._unsaid[start_ms] = cells
            self._versions[start_ms] = pc.sum(cells["version"]).as_py()

    def rows(self) -> Iterator[tuple[str, pa.Table]]:
        """Rows of `spend_10m`: those of the buckets that changed since the last call."""
        untold, self._untold = self._untold, []
        for priced in untold:
            if priced.num_rows:
                named = priced.append_column("bucket_start", priced[BUCKET])
                yield TABLE, named.select(TABLES[TABLE].column_names).cast(TABLES[TABLE].arrow_schema)

    def statements(self, known: Known) -> Iterator[Statement]:
        """Buckets that changed, and those that are decided now: without cells where nothing changed since they were said."""
        decided = self._newly_decided(known.decidable_until_ms(COSTS))
        for start_ms in sorted({*decided, *(each for each in self._unsaid if self._is_due(each, known))}):
            self._said_at_ms[start_ms] = known.now_ms
            yield from self._said(start_ms, known)
        for start_ms in [each for each in self._versions if not known.is_open(COSTS, each)]:
            del self._versions[start_ms]
            self._said_at_ms.pop(start_ms, None)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """None: everything that is open is told again after a start."""
        yield from ()

    def forgotten_blocks(self) -> Iterator[Block]:
        """None."""
        yield from ()

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up nothing."""

    def _is_due(self, start_ms: int, known: Known) -> bool:
        """Whether to say a changed bucket now. One that is folded goes from state in this very save: now or never."""
        said_ms = self._said_at_ms.get(start_ms)
        is_recent = said_ms is not None and 0 <= known.now_ms - said_ms < SAID_EVERY_MS
        return not is_recent or not known.is_open(COSTS, start_ms)

    def _newly_decided(self, decidable_until_ms: int) -> range:
        """The buckets that are decided and were not when this was asked last; after a start the newest one."""
        newest_ms = decidable_until_ms // BUCKET_MS * BUCKET_MS
        if newest_ms <= self._stated_ms:
            return range(0)
        first_ms = newest_ms - BUCKET_MS
        if self._stated_ms:
            first_ms = max(self._stated_ms, newest_ms - STATED_MAX * BUCKET_MS)
        self._stated_ms = newest_ms
        return range(first_ms, newest_ms, BUCKET_MS)

    def _said(self, start_ms: int, known: Known) -> Iterator[Statement]:
        cells = self._unsaid.pop(start_ms, None)
        spend = Spend(
            shard=self._shard,
            bucket_start_ms=start_ms,
            version=self._versions.get(start_ms, 0),
            completeness=known.completeness(COSTS, start_ms + BUCKET_MS),
            decidable_until_ms=known.decidable_until_ms(COSTS),
            cells=spend_schema().empty_table() if cells is None else _possible(cells),
        )
        for headers, payload in encode(spend):
            yield Statement(SPEND, payload, headers)


def _by_bucket(priced: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The cells of each bucket: they lie one behind the other, so nothing is copied."""
    cells = np.flatnonzero(pc.equal(priced["cut"], FINEST[0].name))
    starts_ms, first, count = np.unique(priced[BUCKET].to_numpy()[cells], return_index=True, return_counts=True)
    columns = priced.select(spend_schema().names)
    for start_ms, begins, rows in zip(starts_ms.tolist(), cells[first].tolist(), count.tolist(), strict=True):
        yield start_ms, columns.slice(begins, rows)


def _possible(cells: pa.Table) -> pa.Table:
    """The cells, with no more of anything than there can be."""
    for name, most in LARGEST.items():
        if pc.max(cells[name]).as_py() > most:
            place = cells.schema.get_field_index(name)
            cells = cells.set_column(place, name, pc.min_element_wise(cells[name], pa.scalar(most, pa.int64())))
    return cells
