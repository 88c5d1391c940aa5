"""What the gate of a running canary asks of ClickHouse: what was declared, when bundles served, and their roll-ups.

Views are asked, in which each bucket stands once with what came late. Every query is kept as it was asked, with its
parameters, since a verdict says where its figures came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.canary import BUNDLE, CanaryMetric, cuts_beside
from schemas.failures import Foreseen
from schemas.families import STAGE_LATENCIES, Family
from schemas.releases import Release, release_of
from schemas.rollup_tables import FAMILY_TABLES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.release.counting import FIRST, IS_CANDIDATE, LAST, SLICE, WINDOW
from stream_jobs.sinks.clickhouse import connect, explained

READ_TIMEOUT_S = 300.0
_SETTINGS = {
    "readonly": 2,
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
}
_IN_RANGE = """bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"""


@dataclass(frozen=True, slots=True)
class Served:
    """From the first bucket in which a bundle served to the end of its last one."""

    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Questions:
    """A connection, and every query that was asked by it."""

    address: ClickHouseAddress
    client: Client
    asked: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, address: ClickHouseAddress) -> Questions:
        """Raises `WarehouseError` where ClickHouse is away."""
        return cls(address, connect(address, read_timeout_s=READ_TIMEOUT_S))

    def ask(self, sql: str, parameters: dict[str, Any]) -> pl.DataFrame:
        """The rows; raises `WarehouseError` where ClickHouse is away, or refuses."""
        self.asked.append(f"{sql}\n-- {json.dumps(parameters)}")
        try:
            return pl.DataFrame(pl.from_arrow(self.client.query_arrow(sql, parameters, _SETTINGS)))
        except ClickHouseError as error:
            raise explained(error, self.address) from error

    def close(self) -> None:
        self.client.close()


def declared(questions: Questions, bundles: Sequence[str]) -> dict[str, Release]:
    """Of each bundle that was declared its newest declaration."""
    rows = questions.ask(_DECLARED, {"bundles": list(bundles)})
    newest = rows.filter(pl.col("at_ms") == pl.col("at_ms").max().over(BUNDLE))
    try:
        return {str(name): release_of(each.to_dicts()) for (name,), each in newest.group_by(BUNDLE)}
    except ValueError as error:
        raise Foreseen(
            f"The table releases holds a declaration that is none ({type(error).__name__}): declare it again."
        ) from None


_DECLARED = """SELECT bundle, artifact_kind, artifact, artifact_version, owner, lineage, evaluation, rollback_to, ways_back,
    who, toUnixTimestamp64Milli(at) AS at_ms
FROM releases FINAL
WHERE bundle IN {bundles:Array(String)}
ORDER BY bundle, at_ms, artifact_kind, artifact"""


def served(questions: Questions, bundles: Sequence[str], from_ms: int, to_ms: int) -> dict[str, Served]:
    """When each bundle served in a range, by its turns; a bundle that did not is not in it."""
    rows = questions.ask(_SERVED, {"bundles": list(bundles), "from_ms": from_ms, "to_ms": to_ms})
    return {name: Served(first_ms, last_ms) for name, first_ms, last_ms in rows.iter_rows()}


_SERVED = f"""SELECT bundle, toUnixTimestamp64Milli(min(bucket_start)) AS first_ms,
    toUnixTimestamp64Milli(max(bucket_start)) + 60000 AS last_ms
FROM traffic
WHERE cut = 'pool,bundle' AND turns > 0 AND bundle IN {{bundles:Array(String)}} AND {_IN_RANGE}
GROUP BY bundle"""


@dataclass(frozen=True, slots=True)
class Beside:
    """Both bundles in a range of time, in windows of one width."""

    release: str
    baseline: str
    from_ms: int
    to_ms: int
    width_ms: int

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "bundles": [self.release, self.baseline],
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "width_ms": self.width_ms,
        }


def ratios(questions: Questions, family: Family, metrics: Iterable[CanaryMetric], beside: Beside) -> pl.DataFrame:
    """The measures of these metrics in every slice that has a bundle, window by window: `canary_counting.counted_ratio`."""
    measures = dict.fromkeys(name for metric in metrics for name in metric.measures)
    summed = ", ".join(f"toInt64(sum({name})) AS {name}_sum" for name in measures)
    cuts = [cut.name for cut in cuts_beside(family).values()]
    rows = questions.ask(_windows(family, f"slice, bundle, {WINDOW}", summed, ""), beside.parameters | {"cuts": cuts})
    return _sided(rows.rename({f"{name}_sum": name for name in measures}), beside)


def histograms(questions: Questions, metrics: Iterable[CanaryMetric], beside: Beside) -> pl.DataFrame:
    """The histograms of these metrics' stages, block by block: `canary_counting.counted_tails`."""
    spans = f"toUnixTimestamp64Milli(min(bucket_start)) AS {FIRST}, toUnixTimestamp64Milli(max(bucket_start)) AS {LAST}"
    summed = f"toInt64(sum(observations)) AS observations_sum, {spans}"
    stages = list(dict.fromkeys(metric.stage for metric in metrics))
    cuts = [cut.name for cut in cuts_beside(STAGE_LATENCIES).values()]
    sql = _windows(
        STAGE_LATENCIES,
        f"slice, bundle, {WINDOW}, stage, scale, bucket_index",
        summed,
        " AND stage IN {stages:Array(String)} AND observations > 0",
    )
    rows = questions.ask(sql, beside.parameters | {"cuts": cuts, "stages": stages})
    numbers = pl.col("scale", "bucket_index").cast(pl.Int64)
    return _sided(rows.rename({"observations_sum": "observations"}).with_columns(numbers), beside)


def _windows(family: Family, keys: str, summed: str, further: str) -> str:
    window = f"intDiv(toUnixTimestamp64Milli(bucket_start), {{width_ms:Int64}}) * {{width_ms:Int64}} AS {WINDOW}"
    return f"""SELECT {keys.replace(WINDOW, window)}, {summed}
FROM {FAMILY_TABLES[family.name][0]}
WHERE cut IN {{cuts:Array(String)}} AND bundle IN {{bundles:Array(String)}}{further}
    AND {_IN_RANGE}
GROUP BY {keys}"""


def _sided(rows: pl.DataFrame, beside: Beside) -> pl.DataFrame:
    """Slices without their bundle, and whose rows they are."""
    return rows.with_columns(
        pl.col(SLICE).cast(pl.String).str.replace(r",bundle=[^,]*", "").str.replace(r"^bundle=[^,]*,?", ""),
        pl.col(WINDOW).cast(pl.Int64),
        (pl.col(BUNDLE).cast(pl.String) == beside.release).alias(IS_CANDIDATE),
    ).drop(BUNDLE)
