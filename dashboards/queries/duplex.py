"""Conversations in which both may speak at once: which objective is missed, in which slice, and what happens how often.

Each objective judges one kind of event, so choosing kinds chooses objectives, whatever the slice. How many events of each
kind there were is counted by pool alone.
"""

from __future__ import annotations

from decimal import Decimal

from dashboards.queries import Query
from dashboards.queries.burn_rate import Watched
from dashboards.queries.constants import listed
from dashboards.queries.numbered import Numbered
from dashboards.queries.selection import (
    SLICE_VARIABLES,
    STEP,
    STEP_COVERED_S,
    STEPS,
    Sliced,
    dimensions_of,
    given,
    operational_cuts,
    rollup,
    selected,
)
from schemas.families import DUPLEX, DUPLEX_INDICATORS

EVENT = "duplex_event"
_BY_EVENT = next(cut for cut in DUPLEX.cuts if cut.dimensions == ("pool", EVENT))
OF_DUPLEX = Sliced(SLICE_VARIABLES, tuple(cut for cut in operational_cuts(DUPLEX) if cut is not _BY_EVENT))
_OF_KINDS = Sliced((*SLICE_VARIABLES, EVENT), (_BY_EVENT,))
BREAKDOWNS = tuple(name for name in OF_DUPLEX.optional)
"""Dimensions that a slice's cut names beside the pool."""
_ROWS_MAX = 24
_KIND_CHOSEN = f"(empty(selected_{EVENT}) OR has(selected_{EVENT}, kind))"

_CHOSEN_BY = "decodeURLComponent('${by:percentencode}')"
_BY = f"if({_CHOSEN_BY} IN {BREAKDOWNS}, {_CHOSEN_BY}, '{BREAKDOWNS[-1]}') AS broken_down_by"


def duplex_objectives(watched: Watched) -> Watched:
    """Those of the objectives that are about full-duplex events."""
    return tuple(each for each in watched if each.slo.indicator in DUPLEX_INDICATORS)


def words(indicator: str) -> str:
    """
    >>> words("barge_in_latency_200ms")
    'barge in latency 200ms'
    """
    return indicator.replace("_", " ")


def _objectives(watched: Watched) -> str:
    rows = [
        (
            each.slo.name,
            name := each.slo.indicator.name,
            words(name),
            str(each.slo.indicator.duplex_event),
            each.slo.pool,
            each.slo.objective,
        )
        for each in duplex_objectives(watched)
    ]
    names = ("slo", "indicator", "words", "kind", "pool", "objective")
    return f"objectives AS {listed(names, rows, ('', '', '', '', '', Decimal(0)))}"


def _judged(watched: Watched, *more: str) -> tuple[str, str]:
    """The WITH clause, and the rows of every chosen objective as `counted`."""
    opening = given(selected(EVENT), _objectives(watched), *more, of=OF_DUPLEX)
    rows = rollup("burn_rate", "indicator, pool, bucket_start, bad, total", of=OF_DUPLEX)
    return (
        opening,
        f"""{rows} AS counted
INNER JOIN objectives ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool
WHERE total > 0 AND {_KIND_CHOSEN}""",
    )


def by_objective(watched: Watched) -> Query:
    """Each objective over the range, worst first, beside its first half."""
    opening, rows = _judged(watched, "$__fromTime + intDiv(dateDiff('second', $__fromTime, $__toTime), 2) AS middle")
    return Query(
        "duplex_by_objective",
        f"""{opening}
SELECT slo, kind, objective, sum(total) AS judged, sum(bad) AS missed, 1 - missed / judged AS good_share,
  1 - sumIf(bad, bucket_start < middle) / nullIf(sumIf(total, bucket_start < middle), 0) AS good_share_first_half,
  1 - sumIf(bad, bucket_start >= middle) / nullIf(sumIf(total, bucket_start >= middle), 0) AS good_share_second_half,
  missed / judged / (1 - objective) AS burn, pool
FROM {rows}
GROUP BY slo, kind, objective, pool
ORDER BY burn DESC, slo
LIMIT 50""",
    )


