"""What else was found in a range, whichever question found it: for a reader who was not there."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_VARIABLES, matches, selected

_FINDINGS_MAX = 200
_FORGOTTEN_D = 7
"""An open finding is stated again every few minutes; one that was not for so long before the range is nobody's."""

_SLICE = ", ".join(f"extract(toString(slice), '(?:^|,){name}=([^,]+)') AS {name}" for name in SLICE_VARIABLES)

EVERY_FINDING = Query(
    "every_finding",
    f"""WITH {", ".join(selected(name) for name in SLICE_VARIABLES)}
SELECT state, severity, alert, slice, since, if(state = 'resolved', toNullable(decided_event), NULL) AS until, summary, action
FROM (
  SELECT *, {_SLICE} FROM (
    SELECT state, severity, alert, slice, since, decided_event, summary, action FROM findings
    WHERE starts_event <= $__toTime AND decided_event >= $__fromTime - INTERVAL {_FORGOTTEN_D} DAY
    ORDER BY version DESC LIMIT 1 BY finding, starts_event))
WHERE (state != 'resolved' OR decided_event >= $__fromTime) AND {" AND ".join(matches(name) for name in SLICE_VARIABLES)}
ORDER BY state = 'resolved', severity, since DESC, slice
LIMIT {_FINDINGS_MAX}""",
)
"""Findings that were open in the range, as they were stated last: open ones first, pages before tickets."""
