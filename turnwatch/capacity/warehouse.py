"""What a slice was measured to serve, from ClickHouse: its minutes, the hours of the weeks before, what turns took of GPUs.

A family is asked by the coarsest of its cuts that names every dimension of the slice, so each turn counts once.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import numpy as np
import polars as pl
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.failures import BadInput
from schemas.families import COSTS, QUEUES, STAGE_LATENCIES, STREAMS, Family
from schemas.instants import HOUR_MS
from schemas.slices import slice_dimensions
from schemas.views import LATENCY_MS, QUANTILES
from schemas.warehouse import ClickHouseAddress
from stream_jobs.operators.capacity.forecast import HOURS
from stream_jobs.operators.capacity.measured import Hours
from stream_jobs.operators.saturation.queue_pressure import SaturationRule
from stream_jobs.sinks.clickhouse import connect, explained
from turnwatch.capacity.told import BILLED_MS, WEEKS_READ, Finalisation, Stretch, Told

READ_TIMEOUT_S = 300.0
_RULE = SaturationRule()
STAGE = "final_transcript"
_SETTINGS = {"readonly": 2, "output_format_arrow_string_as_string": 1}
_WITHIN = "bucket_start >= fromUnixTimestamp64Milli({from_ms:Int64}) AND bucket_start < fromUnixTimestamp64Milli({to_ms:Int64})"


def read_warehouse(address: ClickHouseAddress, slice_text: str, stretch: Stretch) -> Told:
    """Everything that is told of a slice in a stretch of time, and its hours in the weeks before the stretch's end.

    Raises `BadInput` where nothing was told of the slice, `WarehouseError` without ClickHouse.
    """
    client = connect(address, read_timeout_s=READ_TIMEOUT_S)
    try:
        return _Reader(client, slice_text, stretch).told()
    except ClickHouseError as error:
        raise explained(error, address) from error
    finally:
        client.close()


class _Reader:
    """The questions about one slice."""

    def __init__(self, client: Client, slice_text: str, stretch: Stretch) -> None:
        self._client, self._slice, self._stretch = client, slice_text, stretch
        self._dimensions = slice_dimensions(slice_text)

    def told(self) -> Told:
        minutes = self._minutes()
        if minutes.is_empty():
            raise BadInput(self._nothing())
        return Told(
            self._slice,
            self._stretch,
            minutes,
            self._hours(),
            self._billed(),
            self._queues(),
            self._finalisation(),
            saturated=self._saturated(),
        )

    def _minutes(self) -> pl.DataFrame:
        columns = ", ".join(column for column in Told.MINUTES if column != "at_ms")
        return self._asked(
            f"""SELECT toUnixTimestamp64Milli(bucket_start) AS at_ms, {columns}
