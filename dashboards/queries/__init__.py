"""SQL of the boards as named values, a module per question; `selection` is how variables and range restrict it.

Queries use only what both Grafana's ClickHouse plugin and a few lines of substitution understand: `$__fromTime`,
`$__toTime`, `$__interval_s` and `${variable:percentencode}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Shape = Literal["time_series", "table"]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement. A `table` is shown as it is.

    A `time_series` has columns `time`, `series` and `value`; whatever other columns it has tell of a series what links
    narrow by. Series appear in the order in which they are to be shown.
    """

    name: str
    sql: str
    shape: Shape = "table"

    @property
    def rows_max(self) -> int | None:
        """How many rows are told at most, where the statement says so at its end: a full answer may not be all there is."""
        found = _LIMIT.search(self.sql)
        return int(found[1]) if found else None


_LIMIT = re.compile(r"\nLIMIT ([0-9]+)$")
