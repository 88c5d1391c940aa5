"""The reckoning: every row that must be there against every row that is, figure by figure.

Lost is the sum over all figures of what is missing from them, double-counted the sum of what is too much. A row's own
existence is a figure, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect
from turnwatch.bench.faults.expectation import KEYS, MEASURES, TABLES, Tables, question_of, shaped
from turnwatch.bench.faults.paging import PagesTally
from turnwatch.bench.faults.settling import Position

EXAMPLES = 2


@dataclass(frozen=True, slots=True)
class TableTally:
    table: str
    rows_expected: int
    rows_landed: int
    lost: int
    double_counted: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RefusalsTally:
    """Corrupted records against dead letters, by position."""

    corrupted: int
    refused: int
    missing: int
    undue: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What one round came to, or several together."""

    faults: int
    on_processes: int
    tables: tuple[TableTally, ...]
    refusals: RefusalsTally
    pages: PagesTally
    unread: Mapping[str, int]

    @property
    def lost(self) -> int:
        return sum(each.lost for each in self.tables)

    @property
    def double_counted(self) -> int:
        return sum(each.double_counted for each in self.tables)

    @property
    def is_right(self) -> bool:
        """Whether every bad figure is 0; a page or letter that nobody expected is as bad as a missing one."""
        pages, refusals = self.pages, self.refusals
        bad = (self.lost, self.double_counted, pages.missed, pages.repeated, pages.unexpected, pages.unresolved)
        return not any((*bad, refusals.missing, refusals.undue, *self.unread.values()))

    @property
    def line(self) -> str:
        """For machines."""
        rows_expected = sum(each.rows_expected for each in self.tables)
        rows_landed = sum(each.rows_landed for each in self.tables)
        return (
            f"faults={self.faults} on_processes={self.on_processes} "
            f"rows_expected={rows_expected} rows_landed={rows_landed} "
            f"lost={self.lost} double_counted={self.double_counted} "
            f"pages_expected={self.pages.expected} delivered={self.pages.delivered} "
            f"missed={self.pages.missed} repeated={self.pages.repeated}"
        )


def tally_tables(expected: Tables, landed: Tables) -> tuple[TableTally, ...]:
    return tuple(_tally(table, expected[table], landed[table]) for table in TABLES)


def tally_refusals(corrupted: set[Position], refused: Mapping[Position, str]) -> RefusalsTally:
    undue = refused.keys() - corrupted
    reasons = tuple(sorted({refused[position] for position in undue}))
    return RefusalsTally(len(corrupted), len(refused), len(corrupted - refused.keys()), len(undue), reasons)


def landed_rows(address: ClickHouseAddress, from_ms: int, until_ms: int) -> Tables:
    """The rows of all tables in a stretch of event time, as anybody would ask for them."""
    client = connect(address)
    try:
        return {table: _asked(client, table, from_ms, until_ms) for table in TABLES}
    finally:
        client.close()


def _asked(client: Any, table: str, from_ms: int, until_ms: int) -> pl.DataFrame:
    question = question_of(table)
    columns = ", ".join((*(key for key in KEYS[question] if key != "bucket_start_ms"), *MEASURES[question]))
    sql = f"""
        SELECT {columns}, toUnixTimestamp64Milli(bucket_start) AS bucket_start_ms FROM {table} FINAL
        WHERE bucket_start_ms >= {{from:Int64}} AND bucket_start_ms < {{until:Int64}}
    """
    found = pl.from_arrow(client.query_arrow(sql, {"from": from_ms, "until": until_ms}))
    assert isinstance(found, pl.DataFrame)
    return shaped(found.with_columns(pl.col(pl.Categorical, pl.Binary).cast(pl.String)), question)


def _tally(table: str, expected: pl.DataFrame, landed: pl.DataFrame) -> TableTally:
    keys, measures = KEYS[question_of(table)], (*MEASURES[question_of(table)], "rows")
    found = landed.group_by(keys).agg(pl.col(measures).sum())  # A row that stands there twice counts twice.
    both = expected.join(found, on=keys, how="full", coalesce=True, suffix="_landed").with_columns(
        pl.col(name).fill_null(0) for measure in measures for name in (measure, f"{measure}_landed")
    )
    missing = [(pl.col(name) - pl.col(f"{name}_landed")).clip(lower_bound=0) for name in measures]
    surplus = [(pl.col(f"{name}_landed") - pl.col(name)).clip(lower_bound=0) for name in measures]
    judged = both.with_columns(lost=pl.sum_horizontal(missing), double_counted=pl.sum_horizontal(surplus))
    wrong = judged.filter((pl.col("lost") > 0) | (pl.col("double_counted") > 0)).sort(keys)
    return TableTally(
        table,
        len(expected),
        len(landed),
        int(judged["lost"].sum()),
        int(judged["double_counted"].sum()),
        tuple(_example(row, measures) for row in wrong.head(EXAMPLES).iter_rows(named=True)),
    )


def _example(row: dict[str, Any], measures: tuple[str, ...]) -> str:
    where = " ".join(
        str(value) for name, value in row.items() if name in {key for keys in KEYS.values() for key in keys}
    )
    off = [f"{name} {row[name]} → {row[f'{name}_landed']}" for name in measures if row[name] != row[f"{name}_landed"]]
    return f"{where}: {', '.join(off[:3])}"


def together(rounds: list[Reckoning]) -> Reckoning:
    """All rounds as one."""
    assert rounds
    pages = [each.pages for each in rounds]
    refusals = [each.refusals for each in rounds]
    return Reckoning(
        faults=sum(each.faults for each in rounds),
        on_processes=sum(each.on_processes for each in rounds),
        tables=tuple(table for each in rounds for table in each.tables),
        refusals=RefusalsTally(
            *(sum(getattr(each, name) for each in refusals) for name in ("corrupted", "refused", "missing", "undue"))
        ),
        pages=PagesTally(
            *(
                sum(getattr(each, name) for each in pages)
                for name in ("expected", "delivered", "missed", "repeated", "unexpected", "unresolved")
            )
        ),
        unread=rounds[-1].unread,
    )
