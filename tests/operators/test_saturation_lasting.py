"""What is found goes on to say why, for as long as it lasts; and what is kept for that is bounded, whoever falls silent."""

from __future__ import annotations

from schemas.families import RELEASES, STAGE_LATENCIES
from stream_jobs.operators.new_bundles import WITHIN_MS
from stream_jobs.operators.queue_pressure import CLIMB_MS
from stream_jobs.operators.saturation_watch import STAGES_KEPT_MS, SaturationWatch
from tests.operators.queue_worlds import LLM, MINUTE_MS, POOL, release_minute, stage_minute
from tests.operators.worlds import START_MS


def test_what_is_kept_of_stages_and_releases_is_bounded_where_nobody_tells_queues() -> None:
    """For two hours and a half, each minute with another bundle; three minutes of each family are open."""
    watch = SaturationWatch(0)
    for number in range(150):
        open_ms = START_MS + (number - 2) * MINUTE_MS
        bundle = f"{POOL},bundle=v{number}"
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): [300.0]}), open_ms)
        watch.tell(RELEASES, release_minute(number, {bundle: (1, 1)}), open_ms)
    assert len(watch._stages) <= 3 + STAGES_KEPT_MS // MINUTE_MS
    assert len(watch._bundles._told) <= 3 + (WITHIN_MS + CLIMB_MS) // MINUTE_MS
