"""In which row each observation was counted, asked of the gate itself: what frames tell nobody, and who judges an attack has to know.

A cell that was taken along has left the row that its values would fit. So one observation of each cell carries a mark, a power of
two in a measure that the gate does not look at: the sum of a row says which cells were counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from producers.collector import Frame
from producers.kinds import KINDS
from schemas.families import FAMILIES
from tests.privacy.attacker import HELD, Cell, Class, decoded_rows
from tests.privacy.studies import Study, View, identifying_of

BITS = 30
"""Marks in one measure: more than 2^30 would be refused."""


def marked(observed: pl.DataFrame, study: Study, pool: str) -> pl.DataFrame:
    """The observations, with a mark on the first of each cell of every view that identifies."""
    observed = observed.with_row_index("place")
    marks = {
        (column, place): mark
        for view in study.partitions
        for (column, place), mark in _marks(observed, study, view, pool)
    }
    columns = {column for of in study.marks.values() for column in of}
    values = {name: [marks.get((name, place), 0) for place in range(len(observed))] for name in sorted(columns)}
    return observed.drop("place").with_columns(pl.Series(name, of, pl.Int64) for name, of in values.items())


def whereabouts(observed: pl.DataFrame, frames: Iterable[Frame], study: Study, pool: str) -> dict[Cell, Class | str]:
    """The row that counts each cell of these observations, which are `marked`."""
    cells = {view: _cells(observed.with_row_index("place"), study, view, pool) for view in study.partitions}
    found: dict[Cell, Class | str] = {cell: HELD for of_view in cells.values() for cell, _ in of_view}
    for row, said in decoded_rows(frames, study.partitions):
        if said["pool"] == pool:
            is_here = (said[name] >> bit & 1 for name in study.marks.get(row[0], {}).values() for bit in range(BITS))
            found |= {cell: row for (cell, _), here in zip(cells[row[0]], is_here, strict=False) if here}
    return found


def _marks(observed: pl.DataFrame, study: Study, view: View, pool: str) -> Iterator[tuple[tuple[str, int], int]]:
    columns, cells = list(study.marks.get(view, ())), _cells(observed, study, view, pool)
    assert len(cells) <= BITS * len(columns), f"{len(cells)} cells of {view} have too few marks"
    for number, (_, place) in enumerate(cells):
        yield (columns[number // BITS], place), 1 << number % BITS


def _cells(observed: pl.DataFrame, study: Study, view: View, pool: str) -> list[tuple[Cell, int]]:
    """The cells that a view counts, each with the place of its first observation; none where it identifies nobody."""
    names = study.partitions[view]
    if not identifying_of(names):
        return []
    width_ms = FAMILIES[view[0]].partition(view[1]).k_window_s * 1_000
    window = (pl.col(KINDS[study.kind].time) // width_ms * width_ms).alias("window")
    own = observed.filter(pool=pool).select("moment", window, *names, "place")
    first = own.group_by(own.columns[:-1]).agg(pl.col("place").min()).sort("place")
    return [((view, int(moment), int(window), tuple(of)), int(place)) for moment, window, *of, place in first.rows()]
