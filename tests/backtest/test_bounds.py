"""A threshold that nobody counted lies between two counts, and exactly those that the buckets allow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import chdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.failures import BadInput
from schemas.families import INDICATORS, OPERATIONAL, STAGE_LATENCIES
from schemas.frames import FrameHeader, encode
from schemas.histograms import bucket_indexes
from schemas.rows import arrow_schema
from schemas.slos import Slo
from stream_jobs.operators.totals.opening import Record
from tests.backtest.rows import SLO
from tests.backtest.streaming import START_MS, saved
from turnwatch.backtest.bounds import Threshold, bounded, bounded_sql, uncounted
from turnwatch.backtest.sources import read_files

QUEUE: Slo = replace(SLO, indicator=next(each for each in INDICATORS if each.name == "queue_wait_250ms"))


def histogram(latencies_ms: list[float], scale: int) -> pl.DataFrame:
    index = bucket_indexes(np.array(latencies_ms), scale)
    rows = pl.DataFrame({"bucket_index": index, "scale": np.full(len(index), scale, dtype=np.int8)})
    return rows.group_by("scale", "bucket_index").agg(observations=pl.len().cast(pl.Int64))


def threshold(slo: Slo, threshold_ms: int) -> Threshold:
    found = uncounted(slo, threshold_ms)
    assert found is not None
    return found


@given(
    latencies=st.lists(st.floats(0, 20_000, allow_subnormal=False), min_size=1, max_size=60),
    threshold_ms=st.one_of(st.integers(1, 20_000), st.sampled_from([1, 2, 1_024, 2_048, 4_096])),
    scale=st.sampled_from([-2, 0, 3, 5, 6]),
    slo=st.sampled_from([SLO, QUEUE]),
)
def test_the_truth_lies_between_and_only_the_threshold_s_own_bucket_is_open(
    latencies: list[float], threshold_ms: int, scale: int, slo: Slo
) -> None:
    if threshold_ms == slo.indicator.threshold_ms:
        return
    counts = histogram([*latencies, float(threshold_ms)], scale)
    surely, possibly = (counts.select(each).item() for each in bounded(threshold(slo, threshold_ms)))
    is_above = slo.indicator.bad_when == "above"
    values = np.array([*latencies, float(threshold_ms)])
    bad = int((values > threshold_ms).sum() if is_above else (values >= threshold_ms).sum())
    assert surely <= bad <= possibly
    own = bucket_indexes(np.array([float(threshold_ms)]), scale)[0]
    assert possibly - surely <= int((bucket_indexes(values, scale) == own).sum())


@given(threshold_ms=st.sampled_from([1, 3, 512, 1_000, 4_096]), slo=st.sampled_from([SLO, QUEUE]))
def test_a_power_of_two_that_is_itself_good_leaves_nothing_open(threshold_ms: int, slo: Slo) -> None:
    """It is a bucket's upper bound at every scale from 0 on."""
    sharp = threshold(slo, threshold_ms).is_sharp(5)
    assert sharp == (slo is QUEUE and threshold_ms in (1, 512, 4_096))


@pytest.mark.parametrize("slo", [SLO, QUEUE], ids=["below", "up to"])
@pytest.mark.parametrize("threshold_ms", [512, 3_500])
def test_clickhouse_counts_the_same(slo: Slo, threshold_ms: int) -> None:
    latencies = np.random.default_rng(threshold_ms).lognormal(7, 1.2, 400).round().tolist()
    rows = pl.concat([histogram([0.0, 512.0, 3_500.0, *latencies], scale) for scale in (5, 6)])
    asked = threshold(slo, threshold_ms)
    values = ", ".join(f"({scale}, {index}, {count})" for scale, index, count in rows.iter_rows())
    source = f"values('scale Int8, bucket_index Int32, observations UInt64', {values})"
    answer = str(chdb.query(f"SELECT {', '.join(bounded_sql(asked))} FROM {source}", "TSV"))  # type: ignore[no-untyped-call]  # chDB declares no types.
    assert [int(each) for each in answer.split()] == [rows.select(each).item() for each in bounded(asked)]


def test_frames_of_stages_are_judged_twice(tmp_path: Path) -> None:
    rows = [
        {"region": "eu-west-1", "pool": "realtime", "route": "r", "bundle": "v1", "stage": stage, "scale": 6,
         "bucket_index": int(bucket_indexes(np.array([latency]), 6)[0]), "observations": count,
         "latency_ms_sum": 0, "latency_ms_sumsq": 0}
        for stage, latency, count in (("turn", 900.0, 50), ("turn", 3_500.0, 7), ("turn", 9_000.0, 3), ("retrieval", 9_000.0, 1))
    ]  # fmt: skip
    header = FrameHeader(STAGE_LATENCIES, OPERATIONAL, "host-1", 1, 0, START_MS)
    headers, payload = encode(header, pa.Table.from_pylist(rows, schema=arrow_schema(STAGE_LATENCIES)))
    saved([Record(0, 0, dict(headers), payload)], tmp_path)
    fewest, most = read_files([tmp_path], SLO, threshold(SLO, 3_510)).series
    fleet = fewest.slices.index("pool=realtime")
    assert (fewest.bad[fleet].tolist(), most.bad[fleet].tolist()) == ([3], [10])
    assert fewest.total[fleet].tolist() == most.total[fleet].tolist() == [60]


def test_a_counted_threshold_needs_no_bounds_and_an_outcome_has_none() -> None:
    assert uncounted(SLO, 4_000) is None
    outcome = replace(SLO, indicator=next(each for each in INDICATORS if each.name == "turn_error"))
    with pytest.raises(BadInput, match="has no threshold: turn without error"):
        uncounted(outcome, 3_000)
    assert "turn < 3500 ms was not counted (counted was < 4000 ms)" in threshold(SLO, 3_500).sentence
    assert "queue_wait ≤ 200 ms was not counted (counted was ≤ 250 ms)" in threshold(QUEUE, 200).sentence
