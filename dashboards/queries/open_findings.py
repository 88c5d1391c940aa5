"""What is found besides burns and has not ended: one row for each finding, whichever question found it."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_VARIABLES, matches, selected

FORGOTTEN_D = 7
"""An open finding is stated again every few minutes; one that was not for so long before the range is nobody's."""

_FINDINGS_MAX = 50
_DIMENSIONS = ", ".join(f"extract(toString(slice), '(?:^|,){name}=([^,]+)') AS {name}" for name in SLICE_VARIABLES)
_MATCHES = " AND ".join(matches(name) for name in SLICE_VARIABLES)

OPEN_FINDINGS = Query(
    "open_findings",
    f"""WITH {", ".join(selected(name) for name in SLICE_VARIABLES)}
SELECT severity, state, question, alert, slice, since,
  dateDiff('second', since, toDateTime64(least(now(), $__toTime), 3, 'UTC')) AS lasts_s, summary, action, runbook, {_DIMENSIONS}
FROM (
  SELECT * FROM findings
  WHERE decided_event <= $__toTime AND decided_event >= $__fromTime - INTERVAL {FORGOTTEN_D} DAY
  ORDER BY version DESC LIMIT 1 BY finding)
WHERE state != 'resolved' AND {_MATCHES}
ORDER BY severity, since DESC, slice, finding
LIMIT {_FINDINGS_MAX}""",
)
"""As they were stated last up to the range's end; pages first, then the newest."""
