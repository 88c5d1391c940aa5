"""How budgets went: which objectives were kept, what each day spent, what one failure costs, and what is excluded."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.burn_rate import Watched, slos_clause
from dashboards.queries.selection import SLICE_MATCHES, SLICE_VARIABLES, given, largest, matches, rollup, selected

_SLICES_MAX = 50
_DAYS_SERIES_MAX = 20
_CORRECTED_SERIES_MAX = 8
_SLICE_COLUMNS = ", ".join(SLICE_VARIABLES)
_DECIDED = f"decided_at >= $__fromTime AND decided_at <= $__toTime AND {matches('slo')} AND {SLICE_MATCHES} AND cut = shown_cut"
KEPT = "bad <= round(total * (1 - objective), 6)"
"""Whether so many of so many may be bad. Rounded, because exactly on the objective is within it."""
LOW_SHARE = 0.1
"""The share of a budget below which it counts as nearly spent."""


def kept(watched: Watched) -> Query:
    """Every objective over the range alone, whatever its period is: good turns against what is wanted."""
    return Query(
        "objectives_kept",
        f"""{given(selected("slo"), slos_clause(watched))}
SELECT if({KEPT}, 'kept', 'missed') AS `in this range`, slo, pool, objective,
  1 - bad / total AS good_share, bad, total, bad / total / (1 - objective) AS burn
FROM (
  SELECT slos.slo AS slo, slos.pool AS pool, slos.objective AS objective, sum(bad) AS bad, sum(total) AS total
  FROM {rollup("burn_rate", f"indicator, {_SLICE_COLUMNS}, bad, total")} AS counted
  INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.pool
  WHERE {matches("slo")}
  GROUP BY slo, pool, objective)
WHERE total > 0
ORDER BY burn DESC, slo""",
    )


def _newest(columns: str) -> str:
    """Each slice of the shown cut as it was decided last in the range; the columns do not depend on the window."""
    return f"""(
  SELECT slo, slice, {_SLICE_COLUMNS}, {columns} FROM burn_windows FINAL
  WHERE {_DECIDED}
  ORDER BY decided_at DESC LIMIT 1 BY slo, slice)"""


AT_A_GLANCE = Query(
    "budgets_at_a_glance",
    f"""{given(selected("slo"))}
SELECT uniqExact(slo) AS `objectives watched`, countIf(budget_left <= 0) AS `budgets spent`,
  countIf(budget_left > 0 AND budget_left < {LOW_SHARE}) AS `nearly spent`, min(budget_left) AS `least budget left`,
  max(spent_today) AS `most spent today`
FROM {_newest("budget_left, spent_today")}
HAVING count() > 0""",
)
"""One row, or none where nothing was decided in the range: silence is no good news."""

ONE_FAILURE = Query(
    "one_failure",
    f"""{given(selected("slo"))}
SELECT slo, slice, one_failure_costs, if(one_failure_costs > 0, floor(greatest(budget_left, 0) / one_failure_costs), NULL) AS failures_left,
  budget_left, spent_today, decided_at, {_SLICE_COLUMNS}
FROM {_newest("one_failure_costs, budget_left, spent_today, decided_at")}
ORDER BY failures_left NULLS LAST, budget_left, slo, slice
LIMIT {_SLICES_MAX}""",
)

SPENT_BY_DAY = Query(
    "spent_by_day",
    f"""{given(selected("slo"))}
SELECT time, series, value, slo, {_SLICE_COLUMNS} FROM (
  SELECT *, max(value) OVER (PARTITION BY series) AS peak FROM (
    SELECT toDateTime64(toStartOfDay(decided_at, 'UTC'), 3, 'UTC') AS time, concat(slo, ' · ', slice) AS series,
      argMax(spent_today, decided_at) AS value, slo, {_SLICE_COLUMNS}
    FROM burn_windows FINAL WHERE {_DECIDED} AND spent_today IS NOT NULL
    GROUP BY time, series, slo, {_SLICE_COLUMNS}))
QUALIFY {largest(_DAYS_SERIES_MAX)}
ORDER BY time, peak DESC, series""",
    "time_series",
)
"""Of each day (UTC) what it had spent when it was decided last."""

CORRECTED_BY_DAY = Query(
    "corrected_by_day",
    f"""{given(selected("slo"))}
SELECT time, series, value FROM (
  SELECT *, min(value) OVER (PARTITION BY series) AS lowest, 1 - lowest AS peak FROM (
    SELECT toDateTime64(day, 3, 'UTC') AS time, concat(slo, ' · ', slice, told.1) AS series, told.2 AS value
    FROM (
      SELECT day, slo, slice, arrayJoin([(' as counted', toNullable(budget_left)), (' corrected', corrected_budget_left)]) AS told
      FROM budgets
      WHERE cut = shown_cut AND {matches("slo")} AND {SLICE_MATCHES}
        AND day >= toDate($__fromTime, 'UTC') AND day <= toDate($__toTime, 'UTC'))
    WHERE value IS NOT NULL))
QUALIFY {largest(_CORRECTED_SERIES_MAX)}
ORDER BY time, peak DESC, series""",
    "time_series",
)
"""What was left at the end of each day (UTC), from stored minutes: as counted, and without what is excluded."""

EXCLUDED = Query(
    "excluded",
    f"""WITH {selected("slo")}
SELECT if(argMax(action, version) = 'declared', 'in force', 'withdrawn') AS state, any(said.slo) AS slo, any(said.slice) AS slice,
  any(said.from_at) AS from_at, any(said.to_at) AS to_at, dateDiff('second', from_at, to_at) AS lasts_s,
  argMax(said.who, version) AS who, argMax(said.why, version) AS why, max(said.at) AS at
FROM (
  SELECT * FROM exclusions FINAL
  WHERE from_at <= $__toTime AND to_at >= $__fromTime AND (slo = 'all' OR {matches("slo")})) AS said
GROUP BY id
ORDER BY state, from_at DESC, slice
LIMIT 200""",
)
"""Every window that reaches into the range, in force or withdrawn, with who declared or withdrew it last and why."""
