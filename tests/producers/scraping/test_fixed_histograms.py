"""Fixed buckets as sparse ones: how far off they may be is what their scale says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.scraping.fixed_histograms import INDICATOR, bucket_counts, judged, sparse_buckets, stage_rows
from schemas.families import STAGE_LATENCIES
from schemas.histograms import ZERO_INDEX
from tests.producers.scraping.expositions import SGLANG_EDGES_S, TGI_EDGES_S, TTFT_EDGES_S

CELL = ["bundle"]


def grown(edges: tuple[float, ...], latencies: list[float]) -> pl.DataFrame:
    """The increases of one series after these latencies."""
    counts = [sum(each <= edge for each in latencies) for edge in (*edges, np.inf)]
    rows: list[tuple[str, int, str, float | None, float]] = [
        ("v2", 1, "bucket", le, float(n)) for le, n in zip((*edges, np.inf), counts, strict=True)
    ]
    rows.append(("v2", 1, "sum", None, float(sum(latencies))))
    schema = {"bundle": pl.String, "series": pl.UInt64, "part": pl.String, "le": pl.Float64, "increase": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row")


@given(low=st.floats(0.01, 1e6), ratio=st.floats(1.001, 1e4), place=st.floats(0.0, 1.0))
def test_a_latency_lies_in_the_bucket_that_is_named_or_beside_it(low: float, ratio: float, place: float) -> None:
    """And whatever a reader takes from within the bucket is off by a factor below base to the power of 1.5."""
    high = low * ratio
    latency = low + (high - low) * max(place, 1e-9)
    ((scale, index),) = sparse_buckets(np.array([low]), np.array([high]), finest=5).tolist()
    base = 2.0 ** (2.0**-scale)
    exponent = np.log2(latency) * 2.0**scale
    assert index - 1 - 1e-6 <= exponent <= index + 2 + 1e-6
    assert base >= ratio * (1 - 1e-9) or scale == 5
    lower, upper = base ** float(index), base ** float(index + 1)
    assert max(upper / latency, latency / lower) <= base**1.5 * (1 + 1e-6)


@given(low=st.floats(0.01, 1e6), ratio=st.floats(1.05, 1e4))
def test_no_finer_scale_would_be_honest(low: float, ratio: float) -> None:
    ((scale, _),) = sparse_buckets(np.array([low]), np.array([low * ratio]), finest=20).tolist()
    assert 2.0 ** (2.0 ** -(scale + 1)) < ratio * (1 + 1e-9)


def test_a_bucket_that_is_one_of_ours_is_told_as_what_it_is() -> None:
    assert sparse_buckets(np.array([256.0]), np.array([512.0]), finest=5).tolist() == [[0, 8]]


def test_zero_and_what_has_one_edge_only() -> None:
    placed = sparse_buckets(np.array([0.0, 0.0, 400.0]), np.array([0.0, 100.0, np.inf]), finest=5)
    assert placed.tolist() == [[5, ZERO_INDEX], [-2, 1], [-2, 2]]


@pytest.mark.parametrize("edges", [TTFT_EDGES_S, SGLANG_EDGES_S, TGI_EDGES_S])
@given(latencies=st.lists(st.floats(0.0, 39.0), min_size=1, max_size=60))
def test_counts_and_sums_are_those_of_the_exporter(edges: tuple[float, ...], latencies: list[float]) -> None:
    rows = stage_rows(bucket_counts(grown(edges, latencies), CELL, 1_000.0), CELL, "llm_first_token")
    assert rows["observations"].sum() == len(latencies)
    assert rows["latency_ms_sum"].sum() == round(sum(latencies) * 1_000)
    mean_squared = rows["latency_ms_sum"].to_numpy().astype(float) ** 2 / rows["observations"].to_numpy()
    assert (rows["latency_ms_sumsq"].to_numpy() >= mean_squared).all()
    for key in STAGE_LATENCIES.keys[1:]:
        low, high = key.integer_range
        assert rows.filter(~pl.col(key.name).is_between(low, high) & (pl.col(key.name) != ZERO_INDEX)).is_empty()


def test_latencies_of_a_bucket_have_the_mean_that_the_sum_leaves_them() -> None:
    rows = stage_rows(bucket_counts(grown((0.25, 0.5), [0.3, 0.3, 0.3, 0.3]), CELL, 1_000.0), CELL, "llm_first_token")
    assert rows.select("observations", "latency_ms_sum", "latency_ms_sumsq").rows() == [(4, 1_200, 360_000)]


def test_a_histogram_that_contradicts_itself_says_nothing() -> None:
    rows = grown((0.25, 0.5), [0.3]).with_columns(
        increase=pl.when(pl.col("le") == 0.25).then(5.0).otherwise(pl.col("increase"))
    )
    assert bucket_counts(rows, CELL, 1_000.0).is_empty()


WAIT = INDICATOR["queue_wait_250ms"]


def test_a_threshold_is_counted_where_it_is_an_edge() -> None:
    """On the edge is up to and including it, which is what the objective says."""
    counts = bucket_counts(grown((0.1, 0.25, 0.5), [0.05, 0.25, 0.2500001, 0.3, 9.0]), CELL, 1_000.0)
    outcome = judged(counts, CELL, WAIT)
    assert outcome is not None and outcome.rows() == [("v2", 5, 3)]


def test_a_threshold_that_is_no_edge_is_not_counted() -> None:
    assert judged(bucket_counts(grown((0.2, 0.3), [0.05, 0.22]), CELL, 1_000.0), CELL, WAIT) is None


def test_an_objective_below_a_threshold_is_not_counted_from_edges() -> None:
    """An edge counts who took exactly that long with those who took less; the objective does not."""
    below = INDICATOR["first_partial_500ms"]
    assert below.bad_when == "at_or_above"
    assert judged(bucket_counts(grown((0.25, 0.5), [0.3]), CELL, 1_000.0), CELL, below) is None
