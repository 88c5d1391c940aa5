"""What burns now, what is left, and which slice spends it: the queries over `burn_windows` and `burn_rate`.

Objectives and policy rows are written into the statements from the SLO files, so a board judges by the same figures as
the pages do. *Nearness* is how near a slice is to a policy row: the smaller of its two windows' burns over the row's
factor. Above 1 both windows exceed it (what low traffic additionally asks of a page is the alert's business).
"""

from __future__ import annotations

from decimal import Decimal

from dashboards.queries import Query
from dashboards.queries.constants import listed
from dashboards.queries.judged_counts import indicators_clause, sums_by_slice
from dashboards.queries.pipeline import newest_of
from dashboards.queries.selection import (
    POINTS_OF_SHARES,
    SERIES,
    SLICE_MATCHES,
    STEPS,
    TIME_OF_POINT,
    broken_down_cut,
    dimensions_of,
    given,
    largest,
    matches,
    rollup,
    selected,
    shares_of_steps,
    step_of,
)
from dashboards.queries.worst_slices import HIGHEST_BURN, drawn_worst, nearness
from schemas.families import OPERATIONAL, TURNS
from schemas.slos import WatchedSlo

NEWEST_WITHIN_MIN = 10
"""A slice that was not decided for this long before the newest decision is no longer shown as burning now."""

NAMED_WINDOW_S = 3_600
"""The window whose burn tells the time to exhaustion where one figure has to do."""

_SERIES_MAX = 8
_SLICES_MAX = 50

_DECIDED_IN_RANGE = "decided_at >= $__fromTime AND decided_at <= $__toTime"

Watched = tuple[WatchedSlo, ...]
_RATE = Decimal(0)


def window_text(seconds: int) -> str:
    """A window's usual name.

    >>> [window_text(seconds) for seconds in (60, 1800, 21600, 259200)]
    ['1m', '30m', '6h', '3d']
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def windows(watched: Watched) -> tuple[int, ...]:
    """Lengths in seconds of every window that some policy row looks at."""
    return tuple(sorted({seconds for each in watched for row in each.rows for seconds in (row.long_s, row.short_s)}))


def slos_clause(watched: Watched) -> str:
    rows = ((each.slo.name, each.slo.indicator.name, each.slo.pool, each.slo.objective) for each in watched)
    return f"slos AS {listed(('slo', 'indicator', 'pool', 'objective'), rows, ('', '', '', _RATE))}"


def policy_clause(watched: Watched) -> str:
    """Policy rows of every SLO; written once where several SLOs have the same."""
    slos: dict[tuple[str, str, int, int, Decimal], list[str]] = {}
    for each in watched:
        for row in each.rows:
            slos.setdefault((row.name, row.severity, row.long_s, row.short_s, row.factor), []).append(each.slo.name)
    names = ("slos", "row", "severity", "long_s", "short_s", "factor")
    rows = listed(names, ((tuple(of), *row) for row, of in slos.items()), (("",), "", "", 0, 0, _RATE))
    return f"policy AS (SELECT arrayJoin(slos) AS slo, {', '.join(names[1:])} FROM {rows})"


def _newest(where: str = "true") -> str:
    """What every slice was decided last; `where` looks only at what is in the key, the same of every version of a row."""
    return f"""newest AS (
    SELECT slo, slice, window_s,
      argMax(burn, decided_at) AS burn, argMax(budget_left, decided_at) AS budget_left,
      argMax(tuple(exhausted_in_s), decided_at).1 AS exhausted_in_s, argMax(completeness, decided_at) AS completeness,
      max(decided_at) AS decided
    FROM burn_windows FINAL
    PREWHERE {_DECIDED_IN_RANGE} AND {matches("slo")} AND {where}
      AND decided_at > {newest_of("burn_windows", "decided_at")} - INTERVAL {NEWEST_WITHIN_MIN} MINUTE
    WHERE {SLICE_MATCHES}
    GROUP BY slo, slice, window_s)"""


_NEWEST = _newest()

_ROWS = """rows_of AS (
    SELECT slo, groupArray((row, severity = 'page', long_s, short_s, factor)) AS rows FROM policy WHERE factor > 0 GROUP BY slo)"""

# Maps, and not joins of windows with themselves: what WITH names is read as often as it is named.
_SLICES = f"""slices AS (
    SELECT newest.slo AS slo, newest.slice AS slice,
      CAST((groupArray(newest.window_s), groupArray(newest.burn)), 'Map(UInt32, Float64)') AS burns,
      arrayReduce('max', arrayMap(each -> ((least(burns[each.3], burns[each.4]) / each.5 AS near) > 1 AND each.2, near, each.1),
        arrayFilter(each -> mapContains(burns, each.3) AND mapContains(burns, each.4), any(rows_of.rows)))) AS worst,
      argMax(newest.budget_left, newest.decided) AS budget_left,
      anyIf(newest.exhausted_in_s, newest.window_s = {NAMED_WINDOW_S}) AS exhausted_in_s,
      min(newest.completeness) AS completeness, max(newest.decided) AS decided_at
    FROM newest LEFT JOIN rows_of ON rows_of.slo = newest.slo
    GROUP BY slo, slice)"""
"""Every slice as it was decided last; `worst` is its nearest policy row: whether that pages, nearness, name."""

_OPEN_PAGES = """open AS (
    SELECT slo, slice, arrayStringConcat(arraySort(groupUniqArrayIf(severity, state NOT IN ('pending', 'resolved'))), ', ') AS alert
    FROM (
      SELECT slo, slice, severity, argMax(state, (decided_event, version)) AS state
      FROM pages FINAL WHERE decided_event <= $__toTime GROUP BY slo, slice, severity)
    GROUP BY slo, slice)"""


def burning_now(watched: Watched) -> Query:
    """Worst first: what is nearest to a page, its burn in each window, what is left and when it is spent."""
    pivot = "".join(
        f"\n  if(mapContains(burns, {seconds}), burns[{seconds}], NULL) AS `burn {window_text(seconds)}`,"
        for seconds in windows(watched)
    )
    return Query(
        "burning_now",
        f"""{given(selected("slo"), policy_clause(watched), _NEWEST, _ROWS, _SLICES, _OPEN_PAGES)}
