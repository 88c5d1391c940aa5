"""Tables of hours, which ClickHouse itself makes of rows as they land: what charts of every slice over weeks read.

Each hour keeps what is the same however often a row is written: the highest and the least of what was told. So they need no
version and no FINAL, and whoever reads them groups by the key and takes the highest and the least again. Sums have no such
table: a row that lands twice would count twice. → docs/decisions/0022-hours-of-burn-windows.md
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.families import DUPLEX, TURNS
from schemas.rollup_tables import RETENTION_1M_D
from schemas.table_columns import Column, Table, slice_columns, text, time


@dataclass(frozen=True, slots=True)
class Hourly:
    """A table of hours, the table that it is made of, and the expression of each column that is not the source's own."""

    table: Table
    source: str
    made: dict[str, str]

    @property
    def view(self) -> str:
        """The name of what carries rows over as they land."""
        return f"{self.source}_to_{self.table.name.rpartition('_')[2]}"

    def select(self, source: str) -> str:
        """The hours of the rows of `source`."""
        told = ", ".join(
            f"{self.made[name]} AS {name}" if name in self.made else name for name in self.table.column_names
        )
        keys = [name for name in self.table.column_names if not self.made.get(name, "").startswith(("max(", "min("))]
        return f"SELECT {told}\nFROM {source}\nGROUP BY {', '.join(keys)}"


def _extreme(name: str, which: str, comment: str) -> Column:
    return Column(name, f"SimpleAggregateFunction({which}, Float64)", comment, pa.float64(), "ZSTD(1)")


_DIMENSIONS = tuple(each.name for each in slice_columns(TURNS, DUPLEX) if each.name not in ("cut", "slice"))

_BURN_WINDOWS = Hourly(
    Table(
        "burn_windows_1h",
        "How fast did each SLO spend its budget at its worst, hour by hour? Made of burn_windows as it lands.",
        (
            text("slo", "the service level objective"),
            *slice_columns(TURNS, DUPLEX),
            time("hour_start", "start of the hour that the decisions lie in, event time"),
            Column("window_s", "UInt32", "length of the window in seconds", pa.uint32()),
            _extreme("burn", "max", "the highest burn that was decided in the hour; read max(burn)"),
            _extreme("completeness", "min", "the least completeness that was decided on; read min(completeness)"),
        ),
        # Last what the slice tells already: ClickHouse wants whatever it does not aggregate in the key.
        ("slo", "cut", "hour_start", "slice", "window_s", *_DIMENSIONS),
        "hour_start",
        RETENTION_1M_D,
    ),
    "burn_windows",
    {
        "hour_start": "toDateTime64(toStartOfHour(decided_at, 'UTC'), 3, 'UTC')",
        "burn": "max(burn)",
        "completeness": "min(completeness)",
    },
)

HOURLY: dict[str, Hourly] = {each.table.name: each for each in (_BURN_WINDOWS,)}
