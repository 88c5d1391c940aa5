"""What the questions found besides burns: every finding that was stated in the range, as it was stated last."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_VARIABLES, matches, selected

_FINDINGS_MAX = 200
_FORGOTTEN_D = 7
"""An open finding is stated again every few minutes; one that was not for so long before the range is nobody's."""
NUMBER = "Nullable(Float64)"
"""The type of a fact that is a figure."""
TEXT = "String"
"""The type of a fact that is a word of a vocabulary."""


def dimension_of(name: str) -> str:
    """The value that a slice's text gives a dimension; empty where it does not name it."""
    return f"extract(slice, '(?:^|,){name}=([^,]+)')"


def found(name: str, questions: tuple[str, ...], facts: dict[str, str] | None = None, label: str = "") -> Query:
    """Findings of these questions, open ones first and the newest before older ones.

    `facts` are figures of the findings by the type that they are read as; `label` is one of their labels. Each row has the
    dimensions of its slice.
    """
    listed = ", ".join(f"'{question}'" for question in questions)
    figures = "".join(f",\n  JSONExtract(facts, '{fact}', '{kind}') AS {fact}" for fact, kind in (facts or {}).items())
    labelled = f" JSONExtractString(labels, '{label}') AS {label}," if label else ""
    dimensions = ", ".join(f"{dimension_of(each)} AS {each}" for each in SLICE_VARIABLES)
    matching = " AND ".join(matches(each) for each in SLICE_VARIABLES)
    return Query(
        name,
        f"""WITH {", ".join(selected(each) for each in SLICE_VARIABLES)}
SELECT state, severity, alert, slice,{labelled} since,
  dateDiff('second', since, if(state = 'resolved', decided_event, toDateTime64(least(now(), $__toTime), 3, 'UTC'))) AS lasts_s,
  summary, action{figures}, completeness, runbook, {dimensions}
FROM (
  SELECT * FROM findings
  WHERE question IN ({listed}) AND decided_event <= $__toTime
    AND decided_event >= $__fromTime - INTERVAL {_FORGOTTEN_D} DAY
  ORDER BY version DESC LIMIT 1 BY finding, starts_event)
WHERE (state != 'resolved' OR decided_event >= $__fromTime) AND {matching}
ORDER BY state = 'resolved', severity, since DESC, slice, finding
LIMIT {_FINDINGS_MAX}""",
    )
