"""Which figure of which slice drifts, since when, against what; and how much of that is known.

Figures have units of their own, so they are drawn as times what the policy tolerates: how far a figure is above its reference,
over the larger of its tolerances; of a shape its stability index over the one that may be reached. At 1 nobody has to hear
of it. Slices that contain what is selected are shown as well, because no cut names every dimension.
"""

from __future__ import annotations

from decimal import Decimal

from dashboards.queries import Query
from dashboards.queries.constants import listed
from dashboards.queries.selection import given_buckets, largest, matches, selected, step_of
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
_ROWS = f"(SELECT * FROM drift_1h FINAL WHERE {_IN_RANGE} AND {_MATCHING})"
_NEWEST = f"""(
  SELECT * FROM {_ROWS} ORDER BY bucket_start DESC LIMIT 1 BY measure, cut, slice)"""


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


_TIMES_TOLERATED = """if(policy.unit = 'PSI', value / policy.tolerance,
    (value - reference_value) / greatest(policy.tolerance * reference_value, policy.tolerance_absolute))"""


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
    """`value` of the figures and slices in which it came highest."""
    return Query(
        name,
        f"""{_opening(_policy(policy))}
SELECT time, series, value FROM (
  SELECT time, series, value, max(value) OVER (PARTITION BY series) AS peak FROM (
    SELECT {step_of("bucket_start")} AS time, concat(words, ' · ', slice) AS series, assumeNotNull(max(figure)) AS value
    FROM (SELECT policy.words AS words, slice, bucket_start, {value} AS figure FROM {_known(policy, _ROWS)})
    WHERE figure IS NOT NULL
    GROUP BY time, series))
QUALIFY {largest(series_max)}
ORDER BY time, series""",
        "time_series",
    )


def times_tolerated_over_time(policy: DriftPolicy) -> Query:
    return _worst_over_time("drift_times_tolerated", policy, _TIMES_TOLERATED, _ROWS_MAX)


def evidence_over_time(policy: DriftPolicy) -> Query:
    return _worst_over_time("drift_evidence", policy, "evidence", _SERIES_MAX)


def excess_over_time(policy: DriftPolicy) -> Query:
    return _worst_over_time("drift_excess", policy, "excess", _SERIES_MAX)


STATES_OVER_TIME = Query(
    "drift_states",
    f"""{_opening()}
SELECT {step_of("bucket_start")} AS time, toString(state) AS series, uniqExact(measure, cut, slice) AS value
FROM {_ROWS}
GROUP BY time, series
ORDER BY time, series""",
    "time_series",
)


def option_query(column: str) -> str:
    """The values of a dimension, or a figure, within the range."""
    return (
        f"SELECT DISTINCT {column} FROM drift_1h WHERE {column} != '' "
        f"AND bucket_start >= toStartOfHour($__fromTime) AND bucket_start < $__toTime ORDER BY {column}"
    )


assert set(MEASURE_NAMES) == {*RATIOS, *SHAPES}
