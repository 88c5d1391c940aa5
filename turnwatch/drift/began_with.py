"""What began just before a rate got worse: bundles, artifacts of them, index refreshes and policies, as hosts served them.

It is told as "began with", never as "because of": that two things began together is no proof. Which hosts serve what is the
family `releases` (view `deployments`); what a bundle is made of, by whom and with which way back is table `releases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.slices import may_overlap
from schemas.warehouse import ClickHouseAddress
from stream_jobs.sinks.clickhouse import connect, explained

BEFORE_MS = 24 * 3_600_000
"""How long before a change something may have begun to be named, as in pages."""
NEAR_MS = 3_600_000
"""Who told what they serve within so long before a change, or in its window, would have told of what began with it."""
INDEX = "retrieval_index"
_SETTINGS = {
    "readonly": 2,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}


@dataclass(frozen=True, slots=True)
class Began:
    """Something that hosts began to serve. Of a bundle `artifact` is empty; version, owner and way back are as declared."""

    at_ms: int
    kind: str
    slice: str
    bundle: str
    artifact: str
    version: str | None = None
    owner: str | None = None
    rollback_to: str | None = None

    @property
    def what(self) -> str:
        """In words: `bundle v2`, `retrieval_index kb kb-2026-10-01 of bundle v2`."""
        if not self.artifact:
            return f"bundle {self.bundle}"
        return " ".join(part for part in (self.kind, self.artifact, self.version, "of bundle", self.bundle) if part)


def began_with(address: ClickHouseAddress, onset_ms: int, window_ms: int, text: str) -> list[Began] | None:
    """What began in the day before a change of the slice `text`, or in the window with which it changed; the last first.
    `None` where nothing is known to have begun, and no host of its pool (and region, where it has one) told near the change
    what it serves: that nothing was told is no news of nothing.

    A bundle, or an artifact of one, begins when hosts serve it for the first time ever; an index whenever hosts begin to serve
    it, as it is refreshed under its name. Of a new bundle only those artifacts are told whose version is new, where they are
    declared. Raises `WarehouseError` where ClickHouse is away, or refuses.
    """
    client = connect(address)
    parameters = {"from_ms": onset_ms - BEFORE_MS, "near_ms": onset_ms - NEAR_MS, "to_ms": onset_ms + window_ms}
    try:
        served = pl.DataFrame(pl.from_arrow(client.query_arrow(_SERVED, parameters, _SETTINGS)))
        declared = pl.DataFrame(pl.from_arrow(client.query_arrow(_DECLARED, None, _SETTINGS)))
        heard = pl.DataFrame(pl.from_arrow(client.query_arrow(_HEARD, parameters, _SETTINGS)))
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()
    began = [each for each in told_once(served, declared) if may_overlap(text, each.slice)]
    return began if began or any(may_overlap(text, where) for where in heard["slice"]) else None


def told_once(served: pl.DataFrame, declared: pl.DataFrame) -> list[Began]:
    """From what was served and what is declared: without artifacts that came along unchanged, the last first."""
    joined = served.join(declared, on=["bundle", "artifact_kind", "artifact"], how="left").sort(
        "at_ms", "artifact", descending=[True, False], maintain_order=True
    )
    new_bundles = set(served.filter(pl.col("artifact") == "")["bundle"])
    return [
        Began(row["at_ms"], *(row[name] for name in _FIELDS))
        for row in joined.iter_rows(named=True)
        if not (row["artifact"] and row["bundle"] in new_bundles and row["is_known"])
    ]


_FIELDS: Sequence[str] = (
    "artifact_kind", "slice", "bundle", "artifact", "artifact_version", "owner", "rollback_to",
)  # fmt: skip
_SERVED = f"""SELECT at_ms, slice, bundle, artifact, artifact_kind
FROM (
    SELECT toUnixTimestamp64Milli(min(bucket_start)) AS at_ms, slice, any(deployments.bundle) AS bundle, '' AS artifact,
        'bundle' AS artifact_kind
    FROM deployments
    WHERE cut = 'pool,region,bundle' AND deployments > 0
    GROUP BY slice
    UNION ALL
    SELECT toUnixTimestamp64Milli(if(artifact_kind = '{INDEX}',
        maxIf(bucket_start, bucket_start < fromUnixTimestamp64Milli({{to_ms:Int64}})), min(bucket_start))) AS at_ms,
        concat('pool=', any(pool), ',bundle=', any(deployments.bundle)) AS slice, any(deployments.bundle) AS bundle,
        any(deployments.artifact) AS artifact, artifact_kind
    FROM deployments
    WHERE cut = 'pool,bundle,artifact' AND artifact_kind != 'bundle' AND deployments > 0
    GROUP BY deployments.slice, artifact_kind)
WHERE at_ms >= {{from_ms:Int64}} AND at_ms < {{to_ms:Int64}}"""
_HEARD = """SELECT DISTINCT concat('pool=', pool, ',region=', region) AS slice
FROM deployments
WHERE cut = 'pool,region,bundle' AND bucket_start >= fromUnixTimestamp64Milli({near_ms:Int64})
    AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"""
"""Hosts tell every window what they serve, so pools and regions without a row are those that nobody told of."""
_DECLARED = """SELECT bundle, artifact_kind, artifact, artifact_version, owner, rollback_to,
    toBool(at > min(at) OVER (PARTITION BY artifact_kind, artifact, artifact_version)) AS is_known
FROM (
    SELECT *, max(at) OVER (PARTITION BY bundle) AS newest
    FROM releases FINAL)
WHERE at = newest"""
