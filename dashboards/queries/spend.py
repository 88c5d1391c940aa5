"""What a success costs: what was paid for it, beside the same hours a whole number of weeks before.

Dollars are those of `spend_10m`, at the prices of their time. What replicas were paid for is told without the route that used
it; where routes are looked at it is shared out as in bills and tickets (`stream_jobs/operators/cost/cells.py`, rule 1): among
the routes of the same pool, model, GPU and purchase by the GPU time that they used, or by tokens where nobody told GPU time;
what nobody used stays idle. Turns are told with the model that answers, so a choice of models, GPUs or purchases is one of
dollars and never of turns.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_VARIABLES, given_buckets, largest, matches, step_of
from schemas.families import COSTS
from schemas.families.costs import TEN_MINUTES_S

CELL = COSTS.partitions[0].dimensions
_FINEST = ",".join(CELL)
KINDS = tuple(name for name in CELL if name not in SLICE_VARIABLES)
"""Dimensions of what is bought: they say nothing of turns."""
VARIABLES = (*SLICE_VARIABLES, *KINDS)
BREAKDOWNS = ("route", "bundle", "region", "pool", *KINDS)
_WEEK_S = 7 * 86_400
_SLICES_MAX, _SERIES_MAX = 50, 8
USD_PER_1000 = 1_000 / 1e9
"""US dollars for 1,000 of something, of nano-dollars for one."""

_CHOSEN_BY = "decodeURLComponent('${by:percentencode}')"
BY = f"if({_CHOSEN_BY} IN {BREAKDOWNS}, {_CHOSEN_BY}, '{BREAKDOWNS[0]}') AS broken_down_by"
"""The chosen breakdown, as a clause."""
_ROUTED = "notEmpty(selected_route) AS is_routed"
_ROUTED_BY = "(notEmpty(selected_route) OR broken_down_by = 'route') AS is_routed"
_SHIFT = (
    f"toUInt32(intDiv(dateDiff('second', $__fromTime, $__toTime) + {_WEEK_S - 1}, {_WEEK_S}) * {_WEEK_S}) AS shift_s"
)
VALUE = f"[{', '.join(f'toString({name})' for name in BREAKDOWNS)}][indexOf({list(BREAKDOWNS)}, broken_down_by)]"
"""The value of the chosen breakdown."""

_TOKENS = ("tokens_prompt", "tokens_carried", "tokens_retrieved", "tokens_out", "tokens_audio")
USES = (
    "attempts", "attempts_retried", "attempts_fallback", "attempts_shadow", *_TOKENS, "tokens_cached",
    "gpu_used_ms", "gpu_reserved_ms",
)  # fmt: skip
_MONEY = ("turns", "successes", "used_nusd", "reserved_nusd", "uncosted_gpu_ms", "uncosted_tokens")

_KEPT = " AND ".join(matches(name) for name in VARIABLES if name != "route" and name not in KINDS)
_IS_CHOSEN = " AND ".join(matches(name) for name in KINDS)


def opening(*more: str, is_by: bool = False) -> str:
    """The WITH clause of a query about cost; with `is_by` it depends on the chosen breakdown."""
    clauses = (BY, _ROUTED_BY) if is_by else (_ROUTED,)
    return given_buckets(TEN_MINUTES_S, _SHIFT, *clauses, *more, variables=VARIABLES)


_IN_RANGE = "bucket_start >= range_from AND bucket_start < $__toTime"
_IN_EITHER = (
    f"(({_IN_RANGE}) OR (bucket_start >= range_from - toIntervalSecond(shift_s) "
    "AND bucket_start < $__toTime - toIntervalSecond(shift_s)))"
)


def _told(when: str) -> str:
    """Uses and dollars of every ten minutes and cell, in rows of both tables."""

    def rows(table: str, own: tuple[str, ...]) -> str:
        columns = ", ".join(name if name in own else f"toUInt64(0) AS {name}" for name in (*_MONEY, *USES))
        return f"""SELECT {", ".join(CELL)}, bucket_start, {columns} FROM {table} FINAL
      WHERE cut = '{_FINEST}' AND {when} AND {_KEPT}"""

    return f"{rows('spend_10m', _MONEY)}\n      UNION ALL\n      {rows('costs_10m', USES)}"


def charged(time: str = "", when: str = _IN_EITHER) -> str:
    """Cells of each period (`is_now`), and of each `time` where that is an expression, with `charged_nusd` and `is_chosen`.

    `charged_nusd` is what was paid for, shared out to routes where the query `is_routed`.
    """
    stamped = f", {time} AS time" if time else ""
    period = "is_now, time" if time else "is_now"
    replicas = f"PARTITION BY {period}, pool, model_version, gpu_type, purchase"
    of_route = f"{replicas}, route"
    sums = ", ".join(f"toFloat64(sum({name})) AS {name}" for name in (*_MONEY, *USES))
    share = f"reserved_nusd - loose + use / whole * sum(loose) OVER ({replicas})"
    return f"""(
  SELECT *, ({_IS_CHOSEN}) AS is_chosen FROM (
    SELECT *, if(is_routed AND whole > 0, {share}, reserved_nusd) AS charged_nusd
    FROM (
      SELECT *, sum(use) OVER ({replicas}) AS whole,
        if(sum(gpu_used_ms + tokens + attempts) OVER ({of_route}) > 0, 0., reserved_nusd) AS loose
      FROM (
        SELECT *, {" + ".join(_TOKENS)} AS tokens, if(sum(gpu_used_ms) OVER ({replicas}) > 0, gpu_used_ms, tokens) AS use
        FROM (
          SELECT {", ".join(CELL)}, bucket_start >= range_from AS is_now{stamped},
            max(bucket_start) AS newest, {sums}
          FROM (
      {_told(when)})
          GROUP BY {", ".join(CELL)}, {period}))))
  WHERE {matches("route")})"""


def _usd(condition: str, value: str = "charged_nusd") -> str:
    return f"sumIf({value}, is_chosen AND {condition}) / 1e9"


_PER_SUCCESS_NOW = f"1000 * {_usd('is_now')} / nullIf(sumIf(successes, is_now), 0)"
_PER_SUCCESS_BEFORE = f"1000 * {_usd('NOT is_now')} / nullIf(sumIf(successes, NOT is_now), 0)"

WORST = Query(
    "cost_now",
    f"""{opening()}
