"""What was released, what gates said of it, and how bundles compare that served in the range."""

from __future__ import annotations

from dashboards.queries import Query
from dashboards.queries.burn_rate import Watched, slos_clause
from dashboards.queries.judged_counts import indicators_clause, sums_by_slice
from dashboards.queries.selection import (
    POINTS_OF_SHARES,
    SLICE_VARIABLES,
    STEP,
    STEP_COVERED_S,
    STEPS,
    TIME_OF_POINT,
    dimension_of,
    given,
    largest,
    matches,
    rollup,
    selected,
    shares_of_steps,
)
from dashboards.queries.stage_latency import BUCKET, LISTED, latencies_ms, place_of_stage, pool_and, rollup_by, stages
from schemas.families import COSTS
from schemas.prices import NANO_PER_USD

_ROWS_MAX = 100
_SERIES_MAX = 8
_SLICE_COLUMNS = ", ".join(SLICE_VARIABLES)
_BUNDLE = f"WITH {selected('bundle')}"
_OF_BUNDLE = "(empty(selected_bundle) OR has(selected_bundle, release) OR has(selected_bundle, baseline))"
_PRICED = max((cut for cut in COSTS.cuts if "tenant" not in cut.dimensions), key=lambda cut: len(cut.dimensions))
"""The cut whose rows have prices; what is wider adds up from it."""

RELEASES_ANNOTATION = Query(
    "releases_annotation",
    """SELECT at AS time, at AS timeEnd, concat('release: ', bundle) AS title,
  concat(arrayStringConcat(arraySort(groupArray(concat(artifact, ' ', artifact_version))), ', '), ' (', any(who), ')') AS text,
  bundle AS tags
FROM releases FINAL WHERE at >= $__fromTime AND at <= $__toTime
GROUP BY bundle, at
ORDER BY time DESC, bundle
LIMIT 500""",
)
"""Declarations within the range; of each, its artifacts and who declared it."""

RELEASED = Query(
    "released",
    f"""{_BUNDLE}
SELECT bundle, at, artifact_kind, artifact, artifact_version, owner, rollback_to, lineage, evaluation, ways_back, who
FROM releases FINAL
WHERE at <= $__toTime AND {matches("bundle")}
  AND (bundle, at) IN (SELECT bundle, max(at) FROM releases WHERE at <= $__toTime GROUP BY bundle)
ORDER BY at DESC, bundle, artifact_kind, artifact
LIMIT {_ROWS_MAX}""",
)
"""Every bundle as it was declared last up to the range's end, the newest first, a row for each artifact."""

VERDICTS = Query(
    "verdicts",
    f"""{_BUNDLE}
SELECT decision, release AS bundle, baseline, reason, because, blockers, insufficient, way_back, way_back_because, at, from_at, to_at, policy, who
FROM verdicts FINAL
WHERE metric = '' AND at <= $__toTime AND {_OF_BUNDLE}
ORDER BY at DESC LIMIT 1 BY release
LIMIT {_ROWS_MAX}""",
)
"""The newest verdict of each release up to the range's end."""

JUDGED = Query(
    "judged",
    f"""{_BUNDLE}
SELECT outcome, release AS bundle, slice, metric, baseline_value, candidate_value, allowed, low, high, unit, baseline_samples,
  candidate_samples, is_protected, because
FROM verdicts FINAL
WHERE metric != '' AND at <= $__toTime AND {_OF_BUNDLE}
  AND (release, at) IN (SELECT release, max(at) FROM verdicts WHERE at <= $__toTime GROUP BY release)
ORDER BY indexOf(['worse', 'insufficient', 'undecided', 'inside'], toString(outcome)), is_protected DESC, release, slice, metric
LIMIT {_ROWS_MAX}""",
)
"""What the newest verdict of each release was judged by, what got worse first."""

LOOKS = Query(
    "looks",
    f"""{_BUNDLE}
SELECT at, decision, release, baseline, reason, because, who
FROM verdicts FINAL
WHERE metric = '' AND at >= $__fromTime - INTERVAL 1 DAY AND at <= $__toTime AND {_OF_BUNDLE}
ORDER BY at DESC, release
LIMIT {_ROWS_MAX}""",
)
"""Every look of the range and of the day before it."""

