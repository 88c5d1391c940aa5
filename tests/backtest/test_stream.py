"""The backtest and the stream find the same alerts at the same instants: frames go through both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.slices import cut_of
from schemas.slos import WatchedSlo
from stream_jobs.operators.burn_rate.history import History
from tests.backtest.streaming import MINUTES, OTHER_KINDS, SLO, START_MS, WATCHED, known, saved, streamed, world
from turnwatch.backtest.engine import alerts
from turnwatch.backtest.frames import read_frames
from turnwatch.backtest.instants import Instants
from turnwatch.backtest.series import Series, Span


@pytest.mark.parametrize(
    ("seed", "windows", "every"),
    [(4, 300, 1), (12, 300, 1), (1, 2_000, 35)],
    ids=["dense, with slices by the minute", "dense again", "sparse, with pauses"],
)
def test_both_find_the_same_alerts_at_the_same_instants(tmp_path: Path, seed: int, windows: int, every: int) -> None:
    records = world(seed, windows, every)
    expected = streamed(records)
    (series,) = read_frames(saved(records, tmp_path), SLO, None)
    assert known(alerts(series, WATCHED)) == expected
    # Equal answers would be worth little if nothing had happened.
    assert {alert.severity for alert in expected} == {"page", "ticket"}
    assert len({alert.row for alert in expected}) >= 3
    assert any(alert.frozen_s for alert in expected)
    cuts = {cut_of(alert.slice) for alert in expected}
    assert cuts == set(SLO.cuts) - ({"pool,language"} if every > 1 else set())


@pytest.mark.parametrize(
    ("watched", "seed", "windows", "every", "rows"),
    [
        (OTHER_KINDS, 26, 300, 1, {"page_any_event_30s", "ticket_exhausts_20d_20m_2m", "ticket_exhausts_2d_10m_50s"}),
        (OTHER_KINDS, 23, 2_000, 35, {"ticket_exhausts_20d_20m_2m"}),
        (MINUTES, 26, 300, 1, {"page_11m30s_90s", "page_5m_1m", "ticket_13m_2m", "ticket_370m_30m"}),
        (MINUTES, 26, 2_000, 35, {"page_11m30s_90s", "page_5m_1m", "ticket_13m_2m"}),
    ],
    ids=["other kinds of rows", "with pauses", "budget of minutes", "of minutes, with pauses"],
)
def test_they_do_for_every_kind_of_row_and_budget_and_life(
    tmp_path: Path, watched: WatchedSlo, seed: int, windows: int, every: int, rows: set[str]
) -> None:
    records = world(seed, windows, every)
    expected = streamed(records, watched)
    (series,) = read_frames(saved(records, tmp_path), watched.slo, None)
    assert known(alerts(series, watched)) == expected
    assert {alert.row for alert in expected} == rows
    assert any(alert.to_s is not None for alert in expected) and any(alert.frozen_s for alert in expected)
    assert len({cut_of(alert.slice) for alert in expected}) == (3 if every == 1 else 2)


LEVEL_1_S, LEVEL_2_S, LEVEL_3_S = (3_600, 21_600), (22_200, 86_400, 259_200), (259_200 + 7_200, 345_600)


@pytest.mark.parametrize("is_wide", [False, True])
def test_every_window_is_summed_as_the_history_sums_it(is_wide: bool) -> None:
    """Starts round outward to buckets of the state, at whatever minute a window ends."""
    minutes, start_ms = 6 * 1_440, START_MS
    turns = np.random.default_rng(5).integers(0, 100, minutes)
    history = History(["turns"], 5 * 86_400)
    for level, per in ((1, 1), (2, 10), (3, 60)):
        for place, total in enumerate(turns.reshape(-1, per).sum(axis=1).tolist()):
            history.assign(level, start_ms + place * per * 60_000, np.array([0]), np.array([[[0, total]]]))
    empty = np.zeros((1, minutes), dtype=np.int32)
    span = Span(start_ms, start_ms + minutes * 60_000, 60_000)
    series = Series(span, ("pool=realtime",), empty, empty, np.array([start_ms]), np.ones(minutes, dtype=bool))
    instants, running = Instants(series, is_wide), np.concatenate([[0], np.cumsum(turns)])
    for length_s in (*LEVEL_1_S, *LEVEL_2_S, *LEVEL_3_S):
        for place in (5 * 1_440 + 3, 5 * 1_440 + 59, minutes - 1):
            end_ms = start_ms + (place + 1) * 60_000
            expected = history.window(length_s * 1_000, end_ms, finest=1)[0, 0, 1]
            assert instants.sums(running, length_s, np.array([place]))[0] == expected
