"""Exclusions in a backtest: what of a slice's turns its budget is not charged for, minute by minute.

The same arithmetic as the view `budgets` (`schemas/budget_views.py`), over the slices that a series has: an excluded slice
that holds the whole slice takes all of it, and where they only overlap, the coarsest cut that names the dimensions of
both tells how much. Where the series has none, or it does not add up to the slice, that is unknown.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch

import numpy as np
import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError
from numpy.typing import NDArray

from schemas.exclusions import MINUTE_MS
from schemas.failures import BadInput
from schemas.slices import EVERYTHING, SLICE_PATTERN, cut_of, slice_dimensions
from schemas.slos import Slo
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.backtest.series import Series
from turnwatch.backtest.tables import read_instants

IN_CLICKHOUSE = "clickhouse"
"""What is written in place of a file for the exclusions that are in force in ClickHouse."""
_IN_FORCE = """SELECT any(slo), any(slice), toUnixTimestamp64Milli(any(from_at)), toUnixTimestamp64Milli(any(to_at))
FROM exclusions FINAL GROUP BY id HAVING argMax(action, version) = 'declared' ORDER BY 3, 1, 2"""

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


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
    met = [each for each in exclusions if each.slo in (EVERYTHING, slo.name) and _overlap(each.slice, text)]
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


def _overlap(one: str, other: str) -> bool:
    """Whether one turn can be of both slices."""
    mine, others = slice_dimensions(one), slice_dimensions(other)
    return all(others.get(name, value) == value for name, value in mine.items())


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
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file; `{IN_CLICKHOUSE}` reads what was declared.") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise BadInput(f"{path}: this cannot be read as CSV.") from None
    header = lines[0] if lines else []
    unknown = [name for name in header if name not in ("from", "to", "slice", "slo")]
    if unknown or not {"from", "to"} <= set(header):
        what = f"there is no column {unknown[0]!r}" if unknown else "the columns from and to are needed"
        raise BadInput(f"{path}:1: {what}: write from,to,slice,slo.")
    return tuple(_excluded(f"{path}:{number}", header, line) for number, line in enumerate(lines[1:], 2) if line)


def _excluded(where: str, header: Sequence[str], line: Sequence[str]) -> Excluded:
    if len(line) != len(header):
        raise BadInput(f"{where}: the line does not have the fields of the header.")
    values = dict(zip(header, line, strict=True))
    written = pl.Series([values["from"], values["to"]])
    from_ms, to_ms = read_instants(written, "an exclusion's time", lambda _: where).tolist()
    if from_ms >= to_ms:
        raise BadInput(f"{where}: the exclusion ends before it begins: write the earlier time first.")
    if from_ms % MINUTE_MS or to_ms % MINUTE_MS:
        raise BadInput(f"{where}: an exclusion is of whole minutes: leave the seconds out.")
    text = values.get("slice") or EVERYTHING
    if not fullmatch(SLICE_PATTERN, text):
        raise BadInput(f"{where}: {text!r} is no slice: write one as pool=realtime,region=eu-west-1, or all.")
    return Excluded(from_ms, to_ms, text, values.get("slo") or EVERYTHING)
