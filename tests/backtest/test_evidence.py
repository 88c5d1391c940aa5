"""The low-traffic rule over columns is the stream's, value by value."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.slos import LowTraffic
from stream_jobs.operators.burn_arithmetic import evidence_is_enough
from turnwatch.backtest.evidence import evidence_holds


@given(
    counts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4_000)), min_size=1, max_size=30),
    threshold=st.decimals("0.001", "0.9", places=3),
    expected=st.one_of(st.just(float("nan")), st.floats(0, 1e6)),
    confidence=st.sampled_from([0.0, 0.5, 0.95, 0.999]),
    bad_events_min=st.integers(0, 20),
)
def test_it_holds_where_the_stream_says_so(
    counts: list[tuple[int, int]], threshold: Decimal, expected: float, confidence: float, bad_events_min: int
) -> None:
    rule = LowTraffic(confidence, bad_events_min)
    pairs = [(bad, bad + good) for bad, good in counts if bad + good]
    above = [(bad, total) for bad, total in pairs if bad > total * threshold]
    known = None if np.isnan(expected) else expected
    wanted = [evidence_is_enough(bad, total, threshold, known, rule) for bad, total in above]
    bad, total = (np.array([pair[place] for pair in above], dtype=np.int64) for place in (0, 1))
    assert (
        evidence_holds(bad, total, np.full(len(above), float(threshold)), np.full(len(above), expected), rule).tolist()
        == wanted
    )


@pytest.mark.parametrize(("bad", "total", "holds"), [(144, 1_000, False), (166, 1_000, True), (100_000, 400_000, True)])
def test_near_the_threshold_the_bound_decides_and_far_from_it_there_is_no_doubt(
    bad: int, total: int, holds: bool
) -> None:
    found = evidence_holds(np.array([bad]), np.array([total]), np.array([0.144]), np.array([np.nan]), LowTraffic())
    assert bool(found[0]) is holds
