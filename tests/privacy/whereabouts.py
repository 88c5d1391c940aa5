"""In which row each turn was counted, asked of the gate itself: what frames tell nobody, and who judges an attack has to know.

A cell that was taken along has left the row that its values would fit. So one turn of each cell carries a mark, a power of
two in a measure that the gate does not look at: the sum of a row says which cells were counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from producers.collector import Frame
from tests.privacy.attacker import HELD, Cell, Class, View, decoded_rows, identifying_of

MARKS: dict[str, dict[str, str]] = {
    "turns": {name: name for name in ("audio_out_ms", "tokens_in", "tokens_out")},
    "outcomes": {name: name for name in ("tokens_cached", "tokens_audio", "retries", "fallbacks", "shadows")},
    "tenants": {"tool_calls": "tenant_tool_calls"},
}
"""By family: columns of turns that carry its marks, and the measures that count them."""
BITS = 30
"""Marks in one measure: more than 2^30 would be refused."""
WINDOW_MS = 60_000
"""Of every view that identifies."""


def marked(turns: pl.DataFrame, contract: Mapping[View, tuple[str, ...]], pool: str) -> pl.DataFrame:
    """The turns, with a mark on the first of each cell of every view that identifies."""
    turns = turns.with_row_index("place")
    marks = {
        (column, place): mark for view in contract for (column, place), mark in _marks(turns, contract, view, pool)
    }
    columns = {column for of in MARKS.values() for column in of}
    values = {name: [marks.get((name, place), 0) for place in range(len(turns))] for name in sorted(columns)}
    return turns.drop("place").with_columns(pl.Series(name, of, pl.Int64) for name, of in values.items())


def whereabouts(
    turns: pl.DataFrame, frames: Iterable[Frame], contract: Mapping[View, tuple[str, ...]], pool: str
) -> dict[Cell, Class | str]:
    """The row that counts each cell of these turns, which are `marked`."""
    cells = {view: _cells(turns.with_row_index("place"), contract, view, pool) for view in contract}
    found: dict[Cell, Class | str] = {cell: HELD for of_view in cells.values() for cell, _ in of_view}
    for row, said in decoded_rows(frames, contract):
        if said["pool"] == pool:
            is_here = (said[name] >> bit & 1 for name in MARKS[row[0][0]].values() for bit in range(BITS))
            found |= {cell: row for (cell, _), here in zip(cells[row[0]], is_here, strict=False) if here}
    return found


def _marks(
    turns: pl.DataFrame, contract: Mapping[View, tuple[str, ...]], view: View, pool: str
) -> Iterator[tuple[tuple[str, int], int]]:
    columns, cells = list(MARKS[view[0]]), _cells(turns, contract, view, pool)
    assert len(cells) <= BITS * len(columns), f"{len(cells)} cells of {view} have too few marks"
    for number, (_, place) in enumerate(cells):
        yield (columns[number // BITS], place), 1 << number % BITS


def _cells(
    turns: pl.DataFrame, contract: Mapping[View, tuple[str, ...]], view: View, pool: str
) -> list[tuple[Cell, int]]:
    """The cells that a view counts of these turns, each with the place of its first turn; none where it identifies nobody."""
    names = identifying_of(contract[view])
    if not names:
        return []
    window = pl.col("ended_at_ms") // WINDOW_MS * WINDOW_MS
    own = turns.filter(pool=pool).select("moment", window, *names, "place")
    first = own.group_by(own.columns[:-1]).agg(pl.col("place").min()).sort("place")
    return [((view, int(moment), int(window), tuple(of)), int(place)) for moment, window, *of, place in first.rows()]