SELECT {_PER_SUCCESS_NOW} AS `1,000 successes`, {_PER_SUCCESS_BEFORE} AS `1,000 successes before`,
  `1,000 successes` / nullIf(`1,000 successes before`, 0) - 1 AS `change`,
  sumIf(successes, is_now) / nullIf(sumIf(turns, is_now), 0) AS `success rate`, {_usd("is_now")} AS `paid`,
  1 - {_usd("is_now", "used_nusd")} / nullIf(`paid`, 0) AS `idle share`,
  sumIf(uncosted_gpu_ms, is_now) / nullIf(sumIf(greatest(gpu_used_ms, gpu_reserved_ms), is_now), 0) AS `GPU time without a price`
FROM {charged()}""",
)

_AT = (
    f"if(bucket_start >= range_from, {step_of('bucket_start')}, {step_of('bucket_start + toIntervalSecond(shift_s)')})"
)


def per_success_over_time(tolerance: float) -> Query:
    """Dollars for 1,000 successes by pool, those of the weeks before, and what is tolerated beyond."""
    return Query(
        "cost_per_success_over_time",
        f"""{opening()}
SELECT time, told.1 AS series, assumeNotNull(told.2) AS value FROM (
  SELECT time, pool, {_PER_SUCCESS_NOW} AS now_usd, {_PER_SUCCESS_BEFORE} AS before_usd,
    arrayJoin([(toString(pool), now_usd), (concat(pool, ' before'), before_usd),
      (concat('tolerated ', pool), before_usd * {1 + tolerance})]) AS told
  FROM {charged(_AT)}
  GROUP BY time, pool)
WHERE told.2 IS NOT NULL
ORDER BY time, series""",
        "time_series",
    )


def _of_all(measure: str, when: str, partition: str = "") -> str:
    """A sum of turns: of the row, or of all rows where they are kinds of what is bought."""
    own = f"sumIf({measure}, {when})"
    return f"if(broken_down_by IN {KINDS}, sum({own}) OVER ({partition}), {own})"


BY_OVER_TIME = Query(
    "cost_per_success_by_over_time",
    f"""{opening(is_by=True)}
