"""Which figure of which slice drifts, since when, against what; and how much of that is known.

Figures have units of their own, so they are drawn as times what the policy tolerates: how far a figure is above its reference,
over the larger of its tolerances; of a shape its stability index over the one that may be reached. At 1 nobody has to hear
of it. Slices that contain what is selected are shown as well, because no cut names every dimension.
"""

from __future__ import annotations

from decimal import Decimal

from dashboards.queries import Query
from dashboards.queries.constants import listed
from dashboards.queries.numbered import Numbered, is_one_of, looked_up
from dashboards.queries.selection import STEPS, given_buckets, matches, selected, step_of
from schemas.drift_measures import MEASURE_NAMES, RATIOS, SHAPES
from schemas.drift_policies import DriftPolicy
from schemas.drift_table import FAMILIES
from schemas.table_columns import slice_columns

HOUR_S = 3_600
DIMENSIONS_OF_DRIFT = tuple(column.name for column in slice_columns(*FAMILIES) if column.name not in ("cut", "slice"))
MEASURE = "measure"
STATES = ("drifted", "steady", "learning", "not_enough", "no_reference")
_SERIES_MAX, _ROWS_MAX, _SLICES_MAX = 8, 24, 100

_MATCHING = " AND ".join(matches(name) for name in (*DIMENSIONS_OF_DRIFT, MEASURE))
_IN_RANGE = "bucket_start >= range_from AND bucket_start < $__toTime"
_WITHIN = f"{_IN_RANGE} AND {_MATCHING}"
_ROWS = f"(SELECT * FROM drift_1h FINAL WHERE {_WITHIN})"
_FIGURE = Numbered(MEASURE, MEASURE_NAMES)
_STATE = Numbered("state", STATES)
assert _FIGURE.count <= 64, "figures are bits of a number"

_NEWEST_HOURS = f"""SELECT arrayJoin(hours) FROM (
    SELECT maxResample(0, {_FIGURE.count}, 1)(bucket_start, {_FIGURE.number}) AS hours
    FROM drift_1h WHERE {_WITHIN} GROUP BY slice)"""
"""Hours that are some figure's newest of some slice: few, so that of a month few rows are sorted."""
_NEWEST = f"""(
  SELECT * FROM drift_1h FINAL WHERE {_WITHIN} AND bucket_start GLOBAL IN ({_NEWEST_HOURS})
  ORDER BY bucket_start DESC LIMIT 1 BY measure, cut, slice)"""


def _opening(*more: str) -> str:
    return given_buckets(HOUR_S, selected(MEASURE), *more, variables=DIMENSIONS_OF_DRIFT)


def _policy(policy: DriftPolicy) -> str:
    rows = [
        (
            each.name,
            words(each.name),
            unit(each.name),
            Decimal(str(each.tolerance)),
            Decimal(str(each.tolerance_absolute)),
        )
        for each in policy.measures
    ]
    names = ("measure", "words", "unit", "tolerance", "tolerance_absolute")
    return f"policy AS {listed(names, rows, ('', '', '', Decimal(0), Decimal(0)))}"


def words(measure: str) -> str:
    """
    >>> words("word_error_rate"), words("heard_shape")
    ('word error rate', 'shape of heard')
    """
    return RATIOS[measure].words.replace("'", "’") if measure in RATIOS else f"shape of {SHAPES[measure]}"


def unit(measure: str) -> str:
    """
    >>> unit("word_error_rate"), unit("jitter_ms"), unit("heard_shape")
    ('%', 'ms', 'PSI')
    """
    if measure in SHAPES:
        return "PSI"
    return RATIOS[measure].unit or "%"


def _times_tolerated(is_shape: str, tolerance: str, absolute: str) -> str:
    return f"""if({is_shape}, value / {tolerance},
    (value - reference_value) / greatest({tolerance} * reference_value, {absolute}))"""


_TIMES_TOLERATED = _times_tolerated("policy.unit = 'PSI'", "policy.tolerance", "policy.tolerance_absolute")


def _figure(name: str) -> str:
    """A figure in its own unit, as text."""
    return f"if({name} IS NULL, '', concat(toString(round(assumeNotNull({name}) * if(policy.unit = '%', 100, 1), 3)), ' ', policy.unit))"


def _known(policy: DriftPolicy, rows: str) -> str:
    return f"{rows} AS told\nINNER JOIN policy ON policy.measure = told.measure"


def worst(policy: DriftPolicy) -> Query:
    return Query(
        "drift_now",
        f"""{_opening(_policy(policy))}
SELECT countIf(state = 'drifted') AS `drifting`, uniqExactIf(told.measure, state = 'drifted') AS `figures that drift`,
  maxIf({_TIMES_TOLERATED}, state = 'drifted') AS `worst, times tolerated`,
  countIf(state = 'steady') AS `steady`, countIf(state IN ('drifted', 'steady')) / nullIf(count(), 0) AS `judged`
FROM {_known(policy, _NEWEST)}""",
    )


