"""Where and when budgets burn: how near every slice is to its policy rows over time, and which slices explain a burn.

A slice's *excess* is its bad turns less those that its objective allows on its traffic (as `alerts.attribution` has it). A
slice explains a burn where it has a much larger share of the bad turns than of all turns. Slices of different cuts lie
within one another: each row is compared with the whole of what is selected, not with the other rows.
"""

from __future__ import annotations

from dataclasses import replace

from dashboards.queries import Query
from dashboards.queries.burn_rate import Watched, over_time, slos_clause
from dashboards.queries.judged_counts import JUDGED, PLACE, indicators_clause, sums_by_slice
from dashboards.queries.selection import (
    IN_RANGE,
    SERIES,
    SLICE_MATCHES,
    dimensions_of,
    given,
    matches,
    selected,
)
from dashboards.queries.worst_slices import drawn_worst, nearness
from schemas.slos import Severity

_ROWS_MAX = 30
_SLICES_MAX = 60
_CUT_OF_SLICE = "replaceRegexpAll(toString(slice), '=[^,]+', '') AS cut"


_ROWS = f"(SELECT slice, bad, total, {PLACE} AS place FROM burn_rate_1m FINAL WHERE {IN_RANGE} AND {SLICE_MATCHES} AND {JUDGED})"
"""Of what is selected every slice, of every cut."""


def nearness_by_slice(watched: Watched, severity: Severity) -> Query:
    """How near each slice came to its nearest row of one severity, step by step; 1 is the threshold.

    Of each window the highest burn of the step. Where a step is longer than the pause between decisions, those of a row's
    two windows need not coincide: a cell may be too high, never too low.
    """
    of_severity = tuple(
        replace(each, rows=tuple(row for row in each.rows if row.severity == severity)) for each in watched
    )
    bounds, points = drawn_worst(nearness(of_severity), _ROWS_MAX)
    return Query(
        f"nearness_to_a_{severity}_by_slice",
        f"""{given(selected("slo"), bounds, has_hours=True)}
SELECT time, {SERIES} AS series, value, slo, {dimensions_of()} FROM {points}
ORDER BY time, peak DESC, series""",
        "time_series",
    )


def burn_by_breakdown(watched: Watched) -> Query:
    """Burn of every slice of the chosen breakdown in each step, as counted in it: (bad / total) / (1 - objective)."""
    return over_time("burn_by_breakdown", "{share} / (1 - objective)", watched, _ROWS_MAX)


def explaining(watched: Watched) -> Query:
    """Slices inside of what is selected, of every cut, by the budget that their excess takes; whole minutes."""
    return Query(
        "slices_that_explain",
        f"""{given(selected("slo"), slos_clause(watched), indicators_clause(watched), fine_when="false")}
SELECT slo, slice, bad, total, bad / total AS bad_share, bad_share / (1 - objective) AS burn,
  bad - total * (1 - objective) AS excess_bad, bad / nullIf(all_bad, 0) AS share_of_bad, total / all_turns AS share_of_turns,
  share_of_bad / share_of_turns AS lift, {dimensions_of()}
FROM (
  SELECT slos.slo AS slo, objective, slice, {_CUT_OF_SLICE}, bad, total,
    sum(if(cut = shown_cut, bad, 0)) OVER (PARTITION BY slo) AS all_bad,
    sum(if(cut = shown_cut, total, 0)) OVER (PARTITION BY slo) AS all_turns
  FROM {sums_by_slice(_ROWS)} AS counted
  INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.pool
  WHERE {matches("slo")} AND hasAll(splitByChar(',', cut), splitByChar(',', shown_cut)))
WHERE cut != 'pool'
ORDER BY excess_bad / (all_turns * (1 - objective)) DESC, length(cut), slo, slice
LIMIT {_SLICES_MAX}""",
    )
