"""What Grafana's alert rules ask: whether the pipeline itself does its work, and whether a budget is nearly spent.

They judge what landed in ClickHouse, so they need no worker. Each answers a row for each alert that there could be: texts,
which become its labels, and one figure, which the rule compares. The range ends when the rule is evaluated and begins
the rule's lookback earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dashboards.queries import Query
from dashboards.queries.burn_rate import policy_clause
from schemas.burns import FIRE_COMPLETENESS_MIN
from schemas.families.partitions import OPERATIONAL_CUTS
from schemas.slos import LowTraffic, WatchedSlo

SILENT_AFTER_S = 300
"""What has brought nothing newer for as long is silent. Buckets and decisions are a minute, and land within seconds."""

SETTLED_AFTER_MIN = 10
"""Minutes are compared with what producers took in once they are that old: late frames may come for 120 s."""

COMPARED_TURNS_MIN = 100
"""Fewer turns are not compared: a handful on its way would be a large share of them."""

CUT_KNOWN_WITHIN_MIN = 5
"""A cut whose first minute comes later in the range is new to the contract, or the fleet was idle: it is not compared."""

DECIDED_WITHIN_MIN = 10
"""A slice that was not decided for so long before now is not judged by what was decided then."""

_NOW = "toDateTime64($__toTime, 3, 'UTC')"
_SINCE = "toDateTime64($__fromTime, 3, 'UTC')"


def _newest(table: str, column: str, where: str) -> str:
    """The newest instant of a table in the range; the range's start where there is none."""
    return f"greatest({_SINCE}, (SELECT max({column}) FROM {table} WHERE {where} AND {_in_range(column)}))"


def _in_range(column: str) -> str:
    return f"{column} >= {_SINCE} AND {column} <= {_NOW}"


def _age_s(newest: str) -> str:
    return f"dateDiff('second', {newest}, {_NOW})"


_NEWEST_DECISION = _newest("burn_windows", "decided_at", "cut = 'pool'")
_NEWEST_HEARTBEAT = _newest("heartbeats_1m", "bucket_start", "cut = 'region'")
_NEWEST_TURNS = _newest("traffic_1m", "bucket_start", "cut = 'pool'")

SILENCE = Query(
    "silence",
    f"""WITH {_NEWEST_DECISION} AS newest_decision,
  {_NEWEST_HEARTBEAT} AS newest_heartbeat,
  {_NEWEST_TURNS} AS newest_turns,
  (SELECT count() FROM heartbeats_1m FINAL
   WHERE cut = 'region' AND reported_family = 'turns' AND bucket_start > newest_turns AND {_in_range("bucket_start")}
     AND observations_seen > observations_dropped) > 0 AS has_turns
SELECT entry.1 AS silent, entry.2 AS age_s FROM (
  SELECT arrayJoin([
    ('burn_windows', {_age_s("newest_decision")}),
    ('heartbeats_1m', {_age_s("newest_heartbeat")}),
    ('traffic_1m', if(has_turns, {_age_s("newest_turns")}, 0))]) AS entry)
ORDER BY silent""",
)
"""Seconds since each table's newest row. Traffic is only missed while producers say that they had turns."""

LAG = Query(
    "lag",
    f"""WITH {_age_s(_NEWEST_DECISION)} AS age_s
SELECT if(age_s > {SILENT_AFTER_S}, 0, age_s) AS lag_s""",
)
"""How far decisions lag behind the clock, in seconds; 0 where they do not come at all, which is silence."""


def _compared(column: str) -> str:
    return f"{column} >= {_SINCE} AND {column} < toStartOfMinute({_NOW}) - INTERVAL {SETTLED_AFTER_MIN} MINUTE"


_CUTS = ", ".join(f"'{cut.name}'" for cut in OPERATIONAL_CUTS if len(cut.dimensions) <= 2)
"""Cuts of few slices, each of which counts every turn: finer ones have thousands, in whose order time comes last."""


def _by_cut(table: str, column: str, where: str = "true") -> str:
    """What a table counts in each of these cuts, and since when."""
    return f"""SELECT '{table}' AS counted_in, toString(cut) AS counted_cut, sum({column}) AS counted, min(bucket_start) AS first
      FROM {table} FINAL WHERE cut IN ({_CUTS}) AND {where} AND {_compared("bucket_start")} GROUP BY cut"""


_UNEVEN = f"""SELECT max(share) FROM (
    SELECT 1 - min(counted) / max(counted) AS share FROM (
      {_by_cut("traffic_1m", "turns")}
      UNION ALL
      {_by_cut("burn_rate_1m", "total", "indicator = 'turn_error'")})
    WHERE first < {_SINCE} + INTERVAL {CUT_KNOWN_WITHIN_MIN} MINUTE
    GROUP BY counted_in
    HAVING max(counted) >= {COMPARED_TURNS_MIN})"""
"""By how much the cut with the fewest turns falls short of that with the most: slices of every cut are spread over the shards."""