SELECT time, series, assumeNotNull(value) AS value FROM (
  SELECT time, series, value, max(value) OVER (PARTITION BY series) AS peak FROM (
    SELECT time, {VALUE} AS series, 1000 * {_usd("is_now")} / nullIf({_of_all("successes", "is_now", "PARTITION BY time")}, 0) AS value
    FROM {charged(_AT, _IN_RANGE)}
    GROUP BY time, series)
  WHERE value IS NOT NULL)
QUALIFY {largest(_SERIES_MAX)}
ORDER BY time, series""",
    "time_series",
)

PARTS = ("GPU time used", "GPU time idle", "hosted tokens")
"""What is paid for."""
_OF_PARTS = (
    "sumIf(used_nusd, is_chosen AND purchase != 'hosted') / 1e9",
    "sumIf(charged_nusd - used_nusd, is_chosen AND purchase != 'hosted') / 1e9",
    "sumIf(charged_nusd, is_chosen AND purchase = 'hosted') / 1e9",
)

PARTS_OVER_TIME = Query(
    "cost_parts_over_time",
    f"""{opening()}
SELECT time, part.1 AS series, part.2 * 3600 / covered_s AS value FROM (
  SELECT time, arrayJoin(arrayZip({list(PARTS)}, [{", ".join(_OF_PARTS)}])) AS part,
    least(step_s, greatest(bucket_s, dateDiff('second', time, max(max(newest)) OVER ()) + bucket_s)) AS covered_s
  FROM {charged(_AT, _IN_RANGE)}
  GROUP BY time)
ORDER BY time, series""",
    "time_series",
)

PARTS_BY_MODEL = Query(
    "cost_parts_by_model",
    f"""{opening()}
SELECT model_version AS model, {", ".join(f"{value} AS `{part}`" for part, value in zip(PARTS, _OF_PARTS, strict=True))}
FROM {charged(when=_IN_RANGE)}
WHERE is_chosen
GROUP BY model
ORDER BY sum(charged_nusd) DESC, model
LIMIT 12""",
)

BY_SLICE = Query(
    "cost_by_slice",
    f"""{opening(is_by=True)}
SELECT value, usd, usd / nullIf(sum(usd) OVER (), 0) AS share_of_cost, succeeded AS successes,
  succeeded / nullIf(came, 0) AS success_rate, 1000 * usd / nullIf(succeeded, 0) AS usd_per_1000,
  1000 * usd_before / nullIf(succeeded_before, 0) AS usd_per_1000_before,
  usd_per_1000 / nullIf(usd_per_1000_before, 0) - 1 AS change, 1 - usd_used / nullIf(usd, 0) AS idle_share,
  {", ".join(f"if(broken_down_by = '{name}', value, arrayStringConcat(selected_{name}, ',')) AS {name}" for name in VARIABLES)}
FROM (
  SELECT {VALUE} AS value, {_usd("is_now")} AS usd, {_usd("NOT is_now")} AS usd_before, {_usd("is_now", "used_nusd")} AS usd_used,
    {_of_all("successes", "is_now")} AS succeeded, {_of_all("successes", "NOT is_now")} AS succeeded_before,
    {_of_all("turns", "is_now")} AS came
  FROM {charged()}
  GROUP BY value)
WHERE usd > 0 OR usd_before > 0 OR came > 0
ORDER BY usd DESC, value
LIMIT {_SLICES_MAX}""",
)
"""What each slice of the chosen breakdown cost, dearest first; of what is bought, for each success of all.

The last columns narrow a link to the slice: what is selected beside it stays so.
"""

UNCOSTED = Query(
    "cost_without_price",
    f"""{opening()}
SELECT region, model_version, gpu_type, purchase, sum(uncosted_gpu_ms) AS gpu_ms,
  gpu_ms / nullIf(sum(greatest(gpu_used_ms, gpu_reserved_ms)), 0) AS share_of_gpu_time, sum(uncosted_tokens) AS tokens
FROM {charged(when=_IN_RANGE)}
WHERE is_chosen
GROUP BY region, model_version, gpu_type, purchase
HAVING gpu_ms > 0 OR tokens > 0
ORDER BY gpu_ms DESC, tokens DESC, region, model_version
LIMIT {_SLICES_MAX}""",
)
