"""What was released, what gates said of it, and how bundles compare that served in the range."""

from __future__ import annotations

from dashboards.queries import Query

RELEASES_ANNOTATION = Query(
    "releases_annotation",
    """SELECT at AS time, at AS timeEnd, concat('release: ', bundle) AS title,
  concat(arrayStringConcat(arraySort(groupArray(concat(artifact, ' ', artifact_version))), ', '), ' (', any(who), ')') AS text,
  bundle AS tags
FROM releases FINAL WHERE at >= $__fromTime AND at <= $__toTime
GROUP BY bundle, at
ORDER BY time, bundle
LIMIT 500""",
)
"""Declarations within the range; of each, its artifacts and who declared it."""
