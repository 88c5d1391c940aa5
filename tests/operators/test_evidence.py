"""The low-traffic rule over columns is that of one window, value by value."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.slos import LowTraffic
from stream_jobs.operators.burn_rate.evidence import evident
from tests.operators.evidence_twin import evidence_is_enough


@given(
    counts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4_000)), min_size=1, max_size=30),
    threshold=st.decimals("0.001", "0.9", places=3),
    expected=st.one_of(st.just(float("nan")), st.floats(0, 1e6)),
    confidence=st.sampled_from([0.0, 0.5, 0.95, 0.999]),
    bad_events_min=st.integers(0, 20),
)
def test_it_holds_where_the_rule_for_one_window_does(
    counts: list[tuple[int, int]], threshold: Decimal, expected: float, confidence: float, bad_events_min: int
) -> None:
    rule = LowTraffic(confidence, bad_events_min)
    pairs = [(bad, bad + good) for bad, good in counts if bad + good]
    above = [(bad, total) for bad, total in pairs if bad > total * threshold]
    known = None if np.isnan(expected) else expected
    wanted = [evidence_is_enough(bad, total, threshold, known, rule) for bad, total in above]
    thresholds, budgets = np.full(len(above), float(threshold)), np.full(len(above), expected)
    assert evident(np.array(above, dtype=np.int64).reshape(-1, 2), thresholds, budgets, rule).tolist() == wanted


@pytest.mark.parametrize(("bad", "total", "holds"), [(144, 1_000, False), (166, 1_000, True), (100_000, 400_000, True)])
def test_near_the_threshold_the_bound_decides_and_far_from_it_there_is_no_doubt(
    bad: int, total: int, holds: bool
) -> None:
    found = evident(np.array([[bad, total]]), np.array([0.144]), np.array([np.nan]), LowTraffic())
    assert bool(found[0]) is holds