SELECT open.alert AS alert, multiIf(worst.1, 'above page', worst.2 > 1, 'above ticket', 'below') AS threshold,
  slices.slo AS slo, slices.slice AS slice, worst.2 AS nearness, worst.3 AS row,{pivot}
  budget_left, exhausted_in_s AS `spent in`, completeness, decided_at, {dimensions_of()}
FROM slices
LEFT JOIN open ON open.slo = slices.slo AND open.slice = slices.slice
ORDER BY startsWith(alert, 'page') DESC, worst DESC, slo, slice
LIMIT {_SLICES_MAX}""",
    )


def worst_now(watched: Watched) -> Query:
    """One row: alerts firing, the worst nearness, the least budget left, and how complete and how old the data under it is."""
    return Query(
        "worst_now",
        f"""{given(selected("slo"), policy_clause(watched), _NEWEST, _ROWS, _SLICES, _OPEN_PAGES)}
SELECT
  (SELECT countIf(alert != '') FROM (SELECT *, {dimensions_of()} FROM open) WHERE {matches("slo")} AND {SLICE_MATCHES}) AS `slices alerting`,
  argMaxOrNull(worst.2, worst) AS `nearest to a threshold`, minOrNull(budget_left) AS `least budget left`,
  minOrNull(completeness) AS completeness,
  if((dateDiff('second', maxOrNull(decided_at), toDateTime64(least(now(), $__toTime), 3, 'UTC')) AS ago_s) < 0, 0, ago_s) AS `decided ago`
FROM slices""",
    )


def nearness_over_time(watched: Watched) -> Query:
    """How near each of the worst slices came to its nearest policy row; 1 is the threshold.

    Of each window the highest burn of the step, as in the heat map of the same: a spike between two points is not lost.
    """
    bounds, points = drawn_worst(nearness(watched), _SERIES_MAX)
    return Query(
        "nearness_over_time",
        f"""{given(selected("slo"), bounds, has_hours=True)}
SELECT time, {SERIES} AS series, value FROM {points}
ORDER BY time, series""",
        "time_series",
    )


def burn_over_time(watched: Watched) -> Query:
    """Burn in the chosen window for the worst slices, and lines where a policy row of that window fires."""
    names = [f"'{window_text(seconds)}'" for seconds in windows(watched)]
    lengths = f"[{', '.join(names)}], {list(windows(watched))}, {NAMED_WINDOW_S}"
    chosen = f"transform(decodeURLComponent('${{window:percentencode}}'), {lengths}) AS chosen_s"
    bounds, points = drawn_worst(HIGHEST_BURN, _SERIES_MAX)
    return Query(
        "burn_over_time",
        f"""{given(chosen, selected("slo"), policy_clause(watched), bounds, has_hours=True)}
SELECT time, series, value FROM (
  SELECT time, {SERIES} AS series, value FROM {points}
  UNION ALL
  SELECT DISTINCT arrayJoin([range_from, {step_of("$__toTime")}]) AS time,
    concat(severity, ' at ', toString(round(factor, 2))) AS series, factor AS value
  FROM policy WHERE factor > 0 AND (long_s = chosen_s OR short_s = chosen_s) AND {matches("slo")})
ORDER BY time, series""",
        "time_series",
    )


def budget_left_over_time() -> Query:
    """What is left of each SLO's budget, for the slices of the shown cut."""
    return Query(
        "budget_left_over_time",
        f"""{given(selected("slo"))}
SELECT time, series, value FROM (
  SELECT time, series, value, max(1 - value) OVER (PARTITION BY series) AS peak FROM (
    SELECT {step_of("decided_at")} AS time, concat(slo, ' · ', slice) AS series,
      argMax(budget_left, decided_at) AS value
    FROM burn_windows FINAL WHERE {_DECIDED_IN_RANGE} AND {matches("slo")} AND {SLICE_MATCHES} AND cut = shown_cut
    GROUP BY time, series))
QUALIFY {largest(_SERIES_MAX)}
ORDER BY time, series""",
        "time_series",
    )


