"""Frames of windows that were drawn directly: what each collector would have sent, numbered family by family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from producers.aggregate import heartbeat_rows
from producers.fleet.aggregates import Window
from producers.framing import Frame, Framing
from producers.simulator import Host
from schemas.families import FAMILIES, HEARTBEATS, STREAMS, TURNS, Family


@dataclass(slots=True)
class AggregateSender:
    """One collector of the fleet, without observations."""

    host: Host
    incarnation: int
    _framing: Framing = field(init=False)

    def __post_init__(self) -> None:
        self._framing = Framing(self.host.producer, self.incarnation)

    def frames(self, window: Window) -> Iterator[Frame]:
        """The window's frames, ended by its heartbeat; none while the collector is dead."""
        if self.host.producer in window.silent:
            return
        reports = {name: dict.fromkeys(HEARTBEATS.measure_names, 0) for name in HEARTBEATS.keys[0].vocabulary}
        for name, rows in window.rows.items():
            mine = rows.filter(producer=self.host.producer) if len(rows) else rows
            if len(mine):
                reports[name] |= {"rows_sent": len(mine), "observations_seen": _observations(FAMILIES[name], mine)}
                family = FAMILIES[name]
                yield from self._framing.frames(family, family.partition("operational"), window.start_ms, mine)
        rows = heartbeat_rows(self.host.region, reports)
        yield from self._framing.frames(HEARTBEATS, HEARTBEATS.partitions[0], window.start_ms, rows)


def _observations(family: Family, rows: pl.DataFrame) -> int:
    """How many turns, or changes of streams, the rows stand for. Stages are counted from turns, which are seen once."""
    if family is STREAMS:
        return int(rows.select(pl.sum_horizontal(pl.col("starts", "ends").sum())).item())
    return int(rows["turns"].sum()) if family is TURNS else int(rows.filter(stage="queue_wait")["observations"].sum())
