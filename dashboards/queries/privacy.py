"""What did the edge withhold: which dimensions were given up, what waits below k, what was refused."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.numbered import Numbered, Paired
from dashboards.queries.selection import IN_RANGE, STEP_COVERED_S, given, matches, step_of
from schemas.families import PRIVACY
from schemas.families.privacy import FATES


def _of(fate: str) -> str:
    return f"sumIf(observations, fate = '{fate}')"


def _rows(suffix: str, when: str) -> str:
    return f"""SELECT reported_family, fate, because, bucket_start, observations FROM privacy_{suffix} FINAL
    WHERE {when} AND cut = 'pool,region' AND {IN_RANGE} AND {matches("region")} AND {matches("pool")}"""


TOLD = f"({_rows('10s', 'is_short')}\n  UNION ALL\n  {_rows('1m', 'NOT is_short')})"

_FAMILY, _FATE, _BECAUSE = (Numbered(each.name, each.vocabulary) for each in PRIVACY.keys)
_OF_FAMILY = Paired(_FAMILY, _BECAUSE)
_FAMILY_TEXT, _BECAUSE_TEXT = _OF_FAMILY.texts("told_of")
_SERIES = f"concat({_FAMILY_TEXT}, ' ', {_BECAUSE_TEXT})"

GIVEN_UP = Query(
    "given_up",
    f"""{given()}
SELECT time, {_SERIES} AS series, generalised / told AS value FROM (
  SELECT {step_of("bucket_start")} AS time, {_OF_FAMILY.number} AS told_of, {_of("generalised")} AS generalised, sum(observations) AS told
  FROM {TOLD} WHERE fate IN ('kept', 'generalised')
  GROUP BY time, told_of)
ORDER BY time, series""",
    "time_series",
)

WITHHELD = Query(
    "withheld",
    f"""{given()}
SELECT {_FAMILY_TEXT} AS family, {_BECAUSE_TEXT} AS because, kept, generalised,
  generalised / nullIf(kept + generalised, 0) AS generalised_share, held, released, refused
FROM (
  SELECT {_OF_FAMILY.number} AS told_of, {", ".join(f"{_of(fate)} AS {fate}" for fate in FATES)}
  FROM {TOLD}
  GROUP BY told_of)
ORDER BY refused DESC, generalised_share DESC, held DESC, family, because
LIMIT 200""",
)

BY_DIMENSION = Query(
    "kept_and_generalised",
    f"""{given()}
SELECT {_SERIES} AS dimension, kept AS `left with a value`, generalised AS `left without`
FROM (
  SELECT {_OF_FAMILY.number} AS told_of, {_of("kept")} AS kept, {_of("generalised")} AS generalised
  FROM {TOLD} WHERE fate IN ('kept', 'generalised')
  GROUP BY told_of)
ORDER BY `left without` / (`left with a value` + `left without`) DESC, dimension
LIMIT 20""",
)
"""Of each dimension of each family, the one that gives way most first."""


def _per_second(name: str, fates: str, number: str, series: str) -> Query:
    """Observations per second that one of these fates befell; `series` tells `number`, as `told_of`."""
    return Query(
        name,
        f"""{given()}
SELECT time, {series} AS series, told / covered_s AS value FROM (
  SELECT {step_of("bucket_start")} AS time, {number} AS told_of, sum(observations) AS told, {STEP_COVERED_S} AS covered_s
  FROM {TOLD} WHERE fate IN ({fates})
  GROUP BY time, told_of)
ORDER BY time, series""",
        "time_series",
    )


_WAITED = Paired(_FAMILY, _FATE)

REFUSED = _per_second("refused_over_time", "'refused'", _BECAUSE.number, _BECAUSE.text("told_of"))
WAITING = _per_second(
    "held_and_released", "'held', 'released'", _WAITED.number, "concat({}, ' ', {})".format(*_WAITED.texts("told_of"))
)