def exhaustion_columns(watched: Watched) -> dict[str, int]:
    """Names of the columns that tell the time to exhaustion, each with the window in seconds whose burn it assumes."""
    longs = sorted({row.long_s for each in watched for row in each.rows if row.long_s >= NAMED_WINDOW_S})
    return {f"spent in, at {window_text(seconds)} burn": seconds for seconds in longs}


def exhaustion(watched: Watched) -> Query:
    """What is left of each budget, and when it is spent at the burn of each long window."""
    pivot = "".join(
        f"\n  anyIf(newest.exhausted_in_s, newest.window_s = {seconds}) AS `{name}`,"
        for name, seconds in exhaustion_columns(watched).items()
    )
    return Query(
        "exhaustion",
        f"""{given(selected("slo"), slos_clause(watched), _newest("cut = shown_cut"))}
SELECT newest.slo AS slo, newest.slice AS slice, any(slos.objective) AS objective,
  argMax(newest.budget_left, newest.decided) AS budget_left,{pivot}
  {dimensions_of()}
FROM newest LEFT JOIN slos ON slos.slo = newest.slo
GROUP BY slo, slice
ORDER BY budget_left, slo, slice
LIMIT {_SLICES_MAX}""",
    )


def bad_share_by(dimension: str, watched: Watched) -> Query:
    """Which values of a dimension miss the objective, and what part of all bad turns and of all turns is theirs.

    Those come first whose excess takes the most of the budget: a single failed turn of a single one does not.
    """
    return Query(
        f"bad_share_by_{dimension}",
        f"""{given(selected("slo"), slos_clause(watched), indicators_clause(watched), required=(dimension,))}
SELECT slo, pool, value AS {dimension}, bad, bad / total AS bad_share, bad_share / (1 - objective) AS burn,
  bad / nullIf(sum(bad) OVER (PARTITION BY slo), 0) AS share_of_bad,
  total / sum(total) OVER (PARTITION BY slo) AS share_of_turns
FROM (
  SELECT indicator, pool, extract(toString(slice), '(?:^|,){dimension}=([^,]+)') AS value, sum(bad) AS bad, sum(total) AS total
  FROM {sums_by_slice()}
  GROUP BY indicator, pool, value) AS counted
INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.pool
WHERE {matches("slo")}
ORDER BY (bad - total * (1 - objective)) / (sum(total) OVER (PARTITION BY slo) * (1 - objective)) DESC, slo, value
LIMIT {_SLICES_MAX}""",
    )


BREAKDOWNS = tuple(cut.dimensions[1] for cut in TURNS.cuts if len(cut.dimensions) == 2 and cut.dimensions[0] == "pool")
"""Dimensions that have a cut of their own beside the pool; a chart can be broken down by each."""


def bad_share_over_time(watched: Watched) -> Query:
    """The share of bad turns of the slices of one breakdown, those with the highest peak."""
    return over_time("bad_share_over_time", "{share}", watched, _SERIES_MAX)


def over_time(name: str, figure: str, watched: Watched, series_max: int) -> Query:
    """A figure in each step, of the slices of the chosen breakdown with the highest peak; it grows with `{share}`, the share of bad turns."""
    chosen = "decodeURLComponent('${by:percentencode}')"
    # Identifying dimensions are seen in 60 s windows only, so 10 s steps would be empty five times out of six.
    audience = ", ".join(f"'{name}'" for name in BREAKDOWNS if name not in OPERATIONAL.dimensions)
    broken_down_by = f"if({chosen} = '', '{BREAKDOWNS[0]}', {chosen}) AS broken_down_by"
    columns = "indicator, slice, bucket_start, bad, total"
    asked = f"total > 0 AND indicator IN (SELECT indicator FROM slos WHERE {matches('slo')})"
    counted = rollup("burn_rate", columns, cut="broken_down_cut", where=asked)
    return Query(
        name,
        f"""{given(broken_down_by, broken_down_cut(BREAKDOWNS), selected("slo"), slos_clause(watched), STEPS, fine_when=f"{chosen} NOT IN ({audience})")}
SELECT {TIME_OF_POINT}, {SERIES} AS series, {figure.format(share="point.2")} AS value, slo, {dimensions_of()} FROM (
  SELECT slos.slo AS slo, objective, slice, {POINTS_OF_SHARES},
    {figure.format(share="arrayMax(shares)")} AS peak FROM (
    SELECT indicator, extract(toString(slice), 'pool=([^,]+)') AS slice_pool, slice, {shares_of_steps()}
    FROM {counted}
    GROUP BY indicator, slice) AS counted
  INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.slice_pool
  WHERE {matches("slo")}
  ORDER BY peak DESC, {SERIES} LIMIT {series_max})
ARRAY JOIN points AS point
ORDER BY time, peak DESC, series""",
        "time_series",
    )
