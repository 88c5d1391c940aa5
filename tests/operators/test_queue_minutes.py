"""What is kept of queues stays below its bound, and tails of stages are those of the latencies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.families import QUEUES
from schemas.histograms import bucket_indexes, upper_bounds_ms
from stream_jobs.operators.saturation.queue_minutes import QueueMinutes
from stream_jobs.operators.saturation.queue_pressure import CHAIN
from stream_jobs.operators.stages.tails import tails
from tests.operators.queue_worlds import LLM, POOL, queue, queue_minute, stage_minute

BYTES_A_ROW = 180


def test_a_kept_row_takes_no_more_than_is_said() -> None:
    names = [f"pool=realtime,bundle=voice-assistant-2.14.{number}" for number in range(300)]
    kept = QueueMinutes()
    kept.tell(queue_minute(0, {(text, stage): queue(5) for text in names for stage in CHAIN[:4]}))
    (minute,) = kept._minutes.values()
    assert len(minute) == 1_200
    assert minute.rechunk().estimated_size() / len(minute) <= BYTES_A_ROW


def test_the_chain_has_every_queue_once() -> None:
    assert sorted(CHAIN) == sorted(QUEUES.keys[0].vocabulary)


HEARD = st.dictionaries(st.integers(0, 80), st.sets(st.sampled_from(CHAIN[:3])), max_size=12)


@settings(max_examples=25)
@given(HEARD)
def test_a_queue_is_compared_with_the_newest_minute_of_an_hour_in_which_it_was_heard_of(
    heard: dict[int, set[str]],
) -> None:
    kept = QueueMinutes()
    for number, names in heard.items():
        kept.tell(queue_minute(number, {(POOL, name): queue(number) for name in names}))
    asked = queue_minute(70, {(POOL, name): queue(0) for name in CHAIN[:3]})
    found = kept.newest_before(int(asked["bucket_start_ms"][0]), asked)
    newest = {
        name: max((at for at in heard if 11 <= at < 70 and name in heard[at]), default=None) for name in CHAIN[:3]
    }
    assert dict(zip(found["queue"], found["depth"], strict=True)) == {
        name: at for name, at in newest.items() if at is not None
    }


LATENCIES = st.lists(st.floats(0.1, 9e5) | st.just(0.0), min_size=1, max_size=60)


@settings(max_examples=25)
@given(LATENCIES)
def test_the_tail_is_the_end_of_the_bucket_of_the_95th_percentile(latencies: list[float]) -> None:
    (row,) = tails(stage_minute(0, {(POOL, LLM): latencies})).iter_rows(named=True)
    nearest = sorted(latencies)[-(-95 * len(latencies) // 100) - 1]
    end_ms = (
        0.0 if nearest == 0 else float(upper_bounds_ms(bucket_indexes(np.array([nearest]), 5).astype(np.int64), 5)[0])
    )
    assert (row["observations"], row["p95_ms"]) == (len(latencies), pytest.approx(end_ms))
