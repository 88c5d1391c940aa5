"""A turn's stages one after the other: what each adds to the mean turn, how far its tail goes, bundle by bundle.

Parts of a turn are contiguous, and those that happened sum to `heard`. A part that not every turn has (a lookup) counts with
what it adds to the mean turn: its time in all turns, over the turns. Quantiles are of the turns that had the stage.
"""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.selection import SLICE_VARIABLES, STEP, STEPS, TIME_OF_POINT, given, rollup
from dashboards.queries.stage_latency import BUCKET, IN_ORDER, latencies_ms, place_of_stage, pool_and, rollup_by
from schemas.families import PARTS, WHOLES
from schemas.views import LATENCY_MS

ENDED = tuple(stage for stage in WHOLES if stage != "interrupted")
"""Wholes that tell how long a turn took; one that was interrupted does not."""
STAGE = "if(empty(decodeURLComponent('${stage:percentencode}')), 'turn', decodeURLComponent('${stage:percentencode}'))"
"""The chosen stage, the whole turn where none is."""

_LABELS_MAX = 30
_SERIES_MAX = 8
_TAIL = (0.5, 0.9, 0.95, 0.99, 0.999)
_SLICE_COLUMNS = ", ".join(SLICE_VARIABLES)
_HISTOGRAMS = rollup(
    "stage_latency", f"{_SLICE_COLUMNS}, stage, scale, bucket_index, bucket_start, observations, latency_ms_sum"
)


def _listed(stages: tuple[str, ...]) -> str:
    return ", ".join(f"'{stage}'" for stage in stages)


_PLACE = f"indexOf([{_listed(IN_ORDER)}], toString(stage))"

WATERFALL = Query(
    "stage_waterfall",
    f"""{given()}
SELECT stage, if(is_part, sum(is_part * mean_ms) OVER (ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - mean_ms, 0.)
    AS `begins after`,
  mean_ms AS `on average`, if(is_part, greatest(p95_ms - mean_ms, 0.), 0.) AS `up to p95`, share_of_turns AS `of all turns`
FROM (
  SELECT stage, {_PLACE} AS place, stage IN ({_listed(PARTS)}) AS is_part, sum(latency_ms_sum) AS spent_ms, sum(observations) AS seen,
    max(if(is_part OR stage = 'heard', seen, 0)) OVER () AS turns,
    spent_ms / if(is_part AND turns > 0, turns, seen) AS mean_ms, least(seen / nullIf(turns, 0), 1) AS share_of_turns,
    quantileExactWeighted(0.95)({LATENCY_MS}, observations) AS p95_ms
  FROM {_HISTOGRAMS}
  WHERE stage IN ({_listed((*PARTS, *ENDED))})
  GROUP BY stage)
ORDER BY place""",
)
"""Milliseconds; a part begins where those before it ended on average, a whole at the end of the user's speech.

Wholes are as long as on average: beside their tails, which `TAILS` has, parts could not be seen.
"""


_ADDING = (*PARTS, "heard")
"""What the mean turn is made of, and how many turns were heard."""


def parts_by(dimension: str) -> Query:
    """What each part of the turn adds to the mean turn of each value of a dimension, in ms; the slowest first."""
    places = f"0, {len(_ADDING)}, 1"
    added = ", ".join(f"spent[{place}] / turns AS {stage}" for place, stage in enumerate(PARTS, 1))
    histograms = rollup_by(dimension, "stage, observations, latency_ms_sum")
    return Query(
        f"parts_by_{dimension}",
        f"""{given(required=(dimension,))}
SELECT concat(pool, ' · ', {dimension}) AS {label(dimension)}, {", ".join(PARTS)}
FROM (
  SELECT {pool_and(dimension)}, arrayMax(seen) AS turns, {added}
  FROM (
    SELECT slice, sumResample({places})(observations, place) AS seen, sumResample({places})(latency_ms_sum, place) AS spent
    FROM (SELECT slice, {place_of_stage(_ADDING)} AS place, observations, latency_ms_sum FROM {histograms})
    GROUP BY slice)
  WHERE turns > 0)
ORDER BY {" + ".join(PARTS)} DESC, pool, {dimension}
LIMIT {_LABELS_MAX}""",
    )


def label(dimension: str) -> str:
    """The column that names a bar."""
    return f"pool_and_{dimension}"


_FIGURES = ", ".join(
    f"quantiles_ms[{place}] AS {name}" for place, name in enumerate(("p50", "p90", "p95", "p99", "p999"), 1)
)

TAILS = Query(
    "stage_tails",
    f"""{given()}
SELECT stage, observed, mean, {_FIGURES}, max_ms AS slowest, p99 / nullIf(p50, 0) AS `p99 to p50`
FROM (
  SELECT stage, sum(observations) AS observed, sum(latency_ms_sum) / observed AS mean,
    quantilesExactWeighted({", ".join(map(str, _TAIL))})({LATENCY_MS}, observations) AS quantiles_ms,
    max({LATENCY_MS}) AS max_ms
  FROM {_HISTOGRAMS}
  WHERE observations > 0
  GROUP BY stage)
ORDER BY {_PLACE}""",
)


TAIL_OVER_TIME = Query(
    "tail_over_time",
    f"""{given(f"{STAGE} AS chosen_stage")}
SELECT time, told.1 AS series, told.2 AS value FROM (
  SELECT {STEP} AS time, arrayJoin(arrayZip(['p50', 'p95', 'p99'], quantilesExactWeighted(0.5, 0.95, 0.99)({LATENCY_MS}, observations))) AS told
  FROM {_HISTOGRAMS}
  WHERE stage = chosen_stage AND observations > 0
  GROUP BY time)
ORDER BY time, series""",
    "time_series",
)
"""Quantiles of the chosen stage in ms."""


def p95_by(dimension: str) -> Query:
    """p95 of the chosen stage in ms, of each value of a dimension; those with the highest peak.

    A state of some 300 bytes is held for each step of each slice, also where it had nothing: 0.4 GB of 828 slices over 720 steps.
    """
    step = "toUInt32(intDiv(dateDiff('second', range_from, bucket_start), step_s))"
    histograms = rollup_by(dimension, f"stage, {BUCKET} AS bucket, bucket_start, observations")
    return Query(
        f"p95_by_{dimension}",
        f"""{given(f"{STAGE} AS chosen_stage", STEPS, required=(dimension,))}
SELECT {TIME_OF_POINT}, series, point.2 AS value FROM (
  SELECT {pool_and(dimension)}, concat(pool, ' · ', {dimension}) AS series, arrayMax(values) AS peak,
    arrayZip(arrayFilter((step, bucket) -> NOT isNaN(bucket), range(steps), buckets), values) AS points,
    {latencies_ms("arrayFilter(bucket -> NOT isNaN(bucket), buckets)")} AS values
  FROM (
    SELECT slice, quantileExactWeightedResample(0.95, 0, steps, 1)(bucket, observations, {step}) AS buckets
    FROM {histograms}
    WHERE stage = chosen_stage AND observations > 0
    GROUP BY slice)
  ORDER BY peak DESC, series LIMIT {_SERIES_MAX})
ARRAY JOIN points AS point
ORDER BY time, peak DESC, series""",
        "time_series",
    )
