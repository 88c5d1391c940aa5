"""Bad and total counts of slices, of all objectives' indicators at once: summed, or step by step.

ClickHouse groups by a single `LowCardinality` column several times as fast as by that and anything else. So rows are grouped by
their slice alone, whose text tells the dimensions; indicators and steps are positions in arrays of sums.
→ docs/decisions/0027-a-month-is-grouped-by-the-slice-alone.md
"""

from __future__ import annotations

from dashboards.queries.selection import dimension_of, matches, rollup

STEPS = "toUInt32(intDiv(dateDiff('second', range_from, $__toTime), step_s) + 1) AS steps"
"""A clause for WITH: how many steps the range has."""
PLACE = "transform(indicator, indicators, range(toUInt32(1), toUInt32(length(indicators) + 1)), toUInt32(0))"
"""Where a row's indicator stands among `indicators`, from 1; 0 where it is none of them."""
_POOL = dimension_of("pool")
_STEP = "intDiv(toUInt32(bucket_start) - toUInt32(range_from), step_s)"

JUDGED = f"indicator IN (SELECT indicator FROM slos WHERE {matches('slo')})"
"""Whether a chosen objective is about a row; it is the first of its table's key."""


def indicators_clause(rows: str = "") -> str:
    """A clause for WITH: the indicators of the chosen objectives that were judged at all in these rows, those of the shown cut where none are named."""
    of = rows or _indicators()
    return f"(SELECT if(count() = 0, [''], arraySort(groupUniqArray(toString(indicator)))) FROM {of}) AS indicators"


def steps_clauses(*, cut: str = "shown_cut") -> tuple[str, ...]:
    """Clauses for WITH that `steps_by_slice` and `steps_by` need: the indicators, and how many steps the range has."""
    beginnings = "arrayMap(each -> each % steps = 0, range(length(indicators) * steps)) AS beginnings"
    return indicators_clause(_indicators(cut)), STEPS, beginnings


def _indicators(cut: str = "shown_cut") -> str:
    return rollup("burn_rate", "indicator", cut=cut, where=JUDGED)


def judged_rows(columns: str, *, cut: str = "shown_cut") -> str:
    """Rows of `burn_rate` of the chosen objectives, from the resolution that suits the range: `slice`, `place` and these columns."""
    return rollup("burn_rate", f"slice, {columns}, {PLACE} AS place", cut=cut, where=JUDGED)


def sums_by_slice(rows: str) -> str:
    """A subquery with `slice`, `indicator`, `pool`, and the sums `bad` and `total` where anything was judged, of rows with a `place`."""
    sums = ", ".join(f"sumResample(1, length(indicators) + 1, 1)({each}, place) AS {each}_of" for each in ("bad", "total"))  # fmt: skip
    return f"""(
    SELECT slice, {_POOL}, indicators[at] AS indicator, bad_of[at] AS bad, total_of[at] AS total
    FROM (SELECT slice, {sums} FROM {rows} GROUP BY slice)
    ARRAY JOIN arrayEnumerate(indicators) AS at
    WHERE total > 0)"""


def steps_by_slice(rows: str) -> str:
    """A subquery with `slice`, `pool`, `indicator`, and arrays of each of `steps`: `totals`, and `shares`, the part that is bad, 0 where nothing is judged."""
    return _steps(f"slice, {_POOL}", _summed(rows))


def steps_by(dimension: str, rows: str) -> str:
    """The same with `pool` and a dimension instead of `slice`: sums over the slices that have them in common."""
    summed = f"""(
      SELECT {_POOL}, {dimension_of(dimension)}, sumForEach(bad_of) AS bad_of, sumForEach(total_of) AS total_of
      FROM {_summed(rows)} GROUP BY pool, {dimension})"""
    return _steps(f"pool, {dimension}", summed)


def _summed(rows: str) -> str:
    """A group for each slice and step instead takes several times as long."""
    position = f"(place - 1) * steps + {_STEP}"
    sums = ", ".join(
        f"sumResample(0, length(indicators) * steps, 1)({each}, {position}) AS {each}_of" for each in ("bad", "total")
    )
    return f"(SELECT slice, {sums} FROM {rows} GROUP BY slice)"


def _steps(keys: str, summed: str) -> str:
    """Arrays are split before they are joined: what ARRAY JOIN, or a lambda, carries along is copied for each element."""
    own = ", ".join(f"arraySplit((_, begins) -> begins, {each}_of, beginnings) AS {each}_by" for each in ("bad", "total"))  # fmt: skip
    return f"""(
    SELECT {keys}, indicator, totals, arrayMap((bad, total) -> if(total = 0, 0., bad / total), bads, totals) AS shares
    FROM (SELECT {keys}, {own} FROM {summed})
    ARRAY JOIN indicators AS indicator, bad_by AS bads, total_by AS totals
    WHERE arrayExists(each -> each > 0, totals))"""


POINTS = "arrayFilter(each -> each.3 > 0, arrayZip(range(steps), shares, totals)) AS points"
"""Of `steps_by_slice` those in which something was judged: the number of the step, the share, how many."""

TIME_OF_POINT = "range_from + toIntervalSecond(step_s * point.1) AS time"