_INDICATED = "'turn_error', 'abandonment'"

BUNDLES = Query(
    "bundles",
    f"""{given(required=("bundle",))}
SELECT served.pool AS pool, served.bundle AS bundle, served.turns AS turns,
  turns / sum(turns) OVER (PARTITION BY pool) AS share_of_turns, judged.errors AS errors, judged.abandoned AS abandoned,
  mean_turn_ms, first_seen, last_seen
FROM (
  SELECT pool, bundle, sum(turns) AS turns, sum(turn_latency_ms_sum) / nullIf(turns, 0) AS mean_turn_ms,
    min(bucket_start) AS first_seen, max(bucket_start) AS last_seen
  FROM {rollup("traffic", f"{_SLICE_COLUMNS}, bucket_start, turns, turn_latency_ms_sum")}
  GROUP BY pool, bundle) AS served
LEFT JOIN (
  SELECT pool, bundle, sumIf(bad, indicator = 'turn_error') / nullIf(sumIf(total, indicator = 'turn_error'), 0) AS errors,
    sumIf(bad, indicator = 'abandonment') / nullIf(sumIf(total, indicator = 'abandonment'), 0) AS abandoned
  FROM {rollup("burn_rate", f"{_SLICE_COLUMNS}, indicator, bad, total")}
  WHERE indicator IN ({_INDICATED})
  GROUP BY pool, bundle) AS judged ON judged.pool = served.pool AND judged.bundle = served.bundle
ORDER BY pool DESC, turns DESC, bundle
LIMIT {_ROWS_MAX}""",
)
"""What each bundle served, how much of it failed or was abandoned; errors are empty where none could be judged."""


def objectives_by_bundle(watched: Watched) -> Query:
    """Each objective's bad share in each bundle, beside that of all other bundles; where it is worse first."""
    return Query(
        "objectives_by_bundle",
        f"""{given(selected("slo"), slos_clause(watched), indicators_clause(watched), required=("bundle",))}
SELECT slo, pool, bundle, bad, total, bad / total AS bad_share, (all_bad - bad) / nullIf(all_total - total, 0) AS others_bad_share,
  bad_share - others_bad_share AS added, bad_share / (1 - objective) AS burn
FROM (
  SELECT slos.slo AS slo, objective, slos.pool AS pool, {dimension_of("bundle")}, sum(counted.bad) AS bad, sum(counted.total) AS total,
    sum(bad) OVER (PARTITION BY slo) AS all_bad, sum(total) OVER (PARTITION BY slo) AS all_total
  FROM {sums_by_slice()} AS counted
  INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.pool
  WHERE {matches("slo")}
  GROUP BY slo, objective, pool, bundle)
ORDER BY added / (1 - objective) DESC NULLS LAST, slo, bundle
LIMIT {_ROWS_MAX}""",
    )


_PLACES = f"0, {len(LISTED)}, 1"

STAGES_BY_BUNDLE = Query(
    "stages_by_bundle",
    f"""{given(required=("bundle",))}
SELECT pool, stage, bundle, observed, mean_ms, latencies[1] AS p95_ms, latencies[2] AS p99_ms,
  p95_ms - first_value(p95_ms) OVER widest AS `p95 added`, p99_ms - first_value(p99_ms) OVER widest AS `p99 added`,
  first_value(bundle) OVER widest AS `against`
FROM (
  SELECT {pool_and("bundle")}, told.1 AS stage, told.2 AS observed, told.3 / observed AS mean_ms, {latencies_ms("told.4")} AS latencies
  FROM (
    SELECT slice, sumResample({_PLACES})(observations, place) AS seen, sumResample({_PLACES})(latency_ms_sum, place) AS spent,
      quantilesExactWeightedResample(0.95, 0.99, {_PLACES})(bucket, observations, place) AS buckets
    FROM (SELECT slice, {place_of_stage()} AS place, bucket, observations, latency_ms_sum
      FROM {rollup_by("bundle", f"stage, {BUCKET} AS bucket, observations, latency_ms_sum")})
    WHERE observations > 0
    GROUP BY slice)
  ARRAY JOIN arrayZip({stages()}, seen, spent, buckets) AS told
  WHERE observed > 0)
WINDOW widest AS (PARTITION BY pool, stage ORDER BY observed DESC, bundle
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY pool DESC, indexOf({stages()}, stage), observed DESC, bundle
LIMIT 500""",
)
"""Latency of every stage in ms, bundle beside bundle; what is added is against the bundle that had the most of it."""

