"""Exclusions in a backtest: what of a slice's turns its budget is not charged for, minute by minute.

The same arithmetic as the view `budgets` (`schemas/budget_views.py`), over the slices that a series has: an excluded slice
that holds the whole slice takes all of it, and where they only overlap, the coarsest cut that names the dimensions of
both tells how much. Where the series has none, or it does not add up to the slice, that is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from schemas.arrays import Flags
from schemas.failures import BadInput
from schemas.instants import MINUTE_MS
from schemas.slices import EVERYTHING, cut_of, may_overlap, slice_dimensions
from schemas.slos import Slo
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.backtest.series import Series
from turnwatch.backtest.stretches import Kind, Stretch, read_stretches

_EXCLUSION = Kind("exclusion", ("from", "to", "slice", "slo"), "write one as pool=realtime,region=eu-west-1, or all")
IN_CLICKHOUSE = "clickhouse"
"""What is written in place of a file for the exclusions that are in force in ClickHouse."""
_IN_FORCE = """SELECT any(slo), any(slice), toUnixTimestamp64Milli(any(from_at)), toUnixTimestamp64Milli(any(to_at))
FROM exclusions FINAL GROUP BY id HAVING argMax(action, version) = 'declared' ORDER BY 3, 1, 2"""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Excluded:
    """A window that a budget is not charged for: an objective's name or `all`, a slice, and ms of whole minutes."""

    from_ms: int
    to_ms: int
    slice: str = EVERYTHING
    slo: str = EVERYTHING


@dataclass(frozen=True, slots=True)
class Taken:
    """By bucket: turns of one slice that are not charged, and whether how many is unknown."""

    bad: Counts
    total: Counts
    is_unknown: Flags


def taken(series: Series, place: int, slo: Slo, exclusions: Sequence[Excluded]) -> Taken:
    """What the exclusions take from one slice of a series."""
    text = series.slices[place]
    met = [each for each in exclusions if each.slo in (EVERYTHING, slo.name) and may_overlap(each.slice, text)]
    buckets = series.span.buckets
    found = Taken(np.zeros(buckets, np.int64), np.zeros(buckets, np.int64), np.zeros(buckets, bool))
    if not met:
        return found
    starts_ms = series.ends_ms - series.span.width_ms
    active = np.array([(each.from_ms <= starts_ms) & (starts_ms < each.to_ms) for each in met])
    together, which = np.unique(active, axis=1, return_inverse=True)
    for number, flags in enumerate(together.T):
        if flags.any():
            at = np.flatnonzero(which.ravel() == number)
            slices = [each.slice for each, is_active in zip(met, flags, strict=True) if is_active]
            _take(found, series, place, slo, slices, at)
    return found


def _take(found: Taken, series: Series, place: int, slo: Slo, excluded: Sequence[str], at: Counts) -> None:
    """Takes, in the buckets `at`, what the slices in `excluded` have of the slice."""
    text = series.slices[place]
    bad, total = series.bad[place, at].astype(np.int64), series.total[place, at].astype(np.int64)
    if any(_holds(each, text) for each in excluded):
        found.bad[at], found.total[at] = bad, total
        return
    parts = _parts(series, slo, text, excluded)
    inside = [part for part in parts if any(_holds(each, series.slices[part]) for each in excluded)]
    is_whole = (_summed(series.bad, parts, at) == bad) & (_summed(series.total, parts, at) == total)
    found.bad[at] = np.where(is_whole, _summed(series.bad, inside, at), 0)
    found.total[at] = np.where(is_whole, _summed(series.total, inside, at), 0)
    found.is_unknown[at] = ~is_whole


def _parts(series: Series, slo: Slo, text: str, excluded: Sequence[str]) -> list[int]:
    """The places of the slices that a slice consists of, by the coarsest cut that can tell what is excluded of it."""
    names = {name for each in (text, *excluded) for name in slice_dimensions(each)}
    own = next((cut for cut in slo.family.cuts if cut.name == cut_of(text)), None)
    known = {cut_of(each) for each in series.slices}
    able = [
        cut
        for cut in slo.family.cuts
        if own and cut.partition == own.partition and names <= set(cut.dimensions) and cut.name in known
    ]
    if not able:
        return []
    coarsest = min(able, key=lambda cut: len(cut.dimensions)).name
    return [place for place, each in enumerate(series.slices) if cut_of(each) == coarsest and _holds(text, each)]


def _summed(counts: NDArray[np.generic], places: Sequence[int], at: Counts) -> Counts:
    summed: Counts = counts[np.ix_(np.array(places, dtype=np.int64), at)].sum(axis=0, dtype=np.int64)
    return summed


def _holds(one: str, other: str) -> bool:
    """Whether every turn of the second slice is one of the first."""
    return slice_dimensions(one).items() <= slice_dimensions(other).items()


def read_excluded(address: ClickHouseAddress) -> tuple[Excluded, ...]:
    """What is in force in ClickHouse."""
    client = connect(address)
    try:
        rows = client.query(_IN_FORCE).result_rows
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()
    return tuple(Excluded(from_ms, to_ms, text, slo) for slo, text, from_ms, to_ms in rows)


def read_excluded_file(path: Path) -> tuple[Excluded, ...]:
    """A CSV of from, to and, if wanted, slice and slo; raises `BadInput` with the line of what cannot be meant."""
    rows = read_stretches(path, _EXCLUSION, f"; `{IN_CLICKHOUSE}` reads what was declared")
    return tuple(_excluded(row) for row in rows)


def _excluded(row: Stretch) -> Excluded:
    if row.from_ms % MINUTE_MS or row.to_ms % MINUTE_MS:
        raise BadInput(f"{row.where}: an exclusion is of whole minutes: leave the seconds out.")
    return Excluded(row.from_ms, row.to_ms, row.slice, row.values.get("slo") or EVERYTHING)
