"""What is found goes on to say why, for as long as it lasts; and what is kept for that is bounded, whoever falls silent."""

from __future__ import annotations

from schemas.families import QUEUES, RELEASES, STAGE_LATENCIES
from schemas.findings import Finding
from stream_jobs.operators.saturation.queue_pressure import CLIMB_MS
from stream_jobs.operators.saturation.watch import STAGES_KEPT_MS, SaturationWatch
from stream_jobs.operators.saturation.wording import SATURATED
from stream_jobs.operators.stages.new_bundles import WITHIN_MS
from tests.operators.queue_worlds import (
    LLM,
    MINUTE_MS,
    POOL,
    found,
    queue,
    queue_minute,
    release_minute,
    stage_minute,
    stated,
)
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


BUNDLE = "pool=realtime,bundle=voice-2.5.0"
SLOW = [1_300.0] * 100


def begun_and_two_hours_later() -> tuple[Finding, Finding]:
    """A bundle that is deployed in minute 8 and grows from minute 20 on: what is stated in minutes 21 and 150."""
    watch, said = SaturationWatch(0), []
    for number in (0, *range(8, 23), 150):
        open_ms = START_MS + (number - 2) * MINUTE_MS
        if number < 23:
            slices = {POOL: (9, 0), BUNDLE: (4 * (number > 7), 4 * (number == 8))}
            watch.tell(RELEASES, release_minute(number, slices), open_ms)
        if number == 150:
            stated(watch, 149, share=0.9)
        depth, before = (5 + 60 * max(0, each - 19) for each in (number, number - 1))
        usual = {} if number < 20 else {"served": 900, "busy_ms": 198_000, "servers": 3}
        watch.tell(QUEUES, queue_minute(number, {(BUNDLE, LLM): queue(depth, before, **usual)}), open_ms)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(BUNDLE, LLM): SLOW}), open_ms)
        if number == 21:
            said.append(found(watch, number)[SATURATED, BUNDLE])
    said.append(found(watch, 150, share=0.9)[SATURATED, BUNDLE])
    began, lasts = said
    return began, lasts


def test_the_advice_of_what_lasts_is_that_which_it_began_with() -> None:
    began, lasts = begun_and_two_hours_later()
    assert began.action.startswith("Roll back voice-2.5.0: it was deployed here 12 min before")
    assert began.facts["advice"] == lasts.facts["advice"] == "roll_back"
    assert lasts.action.startswith("Roll back voice-2.5.0: it was deployed here 12 min before")


def test_the_causes_of_what_lasts_are_told_for_as_long_as_it_lasts() -> None:
    for said, told in zip(begun_and_two_hours_later(), ("", " of those that have reported"), strict=True):
        assert "960 requests came in the last minute, 600 a minute before" in said.summary
        assert f"3 replicas serve{told}, 4 before" in said.summary
        assert (said.facts["service_ms"], said.facts["service_ms_before"]) == (220, 200)


def test_a_queue_that_nobody_hears_of_any_more_is_not_named_as_the_first() -> None:
    watch, depths = SaturationWatch(0), {"asr_first_partial": [5, 90], LLM: [5, 5, 5, 5, 5, 70]}
    for number in range(6):
        lines = {
            (POOL, name): queue(each[number], each[max(0, number - 1)])
            for name, each in depths.items()
            if number < len(each)
        }
        watch.tell(QUEUES, queue_minute(number, lines), START_MS)
        watch.tell(STAGE_LATENCIES, stage_minute(number, {(POOL, LLM): SLOW}), START_MS)
        last = found(watch, number)
    assert last[SATURATED, POOL].facts["first_queue"] == LLM
    assert "look there first" not in last[SATURATED, POOL].summary