FROM capacity
WHERE slice = {{slice:String}} AND {_WITHIN}
ORDER BY at_ms"""
        ).cast(Told.MINUTES)

    def _hours(self) -> Hours:
        """Whole hours up to the stretch's end; an hour is reported where any collector told of streams in it."""
        end_ms = self._stretch.to_ms // HOUR_MS * HOUR_MS
        first_ms = end_ms - WEEKS_READ * HOURS * HOUR_MS
        peaks = self._asked(
            f"""SELECT intDiv(toUnixTimestamp64Milli(bucket_start), {HOUR_MS}) AS hour, toInt64(max(peak_upper)) AS peak
FROM concurrency
WHERE slice = {{slice:String}} AND {_WITHIN}
GROUP BY hour""",
            Stretch(first_ms, end_ms),
        )
        reported = self._asked(
            f"""SELECT DISTINCT intDiv(toUnixTimestamp64Milli(bucket_start), {HOUR_MS}) AS hour
FROM heartbeats
WHERE reported_family = '{STREAMS.name}' AND {_WITHIN}""",
            Stretch(first_ms, end_ms),
        )
        return _in_a_row(first_ms, end_ms, peaks, reported)

    def _billed(self) -> pl.DataFrame:
        """Of each ten minutes: GPU time used (0 without a bill), audio, and time of streams, in ms."""
        where, given = _narrowed(COSTS, self._dimensions)
        at = f"intDiv(toUnixTimestamp64Milli(bucket_start), {BILLED_MS}) * {BILLED_MS} AS at_ms"
        return self._asked(
            f"""SELECT at_ms, toInt64(sum(used)) AS gpu_used_ms, toInt64(sum(audio)) AS audio_ms, toInt64(sum(streams)) AS stream_ms
FROM (
    SELECT {at}, gpu_used_ms AS used, toUInt64(0) AS audio, toUInt64(0) AS streams FROM costs WHERE {where} AND {_WITHIN}
    UNION ALL
    SELECT {at}, 0, audio_in_ms + audio_out_ms, 0 FROM traffic WHERE slice = {{slice:String}} AND {_WITHIN}
    UNION ALL
    SELECT {at}, 0, 0, active_at_start * 60000 FROM concurrency WHERE slice = {{slice:String}} AND {_WITHIN})
GROUP BY at_ms
ORDER BY at_ms""",
            self._stretch.in_steps(BILLED_MS),
            given,
        )

    def _queues(self) -> pl.DataFrame:
        """By queue the utilisation, busy ÷ available time, and the share of batch work in what came; empty where no cut of queues names the slice's dimensions."""
        if not _covers(QUEUES, self._dimensions):
            return pl.DataFrame(schema=Told.QUEUES)
        where, given = _narrowed(QUEUES, self._dimensions)
        return self._asked(
            f"""SELECT queue, sum(busy_ms) / sum(available_ms) AS utilisation,
    if(sum(arrivals) > 0, sum(batch_arrivals) / sum(arrivals), 0) AS batch_share
FROM queues
WHERE {where} AND {_WITHIN}
GROUP BY queue
HAVING sum(available_ms) > 0
ORDER BY utilisation DESC, queue""",
            given=given,
        ).cast(Told.QUEUES)

    def _saturated(self) -> pl.DataFrame:
        """Minutes in which waits were beyond what the realtime objective allows, by queue, the most first.

        That is of those that began to be served, or of whoever came last where at least as many waited as make a growth.
        """
        if not _covers(QUEUES, self._dimensions):
            return pl.DataFrame(schema=Told.SATURATED)
        where, given = _narrowed(QUEUES, self._dimensions)
        allowed_ms, deep = _RULE.wait_s * 1_000, int(_RULE.growth_min)
        return self._asked(
            f"""SELECT queue, count() AS minutes, min(at_ms) AS first_ms, max(at_ms) AS last_ms,
    max(waiting) AS depth_most, max(waited_ms) AS waited_ms_most
FROM (
    SELECT queue, toUnixTimestamp64Milli(bucket_start) AS at_ms, sum(depth) AS waiting,
        sum(waited_ms_sum) / greatest(sum(served), 1) AS waited_ms, waiting * 60000 / greatest(sum(served), 1) AS last_waits_ms
    FROM queues
    WHERE {where} AND {_WITHIN}
    GROUP BY queue, bucket_start)
WHERE waited_ms > {allowed_ms} OR (waiting >= {deep} AND last_waits_ms > {allowed_ms})
GROUP BY queue
ORDER BY minutes DESC, queue""",
            given=given,
        ).cast(Told.SATURATED)

    def _finalisation(self) -> Finalisation | None:
        """From the end of speech to its final transcript; `None` where it was not told."""
        where, given = _narrowed(STAGE_LATENCIES, self._dimensions)
        levels = ", ".join(map(str, QUANTILES))
        found = self._asked(
            f"""SELECT toInt64(sum(observations)) AS observed, quantilesExactWeighted({levels})({LATENCY_MS}, observations) AS quantiles
FROM stage_latency
WHERE stage = '{STAGE}' AND observations > 0 AND {where} AND {_WITHIN}""",
            given=given,
        )
        if not found["observed"][0]:
            return None
        p50_ms, p95_ms, p99_ms = found["quantiles"][0]
        return Finalisation(p50_ms, p95_ms, p99_ms)

    def _asked(self, sql: str, stretch: Stretch | None = None, given: Mapping[str, str] | None = None) -> pl.DataFrame:
        of = stretch or self._stretch
        parameters = {"slice": self._slice, "from_ms": of.from_ms, "to_ms": of.to_ms, **(given or {})}
        found = pl.from_arrow(self._client.query_arrow(sql, parameters, _SETTINGS))
        assert isinstance(found, pl.DataFrame)
        return found

    def _nothing(self) -> str:
        """Why there is nothing to say, with the slice that was meant perhaps."""
        known = self._asked(f"SELECT DISTINCT toString(slice) AS slice FROM concurrency WHERE {_WITHIN} ORDER BY slice")
        names = known["slice"].to_list()
        if not names or self._slice in names:
            return f"ClickHouse has no streams from {self._stretch}: choose another range with --data."
        close = get_close_matches(self._slice, names, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {len(names)}, such as {names[0]}."
        return f"ClickHouse has no streams of slice {self._slice[:200]!r} from {self._stretch}: {meant}"


def _in_a_row(first_ms: int, end_ms: int, peaks: pl.DataFrame, reported: pl.DataFrame) -> Hours:
    """Hours without any stream that somebody told of have none; those that nobody told of are marked."""
    count, first = (end_ms - first_ms) // HOUR_MS, first_ms // HOUR_MS
    peak, is_reported = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    places = peaks["hour"].cast(pl.Int64).to_numpy() - first
    peak[places] = peaks["peak"].to_numpy()
    is_reported[places] = True
    is_reported[reported["hour"].cast(pl.Int64).to_numpy() - first] = True
    return Hours(first_ms, peak, is_reported)


def _covers(family: Family, dimensions: Mapping[str, str]) -> bool:
    return any(set(dimensions) <= set(cut.dimensions) for cut in family.cuts)


def _narrowed(family: Family, dimensions: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The condition of the slice in a family's rows, and what it is given."""
    cut = min(
        (cut for cut in family.cuts if set(dimensions) <= set(cut.dimensions)), key=lambda cut: len(cut.dimensions)
    )
    given = {f"of_{name}": value for name, value in dimensions.items()} | {"of_cut": cut.name}
    conditions = [f"{name} = {{of_{name}:String}}" for name in ("cut", *dimensions)]
    return " AND ".join(conditions), given
