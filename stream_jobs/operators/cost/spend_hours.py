"""What turns cost, hour by hour and cell by cell, for as long as something is compared with it.

Three ages of one thing. Buckets of ten minutes are *open* while late data may still change them; each is held cell by
cell, the newest version of a cell counts. Then their hour is *folded*: its cells are summed, packed and kept for as
long as a window a week ago needs it. What every route cost in an hour, `route_hours`, is kept for twelve weeks: months
and forecasts are made of it.

Memory: open buckets have 230 bytes a cell, 54 of them; hours 80 bytes a cell once packed, 201 of them; routes 40 bytes an
hour, 2,016 of them. 1,000 cells of 20 routes are 30 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from schemas.families import COSTS
from schemas.instants import DAY_MS, HOUR_MS, WEEK_MS
from schemas.silences import LAGGING_MAX_MS
from schemas.spend import BUCKET_MS, CELL, CELL_MEASURES
from stream_jobs.operators.cost.cells import nusd_by_cell
from stream_jobs.operators.totals.blocks import Block, body, chunks_below_limit, stamped, unpack_rows

OPEN_MS = COSTS.lateness_s * 1_000 + LAGGING_MAX_MS + HOUR_MS
"""After the end of an hour nothing of it changes any more: lateness, a lagging source, and what is on its way."""
HOURS_KEPT_MS = WEEK_MS + DAY_MS + HOUR_MS
"""A week, and the longest window before it."""
ROUTES_KEPT_MS = 12 * WEEK_MS

NUSD_MAX = 2.0**62
"""More is no cost of an hour, but may be stated by one who is broken."""

ROUTE = ("pool", "route")
_OPEN, _HOUR, _DAY = "bucket", "hour", "day"
_CELLS = {**dict.fromkeys(CELL, pl.String), **dict.fromkeys((*CELL_MEASURES, "version"), pl.Int64)}
_ROUTES = {"hour_ms": pl.Int64, "pool": pl.String, "route": pl.String, "told_nusd": pl.Int64, "nusd": pl.Int64}
HOURS_SCHEMA = {"hour_ms": pl.Int64, **{name: kind for name, kind in _CELLS.items() if name != "version"}}
"""Columns of cells by hour: the hour's start, dimensions, measures of `costs`, cost and what has no price."""


