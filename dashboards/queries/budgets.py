"""Budgets as counted and without what was excluded, and the exclusions themselves: over the views' own arithmetic."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_MATCHES, SLICE_VARIABLES, given, matches, selected

_SLICES_MAX = 50

BUDGETS = Query(
    "budgets",
    f"""{given(selected("slo"))}
SELECT slo, slice, budget_left, corrected_budget_left, spent_today, corrected_spent_today, one_failure_costs,
  excluded_bad, excluded_total, decided_at, {", ".join(SLICE_VARIABLES)}
FROM (
  SELECT * FROM budgets
  WHERE cut = shown_cut AND {matches("slo")} AND {SLICE_MATCHES}
    AND day >= toDate($__fromTime, 'UTC') AND day <= toDate($__toTime, 'UTC')
  ORDER BY day DESC LIMIT 1 BY slo, slice)
ORDER BY budget_left, slo, slice
LIMIT {_SLICES_MAX}""",
)
"""Of each slice of the shown cut the newest day in the range, least budget first."""


def exclusions_annotation(by_slo: bool = True) -> Query:
    """Windows in force that reach into the range, from their first minute to their end."""
    chosen, is_chosen = (f"WITH {selected('slo')}\n", f" AND (slo = 'all' OR {matches('slo')})") if by_slo else ("", "")
    return Query(
        "exclusions_annotation",
        f"""{chosen}SELECT any(exclusions.from_at) AS time, any(exclusions.to_at) AS timeEnd, concat('excluded: ', any(exclusions.slice)) AS title,
  concat(argMax(why, version), ' (', argMax(who, version), ')') AS text, any(exclusions.slo) AS tags
FROM exclusions FINAL
WHERE from_at <= $__toTime AND to_at >= $__fromTime{is_chosen}
GROUP BY id
HAVING argMax(action, version) = 'declared'
ORDER BY time DESC
LIMIT 500""",
    )