def worst(watched: Watched) -> Query:
    return Query(
        "duplex_worst",
        f"""SELECT countIf(burn > 1) AS `objectives missed`, max(burn) AS `worst, times allowed`,
  sum(judged) AS `judged`
FROM ({by_objective(watched).sql})""",
    )


def missed_over_time(name: str, watched: Watched, indicators: tuple[str, ...]) -> Query:
    """The share that missed each objective, step by step, and as `allowed of …` what that share may be."""
    about = tuple(each for each in watched if each.slo.indicator.name in indicators)
    opening, rows = _judged(about)
    return Query(
        name,
        f"""{opening}
SELECT time, told.1 AS series, told.2 AS value FROM (
  SELECT {STEP} AS time, words, pool, arrayJoin([
      (concat(pool, ' ', words), sum(bad) / sum(total)),
      (concat('allowed of ', pool, ' ', words), 1 - any(objective))]) AS told
  FROM {rows}
  GROUP BY time, words, pool)
ORDER BY time, series""",
        "time_series",
    )


_BY_SLICE = "concat('pool,', broken_down_by)"
_OF_CHOSEN = f"indicator IN (SELECT indicator FROM objectives WHERE {_KIND_CHOSEN})"


def _indicators(watched: Watched) -> Numbered:
    """Those of the objectives; where there are none, one without a name, which no row has."""
    return Numbered(
        "indicator", tuple(sorted({each.slo.indicator.name for each in duplex_objectives(watched)})) or ("",)
    )


def _of_slices(columns: str) -> str:
    """`columns` of each slice of the chosen breakdown, over the rows of chosen objectives' indicators."""
    rows = rollup(
        "burn_rate", "indicator, slice, bucket_start, bad, total", cut=_BY_SLICE, of=OF_DUPLEX, where=_OF_CHOSEN
    )
    return f"(SELECT slice, {columns} FROM {rows} GROUP BY slice)"


def burn_by_slice_over_time(watched: Watched) -> Query:
    """How many times more was missed than is allowed, by objective and slice of the chosen breakdown.

    Every slice's counts are arrays, of each indicator its steps: grouped by anything beside the slice it takes several times as long.
    """
    once = tuple({(each.slo.indicator.name, each.slo.pool): each for each in reversed(watched)}.values())
    indicators = _indicators(once)
    place = (
        f"toUInt32(({indicators.number} - 1) * steps + intDiv(dateDiff('second', range_from, bucket_start), step_s))"
    )
    sums = ", ".join(
        f"sumResample(0, steps * {len(indicators.values)}, 1)({each}, {place}) AS {each}_of"
        for each in ("bad", "total")
    )
    return Query(
        "duplex_burn_by_slice",
        f"""{given(selected(EVENT), _objectives(once), _BY, STEPS, of=OF_DUPLEX)}
SELECT range_from + toIntervalSecond(step_s * point.1) AS time, series, point.2 AS value FROM (
  SELECT series, arrayJoin(points) AS point FROM (
    SELECT concat(words, ' · ', slice) AS series,
      arrayMap(each -> (each.1, each.2 / each.3 / (1 - objective)), arrayFilter(each -> each.3 > 0,
        arrayZip(range(steps), arraySlice(bad_of, begin, steps), arraySlice(total_of, begin, steps)))) AS points
    FROM (
      SELECT {dimensions_of(("pool",))}, slice, bad_of, total_of, indicator_and_begin.1 AS indicator, indicator_and_begin.2 AS begin
      FROM {_of_slices(sums)}
      ARRAY JOIN arrayZip({indicators.listed}, range(1, steps * {len(indicators.values)} + 1, steps)) AS indicator_and_begin) AS counted
    INNER JOIN objectives ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool
    WHERE {_KIND_CHOSEN} AND notEmpty(points)
    ORDER BY arrayMax(points.2) DESC, series
    LIMIT {_ROWS_MAX}))
ORDER BY time, series""",
        "time_series",
    )


