"""Bad and total counts of slices, of all objectives' indicators at once.

ClickHouse groups by a single `LowCardinality` column several times as fast as by that and anything else. So rows are grouped by
their slice alone, whose text tells the dimensions; indicators are places in an array of sums.
→ docs/decisions/0027-a-month-is-grouped-by-the-slice-alone.md
"""

from __future__ import annotations

from dashboards.queries.constants import literal
from dashboards.queries.selection import dimension_of, matches, rollup
from schemas.slos import WatchedSlo

PLACE = "transform(indicator, indicators, range(toUInt32(1), toUInt32(length(indicators) + 1)), toUInt32(0))"
"""Where a row's indicator stands among `indicators`, from 1; 0 where it is none of them."""

JUDGED = f"indicator IN (SELECT indicator FROM slos WHERE {matches('slo')})"
"""Whether a chosen objective is about a row; it is the first of its table's key."""


def indicators_clause(watched: tuple[WatchedSlo, ...]) -> str:
    """A clause for WITH that `sums_by_slice` needs: the indicators that some objective is about."""
    names = sorted({each.slo.indicator.name for each in watched})
    return f"CAST([{', '.join(map(literal, names))}], 'Array(String)') AS indicators"


JUDGED_ROWS = rollup("burn_rate", f"slice, bad, total, {PLACE} AS place", where=JUDGED)
"""Rows of the shown cut and the chosen objectives, from the resolution that suits the range."""


def sums_by_slice(rows: str = JUDGED_ROWS) -> str:
    """A subquery with `slice`, `pool`, `indicator`, and the sums `bad` and `total` where anything was judged, of rows with a `place`."""
    sums = ", ".join(f"sumResample(1, length(indicators) + 1, 1)({each}, place) AS {each}_of" for each in ("bad", "total"))  # fmt: skip
    return f"""(
    SELECT slice, {dimension_of("pool")}, indicators[at] AS indicator, bad_of[at] AS bad, total_of[at] AS total
    FROM (SELECT slice, {sums} FROM {rows} GROUP BY slice)
    ARRAY JOIN arrayEnumerate(indicators) AS at
    WHERE total > 0)"""
