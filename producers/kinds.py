"""Kinds of observations: when one happened, what cannot be right in it, and which families count it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from producers.aggregate import outcome_rows, stage_rows, turn_rows
from producers.duplex import DUPLEX_COLUMNS, duplex_rows, sift_duplex
from producers.observations import STREAM_COLUMNS, TURN_COLUMNS, Sifted, sift_stream_changes, sift_turns
from schemas.families import DUPLEX, OUTCOMES, STAGE_LATENCIES, TURNS, Family, PrivacyPartition

Counting = Callable[[pl.DataFrame, PrivacyPartition], pl.DataFrame]
"""Rows of a family in one of its partitions, one for each cell and key, from observations of one window."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`time` is the column of the event time in ms; `counted_by` holds the families whose rows are counted window by window."""

    name: str
    columns: Mapping[str, pl.DataType]
    time: str
    sift: Callable[[pl.DataFrame], Sifted]
    counted_by: tuple[tuple[Family, Counting], ...] = ()

    def none(self) -> pl.DataFrame:
        return pl.DataFrame(schema=dict(self.columns))


TURNS_KIND = Kind(
    "turns",
    TURN_COLUMNS,
    "ended_at_ms",
    sift_turns,
    ((TURNS, turn_rows), (OUTCOMES, outcome_rows), (STAGE_LATENCIES, lambda turns, partition: stage_rows(turns))),
)
STREAMS_KIND = Kind("streams", STREAM_COLUMNS, "at_ms", sift_stream_changes)
"""Counted by `producers/stream_windows.py`: whether a change counts depends on who is live."""
DUPLEX_KIND = Kind(
    "duplex", DUPLEX_COLUMNS, "at_ms", sift_duplex, ((DUPLEX, lambda events, partition: duplex_rows(events)),)
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (TURNS_KIND, STREAMS_KIND, DUPLEX_KIND)}