def by_slice(watched: Watched) -> Query:
    """Worst first: each objective in each slice of the chosen breakdown, and how much of all it explains."""
    indicators = _indicators(watched)
    sums = ", ".join(
        f"sumResample(1, {indicators.count}, 1)({each}, {indicators.number}) AS {each}_of" for each in ("bad", "total")
    )
    return Query(
        "duplex_by_slice",
        f"""{given(selected(EVENT), _objectives(watched), _BY, of=OF_DUPLEX)}
SELECT slo, counted.pool AS pool, region, route, bundle, missed, missed / judged AS missed_share, missed / judged / (1 - objective) AS burn,
  missed / nullIf(sum(missed) OVER (PARTITION BY slo), 0) AS share_of_missed,
  judged / sum(judged) OVER (PARTITION BY slo) AS share_of_judged
FROM (
  SELECT {dimensions_of()}, sums.1 AS indicator, sums.2 AS missed, sums.3 AS judged
  FROM {_of_slices(sums)}
  ARRAY JOIN arrayZip({indicators.listed}, bad_of, total_of) AS sums) AS counted
INNER JOIN objectives ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool
WHERE judged > 0 AND {_KIND_CHOSEN}
ORDER BY burn DESC, slo, pool, region, route, bundle
LIMIT 50""",
    )


_EVENTS = rollup("duplex_events", f"pool, {EVENT}, bucket_start, events", of=_OF_KINDS)

EVENTS_PER_SECOND = Query(
    "duplex_events_per_second",
    f"""{given(of=_OF_KINDS)}
SELECT time, series, events / covered_s AS value FROM (
  SELECT {STEP} AS time, toString({EVENT}) AS series, sum(events) AS events, {STEP_COVERED_S} AS covered_s
  FROM {_EVENTS}
  GROUP BY time, series)
ORDER BY time, series""",
    "time_series",
)

_LAST_QUARTER = (
    "dateDiff('second', $__fromTime, $__toTime) AS range_s",
    "$__fromTime + intDiv(range_s, 2) AS middle",
    "$__toTime - intDiv(range_s, 4) AS last_quarter",
)
_ALL_KINDS = Sliced(SLICE_VARIABLES, (_BY_EVENT,))


def _per_turn(when: str) -> str:
    turns = f"sumIf(events, {when} AND {EVENT} = 'assistant_turn')"
    return f"sumIf(events, {when} AND {EVENT} = kind) / nullIf({turns}, 0)"


KINDS_PER_TURN = Query(
    "duplex_kinds_per_turn",
    f"""{given(*_LAST_QUARTER, selected(EVENT), of=_ALL_KINDS)}
SELECT pool, kind, sumIf(events, {EVENT} = kind) AS happened, {_per_turn("true")} AS per_assistant_turn,
  {_per_turn("bucket_start < middle")} AS per_turn_before, {_per_turn("bucket_start >= last_quarter")} AS per_turn_now,
  per_turn_now / nullIf(per_turn_before, 0) AS growth
FROM (
  SELECT pool, {EVENT}, bucket_start, events,
    arrayJoin({[each for each in dict.fromkeys(str(i.duplex_event) for i in DUPLEX_INDICATORS) if each != "assistant_turn"]}) AS kind
  FROM {rollup("duplex_events", f"pool, {EVENT}, bucket_start, events", of=_ALL_KINDS)})
WHERE {_KIND_CHOSEN}
GROUP BY pool, kind
HAVING happened > 0
ORDER BY growth DESC NULLS LAST, pool, kind""",
)
"""How often each kind happens for each turn of the assistant: the last quarter of the range beside its first half."""