def drifting(policy: DriftPolicy) -> Query:
    """What drifts in its newest hour, the most evident first."""
    return Query(
        "drifting",
        f"""{_opening(_policy(policy))}
SELECT policy.words AS figure, slice, {_figure("value")} AS now, {_figure("reference_value")} AS then,
  value / nullIf(reference_value, 0) - 1 AS change, {_TIMES_TOLERATED} AS times_tolerated, excess, evidence, since,
  dateDiff('second', since, bucket_start) + {HOUR_S} AS lasts_s, reference,
  if(reference_slice = slice, 'itself', reference_slice) AS compared_with, samples, reference_samples, spread, divergence_bits,
  bucket_start AS hour, told.measure AS measure, {", ".join(DIMENSIONS_OF_DRIFT)}
FROM {_known(policy, _NEWEST)}
WHERE state = 'drifted'
ORDER BY evidence DESC, figure, slice
LIMIT {_SLICES_MAX}""",
    )


def _worst_over_time(name: str, policy: DriftPolicy, value: str, series_max: int) -> Query:
    """`value` of the figures and slices in which it came highest; those are looked for first, and only their steps are told."""
    figure = Numbered(MEASURE, tuple(each.name for each in policy.measures))
    rows = f"""SELECT measure, slice, bucket_start, {value} AS figure FROM drift_1h FINAL
    WHERE {_WITHIN} AND {is_one_of(MEASURE, figure.values)}"""
    series = f"concat({looked_up(MEASURE, {each: words(each) for each in figure.values}, '')}, ' · ', slice)"
    worst = f"""SELECT figure_and_peak.1 AS measure, slice FROM (
      SELECT slice, arrayJoin(arrayZip({figure.listed}, peaks)) AS figure_and_peak FROM (
        SELECT slice, maxOrNullResample(1, {figure.count}, 1)(figure, {figure.number}) AS peaks FROM ({rows}) GROUP BY slice))
    WHERE figure_and_peak.2 IS NOT NULL
    ORDER BY figure_and_peak.2 DESC, {series}
    LIMIT {series_max}"""
    return Query(
        name,
        f"""{_opening()}
SELECT time, {series} AS series, value FROM (
  SELECT {step_of("bucket_start")} AS time, measure, slice, assumeNotNull(max(figure)) AS value
  FROM ({rows} AND (measure, slice) GLOBAL IN (
    {worst}))
  WHERE figure IS NOT NULL
  GROUP BY time, measure, slice)
ORDER BY time, series""",
        "time_series",
    )


def times_tolerated_over_time(policy: DriftPolicy) -> Query:
    tolerances = (
        looked_up(MEASURE, {each.name: Decimal(str(getattr(each, name))) for each in policy.measures}, Decimal(0))
        for name in ("tolerance", "tolerance_absolute")
    )
    is_shape = is_one_of(MEASURE, (each.name for each in policy.shapes))
    value = _times_tolerated(is_shape, *tolerances)
    return _worst_over_time("drift_times_tolerated", policy, value, _ROWS_MAX)


def evidence_over_time(policy: DriftPolicy) -> Query:
    return _worst_over_time("drift_evidence", policy, "evidence", _SERIES_MAX)


def excess_over_time(policy: DriftPolicy) -> Query:
    return _worst_over_time("drift_excess", policy, "excess", _SERIES_MAX)


_PLACE = f"toUInt32(intDiv(dateDiff('second', range_from, bucket_start), step_s) * {_STATE.count} + {_STATE.number})"

STATES_OVER_TIME = Query(
    "drift_states",
    f"""{_opening(STEPS)}
SELECT range_from + toIntervalSecond(step_s * intDiv(told.1, {_STATE.count})) AS time,
  {_STATE.text(f"modulo(told.1, {_STATE.count})")} AS series, told.2 AS value
FROM (
  SELECT arrayJoin(arrayFilter(each -> each.2 > 0, arrayZip(range(length(counted)), sumForEach(seen) AS counted))) AS told
  FROM (
    SELECT arrayMap(figures -> bitCount(figures),
        groupBitOrResample(0, steps * {_STATE.count}, 1)(bitShiftLeft(toUInt64(1), {_FIGURE.number}), {_PLACE})) AS seen
    FROM {_ROWS}
    GROUP BY slice))
ORDER BY time, series""",
    "time_series",
)
"""Figures of slices that were in each state in each step; of a slice those of each are bits of one number."""


def option_query(column: str) -> str:
    """The values of a dimension, or a figure, within the range."""
    return (
        f"SELECT DISTINCT {column} FROM drift_1h WHERE {column} != '' "
        f"AND bucket_start >= toStartOfHour($__fromTime) AND bucket_start < $__toTime ORDER BY {column}"
    )


assert set(MEASURE_NAMES) == {*RATIOS, *SHAPES}
