"""Whom turnwatch paged about burns, for how long, and what was said: as it stood at the end of the range.

So does everything else on a board: whoever looks at yesterday sees what was known then.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_MATCHES, SLICE_VARIABLES, dimensions_of, matches, selected

# Whatever had not ended is open still, however long ago it was stated last.
PAGES_HISTORY = Query(
    "pages_history",
    f"""WITH {", ".join(selected(name) for name in ("slo", *SLICE_VARIABLES))}
SELECT state, severity, summary, slo, slice, starts_event, if(state = 'resolved', toNullable(last_event), NULL) AS ends_event,
  dateDiff('second', starts_event, if(state = 'resolved', last_event, toDateTime64(least(now(), $__toTime), 3, 'UTC'))) AS lasted_s,
  policy_row, long_burn, short_burn, budget_left, {dimensions_of()}
FROM (
  SELECT slo, slice, severity, starts_event, max(decided_event) AS last_event,
    argMax(state, version) AS state, argMax(policy_row, version) AS policy_row,
    max(long_burn) AS long_burn, max(short_burn) AS short_burn, argMax(budget_left, version) AS budget_left,
    argMax(summary, version) AS summary
  FROM pages FINAL WHERE incident != '' AND starts_event <= $__toTime AND decided_event <= $__toTime AND {matches("slo")}
  GROUP BY slo, slice, severity, starts_event
  HAVING state != 'resolved' OR last_event >= $__fromTime)
WHERE {SLICE_MATCHES}
ORDER BY state != 'resolved' DESC, starts_event DESC, slo, slice
LIMIT 200""",
)


def pages_annotation(by_slo: bool = True) -> Query:
    """Pages and tickets from their start to their end; those of the chosen SLOs where the board has them to choose from."""
    chosen, is_chosen = (f"WITH {selected('slo')}\n", f" AND {matches('slo')}") if by_slo else ("", "")
    return Query(
        "pages_annotation",
        f"""{chosen}SELECT starts_event AS time,
  if(argMax(state, version) != 'resolved', toDateTime64($__toTime, 3, 'UTC'), max(decided_event)) AS timeEnd,
  concat(severity, ': ', slo) AS title, argMax(summary, version) AS text, concat(severity, ',', slo) AS tags
FROM pages FINAL WHERE incident != '' AND starts_event <= $__toTime AND decided_event <= $__toTime{is_chosen}
GROUP BY slo, slice, severity, starts_event
HAVING argMax(state, version) != 'resolved' OR max(decided_event) >= $__fromTime
ORDER BY time DESC
LIMIT 500""",
    )