class SpendHours:
    """The newest hours of a deployment. State is absolutes: repeats and any order of statements change nothing."""

    def __init__(self) -> None:
        self._open: dict[int, list[pl.DataFrame]] = {}
        self._hours: dict[int, list[bytes]] = {}
        self._days: dict[int, pl.DataFrame] = {}
        self._young: dict[int, pl.DataFrame] = {}
        """What routes cost in open hours that did not change since it was reckoned."""
        self._folded_until_ms = 0
        self._unsaved: set[tuple[str, int]] = set()
        self._places: dict[tuple[str, int], int] = {}
        self._forgotten: list[bytes] = []

    def hear(self, bucket_start_ms: int, cells: pl.DataFrame) -> int:
        """Takes cells of one bucket, as `spend_schema` has them; how many came after their hour was folded, and are left out."""
        if bucket_start_ms < self._folded_until_ms or _hour(bucket_start_ms) in self._hours:
            return len(cells)
        if len(cells):
            self._open.setdefault(bucket_start_ms, []).append(cells.select(*_CELLS))
            self._young.pop(_hour(bucket_start_ms), None)
            self._unsaved.add((_OPEN, bucket_start_ms))
        return 0

    def known(self) -> set[int]:
        """The starts of the hours of which cells are kept."""
        return {*self._hours, *(_hour(start_ms) for start_ms in self._open)}

    def began_ms(self) -> int:
        """The start of the first hour of which anything is kept: of routes that is so for longer than of cells."""
        routes = self._days[min(self._days)]["hour_ms"] if self._days else ()
        return min((*self.known(), *routes), default=0)

    def between(self, from_ms: int, until_ms: int) -> pl.DataFrame:
        """Cells by hour of the hours that begin in this span; columns as `HOURS_SCHEMA`."""
        hours = sorted(hour_ms for hour_ms in self.known() if from_ms <= hour_ms < until_ms)
        return pl.concat([pl.DataFrame(schema=HOURS_SCHEMA), *(self._cells(hour_ms) for hour_ms in hours)])

    def route_hours(self, from_ms: int) -> pl.DataFrame:
        """What every route of a pool cost in each hour since: hour_ms, pool, route, told_nusd, nusd.

        `told_nusd` is what rows of the route say, `nusd` with its share of what replicas were paid for (`cost_cells.py`); of
        a pool both sum to the same, but for a nano-dollar a route in rounding.
        """
        for hour_ms in self._open_hours():
            if hour_ms not in self._young:
                self._young[hour_ms] = _of_routes(hour_ms, self._cells(hour_ms))
        rows = pl.concat([pl.DataFrame(schema=_ROUTES), *self._days.values(), *self._young.values()])
        return rows.filter(pl.col("hour_ms") >= from_ms).sort("hour_ms", *ROUTE)

    def age(self, newest_ms: int) -> None:
        """Folds hours that nothing changes any more, and lets go of what nothing is compared with any more."""
        until_ms = _hour(newest_ms - OPEN_MS)
        for hour_ms in [each for each in self._open_hours() if each < until_ms]:
            self._fold(hour_ms)
        self._folded_until_ms = max(self._folded_until_ms, until_ms)
        for hour_ms in [each for each in self._hours if each < newest_ms - HOURS_KEPT_MS]:
            del self._hours[hour_ms]
            self._forget(_HOUR, hour_ms)
        for day_ms in [each for each in self._days if each + DAY_MS <= newest_ms - ROUTES_KEPT_MS]:
            del self._days[day_ms]
            self._forget(_DAY, day_ms)

    def unsaved_blocks(self, applied_offset: int) -> Iterator[Block]:
        """What changed since the last call, stamped with the newest offset applied; to be confirmed before `forgotten_blocks`."""
        for kind, start_ms in sorted(self._unsaved):
            for place, packed in enumerate(self._packed(kind, start_ms)):
                self._places[kind, start_ms] = max(self._places.get((kind, start_ms), 0), place + 1)
                yield Block(_key(kind, start_ms, place), stamped(applied_offset, packed))
        self._unsaved.clear()

    def forgotten_blocks(self) -> Iterator[Block]:
        """The keys of what is kept no more."""
        forgotten, self._forgotten = self._forgotten, []
        yield from (Block(key, None) for key in forgotten)

    def restore(self, stored: dict[bytes, bytes]) -> None:
        """Takes up what `unsaved_blocks` wrote, among other blocks; what a crash left both folded and open is folded.

        Of several hours that were folded in one save any may have landed: those that have not are open yet.
        """
        for key, value in sorted(stored.items()):
            kind, *rest = key.decode().split("|")[1:]
            if kind in (_OPEN, _HOUR, _DAY):
                self._take_up(kind, int(rest[0]), int(rest[1]), body(value))
        for start_ms in [each for each in self._open if _hour(each) in self._hours]:
            del self._open[start_ms]
            self._forget(_OPEN, start_ms)
        is_open = pl.col("hour_ms").is_in(self._open_hours())
        self._days = {day_ms: routes.filter(~is_open) for day_ms, routes in self._days.items()}
        folded_until_ms = max((hour_ms + HOUR_MS for hour_ms in self._hours), default=0)
        self._folded_until_ms = min([folded_until_ms, *self._open_hours()])
        told_ms = {hour_ms for routes in self._days.values() for hour_ms in routes["hour_ms"]}
        for hour_ms in sorted(self._hours.keys() - told_ms):  # A crash may have kept them from being saved.
            self._tell_routes(hour_ms)

    def _take_up(self, kind: str, start_ms: int, place: int, packed: bytes) -> None:
        self._places[kind, start_ms] = max(self._places.get((kind, start_ms), 0), place + 1)
        if kind == _OPEN:
            self._open.setdefault(start_ms, []).append(unpack_rows(packed, CELL_MEASURES).select(*_CELLS))
        elif kind == _HOUR:
            unpack_rows(packed, CELL_MEASURES).select(*HOURS_SCHEMA)  # What cannot be read is found now.
            self._hours.setdefault(start_ms, []).append(packed)
        else:
            known = self._days.get(start_ms, pl.DataFrame(schema=_ROUTES))
            self._days[start_ms] = pl.concat([known, unpack_rows(packed, ()).select(*_ROUTES)])

    def _fold(self, hour_ms: int) -> None:
        self._hours[hour_ms] = list(chunks_below_limit(self._cells(hour_ms)))
        self._unsaved.add((_HOUR, hour_ms))
        self._tell_routes(hour_ms)
        for start_ms in [each for each in self._open if _hour(each) == hour_ms]:
            del self._open[start_ms]
            self._forget(_OPEN, start_ms)

    def _tell_routes(self, hour_ms: int) -> None:
        """Puts a folded hour among those of its day."""
        day_ms = hour_ms // DAY_MS * DAY_MS
        others = self._days.get(day_ms, pl.DataFrame(schema=_ROUTES)).filter(pl.col("hour_ms") != hour_ms)
        routes = self._young.pop(hour_ms, None)
        told = _of_routes(hour_ms, self._folded(hour_ms)) if routes is None else routes
        self._days[day_ms] = pl.concat([others, told])
        self._unsaved.add((_DAY, day_ms))

    def _cells(self, hour_ms: int) -> pl.DataFrame:
        """The cells of one hour."""
        if hour_ms in self._hours:
            return self._folded(hour_ms)
        starts = range(hour_ms, hour_ms + HOUR_MS, BUCKET_MS)
        buckets = [self._bucket(start_ms) for start_ms in starts if start_ms in self._open]
        summed = pl.concat(buckets).group_by(CELL).agg(pl.col(CELL_MEASURES).sum()).sort(CELL)
        return summed.select(pl.lit(hour_ms, pl.Int64).alias("hour_ms"), *CELL, *CELL_MEASURES)

    def _folded(self, hour_ms: int) -> pl.DataFrame:
        return pl.concat([unpack_rows(packed, CELL_MEASURES).select(*HOURS_SCHEMA) for packed in self._hours[hour_ms]])

    def _bucket(self, start_ms: int) -> pl.DataFrame:
        """The newest version of every cell of an open bucket."""
        told = self._open[start_ms]
        if len(told) > 1:
            rows = pl.concat(told)
            by_age = rows.select(*CELL, "version").with_row_index("row").sort("version", maintain_order=True)
            newest = by_age.unique(subset=CELL, keep="last").sort(CELL)
            told[:] = [rows[newest["row"]]]
        return told[0]

    def _open_hours(self) -> list[int]:
        return sorted({_hour(start_ms) for start_ms in self._open})

    def _packed(self, kind: str, start_ms: int) -> Iterable[bytes]:
        if kind == _HOUR:
            return self._hours[start_ms]
        return chunks_below_limit(self._bucket(start_ms) if kind == _OPEN else self._days[start_ms])

    def _forget(self, kind: str, start_ms: int) -> None:
        self._unsaved.discard((kind, start_ms))
        self._forgotten += [_key(kind, start_ms, place) for place in range(self._places.pop((kind, start_ms), 0))]


def _of_routes(hour_ms: int, cells: pl.DataFrame) -> pl.DataFrame:
    """Rows of `route_hours` for the cells of one hour."""
    by_use = nusd_by_cell(cells).group_by(ROUTE).agg(pl.col("nusd").sum().clip(0, NUSD_MAX).round().cast(pl.Int64))
    told = cells.group_by(ROUTE).agg(told_nusd=pl.col("reserved_nusd").sum())
    summed = by_use.join(told, on=ROUTE)
    return summed.select(pl.lit(hour_ms, pl.Int64).alias("hour_ms"), *ROUTE, "told_nusd", "nusd").sort(ROUTE)


def _hour(at_ms: int) -> int:
    return at_ms // HOUR_MS * HOUR_MS


def _key(kind: str, start_ms: int, place: int) -> bytes:
    return f"cost|{kind}|{start_ms}|{place}".encode()
