"""A worker that was away for longer than buckets are kept takes in its whole backlog at once, and loses none of it."""

from __future__ import annotations

import pytest

from schemas.families import OPERATIONAL, TURNS
from stream_jobs.operators.totals import intake as intakes
from stream_jobs.operators.totals.intake import Intake
from stream_jobs.operators.totals.ledger import Ledger
from stream_jobs.operators.totals.traffic import keep_ms
from tests.operators.worlds import WINDOW_MS, oracle, world

WINDOWS = 40


@pytest.mark.parametrize("rows_a_partial", [7, 100_000], ids=["in many partials", "in one partial"])
def test_a_backlog_longer_than_buckets_are_kept_is_taken_in_whole(
    monkeypatch: pytest.MonkeyPatch, rows_a_partial: int
) -> None:
    """What a telling says is over must not be held against the rows of the same telling."""
    monkeypatch.setattr(intakes, "_PARTIAL_ROWS", rows_a_partial)
    assert keep_ms(TURNS) + 60_000 < WINDOWS * WINDOW_MS
    happened = world(seed=3, windows=WINDOWS)
    intake = Intake(TURNS, source_partition=0, shards=1)
    ledger = Ledger(TURNS, keep_ms(TURNS), sources=1)
    for batch in (happened.records[:3], happened.records[3:]):  # What came before it went away, and its backlog.
        intake.apply(batch)
        assert all(ledger.apply(partial).is_empty() for _, partial in intake.unsent_partials())
    keys = [key for key in ledger.kept() if key[0] == OPERATIONAL.name]
    found = {
        (row["slice"], row["bucket_start_ms"]): tuple(row[name] for name in TURNS.measure_names)
        for row in ledger.totals(keys).iter_rows(named=True)
    }
    assert found == oracle(happened.rows)
