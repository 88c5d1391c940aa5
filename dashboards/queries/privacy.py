"""What did the edge withhold: which dimensions were given up, what waits below k, what was refused."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import IN_RANGE, STEP_COVERED_S, given, matches, step_of


def _of(fate: str) -> str:
    return f"sumIf(observations, fate = '{fate}')"


def _rows(suffix: str, when: str) -> str:
    return f"""SELECT reported_family, fate, because, bucket_start, observations FROM privacy_{suffix} FINAL
    WHERE {when} AND cut = 'pool,region' AND {IN_RANGE} AND {matches("region")} AND {matches("pool")}"""


TOLD = f"({_rows('10s', 'is_short')}\n  UNION ALL\n  {_rows('1m', 'NOT is_short')})"

GIVEN_UP = Query(
    "given_up",
    f"""{given()}
SELECT {step_of("bucket_start")} AS time, concat(reported_family, ' ', because) AS series,
  {_of("generalised")} / sum(observations) AS value
FROM {TOLD} WHERE fate IN ('kept', 'generalised')
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)

WITHHELD = Query(
    "withheld",
    f"""{given()}
SELECT reported_family AS family, because, {_of("kept")} AS kept, {_of("generalised")} AS generalised,
  generalised / nullIf(kept + generalised, 0) AS generalised_share, {_of("held")} AS held, {_of("released")} AS released,
  {_of("refused")} AS refused
FROM {TOLD}
GROUP BY family, because
ORDER BY refused DESC, generalised_share DESC, held DESC, family, because
LIMIT 200""",
)

BY_DIMENSION = Query(
    "kept_and_generalised",
    f"""{given()}
SELECT concat(reported_family, ' ', because) AS dimension, {_of("kept")} AS `left with a value`, {_of("generalised")} AS `left without`
FROM {TOLD} WHERE fate IN ('kept', 'generalised')
GROUP BY dimension
ORDER BY `left without` / (`left with a value` + `left without`) DESC, dimension
LIMIT 20""",
)
"""Of each dimension of each family, the one that gives way most first."""


def _per_second(name: str, fates: str, series: str) -> Query:
    """Observations per second that one of these fates befell."""
    return Query(
        name,
        f"""{given()}
SELECT time, series, told / covered_s AS value FROM (
  SELECT {step_of("bucket_start")} AS time, {series} AS series, sum(observations) AS told, {STEP_COVERED_S} AS covered_s
  FROM {TOLD} WHERE fate IN ({fates})
  GROUP BY time, series)
ORDER BY time, series""",
        "time_series",
    )


REFUSED = _per_second("refused_over_time", "'refused'", "toString(because)")
WAITING = _per_second("held_and_released", "'held', 'released'", "concat(reported_family, ' ', fate)")
