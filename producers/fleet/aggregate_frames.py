"""Frames of windows that were drawn directly: what each collector would have sent, numbered family by family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from producers.aggregate import heartbeat_rows
from producers.collector import Frame
from producers.fleet.aggregates import Window
from producers.simulator import Host
from schemas.families import FAMILIES, HEARTBEATS, STREAMS, TURNS, Family
from schemas.frames import ARROW, FRAME_ROWS_MAX, FrameHeader, encode
from schemas.rows import arrow_schema

FRAME_ROWS = min(FRAME_ROWS_MAX, 4_000)
"""So few that no payload comes near the largest one."""


@dataclass(slots=True)
class AggregateSender:
    """One collector of the fleet, without observations."""

    host: Host
    incarnation: int
    _sequences: Counter[str] = field(init=False, default_factory=Counter)

    def frames(self, window: Window) -> Iterator[Frame]:
        """The window's frames, ended by its heartbeat; none while the collector is dead."""
        if self.host.producer in window.silent:
            return
        reports = {name: dict.fromkeys(HEARTBEATS.measure_names, 0) for name in HEARTBEATS.keys[0].vocabulary}
        for name, rows in window.rows.items():
            mine = rows.filter(producer=self.host.producer) if len(rows) else rows
            if len(mine):
                reports[name] |= {"rows_sent": len(mine), "observations_seen": _observations(FAMILIES[name], mine)}
                yield from self._framed(FAMILIES[name], window.start_ms, mine)
        yield from self._framed(HEARTBEATS, window.start_ms, heartbeat_rows(self.host.region, reports))

    def _framed(self, family: Family, window_start_ms: int, rows: pl.DataFrame) -> Iterator[Frame]:
        schema = arrow_schema(family)
        absent = [pl.lit(None, pl.String).alias(name) for name in family.dimensions if name not in rows.columns]
        table = rows.with_columns(absent).select(schema.names).to_arrow().cast(schema)
        for offset in range(0, len(table), FRAME_ROWS):
            part, sequence = table.slice(offset, FRAME_ROWS), self._sequences[family.name]
            producer, partition = self.host.producer, family.partition("operational")
            header = FrameHeader(family, partition, producer, self.incarnation, sequence, window_start_ms, ARROW)
            self._sequences[family.name] += 1
            yield Frame(header, *encode(header, part), len(part))


def _observations(family: Family, rows: pl.DataFrame) -> int:
    """How many turns, or changes of streams, the rows stand for. Stages are counted from turns, which are seen once."""
    if family is STREAMS:
        return int(rows.select(pl.sum_horizontal(pl.col("starts", "ends").sum())).item())
    return int(rows["turns"].sum()) if family is TURNS else int(rows.filter(stage="queue_wait")["observations"].sum())
