"""Charts of burns over time: of thousands of slices the few that came worst, exactly, without drawing up the others.

What a chart draws of a slice (its burn, how near it came) never falls where a burn of a window grows. Hours keep the highest
burn of every slice and window (`schemas/hourly_tables.py`), so the same figure of whole hours bounds what the slice
reached in any step of them. The slices that came worst in the hour of the highest burn are drawn up first, of that hour alone, as many as the chart has series:
over the range they came at least as bad. Whoever is bounded below the least of these cannot be among the worst, with equals in order of
their series: the rest is drawn up, and nothing else. What a quiet slice did is not even read: what decides lies in the key, and is looked at before the rest of a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from dashboards.queries.constants import literal, plain
from dashboards.queries.selection import SERIES, SLICE_MATCHES, matches, step_of
from schemas.slos import WatchedSlo

_WHOLE_HOURS = "toStartOfHour(toDateTime64($__toTime, 3, 'UTC'))"
_COLUMNS = "slo, slice, window_s, burn"
_NONE = Decimal(0)
"""The factor of an objective that has no row of these windows."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What is drawn of a slice: `of` makes of a source of slo, slice, window_s and burn rows with `value`, one for each group of its keys.

    `where` says of which rows, by what is in the key of `burn_windows`. A value never falls where a burn grows; nothing below 0 is drawn.
    """

    of: Callable[[str, str], str]
    where: str


HIGHEST_BURN = Figure(
    lambda source, keys: f"SELECT {keys}, max(burn) AS value FROM {source} GROUP BY {keys}", "window_s = chosen_s"
)
"""The highest burn of the window that `chosen_s` tells."""


def nearness(watched: tuple[WatchedSlo, ...]) -> Figure:
    """How near a slice came to its nearest policy row, of each window the highest burn.

    A window that told nothing is -1, so a row of which one is missing is negative, and no slice comes that near.
    """
    factors: dict[tuple[int, int], dict[str, Decimal]] = {}
    for each in watched:
        # The row with the lowest factor is the nearest of those that look at the same windows, so it comes last.
        for row in sorted((row for row in each.rows if row.factor > 0), key=lambda row: -row.factor):
            factors.setdefault((row.long_s, row.short_s), {})[each.slo.name] = row.factor
    judged = {name for of in factors.values() for name in of}
    looked_at = sorted({seconds for pair in factors for seconds in pair})
    highest = "".join(f", max(if(window_s = {seconds}, burn, -1.)) AS burn_{seconds}" for seconds in looked_at)
    near = ", ".join(
        _near(*pair, {name: of.get(name, _NONE) for name in sorted(judged)}) for pair, of in factors.items()
    )

    def of(source: str, keys: str) -> str:
        burns = f"SELECT {keys}{highest} FROM {source} GROUP BY {keys}"
        return f"SELECT {keys}, greatest({near or '-1.'}, -1.) AS value FROM ({burns}) WHERE value >= 0"

    slos = f"slo IN ({', '.join(map(literal, sorted(judged)))})" if judged else "false"
    return Figure(of, f"window_s IN ({', '.join(map(str, looked_at)) or '0'}) AND {slos}")


def _near(long_s: int, short_s: int, factors: dict[str, Decimal]) -> str:
    """How near to the row of these windows; -1 for objectives without one. The most usual factor is said once, not of each."""
    lower = f"least(burn_{long_s}, burn_{short_s})"
    ((usual, _),) = Counter(factors.values()).most_common(1)
    if not (others := {name: factor for name, factor in factors.items() if factor != usual}):
        return f"{lower} / {plain(usual)}"
    factor = f"transform(toString(slo), [{', '.join(map(literal, others))}], [{', '.join(map(plain, others.values()))}], {plain(usual)})"
    if _NONE not in factors.values():
        return f"{lower} / {factor}"
    return f"if(({factor} AS factor_{long_s}_{short_s}) > 0, {lower} / factor_{long_s}_{short_s}, -1.)"


def drawn_worst(figure: Figure, series_max: int) -> tuple[str, str]:
    """A clause for WITH, and points of the slices with the highest peaks: a subquery with `time`, `slo`, `slice`, `value` and `peak`.

    What a slice told becomes arrays, and those of the slices that are drawn become rows again: every slice's points in order of
    their series, as a window function has them, is the most expensive of all a chart does.
    """
    bounds = f"""(SELECT argMax(hour_start, burn) FROM {_hours(figure, "hour_start, burn")}) AS worst_hour,
  bounds AS (
    SELECT slice, -value AS minus_peak, {SERIES} AS series FROM ({figure.of(_hours(figure), "slo, slice")}))"""
    of_hour = figure.of(_hours(figure, among="hour_start = worst_hour"), "slo, slice")
    likely = f"SELECT slice FROM ({of_hour}) ORDER BY value DESC, {SERIES} LIMIT {series_max}"
    in_hour = "decided_at >= worst_hour AND decided_at < worst_hour + INTERVAL 1 HOUR"
    least = f"""(
          SELECT if(count() < {series_max}, (inf, ''), arraySort(groupArray((minus_peak, series)))[{series_max}]) FROM (
            SELECT -max(value) AS minus_peak, {SERIES} AS series FROM ({_steps(figure, f"NOT is_long AND {in_hour} AND slice GLOBAL IN ({likely})")})
            GROUP BY slo, slice))"""
    is_rest = f"(is_long OR slice GLOBAL IN (SELECT slice FROM bounds WHERE (minus_peak, series) <= {least}))"
    points = f"""(SELECT point.1 AS time, slo, slice, point.2 AS value, peak FROM (
    SELECT slo, slice, max(value) AS peak, groupArray((time, value)) AS points FROM ({_steps(figure, is_rest, has_hours=True)})
    GROUP BY slo, slice
    ORDER BY peak DESC, {SERIES} LIMIT {series_max})
  ARRAY JOIN points AS point)"""
    return bounds, points


def _hours(figure: Figure, columns: str = _COLUMNS, among: str = "true") -> str:
    return f"""(
      SELECT {columns} FROM burn_windows_1h
      WHERE NOT is_long AND hour_start >= toStartOfHour(toDateTime64($__fromTime, 3, 'UTC')) AND hour_start <= $__toTime
        AND {among} AND {figure.where} AND {matches("slo")} AND {SLICE_MATCHES})"""


def _steps(figure: Figure, among: str, *, has_hours: bool = False) -> str:
    """What the figure was in each step, of the slices `among` which it is asked for; `has_hours` where the range may be long."""
    of_slice = f"{figure.where} AND {among}"
    if has_hours:
        told = decisions(_COLUMNS, of_slice, figure.where, SLICE_MATCHES)
    else:
        told = f"({_minutes(_COLUMNS, of_slice, SLICE_MATCHES)})"
    return figure.of(f"(SELECT {step_of('decided_at')} AS time, {_COLUMNS} FROM {told})", "time, slo, slice")


def decisions(columns: str, where: str = "true", hours_where: str = "true", slices: str = "true") -> str:
    """Decisions in the range, as a subquery with `decided_at`; of a long range the extremes of its hours, and decisions of its last one.

    To be read in steps that `given` makes of whole hours: an hour that the range begins in is read whole. Of minutes `where`
    looks only at what is in their key.
    """
    return f"""({_minutes(columns, where, slices)}
      UNION ALL
      SELECT hour_start AS decided_at, {columns} FROM burn_windows_1h
      WHERE is_long AND hour_start >= range_from AND hour_start < {_WHOLE_HOURS} AND {hours_where} AND {matches("slo")} AND {slices})"""


def _minutes(columns: str, where: str, slices: str) -> str:
    """What is in the key is the same of every version of a row, so it may be looked at before the newest is found."""
    return f"""SELECT decided_at, {columns} FROM burn_windows FINAL
      PREWHERE decided_at >= if(is_long, {_WHOLE_HOURS}, toDateTime64($__fromTime, 3, 'UTC')) AND decided_at <= $__toTime
        AND {matches("slo")} AND {where}
      WHERE {slices}"""