MISSING_TURNS = Query(
    "missing_turns",
    f"""WITH (SELECT toInt64(sum(observations_seen)) - toInt64(sum(observations_dropped)) FROM heartbeats_1m FINAL
  WHERE cut = 'region' AND reported_family = 'turns' AND {_compared("bucket_start")}) AS taken_in,
(SELECT toInt64(sum(turns)) FROM traffic_1m FINAL WHERE cut = 'pool' AND {_compared("bucket_start")}) AS landed,
({_UNEVEN}) AS uneven
SELECT greatest(0., if(taken_in < {COMPARED_TURNS_MIN}, 0., (taken_in - landed) / taken_in), uneven) AS missing_share""",
)
"""The share of the turns that producers took in and kept which is in no rollup, so in no burn rate either.

Refused frames are missing (they are dead letters), and so are those that came too late to be decided on. Every cut counts
every turn once, so what one cut counts and another does not is missing as well: the shard of some of its slices stands still.
A shard without a slice of a pool, region, route or bundle of its own is not seen.
"""


def unpaged_burns(watched: Sequence[WatchedSlo]) -> Query:
    """By objective and pool: how many of its rows for pages are exceeded while no page is known, not even as pending.

    Rows that look at what is left of the budget have no threshold that could be written down, and are left out. A row of
    factor 0 pages for any bad turn, on however little of the volume. What is pending says so once, however long ago, so its
    newest statement is looked for by its name and not by its time.
    """
    paging = tuple(
        replace(each, rows=tuple(row for row in each.rows if row.severity == "page" and row.within_s is None))
        for each in watched
    )
    return Query(
        "unpaged_burns",
        f"""WITH {policy_clause(paging)},
decided AS (
  SELECT toString(burn_windows.slo) AS slo, toString(burn_windows.slice) AS slice, window_s,
    argMax(burn, (decided_at, version)) AS burn, argMax(completeness, (decided_at, version)) AS completeness
  FROM burn_windows
  WHERE cut = 'pool' AND decided_at > {_NOW} - INTERVAL {DECIDED_WITHIN_MIN} MINUTE AND decided_at <= {_NOW}
  GROUP BY burn_windows.slo, burn_windows.slice, window_s),
known AS (
  SELECT toString(pages.slo) AS slo, toString(pages.slice) AS slice, argMax(toString(state), (decided_event, version)) AS state
  FROM pages
  WHERE alert IN (SELECT concat(slo, '|', slice, '|page') FROM decided) AND decided_event <= {_NOW}
  GROUP BY pages.slo, pages.slice)
SELECT long.slo AS slo, long.slice AS slice,
  countIf(least(long.burn, short.burn) > policy.factor AND known.state IN ('', 'resolved')
    AND (long.completeness >= {FIRE_COMPLETENESS_MIN} OR policy.factor = 0)) AS rows_exceeded
FROM policy
INNER JOIN decided AS long ON long.slo = policy.slo AND long.window_s = policy.long_s
INNER JOIN decided AS short ON short.slo = policy.slo AND short.window_s = policy.short_s AND short.slice = long.slice
LEFT JOIN known ON known.slo = long.slo AND known.slice = long.slice
GROUP BY slo, slice
ORDER BY slo, slice""",
    )


UNCONFIRMED_PAGES = Query(
    "unconfirmed_pages",
    f"""WITH {_NEWEST_DECISION} AS newest_decision
SELECT slo, slice, told_as, dateDiff('second', confirmed, newest_decision) AS unconfirmed_s FROM (
  SELECT toString(pages.slo) AS slo, toString(pages.slice) AS slice, toString(pages.severity) AS told_as,
    argMax(toString(state), (decided_event, version)) AS newest_state, max(decided_event) AS confirmed
  FROM pages WHERE {_in_range("decided_event")}
  GROUP BY pages.slo, pages.slice, pages.severity)
WHERE newest_state IN ('firing', 'frozen')
ORDER BY slo, slice, told_as""",
)
"""Of every open page and ticket: how much newer, in seconds, the newest decision is than the last that confirmed it."""

_EVIDENCE = LowTraffic()

BUDGETS_LEFT = Query(
    "budgets_left",
    f"""WITH (decided_at, version, window_s) AS newest_period
SELECT toString(burn_windows.slo) AS slo, toString(burn_windows.slice) AS slice,
  argMax(budget_left, newest_period) AS budget_left
FROM burn_windows WHERE cut = 'pool' AND {_in_range("decided_at")}
GROUP BY burn_windows.slo, burn_windows.slice
HAVING argMax(bad, newest_period) >= {_EVIDENCE.bad_events_min}
  AND (argMax(bad, newest_period) >= {10 * _EVIDENCE.bad_events_min}
    OR argMax(bad * ifNull(one_failure_costs, 0), newest_period) >= {_EVIDENCE.budget_share_min})
ORDER BY slo, slice""",
)
"""What is left of each objective's budget in its whole pool, as it was decided last.

Of few turns one failure spends more than all of their budget, so the period's failures, its longest window's, have to be
as many as a page asks for besides its threshold (`LowTraffic`): a new fleet's first failure is no budget that is nearly spent.
"""
