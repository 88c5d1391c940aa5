"""What did the edge withhold: which dimensions were given up, what waits below k, what was refused."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import IN_RANGE, given, matches, step_of


def _of(fate: str) -> str:
    return f"sumIf(observations, fate = '{fate}')"


def _rows(suffix: str, when: str) -> str:
    return f"""SELECT reported_family, fate, because, bucket_start, observations FROM privacy_{suffix} FINAL
    WHERE {when} AND cut = 'pool,region' AND {IN_RANGE} AND {matches("region")} AND {matches("pool")}"""


_TOLD = f"({_rows('10s', 'is_short')}\n  UNION ALL\n  {_rows('1m', 'NOT is_short')})"

GIVEN_UP = Query(
    "given_up",
    f"""{given()}
SELECT {step_of("bucket_start")} AS time, concat(reported_family, ' ', because) AS series,
  {_of("generalised")} / sum(observations) AS value
FROM {_TOLD} WHERE fate IN ('kept', 'generalised')
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
FROM {_TOLD}
GROUP BY family, because
ORDER BY refused DESC, generalised_share DESC, held DESC, family, because
LIMIT 200""",
)