_SPENT = f"""(
  SELECT pool, bundle, bucket_start, successes, turns, used_nusd, reserved_nusd, uncosted_gpu_ms, uncosted_tokens
  FROM spend_10m FINAL
  WHERE cut = '{_PRICED.name}' AND bucket_start >= toStartOfInterval($__fromTime, INTERVAL 10 MINUTE)
    AND bucket_start < $__toTime AND {" AND ".join(matches(name) for name in ("pool", "bundle", "region"))})"""
"""What a replica was paid for is told of no route, so routes are not chosen from."""

COST_BY_BUNDLE = Query(
    "cost_by_bundle",
    f"""WITH {selected("pool")}, {selected("bundle")}, {selected("region")}
SELECT pool, bundle, sum(turns) AS turns, sum(successes) AS successes, successes / nullIf(turns, 0) AS success_share,
  sum(used_nusd) / {NANO_PER_USD} AS used_usd, used_usd / nullIf(successes, 0) AS used_usd_per_success,
  sum(reserved_nusd) / {NANO_PER_USD} AS reserved_usd, reserved_usd / nullIf(successes, 0) AS reserved_usd_per_success,
  sum(uncosted_gpu_ms) / 1000 AS uncosted_gpu_s, sum(uncosted_tokens) AS uncosted_tokens
FROM {_SPENT}
GROUP BY pool, bundle
ORDER BY successes = 0 AND used_usd > 0 DESC, used_usd_per_success DESC, pool, bundle
LIMIT {_ROWS_MAX}""",
)
"""Whole ten minutes."""

TURNS_BY_BUNDLE = Query(
    "turns_by_bundle",
    f"""{given(required=("bundle",))}
SELECT time, series, value FROM (
  SELECT *, max(value) OVER (PARTITION BY series) AS peak FROM (
    SELECT {STEP} AS time, concat(pool, ' · ', bundle) AS series, {STEP_COVERED_S} AS covered_s, sum(turns) / covered_s AS value
    FROM {rollup("traffic", f"{_SLICE_COLUMNS}, bucket_start, turns")}
    GROUP BY time, series))
QUALIFY {largest(_SERIES_MAX)}
ORDER BY time, peak DESC, series""",
    "time_series",
)


def burn_by_bundle(watched: Watched) -> Query:
    """Burn of each objective and bundle in each step, as counted in it; those with the highest peak."""
    return Query(
        "burn_by_bundle",
        f"""{given(selected("slo"), slos_clause(watched), STEPS, required=("bundle",))}
SELECT {TIME_OF_POINT}, series, point.2 / (1 - objective) AS value FROM (
  SELECT concat(slos.slo, ' · ', counted.bundle) AS series, objective, {POINTS_OF_SHARES},
    arrayMax(shares) / (1 - objective) AS peak FROM (
    SELECT indicator, pool, bundle, {shares_of_steps()}
    FROM {rollup("burn_rate", f"indicator, {_SLICE_COLUMNS}, bucket_start, bad, total", where="total > 0")}
    GROUP BY indicator, pool, bundle) AS counted
  INNER JOIN slos ON slos.indicator = counted.indicator AND slos.pool = counted.pool
  WHERE {matches("slo")}
  ORDER BY peak DESC, series LIMIT {_SERIES_MAX})
ARRAY JOIN points AS point
ORDER BY time, peak DESC, series""",
        "time_series",
    )
