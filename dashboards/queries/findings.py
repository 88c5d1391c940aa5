"""What the questions found besides burns, whichever question it was: as it was stated last up to the end of the range.

So whoever looks at yesterday sees what was known then, and every panel about findings says the same of one.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.constants import literal
from dashboards.queries.drift import DIMENSIONS_OF_DRIFT
from dashboards.queries.selection import SLICE_VARIABLES, dimensions_of, matches, selected
from schemas.boards import BOARD_OF_QUESTION, LABELS_CHOSEN, OVERVIEW_UID

FORGOTTEN_D = 7
"""An open finding is stated again every few minutes; one that was not for so long before the range is nobody's."""

DIMENSIONS_OF_FINDINGS = tuple(dict.fromkeys((*SLICE_VARIABLES, *DIMENSIONS_OF_DRIFT)))
"""What the slice of a finding may name that a board lets its reader choose."""
LABELS = LABELS_CHOSEN
BOARD = "board"
"""The column with the board of the question that found it."""
NUMBER = "Nullable(Float64)"
"""The type of a fact that is a figure."""
TEXT = "String"
"""The type of a fact that is a word of a vocabulary."""

_FINDINGS_MAX = 200
_LABELLED = ", ".join(f"JSONExtractString(labels, '{name}') AS {name}" for name in LABELS)
_BOARD = f"transform(toString(question), {list(BOARD_OF_QUESTION)}, {list(BOARD_OF_QUESTION.values())}, '{OVERVIEW_UID}') AS {BOARD}"


def found(
    name: str,
    questions: tuple[str, ...] = (),
    facts: dict[str, str] | None = None,
    *,
    chosen: tuple[str, ...] = SLICE_VARIABLES,
    is_open: bool = False,
) -> Query:
    """Findings of these questions, or of all, that were open in the range; open ones first, pages before tickets, the newest first.

    `facts` are figures of the findings by the type that they are read as, `chosen` the choices that narrow them. With
    `is_open` those only that had not ended. Each row has the dimensions of its slice, its `LABELS` and its `BOARD`.
    """
    among = f"question IN ({', '.join(map(literal, questions))}) AND " if questions else ""
    figures = "".join(f",\n  JSONExtract(facts, '{fact}', '{kind}') AS {fact}" for fact, kind in (facts or {}).items())
    of_each, is_shown = (
        ("finding", "state != 'resolved'")
        if is_open
        else ("finding, starts_event", "(state != 'resolved' OR decided_event >= $__fromTime)")
    )
    return Query(
        name,
        f"""WITH {", ".join(selected(each) for each in chosen)}
SELECT state, severity, question, alert, slice, {_LABELLED}, since, if(state = 'resolved', toNullable(decided_event), NULL) AS until,
  dateDiff('second', since, if(state = 'resolved', decided_event, toDateTime64(least(now(), $__toTime), 3, 'UTC'))) AS lasts_s,
  summary, action{figures}, completeness, runbook, {dimensions_of(DIMENSIONS_OF_FINDINGS)}, {_BOARD}
FROM (
  SELECT * FROM findings
  WHERE {among}decided_event <= $__toTime AND decided_event >= $__fromTime - INTERVAL {FORGOTTEN_D} DAY
  ORDER BY version DESC LIMIT 1 BY {of_each})
WHERE {is_shown} AND {" AND ".join(matches(each) for each in chosen)}
ORDER BY state = 'resolved', severity, since DESC, slice, finding
LIMIT {_FINDINGS_MAX}""",
    )


OPEN_FINDINGS = found("open_findings", is_open=True)
"""What is found besides burns and had not ended at the range's end: one row for each finding."""

EVERY_FINDING = found("every_finding")
"""For a reader who was not there."""
